"""What a Prometheus has, asked for cheaply: names and counts, types, and the last hours of some series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from monitor.errors import MonitorError
from monitor.prometheus.api import PrometheusApi
from monitor.prometheus.errors import RangeTooLargeError
from monitor.prometheus.ranges import TimeRange
from monitor.quickstart.promql import selector
from monitor.quickstart.sampled import Sampled, sampled_of, spacing_seconds

__all__ = ["Inventory", "Retrying", "history_days", "sample_series", "scrape_seconds", "take_inventory"]

_N_POINTS = 97  # both ends: a quarter of an hour apart where they cover a day
_LEAST_HOURS, _MOST_HOURS = 0.25, 24.0
_DAYS_STEP_MS = 3_600_000
_SERIES_A_REQUEST = 1000  # times the points of a day: some megabytes
_SPACING_SPAN_MS = 1_200_000
_FEW_SERIES = 200

_Given = TypeVar("_Given")


class Retrying(Protocol):
    """Makes a request again while the server does not answer."""

    def run(self, ask: Callable[[], _Given], *, may_split: bool = False) -> _Given:
        """Give the answer."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is now.

    Attributes
    ----------
    n_series : dict
        Series by name and job (empty: none).
    types : dict
        Types by name, as far as the server knows them.
    """

    n_series: dict[tuple[str, str], int]
    types: dict[str, str]

    @property
    def names(self) -> set[str]:
        """All names."""
        return {name for name, _ in self.n_series}

    @property
    def total(self) -> int:
        """All series."""
        return sum(self.n_series.values())

    def count(self, name: str) -> int:
        """Give the series of a metric, over all jobs."""
        return sum(count for (found, _), count in self.n_series.items() if found == name)

    def jobs(self) -> dict[str, set[str]]:
        """Give the names that each job has."""
        names: dict[str, set[str]] = defaultdict(set)
        for name, job in self.n_series:
            names[job].add(name)
        return dict(names)


def take_inventory(api: PrometheusApi, retries: Retrying, match: str, now_ms: int) -> Inventory:
    """Ask which metrics there are, how many series each has, and of which type it is.

    Parameters
    ----------
    match : str
        Matchers, such as `job="node"`; empty: everything.

    Raises
    ------
    MonitorError
        If there is no series, or there are too many to count.
    ApiError
        If the server cannot be asked.
    """
    chosen = f'{{__name__!="",{match}}}' if match else '{__name__!=""}'
    query = f"count by (__name__, job) ({chosen})"
    try:
        result = retries.run(lambda: api.at_steps(query, now_ms, now_ms, 1000))
    except RangeTooLargeError as error:
        raise MonitorError(
            f"{api.url} has too many series to count at once: {error}. Choose some with --match, "
            """such as --match 'job="node"'"""
        ) from error
    n_series = {}
    for entry in result:
        metric = entry.get("metric", {})
        key = metric.get("__name__", ""), metric.get("job", "")
        n_series[key] = int(float(entry["values"][-1][1]))
    if not n_series:
        what = f"no series that matches {{{match}}}" if match else "no series"
        raise MonitorError(
            f"{api.url} has {what} at this time: look at {api.url}/targets, and repeat the command once "
            "something is scraped"
        )
    return Inventory(n_series, retries.run(api.types))


def sample_series(
    api: PrometheusApi,
    retries: Retrying,
    inventory: Inventory,
    names: Iterable[str],
    match: str,
    *,
    hours: float,
    now_ms: int,
) -> tuple[dict[str, list[Sampled]], list[str]]:
    """Give the series of some metrics at points that lie evenly in the last quarter of an hour to day.

    Returns
    -------
    tuple
        The series by name; and the names that the server would not give in one answer.
    """
    hours = min(max(hours, _LEAST_HOURS), _MOST_HOURS)
    step_ms = round(hours * 3_600_000 / (_N_POINTS - 1))
    first_ms = now_ms - (_N_POINTS - 1) * step_ms
    found: dict[str, list[Sampled]] = defaultdict(list)
    refused = []
    waiting = list(_batches(sorted(names), inventory))
    while waiting:
        batch = waiting.pop()
        query = selector(batch, match)
        try:
            result = retries.run(lambda query=query: api.at_steps(query, first_ms, now_ms, step_ms))  # type: ignore[misc]
        except RangeTooLargeError:
            if len(batch) == 1:
                refused += batch
            else:
                waiting += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
            continue
        for series in sampled_of(result, first_ms, step_ms, _N_POINTS):
            found[series.name].append(series)
    return dict(found), sorted(refused)


def scrape_seconds(
    api: PrometheusApi, retries: Retrying, inventory: Inventory, name: str, now_ms: int
) -> float:
    """Give the usual time between two stored samples of a metric; a minute where it has too few."""
    if inventory.count(name) > _FEW_SERIES:
        return 60.0
    span = TimeRange(now_ms - _SPACING_SPAN_MS, now_ms)
    return spacing_seconds(retries.run(lambda: api.raw(selector([name], ""), span))) or 60.0


def history_days(api: PrometheusApi, retries: Retrying, name: str, n_days: float, now_ms: int) -> float:
    """Give how many days back the samples of a metric reach, to the hour, `n_days` at most."""
    first_ms = now_ms - round(n_days * 86_400_000)
    query = f"count({selector([name], '')})"
    result = retries.run(lambda: api.at_steps(query, first_ms, now_ms, _DAYS_STEP_MS))
    times = [float(seconds) for entry in result for seconds, _ in entry.get("values", ())]
    return (now_ms / 1000 - min(times)) / 86400 if times else 0.0


def _batches(names: Sequence[str], inventory: Inventory) -> Iterable[list[str]]:
    """Put metrics together so that an answer is not too large."""
    batch: list[str] = []
    n_series = 0
    for name in names:
        count = inventory.count(name)
        if batch and n_series + count > _SERIES_A_REQUEST:
            yield batch
            batch, n_series = [], 0
        batch.append(name)
        n_series += count
    if batch:
        yield batch
