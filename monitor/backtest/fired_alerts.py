"""The alerts of the user's own rules: Prometheus' series `ALERTS`, saved or among the samples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.backtest.evaluate import Page
from monitor.errors import ConfigError
from monitor.sample import Columns, SeriesTable

__all__ = ["FiredAlert", "alerts_in_samples", "pages_of_alerts", "read_alerts"]

_OWN_PREFIX = "Barograph"  # rules that ship with this project: they must not be compared with themselves
_MOST_MISSED = 2.5  # steps without a sample that still are the same alert: a scrape or two may be missing
_DEFAULT_STEP_MS = 60_000  # where no alert has two samples

FiredAlert = tuple[Mapping[str, str], NDArray[np.int64]]  # labels, and the times (k,) in ms at which it fired


def read_alerts(file: Path) -> list[FiredAlert]:
    """Read a saved answer of Prometheus' `query_range` for `ALERTS{alertstate="firing"}`.

    Raises
    ------
    ConfigError
        If it is none.
    """
    try:
        answer = json.loads(file.read_bytes())
        series = answer["data"]["result"]
        kind = answer["data"]["resultType"]
        if kind != "matrix":
            raise ConfigError(
                f"--alerts {file}: found a result of the type {kind!r}, expected a matrix: ask "
                "/api/v1/query_range, not /api/v1/query"
            )
        return _usable((_labels(entry["metric"]), _times(entry["values"])) for entry in series)
    except OSError as error:
        raise ConfigError(f"--alerts {file}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"--alerts {file}: expected the answer of Prometheus' /api/v1/query_range as JSON, with "
            f"data.result[].metric and .values ({type(error).__name__}: {error})"
        ) from error


def alerts_in_samples(columns: Columns, table: SeriesTable) -> list[FiredAlert]:
    """Give the alerts among recorded samples: series named ALERTS, while they are above 0."""
    found = []
    for number in range(len(table)):
        series = table[number]
        if series.name == "ALERTS":
            fired = (columns.series == number) & (columns.value > 0)
            found.append((dict(series.labels), np.sort(columns.time_ms[fired])))
    return _usable(found)


def pages_of_alerts(
    alerts: Sequence[FiredAlert], entities: Mapping[tuple[str, ...], Iterable[str]]
) -> tuple[list[Page], int]:
    """Give alerts as pages, and how many of them name no entity that is known.

    Parameters
    ----------
    entities : mapping
        By the labels that make an entity, the entities that there are.
    """
    known = {by: set(names) for by, names in entities.items()}
    step_ms = _step_ms(alerts)
    pages: list[Page] = []
    n_unknown = 0
    for labels, times in alerts:
        entity = next((name for by, names in known.items() if (name := _entity(labels, by)) in names), "")
        of_alert = [
            Page("", entity, start_ms, end_ms, labels.get("alertname", ""))
            for start_ms, end_ms in _spans(times, step_ms)
        ]
        pages += of_alert
        n_unknown += 0 if entity else len(of_alert)
    return sorted(pages, key=lambda page: page.opened_ms), n_unknown


def _usable(alerts: Iterable[FiredAlert]) -> list[FiredAlert]:
    return [
        (labels, times)
        for labels, times in alerts
        if len(times)
        and labels.get("alertstate", "firing") == "firing"
        and not labels.get("alertname", "").startswith(_OWN_PREFIX)
    ]


def _labels(metric: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in metric.items()}


def _times(values: Sequence[Sequence[Any]]) -> NDArray[np.int64]:
    fired = [round(float(time) * 1000) for time, value in values if float(value) > 0]
    return np.sort(np.array(fired, np.int64))


def _step_ms(alerts: Sequence[FiredAlert]) -> int:
    """Give the distance of two samples: the smallest of all alerts, as a short alert may have but few."""
    steps = np.concatenate([np.diff(times) for _, times in alerts] or [np.empty(0, np.int64)])
    steps = steps[steps > 0]
    return int(steps.min()) if steps.size else _DEFAULT_STEP_MS


def _spans(times: NDArray[np.int64], step_ms: int) -> list[tuple[int, int]]:
    """Join times into spans [start, end]."""
    breaks = np.flatnonzero(np.diff(times) > _MOST_MISSED * step_ms)
    starts = times[np.concatenate([[0], breaks + 1])]
    ends = times[np.concatenate([breaks, [len(times) - 1]])]
    return [(start, end + step_ms) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def _entity(labels: Mapping[str, str], by: tuple[str, ...]) -> str:
    """Name the entity of an alert as the watch does; empty where a label is missing."""
    values = [labels.get(label, "") for label in by]
    if not by or not all(values):
        return ""
    return values[0] if len(by) == 1 else ",".join(f"{a}={b}" for a, b in zip(by, values, strict=True))
