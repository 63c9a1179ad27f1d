"""What a watch is replayed from: samples of metric files, or the closed steps that the daemon has stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.row_arrays import rearranged
from monitor.alerting.alert import Alert
from monitor.clock import SystemClock
from monitor.config.watch import WatchConfig
from monitor.detection.build import build_entities, build_watch, check_fits
from monitor.detection.pipeline import Pipeline
from monitor.detection.report import WatchReport
from monitor.detection.settings import WatchSettings
from monitor.detection.steps import ClosedSteps
from monitor.detection.watch import Watch
from monitor.files.metric_files import Recorded
from monitor.sample import Columns, SeriesTable
from monitor.sources.replay import ReplaySource
from monitor.storage.step_history import History, list_segments
from monitor.storage.step_history_reader import StepRange, read_steps
from monitor.training.from_history import read_history
from monitor.training.train import collect_history
from monitor.training.warm_up import aligned_watch, blocks_of

__all__ = ["Fed", "SampleInput", "StepInput", "WatchInput", "history_input", "sample_input"]


@dataclass(frozen=True, slots=True)
class Fed:
    """What a part of the input has come to: alerts, how many samples it had, and the share that is done.

    `now_ms` is the event time up to which everything has been fed.
    """

    now_ms: int
    alerts: tuple[Alert, ...]
    n_samples: int
    share: float


class WatchInput(Protocol):
    """Recorded metrics of one watch."""

    @property
    def first_ms(self) -> int:
        """Event time of the first sample."""

    @property
    def last_ms(self) -> int:
        """Event time of the last sample."""

    def history_before(self, until_ms: int) -> History | None:
        """Give what may be learned of the time before; None without a value."""

    def build(self, champion: Bundle | None) -> Watch:
        """Build the watch that takes this input."""

    def feed(self, watch: Watch, begin_ms: int, stops_ms: Sequence[int] = ()) -> Iterator[Fed]:
        """Let a watch judge everything from an event time on; a part ends at each of the stops, in order."""


@dataclass(frozen=True, slots=True)
class SampleInput:
    """Samples of metric files, ordered by event time: they go through the grid, as the daemon's do."""

    settings: WatchSettings
    samples: Columns
    table: SeriesTable

    @property
    def first_ms(self) -> int:
        """Event time of the first sample."""
        return int(self.samples.time_ms[0])

    @property
    def last_ms(self) -> int:
        """Event time of the last sample."""
        return int(self.samples.time_ms[-1])

    def history_before(self, until_ms: int) -> History | None:
        """Give the closed steps of the time before; None without a value."""
        end = int(np.searchsorted(self.samples.time_ms, until_ms))
        return collect_history(self.settings, _take(self.samples, slice(end)), self.table) if end else None

    def build(self, champion: Bundle | None) -> Watch:
        """Build the watch that takes these samples."""
        return build_watch(self.settings, champion)

    def feed(self, watch: Watch, begin_ms: int, stops_ms: Sequence[int] = ()) -> Iterator[Fed]:
        """Let a watch judge the samples from an event time on, in batches as those of a replay."""
        pipeline = Pipeline([watch], self.table, max_future_ms=0)
        first, *edges = np.searchsorted(self.samples.time_ms, [begin_ms, *stops_ms]).tolist()
        ends = [*edges, len(self.samples)]
        n_all, n_done = max(1, len(self.samples) - first), 0
        for start, end, stop_ms in zip([first, *edges], ends, [*stops_ms, None], strict=True):
            source = ReplaySource(Recorded(_take(self.samples, slice(start, end)), ()), SystemClock())
            is_done = start >= end
            while not is_done:
                batch = source.poll(0.0)
                is_done = batch.finished
                is_last = is_done and end == len(self.samples)
                decision = pipeline.process(batch.columns, batch.now_ms, finished=is_last)
                n_done += len(batch.columns)
                now_ms = stop_ms if is_done and stop_ms is not None else batch.now_ms
                yield Fed(now_ms, decision.alerts, len(batch.columns), n_done / n_all)


@dataclass(frozen=True, slots=True)
class StepInput:
    """The closed steps that the daemon has stored, those of incidents among them.

    What may be learned of them is without the incidents, as in a training.
    """

    settings: WatchSettings
    steps: History
    folder: Path

    @property
    def first_ms(self) -> int:
        """Start of the first step."""
        return self.steps.first_ms

    @property
    def last_ms(self) -> int:
        """End of the last step."""
        return self.steps.last_ms

    def history_before(self, until_ms: int) -> History | None:
        """Give what the daemon would learn of the time before: the steps without incidents."""
        wanted = StepRange(until_ms=until_ms)
        return read_history(self.folder, self.settings, channels=self.steps.channels, wanted=wanted).history

    def build(self, champion: Bundle | None) -> Watch:
        """Build the watch that takes these steps."""
        if champion is not None:
            check_fits(champion, self.settings)
        channels = self.steps.channels if champion is None else champion.channels
        return aligned_watch(self.settings, champion, self.steps.entities, channels)

    def feed(self, watch: Watch, begin_ms: int, stops_ms: Sequence[int] = ()) -> Iterator[Fed]:
        """Let a watch judge the steps from an event time on, in blocks of steps that follow each other."""
        step_ms = self.settings.step_ms
        numbers = self.steps.step_numbers(step_ms)[:, 0]
        begin = int(np.searchsorted(numbers, begin_ms // step_ms))
        values = _in_channels(self.steps, watch.entities.channels)
        gaps = begin + 1 + np.flatnonzero(np.diff(numbers[begin:]) != 1)
        stops = np.searchsorted(numbers, [-(-stop_ms // step_ms) for stop_ms in stops_ms])
        edges = np.unique(np.concatenate([[begin, len(numbers)], gaps, stops]).astype(np.int64))
        edges = edges[edges >= begin].tolist()
        for start, end in itertools.pairwise(edges):
            for block in blocks_of(values[start:end], step_ms, first_step=int(numbers[start])):
                alerts = watch.judge(block, WatchReport())
                next_step = block.first_step + len(block.values)
                done = (next_step - numbers[begin]) / (numbers[-1] + 1 - numbers[begin])
                yield Fed(next_step * step_ms, tuple(alerts), _count(block), float(done))


def sample_input(watch: WatchConfig, columns: Columns, table: SeriesTable) -> SampleInput | str:
    """Give a watch's samples among those of all files; or why there are none."""
    settings = watch.settings()
    entities = build_entities(settings)
    entities.update(table)
    of_watch = entities.select(columns.series)
    if not of_watch.any():
        return f"watch {watch.name}: none of its series is in these files"
    # Not copied where a single watch takes everything: files may be large.
    samples = columns if of_watch.all() else _take(columns, np.flatnonzero(of_watch))
    return SampleInput(settings, samples, table)


def history_input(watch: WatchConfig, folder: Path) -> StepInput | str:
    """Give the steps that the daemon has stored of a watch; or why there are none.

    Raises
    ------
    HistoryError
        As reading the history does.
    """
    settings = watch.settings()
    steps = read_steps(
        list_segments(folder),
        (),
        shape=settings.history_shape,
        step_ms=settings.step_ms,
        window_length=settings.window_length,
    ).history
    if steps is None:
        return f"watch {watch.name}: {folder} has no steps that were stored under these settings"
    return StepInput(settings, steps, folder)


def _take(columns: Columns, chosen: NDArray[np.int64] | slice) -> Columns:
    return Columns(columns.series[chosen], columns.time_ms[chosen], columns.value[chosen])


def _in_channels(steps: History, channels: list[str]) -> NDArray[np.float64]:
    """Give steps (T, n, C) with the channels of a watch, matched by name; NaN for those that they lack."""
    number = {name: channel for channel, name in enumerate(steps.channels)}
    order = np.array([number.get(name, -1) for name in channels], np.int64)
    return rearranged(steps.values, order, axis=2, fill=np.nan)


def _count(block: ClosedSteps) -> int:
    return int(np.count_nonzero(~np.isnan(block.values)))
