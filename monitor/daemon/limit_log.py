"""Log lines about series that are refused by a limit, at a limited rate."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from monitor.clock import Clock
from monitor.detection.pipeline import Decision, Pipeline
from monitor.log_limit import RateLimit, times_before
from monitor.sample import Series

__all__ = ["LimitLog"]

log = logging.getLogger(__name__)

_EVERY_SECONDS = 600.0  # between two log lines about the same limit
_SHOWN_CHARACTERS = 200  # of a series in a log line


class LimitLog:
    """Logs each limit that refuses series, at most once in ten minutes, and more rarely while it lasts."""

    def __init__(self, clock: Clock) -> None:
        self._rate_limit = RateLimit(clock.monotonic, every_seconds=_EVERY_SECONDS)

    def log_refused(self, decision: Decision, pipeline: Pipeline) -> None:
        """Log the series that a batch brought and a limit refused."""
        for setting, text in _refused(decision, pipeline):
            n_before = self._rate_limit.passes(setting)
            if n_before is not None:
                log.warning("%s%s", text, times_before(n_before))


def _refused(decision: Decision, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Give the settings that refused samples, each with a line that names a series of theirs."""
    if decision.rejected["over_limit"]:
        table = pipeline.table
        yield (
            "source.max_series",
            f"series refused series={_short(table.last_refused)}: {table.n_known} are known, "
            "and source.max_series allows no more; known series are not affected. Send fewer, or raise it",
        )
    for watch in pipeline.watches:
        if not decision.reports[watch.name].n_refused:
            continue
        entities = watch.entities
        yield (
            f"watch.{watch.name}.max_series",
            f"series refused watch={watch.name} series={_short(entities.last_refused)}: "
            f"no room beside {len(entities.entities)} entities times {len(entities.channels)} channels, "
            f"by watch.{watch.name}.max_series = {entities.max_series}; known series are not affected. "
            "Narrow `metrics` or `match`, or raise it",
        )


def _short(series: Series | None) -> str:
    """Write a series for a log line: its labels may hold any character."""
    return ascii(str(series)[:_SHOWN_CHARACTERS])[1:-1]
