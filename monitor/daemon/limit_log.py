"""Log lines about series that were refused, at a limited rate."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from monitor.detection.pipeline import Decision, Pipeline
from monitor.log_limit import RateLimit
from monitor.metrics.instruments import Metrics
from monitor.sample import Series

log = logging.getLogger(__name__)

_SHOWN_CHARACTERS = 200  # of a series in a log line


def log_refusals(decision: Decision, pipeline: Pipeline, metrics: Metrics, limit: RateLimit) -> None:
    """Show how many series there are, and log those that were refused."""
    metrics.series_known(pipeline.table)
    for setting, text in _refusals(decision, pipeline):
        n_held = limit.passes(setting)
        if n_held is not None:
            log.warning("%s (and %d times before)", text, n_held)


def _refusals(decision: Decision, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Give the settings by which samples were refused, each with a line that names one of their series."""
    if decision.rejected["over_limit"]:
        table = pipeline.table
        yield (
            "source.max_series",
            f"series refused series={_short(table.last_refused)}: {table.n_known} are known, and source.max_series allows no more; "
            "those go on. Send fewer, or raise it",
        )
    for watch in (watch for watch in pipeline.watches if decision.reports[watch.name].n_refused):
        places = watch.entities
        yield (
            f"watch.{watch.name}.max_series",
            f"series refused watch={watch.name} series={_short(places.last_refused)}: no room beside {len(places.entities)} entities times "
            f"{len(places.channels)} channels, by watch.{watch.name}.max_series = {places.max_series}; those go on. Narrow `metrics` or "
            "`match`, or raise it",
        )


def _short(series: Series | None) -> str:
    """Write a series into a log line: it may hold anything."""
    return ascii(str(series)[:_SHOWN_CHARACTERS])[1:-1]
