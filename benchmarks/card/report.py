"""The card: results of all units, put side by side, as data and as Markdown."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .field import FIELD
from .nab import PROFILES
from .scenarios import budget_table, pooled
from .sets import LARGE_SETS
from .work import SCENARIO

__all__ = ["Card", "as_data", "collect", "markdown", "titles"]

_TITLES = {
    "product": "**whole product**",
    "autoencoder": "the autoencoder alone",
    "rest": "the rest without the autoencoder",
}
# Of the cases that prove a scorer, those that are a detector's; the others are made up.
_PUBLISHED = ("numenta", "ARTime", "contextOSE", "windowedGaussian", "randomCutForest")
_NETWORKS = ("product", "autoencoder", "forecast")


@dataclass(frozen=True)
class Card:
    """All results by contender and set, one for each seed, and what simulated series gave.

    `published` are NAB scores of other detectors on the same files, by detector and profile.
    """

    results: dict[tuple[str, str], list[dict[str, Any]]]
    simulated: Mapping[str, Any]
    published: Mapping[str, Mapping[str, float]]

    @property
    def sets(self) -> list[str]:
        """The sets that were measured, in their usual order."""
        return list(dict.fromkeys(name for _, name in self.results))

    @property
    def contenders(self) -> list[str]:
        """Who was measured, by mean rank."""
        names = dict.fromkeys(contender for contender, _ in self.results)
        ranks = self.mean_ranks()
        return sorted(names, key=lambda name: ranks.get(name, math.inf))

    def values(self, contender: str, set_name: str, key: str) -> list[float]:
        """Give a measure for each seed; `nab.` before it is one of NAB's, at the own limit or swept."""
        found = []
        for result in self.results.get((contender, set_name), []):
            value: Any = result
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                found.append(float(value))
        return found

    def mean(self, contender: str, set_name: str, key: str) -> float:
        """Give a measure's mean over the seeds; NaN where it was not measured."""
        values = self.values(contender, set_name, key)
        return statistics.fmean(values) if values else math.nan

    def ranks(self, set_name: str, key: str) -> dict[str, float]:
        """Give each contender's rank on a set, 1 for the highest; equal values share a mean rank."""
        means = {name: self.mean(name, set_name, key) for name, of in self.results if of == set_name}
        means = {name: value for name, value in means.items() if not math.isnan(value)}
        return {
            name: sum(other > value for other in means.values())
            + (sum(other == value for other in means.values()) + 1) / 2
            for name, value in means.items()
        }

    def mean_ranks(self) -> dict[str, float]:
        """Give each contender's mean rank over the sets, by what it does at its own limit and by AP alike.

        At the own limit: event F1, and on nab the standard score.
        """
        ranks: dict[str, list[float]] = {}
        for set_name in self.sets:
            at_limit = "nab.own_limit.standard" if set_name == "nab" else "event_f1"
            of_ap = self.ranks(set_name, "ap")
            for name, rank in self.ranks(set_name, at_limit).items():
                ranks.setdefault(name, []).append((rank + of_ap.get(name, rank)) / 2)
        return {name: statistics.fmean(found) for name, found in ranks.items()}


def titles() -> dict[str, str]:
    """Give what the card calls each contender."""
    return _TITLES | {name: entrant.title for name, entrant in FIELD.items()}


def collect(units: Path, data: Path | None) -> Card:
    """Read the results of all units in a folder, and NAB's own cases where they are in the data."""
    results: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path in sorted(units.glob("*.json")):
        if path.name.startswith(f"{SCENARIO}-"):
            continue
        result = json.loads(path.read_text())
        results.setdefault((result["contender"], result["set"]), []).append(result)
    published: dict[str, dict[str, float]] = {}
    expected = data / "nab" / "scoring" / "expected.json" if data else None
    if expected is not None and expected.exists():
        cases = json.loads(expected.read_text())
        for detector in _PUBLISHED:
            published[detector] = {profile: cases[detector][profile]["score"] for profile in PROFILES}
    return Card(results, _simulated(units), published)


def _simulated(units: Path) -> dict[str, list[dict[str, Any]]]:
    """Read what simulated series gave, as the card's tables by their titles."""

    def rows_of(kind: str) -> list[dict[str, Any]]:
        paths = sorted(units.glob(f"{SCENARIO}-{kind}-*.json"))
        return [row for path in paths for row in json.loads(path.read_text())["rows"]]

    relations = pooled(rows_of("relations"), ("contender", "relation"))
    for row in relations:
        row["contender"] = titles()[row["contender"]]
        row["caught, %"] = f"{100 * row['caught'] / row['faults']:.0f}"
    return {
        "The budget on simulated normal life": budget_table(rows_of("life")),
        "The budget on test rows without labels": budget_table(rows_of("unlabelled")),
        "Faults that break only a relation": relations,
        "Levels that change, second faults, returns": pooled(rows_of("second"), ("what",)),
    }


def as_data(card: Card) -> dict[str, Any]:
    """Give the card as JSON takes it; the single entities' rows stay in the units' files."""
    return {
        "results": [
            {key: value for key, value in result.items() if key != "rows"}
            for found in card.results.values()
            for result in found
        ],
        "mean_ranks": card.mean_ranks(),
        "simulated": card.simulated,
    }


def markdown(card: Card) -> str:
    """Write the card."""
    parts = ["# Detection quality", _preface(card)]
    if "nab" in card.sets:
        parts += ["## NAB", _nab_table(card)]
        if card.published:
            parts += [_published_table(card)]
    if card.sets:
        parts += ["## Ranks", _ranks_table(card)]
        for title, key, number in (
            ("Average precision", "ap", "{:.3f}"),
            ("VUS-PR, buffer 20 rows", "vus_pr", "{:.3f}"),
            ("Event F1 at the own limit", "event_f1", "{:.2f}"),
            ("False episodes over budget (1 allowed)", "false_over_budget", "{:.2f}"),
        ):
            parts += [f"## {title}", _sets_table(card, key, number.format)]
        parts += ["## The product, set by set", _product_table(card)]
        parts += ["## Cost", _cost_table(card)]
    for title, rows in card.simulated.items():
        if rows:
            parts += [f"## {title}", _rows_table(rows)]
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; the first column is text, the others are numbers."""
    lines = [" | ".join(header), " | ".join(["---", *["---:"] * (len(header) - 1)])]
    lines += [" | ".join(row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _preface(card: Card) -> str:
    n_seeds = max((len(found) for found in card.results.values()), default=0)
    lines = [
        "Made by `make quality`. One configuration for every set: the defaults, `budget = "
        '"1/week per entity"`. Nothing sees the future, and no point is adjusted. All contenders are given '
        "the same scaled rows, and the same calibration, limit and episodes as the product.",
        f"Means of {n_seeds} seeds, with the spread (highest less lowest) behind ±, where a contender "
        "depends on one. Event F1: a labelled segment is caught if an episode overlaps it, an episode is "
        "true if it overlaps a segment; segments nearer than ten rows are one.",
    ]
    large = [name for name in card.sets if name in LARGE_SETS]
    if large:
        lines.append(
            f"On {', '.join(large)}, everything runs with one seed; what scores row by row in Python, and "
            "the product's parts, are left out: they have too many rows or channels."
        )
    notes = sorted({note for found in card.results.values() for result in found for note in result["notes"]})
    return "\n\n".join([*lines, *(f"Note: {note}" for note in notes)])


def _cell(values: Sequence[float], number: Callable[[float], str]) -> str:
    if not values:
        return ""
    mean = number(statistics.fmean(values))
    return f"{mean} ±{number(max(values) - min(values))}" if len(values) > 1 else mean


def _nab_table(card: Card) -> str:
    keys = [f"nab.own_limit.{profile}" for profile in PROFILES] + [f"nab.swept.{p}" for p in PROFILES]
    rows = []
    for name in _by(card, "nab", "nab.own_limit.standard"):
        cells = [_cell(card.values(name, "nab", key), "{:.1f}".format) for key in keys]
        gap = card.mean(name, "nab", keys[3]) - card.mean(name, "nab", keys[0])
        rows.append([titles()[name], *cells, f"{gap:.1f}"])
    header = ["", "standard", "low FP", "low FN", "swept standard", "low FP", "low FN", "swept less own"]
    return table(header, rows)


def _published_table(card: Card) -> str:
    rows = [
        [name, *(f"{scores[profile]:.1f}" for profile in PROFILES)]
        for name, scores in sorted(card.published.items(), key=lambda item: -item[1]["standard"])
    ]
    text = (
        "Other detectors on the same files, from the results that the benchmark's repository keeps, each at "
        "the threshold that is best on these labels. They are given the lowest and highest value of the "
        "whole file beforehand."
    )
    return text + "\n\n" + table(["", "standard", "low FP", "low FN"], rows)


def _ranks_table(card: Card) -> str:
    ranks = card.mean_ranks()
    n = len(card.contenders)
    text = (
        f"Mean rank among {n}, half by AP and half by what happens at the own limit (event F1; on nab the "
        "standard score)."
    )
    rows = []
    for name in card.contenders:
        cells = []
        for set_name in card.sets:
            at_limit = "nab.own_limit.standard" if set_name == "nab" else "event_f1"
            of_ap, of_limit = card.ranks(set_name, "ap"), card.ranks(set_name, at_limit)
            cells.append(
                f"{(of_ap.get(name, of_limit[name]) + of_limit[name]) / 2:g}" if name in of_limit else ""
            )
        kind = "network" if name in _NETWORKS else ""
        rows.append([titles()[name], kind, f"{ranks[name]:.1f}", *cells])
    return text + "\n\n" + table(["", "kind", "mean", *card.sets], rows)


def _sets_table(card: Card, key: str, number: Callable[[float], str]) -> str:
    rows = [
        [titles()[name], *(_cell(card.values(name, of, key), number) for of in card.sets)]
        for name in card.contenders
    ]
    if key in ("ap", "vus_pr"):
        chance = [card.mean("product", of, "chance") for of in card.sets]
        rows.append(["labelled share", *("" if math.isnan(value) else number(value) for value in chance)])
    return table(["", *card.sets], rows)


def _product_table(card: Card) -> str:
    keys: tuple[tuple[str, str, Callable[[float], str]], ...] = (
        ("events", "segments", "{:.0f}".format),
        ("caught", "event_recall", "{:.2f}".format),
        ("episodes", "episodes", "{:.0f}".format),
        ("true", "episode_precision", "{:.2f}".format),
        ("F1", "event_f1", "{:.2f}".format),
        ("false", "false_episodes", "{:.0f}".format),
        ("entity-weeks", "entity_weeks", "{:.1f}".format),
        ("median delay, min", "delay_seconds", lambda seconds: f"{seconds / 60:.0f}"),
        ("named", "named", "{:.0f}".format),
        ("top channel right", "top_channel_right", "{:.2f}".format),
    )
    rows = [
        [of, *(_cell(card.values("product", of, key), number) for _, key, number in keys)]
        for of in card.sets
        if ("product", of) in card.results
    ]
    return table(["", *(title for title, _, _ in keys)], rows)


def _cost_table(card: Card) -> str:
    rows = []
    for name in card.contenders:
        fit = sum(_known(card.mean(name, of, "fit_seconds") for of in card.sets))
        costs = _known(card.mean(name, of, "microseconds_a_row") for of in card.sets)
        rows.append([titles()[name], f"{fit:.0f}", f"{min(costs):.0f} to {max(costs):.0f}"])
    return table(["", "fitting, s, all sets", "microseconds a row of one entity"], rows)


def _rows_table(rows: Sequence[Mapping[str, Any]]) -> str:
    header = list(rows[0])
    return table(header, [[_text(row[key]) for key in header] for row in rows])


def _text(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _by(card: Card, set_name: str, key: str) -> list[str]:
    names = [name for name, of in card.results if of == set_name]
    return sorted(names, key=lambda name: -card.mean(name, set_name, key))


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]
