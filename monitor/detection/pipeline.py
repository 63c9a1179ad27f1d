"""One pure step: a batch of samples and the time in, a decision out. No I/O, no clock, no registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from monitor.alerting.alert import Alert
from monitor.detection.report import WatchReport
from monitor.detection.watch import Watch
from monitor.sample import UNKNOWN, Columns, SeriesTable, in_range, is_stale

__all__ = ["Decision", "Pipeline", "RejectReason"]

# A series that did not come for so long, and for two steps, loses its number; all that costs is a search when
# it comes again.
_FORGET_SERIES_MS = 3_600_000

RejectReason = Literal["gap", "stale_marker", "not_finite", "future", "over_limit"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What one batch did: alerts in the order of event time, and a report for each watch.

    `rejected` counts samples by reason that are not values to a watch: `gap` (NaN), `stale_marker` (the
    end of a series), `not_finite` (or beyond the range of float32), `future`, `over_limit` (a series that
    was given no number: too many are known).
    """

    alerts: tuple[Alert, ...]
    reports: dict[str, WatchReport]
    rejected: dict[RejectReason, int]


class Pipeline:
    """All watches over one stream of samples.

    Parameters
    ----------
    max_future_ms : int
        A sample further ahead of the source's time than this is refused: it would close
        every step up to it.
    forgets_series : bool
        Forget series that no longer come. Not for a source that holds columns for longer than a step.
    """

    def __init__(
        self,
        watches: Sequence[Watch],
        table: SeriesTable,
        *,
        max_future_ms: int,
        forgets_series: bool = False,
    ) -> None:
        self.watches = tuple(watches)
        self.table = table
        self._max_future_ms = max_future_ms
        self._forgets_series = forgets_series
        self._forget_after_ms = max([_FORGET_SERIES_MS, *(2 * watch.grid.step_ms for watch in watches)])
        self._forgot_ms: int | None = None
        self._delivered_ms: int | None = None

    def process(
        self,
        columns: Columns,
        now_ms: int,
        *,
        finished: bool = False,
        complete_ms: int | None = None,
        delivered_ms: int | None = None,
    ) -> Decision:
        """Run one batch through every watch.

        Parameters
        ----------
        columns : Columns
            Samples in any order; may be empty: silence closes steps too.
        now_ms : int
            The source's event time.
        finished : bool
            The source has come to its end: close every open step.
        complete_ms : int, optional
            Event time up to which the source has been read, where it says so.
        delivered_ms : int, optional
            The same as it was when an earlier run last reported: steps up to it fill windows and
            memories again, and nothing of them is reported. The last one that was given counts.
        """
        if delivered_ms is not None:
            self._delivered_ms = delivered_ms
        latest_ms = now_ms + self._max_future_ms
        accepted, rejected = _accept(columns, latest_ms)
        alerts: list[Alert] = []
        reports = {}
        for watch in self.watches:
            delivered = self._delivered_ms
            of_watch, reports[watch.name] = watch.process(
                accepted,
                self.table,
                now_ms,
                latest_ms=latest_ms,
                finished=finished,
                complete_ms=complete_ms,
                notified_until_ms=0 if delivered is None else watch.grid.closed_ms(delivered),
            )
            alerts += of_watch
        if self._forgets_series:
            self._forget_series(now_ms)
        alerts.sort(key=lambda alert: alert.resolved_ms or alert.opened_ms)
        return Decision(tuple(alerts), reports, rejected)

    def _forget_series(self, now_ms: int) -> None:
        if self._forgot_ms is None or now_ms < self._forgot_ms:  # a clock that was set back
            self._forgot_ms = now_ms
        if now_ms - self._forgot_ms >= self._forget_after_ms:
            self._forgot_ms = now_ms
            numbers = self.table.forget()
            for watch in self.watches:
                watch.forget_series(numbers)


def _accept(columns: Columns, latest_ms: int) -> tuple[Columns, dict[RejectReason, int]]:
    """Choose the samples that are values to a watch, or ends of series, and count the others by reason."""
    n_all = len(columns)
    columns = _known(columns)
    usable = in_range(columns.value)
    future = columns.time_ms > latest_ms
    ended = is_stale(columns.value)
    gap = np.isnan(columns.value) & ~ended
    good = np.flatnonzero((usable | ended) & ~future)
    rejected: dict[RejectReason, int] = {
        "gap": int(gap.sum()),
        "stale_marker": int(ended.sum()),
        "not_finite": int((~usable & ~np.isnan(columns.value)).sum()),
        "future": int((future & usable).sum()),
        "over_limit": n_all - len(columns),
    }
    if len(good) == len(columns):
        return columns, rejected
    return Columns(columns.series[good], columns.time_ms[good], columns.value[good]), rejected


def _known(columns: Columns) -> Columns:
    """Leave out the samples of series that the table has no number for."""
    known = columns.series != UNKNOWN
    if known.all():
        return columns
    return Columns(columns.series[known], columns.time_ms[known], columns.value[known])
