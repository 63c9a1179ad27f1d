"""Writes samples of the past into the history of a watch, as the daemon would have written them then.

<history folder>/backfill.state    the open steps, what counters continue from, and which time is done

Steps are closed by the daemon's own grid and written by its own writer, a segment at a time. A segment ends
at a multiple of its length, wherever the samples are cut into pieces: the same samples give the same files.
The state is written behind each segment, so a killed process writes at most one segment again.

Only time that the history lacks is filled: what the daemon has written stays as it is, and so does what was
filled before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.detection.build import build_grid, known_entities
from monitor.detection.entities import grid_shape
from monitor.detection.settings import WatchSettings
from monitor.detection.steps import ClosedSteps, LocatedSamples
from monitor.errors import HistoryError
from monitor.prometheus.ranges import TimeRange, merged, subtract
from monitor.sample import UNKNOWN, Columns, SeriesTable, in_range
from monitor.storage.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from monitor.storage.step_history import HistoryWriter, Retention, list_segments

__all__ = ["SEGMENT_STEPS", "HistoryFill"]

SEGMENT_STEPS = 256  # of all entities and channels in memory: 100 MB where there are 50,000
_STATE = "backfill.state"
_FORGET_AT_LEAST = 256  # entities that are gone are dropped together, as a watch does


class HistoryFill:
    """Fills the history of one watch; nobody else may write to it meanwhile.

    Parameters
    ----------
    folder : Path
        The watch's history.
    queries : sequence of str
        What the samples are from. A history is continued with the same only: rows of other series would
        replace those that are there.

    Attributes
    ----------
    spans : tuple of TimeRange
        What is to be filled, in order of time, as `plan` found.
    n_samples, n_rows : int
        Samples taken, and rows (a step of an entity) written.
    entities : EntityTable
        What has been found.

    Raises
    ------
    HistoryError
        If the history was filled from other queries or under other settings, or its state cannot be read.
    """

    def __init__(
        self, settings: WatchSettings, folder: Path, retention: Retention, queries: Sequence[str]
    ) -> None:
        self.settings = settings
        self.spans: tuple[TimeRange, ...] = ()
        self.n_samples = 0
        self.n_rows = 0
        self.entities = known_entities(settings, (), (), fixed=False, live=True)
        self._grid = build_grid(settings, self.entities)
        self.folder = folder
        self._queries = sorted(queries)
        self._covered: list[TimeRange] = []
        self._wanted_to_ms = 0
        self._grid_until_ms: int | None = None  # the grid continues there, and nowhere else
        self._unfinished: TimeRange | None = None  # what a killed fill may have written of without a trace
        self._begun: Checkpoint | None = None  # the state at the begin of a span, until it is saved
        self._newest_step = np.empty(0, np.int64)  # by row: its last step with a value
        self._load_state()
        self._writer = HistoryWriter(
            folder,
            retention,
            shape=settings.history_shape,
            step_ms=settings.step_ms,
            window_length=settings.window_length,
        )

    @property
    def name(self) -> str:
        """The watch's name."""
        return self.settings.name

    def plan(self, wanted: TimeRange) -> None:
        """Find what is to be filled of a range: steps that neither the daemon nor a fill has written."""
        step_ms = self.settings.step_ms
        segments = [
            TimeRange(segment.first_ms, segment.last_ms + step_ms)
            for segment in list_segments(self.folder)
            if not self._is_unfinished(segment.first_ms)
        ]
        whole = TimeRange(-(-wanted.from_ms // step_ms) * step_ms, wanted.to_ms // step_ms * step_ms)
        # The daemon writes segment behind segment: a short hole is where no sample of a step came.
        tolerance_ms = max(2 * step_ms, self.settings.stale_ms)
        taken = merged([*segments, *self._covered], tolerance_ms=tolerance_ms)
        self._wanted_to_ms = whole.to_ms
        self.spans = tuple(subtract(whole, taken)) if whole.length_ms > 0 else ()

    def add(self, chunk: TimeRange, columns: Columns, table: SeriesTable) -> None:
        """Take all samples of a chunk of time, in order of time; chunks follow each other.

        Raises
        ------
        HistoryError
            If the history cannot be written.
        """
        for span in self.spans:
            from_ms, to_ms = max(span.from_ms, chunk.from_ms), min(span.to_ms, chunk.to_ms)
            if from_ms >= to_ms:
                continue
            if from_ms == span.from_ms:
                self._begin(span)
            segment_ms = SEGMENT_STEPS * self.settings.step_ms
            while from_ms < to_ms:
                until_ms = min(to_ms, (from_ms // segment_ms + 1) * segment_ms)
                self._fill(TimeRange(from_ms, until_ms), columns, table)
                if until_ms % segment_ms == 0 or until_ms == span.to_ms:
                    self._write(span, until_ms)
                from_ms = until_ms

    def _fill(self, span: TimeRange, columns: Columns, table: SeriesTable) -> None:
        """Close the steps of a stretch of time, as far as it holds whole ones."""
        first, last = np.searchsorted(columns.time_ms, [span.from_ms, span.to_ms])
        located = self._locate(columns, slice(int(first), int(last)), table)
        self.n_samples += len(located.row)
        self._grid.add(located)
        complete_ms = span.to_ms + self.settings.lateness_ms  # nothing will come late
        n_rows, n_columns = grid_shape(self.entities)
        # What comes behind a hole is there already: no line is drawn from it into the hole.
        ends = span.to_ms != self._wanted_to_ms and any(span.to_ms == other.to_ms for other in self.spans)
        for closed in self._grid.close(
            span.to_ms, n_rows=n_rows, n_channels=n_columns, finished=ends, complete_ms=complete_ms
        ):
            self._count(closed)
            self._writer.add(closed)

    def _locate(self, columns: Columns, part: slice, table: SeriesTable) -> LocatedSamples:
        """Choose the samples that are the watch's and can be calculated with."""
        series, value = columns.series[part], columns.value[part]
        self.entities.update(table, series)
        chosen = np.flatnonzero(self.entities.select(series) & in_range(value) & (series != UNKNOWN))
        series = series[chosen]
        return LocatedSamples(
            self.entities.row_of[series],
            self.entities.column_of[series],
            columns.time_ms[part][chosen],
            value[chosen],
            self.entities.kind[series],
        )

    def _count(self, closed: ClosedSteps) -> None:
        has_value: NDArray[np.bool_] = np.asarray(~np.isnan(closed.values).all(axis=2))  # (T, n)
        self.n_rows += int(has_value.sum())
        self._newest_step = np.pad(
            self._newest_step, (0, has_value.shape[1] - len(self._newest_step)), constant_values=0
        )
        steps = closed.first_step + np.arange(len(has_value))[:, None]
        newest = np.where(has_value, steps, 0).max(axis=0, initial=0)
        self._newest_step = np.maximum(self._newest_step, newest)

    def _begin(self, span: TimeRange) -> None:
        """Begin to fill a span: with what the last one ended with, where it ended there."""
        if span.from_ms != self._grid_until_ms:
            self._grid = build_grid(self.settings, self.entities)
            self._grid_until_ms = span.from_ms
        self._unfinished = span
        self._begun = self._state()

    def _write(self, span: TimeRange, until_ms: int) -> None:
        """Write what has been closed as a segment, and then how far that is; nothing before a sample.

        The state before it says that there may be such a segment, if this process is killed between the two.
        """
        if self.entities.entities and self._begun is not None:
            self._save(self._begun)
            self._begun = None
        self._writer.write(self.entities.entities, self.entities.channels, (), self.entities.counters)
        self._covered = merged([*self._covered, TimeRange(span.from_ms, until_ms)])
        self._grid_until_ms = until_ms
        self._unfinished = TimeRange(until_ms, span.to_ms) if until_ms < span.to_ms else None
        self._forget(until_ms // self.settings.step_ms)
        if self.entities.entities:
            self._save(self._state())

    def _is_unfinished(self, first_ms: int) -> bool:
        """Tell whether a segment is one that a killed fill has written: it is written again."""
        return self._unfinished is not None and self._unfinished.from_ms <= first_ms < self._unfinished.to_ms

    def _forget(self, next_step: int) -> None:
        """Drop the rows of entities that have been gone for long, once they are many.

        A month brings far more pods than there are at a time.
        """
        n_rows = len(self.entities.entities)
        age = next_step - np.pad(self._newest_step, (0, n_rows - len(self._newest_step)))
        gone = (age > self.settings.empty_steps) & ~self._grid.waiting(n_rows)
        n_worth = max(1, n_rows // 16) if self.entities.n_refused else max(_FORGET_AT_LEAST, n_rows // 4)
        if np.count_nonzero(gone) < n_worth or self._grid.closed_until_ms is None:
            return
        rows: NDArray[np.int64] = np.flatnonzero(~gone)
        self._newest_step = np.pad(self._newest_step, (0, n_rows - len(self._newest_step)))[rows]
        self._grid.keep_rows(rows)
        self.entities.keep_rows(rows)

    def _state(self) -> Checkpoint:
        arrays = {f"grid/{name}": array for name, array in self._grid.state().items()}
        about = {
            "shape": self.settings.history_shape,
            "queries": self._queries,
            "covered": _pairs(self._covered),
            "unfinished": _pairs([self._unfinished] if self._unfinished else []),
            "until_ms": self._grid_until_ms,
            "entities": list(self.entities.entities),
            "channels": list(self.entities.channels),
            "inputs": None if self.entities.inputs is None else self.entities.inputs.state(),
        }
        return Checkpoint({**arrays, "newest_step": self._newest_step}, about)

    def _save(self, state: Checkpoint) -> None:
        try:
            save_checkpoint(state, self.folder / _STATE)
        except CheckpointError as error:
            raise HistoryError(str(error)) from error

    def _load_state(self) -> None:
        file = self.folder / _STATE
        way_out = f"Delete {self.folder} to begin anew"
        try:
            saved = load_checkpoint(file)
        except CheckpointError as error:
            raise HistoryError(f"{error}. {way_out}.") from error
        if saved is None:
            return
        about = saved.about
        if about["queries"] != self._queries:
            raise HistoryError(
                f"the history of watch {self.name} was filled from other queries "
                f"({'; '.join(about['queries'])}): their rows would be replaced. Name the same, or "
                f"{way_out[0].lower()}{way_out[1:]}."
            )
        if about["shape"] != self.settings.history_shape:
            raise HistoryError(
                f"the history of watch {self.name} was filled under other settings (metrics, match, by, "
                f"step_seconds, ...). {way_out}."
            )
        self._covered = [TimeRange(*pair) for pair in about["covered"]]
        self._unfinished = next((TimeRange(*pair) for pair in about["unfinished"]), None)
        self._grid_until_ms = about["until_ms"]
        self.entities = known_entities(
            self.settings,
            about["entities"],
            about["channels"],
            fixed=False,
            live=True,
            inputs=about.get("inputs"),
        )
        self._grid = build_grid(self.settings, self.entities)
        grid_state = {
            name.removeprefix("grid/"): array
            for name, array in saved.arrays.items()
            if name.startswith("grid/")
        }
        self._grid.load_state(grid_state)
        self._newest_step = np.array(saved.arrays["newest_step"], np.int64)


def _pairs(spans: Sequence[TimeRange]) -> list[list[int]]:
    return [[span.from_ms, span.to_ms] for span in spans]
