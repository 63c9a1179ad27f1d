"""Simulated series judged: normal life against the budget, broken relations, second faults, returns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from models.detector import Detector
from models.errors import TrainingError
from monitor.training.train import fit_watch

from .field import judge_trial
from .measures import WEEK_SECONDS, Episode
from .product import PARTS, judge, judge_product, settings_of, training_history
from .sets import Trial
from .simulated import DAY, HOUR, Incident, level_changes, life_trial, relation_faults

__all__ = [
    "BUDGETS",
    "RIVALS_ON_RELATIONS",
    "budget_table",
    "life",
    "poisson_interval",
    "pooled",
    "relations",
    "second_faults",
    "unlabelled",
]

BUDGETS = tuple(f"1/{period}{share}" for period in ("day", "week", "month") for share in (" per entity", ""))
FEW_BUDGETS = ("1/day per entity", "1/week per entity", "1/month")  # where each replay counts
RIVALS_ON_RELATIONS = ("product", "pca", "forecast", "polynomial", "gaussian")
_ENOUGH_EXPECTED = 20  # episodes; below it only the Poisson interval says anything
_MOST_OVER_BUDGET = 1.5
_HELD_UP = 2 * HOUR  # steps behind a return in which an episode would be about it


def life(kind: str, *, trained: bool, seed: int, quick: bool = False) -> list[dict[str, Any]]:
    """Judge normal life under each budget, by a fresh daemon or one that is trained on two weeks before.

    Gives a row for each budget: the episodes told, and those allowed.
    """
    n_weeks, n_entities = (1, 2) if quick else (4, 8)
    n_train = (7 if quick else 14) * DAY
    trial = life_trial(kind, n_train=n_train, n_test=n_weeks * 7 * DAY, n_entities=n_entities, seed=seed)
    detector = _trained(trial, seed) if trained else None
    budgets = FEW_BUDGETS if quick else BUDGETS
    return _spent(trial, detector, budgets, {"life": kind, "daemon": "trained" if trained else "fresh"})


def unlabelled(trials: Sequence[Trial], *, seed: int) -> list[dict[str, Any]]:
    """Judge the test rows of a labelled set under each budget, fresh and trained, and count what is false.

    Episodes that overlap a labelled segment do not count, nor does the time of labelled rows. A fresh daemon
    begins with the first test row; so does a trial whose training rows are too few to train on.
    """
    rows = []
    for trial in trials:
        try:
            detector = _trained(trial, seed)
        except TrainingError:
            detector = None
        if detector is not None:
            rows += _spent(trial, detector, BUDGETS, {"life": trial.name, "daemon": "trained"})
        rows += _spent(trial, None, FEW_BUDGETS, {"life": trial.name, "daemon": "fresh"})
    return rows


def _trained(trial: Trial, seed: int) -> Detector:
    return fit_watch(settings_of(trial.step_seconds, seed=seed), training_history(trial)).detector


def _spent(
    trial: Trial, detector: Detector | None, budgets: Iterable[str], about: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Judge a trial under each budget; count false episodes, and those that its unlabelled time allows."""
    seconds = float((trial.test & ~trial.label).sum() * trial.step_seconds)
    n_entities = len(trial.entities)
    rows = []
    for budget in budgets:
        settings = settings_of(trial.step_seconds, budget=budget)
        episodes = judge(trial, settings, detector, with_scores=False).episodes
        false = [
            [e for e in of_row if not trial.label[e.start : e.end, row].any()]
            for row, of_row in enumerate(episodes)
        ]
        allowed = settings.budget.rate_per_second(n_entities) / n_entities * seconds
        row = {**about, "budget": budget, "told": sum(map(len, false)), "allowed": allowed}
        rows.append(row | _weeks(trial, false))
    return rows


def _weeks(trial: Trial, episodes: Sequence[Sequence[Episode]]) -> dict[str, int]:
    """Count the weeks of entities that were begun, and those without an episode and without one going on."""
    n_steps = round(WEEK_SECONDS / trial.step_seconds)
    n_weeks = n_silent = 0
    for row, of_row in enumerate(episodes):
        first, end = trial.test_span(row)
        for start in range(first, end, n_steps):
            n_weeks += 1
            n_silent += not any(e.start < start + n_steps and e.end > start for e in of_row)
    return {"weeks": n_weeks, "silent": n_silent}


def budget_table(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Pool the seeds of each life, daemon and budget, and say whether the budget holds.

    It holds where 1.5 times the allowed is not exceeded, with 20 or more allowed, else where the episodes lie
    within or below the 95 % interval of a Poisson distribution with that mean.
    """
    pooled: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        total = pooled.setdefault((row["life"], row["daemon"], row["budget"]), {})
        for key in ("told", "allowed", "weeks", "silent"):
            total[key] = total.get(key, 0) + row[key]
    out = []
    for (kind, daemon, budget), total in pooled.items():
        low, high = poisson_interval(total["allowed"])
        ratio = total["told"] / total["allowed"]
        holds = ratio <= _MOST_OVER_BUDGET if total["allowed"] >= _ENOUGH_EXPECTED else total["told"] <= high
        out.append(
            {
                "life": kind,
                "daemon": daemon,
                "budget": budget,
                "told": int(total["told"]),
                "allowed": total["allowed"],
                "told over allowed": ratio,
                "95 % of chance": f"{low} to {high}",
                "entity-weeks without": f"{int(total['silent'])} of {int(total['weeks'])}",
                "holds": "yes" if holds else "**no**",
            }
        )
    return out


def poisson_interval(mean: float) -> tuple[int, int]:
    """Give the 2.5 % and the 97.5 % quantile of a Poisson distribution."""
    counts = np.arange(int(mean + 12 * math.sqrt(mean) + 12))
    logarithms = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    cumulative = np.cumsum(np.exp(counts * math.log(mean) - mean - logarithms))
    return int(np.searchsorted(cumulative, 0.025)), int(np.searchsorted(cumulative, 0.975))


def relations(contender: str, *, seed: int, quick: bool = False) -> list[dict[str, Any]]:
    """Let a contender judge broken relations; gives a row for each part of it and kind of fault."""
    trial, incidents = relation_faults(
        n_train=7 * DAY if quick else 14 * DAY, n_test=7 * DAY, n_entities=2 if quick else 6, seed=seed
    )
    rows = []
    for name, judged in judge_trial(trial, contender, seed, parts=PARTS).items():
        false = sum(
            not any(_overlaps(episode, incident, row) for incident in incidents)
            for row, of_row in enumerate(judged.episodes)
            for episode in of_row
        )
        for kind in dict.fromkeys(incident.kind for incident in incidents):
            chosen = [incident for incident in incidents if incident.kind == kind]
            caught = sum(any(_overlaps(e, i, i.row) for e in judged.episodes[i.row]) for i in chosen)
            rows.append(
                {"contender": name, "relation": kind, "caught": caught, "faults": len(chosen), "false": false}
            )
    return rows


def second_faults(*, seed: int, quick: bool = False) -> list[dict[str, Any]]:
    """Let the product judge levels that change, faults within the new level, and the way back.

    A fault is caught if an episode opens during it or half an hour after: one that was open before says
    nothing new. A return is told if an episode opens within two hours of it.
    """
    trial, incidents = level_changes(
        n_train=(7 if quick else 14) * DAY,
        n_test=(13 if quick else 28) * DAY,
        n_entities=2 if quick else 6,
        seed=seed,
    )
    episodes = judge_product(trial, seed, parts=())["product"].episodes
    counts: dict[str, list[bool]] = {}
    for incident in incidents:
        opened = [episode.start for episode in episodes[incident.row]]
        if incident.kind == "change":
            counts.setdefault("change of level told", []).append(_any_in(opened, incident.start, _HELD_UP))
            counts.setdefault("return told", []).append(_any_in(opened, incident.end, _HELD_UP))
        else:
            told = _any_in(opened, incident.start, incident.end - incident.start + HOUR // 2)
            counts.setdefault(f"{incident.kind} fault told", []).append(told)
    expected = sum(
        any(i.start <= e.start < i.end + _HELD_UP for i in incidents if i.row == row)
        for row, of_row in enumerate(episodes)
        for e in of_row
    )
    other = sum(map(len, episodes)) - expected
    rows = [{"what": what, "told": sum(told), "of": len(told)} for what, told in counts.items()]
    return [*rows, {"what": "episodes about nothing", "told": other, "of": sum(map(len, episodes))}]


def pooled(rows: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Add up the numbers of rows that agree in `keys`."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        total = found.setdefault(tuple(row[key] for key in keys), {key: row[key] for key in keys})
        for key, value in row.items():
            if key not in keys:
                total[key] = total.get(key, 0) + value
    return list(found.values())


def _overlaps(episode: Episode, incident: Incident, row: int) -> bool:
    return incident.row == row and episode.start < incident.end and episode.end > incident.start


def _any_in(opened: Iterable[int], start: int, length: int) -> bool:
    return any(start <= step < start + length for step in opened)
