"""From the address of a Prometheus to watches that judge it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from monitor.errors import MonitorError
from monitor.prometheus.api import PrometheusApi
from monitor.quickstart.candidates import Candidate, candidates_of
from monitor.quickstart.choose import ChosenWatch, choose_watch, shares
from monitor.quickstart.inventory import (
    Inventory,
    Retrying,
    history_days,
    sample_series,
    scrape_seconds,
    take_inventory,
)
from monitor.quickstart.presets import Preset
from monitor.quickstart.sampled import Sampled

__all__ = ["Suggestion", "Wish", "step_of", "suggest"]

_STEPS_SECONDS = (60, 120, 300, 600, 900, 1800, 3600)
_SCRAPES_IN_A_RATE = 4  # Prometheus' own advice: one failed scrape leaves two samples
_MOST_WATCHES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user asks for.

    Parameters
    ----------
    match : str
        PromQL matchers, such as `job="node"`; empty: all series.
    max_series : int
        In all watches together.
    days : float
        How far back the history is looked for.
    """

    match: str = ""
    max_series: int = 500
    days: float = 7.0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Watches, and what was found besides.

    Attributes
    ----------
    n_series : int
        That the server has now.
    days : float
        How far back the samples of the first watch reach, at most as far as was asked for.
    skipped : tuple of str
        What is not watched at all, and why.
    """

    url: str
    n_series: int
    scrape_seconds: float
    step_seconds: float
    days: float
    watches: tuple[ChosenWatch, ...]
    skipped: tuple[str, ...]


def suggest(
    api: PrometheusApi,
    retries: Retrying,
    presets: Sequence[Preset],
    wish: Wish,
    *,
    now_ms: int,
    on_step: Callable[[str], None] = lambda text: None,
) -> Suggestion:
    """Look at a server, and choose what to watch.

    Parameters
    ----------
    on_step : callable
        Called with a line of text before each longer request.

    Raises
    ------
    MonitorError
        If nothing there can be watched.
    ApiError
        If the server cannot be asked.
    """
    inventory = take_inventory(api, retries, wish.match, now_ms)
    candidates = candidates_of(inventory, presets, wish.match)
    first = next((name for candidate in candidates for name in candidate.names), "")
    if not first:
        raise MonitorError(f"{api.url} has no series worth a watch: only constants and times. See --match")
    days = history_days(api, retries, first, wish.days, now_ms)
    on_step(f"{inventory.total} series of {len(inventory.names)} metrics; {_found(candidates)}")
    sampled, skipped = [], []
    for candidate in candidates:
        series, refused = sample_series(
            api, retries, inventory, candidate.names, candidate.match, hours=24 * days, now_ms=now_ms
        )
        sampled.append(series)
        skipped += [f"{name}: too much for one answer of the server" for name in refused]
    scrape = scrape_seconds(api, retries, inventory, first, now_ms)
    step = step_of(scrape)
    watches, without = _choose(candidates, sampled, inventory, wish, rate_seconds=_rate_seconds(scrape, step))
    if not watches:
        raise MonitorError(
            f"{api.url}: nothing of {', '.join(without)} has moved in its last hours, or nothing "
            f"fits into {wish.max_series} series: wait, raise --max-series, or choose fewer with --match"
        )
    days = history_days(api, retries, first, wish.days, now_ms)
    skipped += [f"{name}: nothing moved of late, or nothing fits into --max-series" for name in without]
    return Suggestion(api.url, inventory.total, scrape, step, days, tuple(watches), tuple(skipped))


def step_of(scrape: float) -> float:
    """Give a step for samples that are so many seconds apart: a minute, or longer where they are rarer."""
    return float(next((step for step in _STEPS_SECONDS if step >= 0.9 * scrape), _STEPS_SECONDS[-1]))


def _rate_seconds(scrape: float, step: float) -> int:
    return round(max(_SCRAPES_IN_A_RATE * scrape, step))


def _choose(
    candidates: Sequence[Candidate],
    sampled: Sequence[Mapping[str, Sequence[Sampled]]],
    inventory: Inventory,
    wish: Wish,
    *,
    rate_seconds: int,
) -> tuple[list[ChosenWatch], list[str]]:
    """Choose watches, each with its share of the series; give them and the candidates without one."""

    def chosen(place: int, max_series: int) -> ChosenWatch | None:
        return choose_watch(
            candidates[place],
            sampled[place],
            inventory.types,
            max_series=max_series,
            rate_seconds=rate_seconds,
        )

    wanted = {place: watch for place in range(len(candidates)) if (watch := chosen(place, 1 << 30))}
    # Presets first, then the jobs with most series: each watch is a model of its own, and trains for minutes.
    ranked = sorted(wanted, key=lambda place: (candidates[place].preset is None, -wanted[place].n_series))
    places = sorted(ranked[:_MOST_WATCHES])
    rooms = shares([wanted[place].n_series for place in places], wish.max_series)
    watches = [watch for place, room in zip(places, rooms, strict=True) if (watch := chosen(place, room))]
    names = {watch.name for watch in watches}
    return watches, [candidate.name for candidate in candidates if candidate.name not in names]


def _found(candidates: Sequence[Candidate]) -> str:
    return ", ".join(candidate.title for candidate in candidates) or "nothing to watch"
