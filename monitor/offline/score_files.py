"""Offline scoring: from metric files to one row for each entity and step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from monitor.clock import SystemClock
from monitor.config.schema import Config
from monitor.config.watch import WatchConfig
from monitor.detection.build import build_entities, build_watch
from monitor.detection.entities import EntityTable, channels_by_row
from monitor.detection.pipeline import Pipeline
from monitor.detection.scored_step import Reason, ScoredStep
from monitor.detection.view import WatchObserver
from monitor.detection.watch import Watch
from monitor.errors import ConfigError, MonitorError
from monitor.files.metric_files import Recorded
from monitor.offline.row_writer import RowWriter
from monitor.offline.suggested_watch import suggested_watch
from monitor.sample import UNKNOWN, Columns, SeriesTable
from monitor.sources.replay import ReplaySource

__all__ = ["choose_watch", "score_recorded"]


def choose_watch(
    config: Config, table: SeriesTable, name: str, columns: Columns | None = None
) -> WatchConfig:
    """Find the watch to which series of the table belong: the named watch, else the only such watch.

    With `columns` an error also suggests the step of a watch that would take them.

    Raises
    ------
    ConfigError
        If no watch has that name.
    MonitorError
        If no series belongs to a watch, or if they belong to several and there is no name.
    """
    known = [watch.name for watch in config.watch]
    if name and name not in known:
        raise ConfigError(f"no watch is named {name}; there are {', '.join(known)}")
    matching = []
    for watch in config.watch:
        entities = build_entities(watch.settings())
        entities.update(table)
        if entities.entities and name in ("", watch.name):
            matching.append(watch)
    if not matching:
        raise MonitorError(
            f"no series of these files belongs to {f'watch {name}' if name else 'any watch'}. "
            f"Compare `metrics`, `match` and `by` with the files. {suggested_watch(table, columns)}"
        )
    if len(matching) > 1:
        names = ", ".join(watch.name for watch in matching)
        raise MonitorError(f"several watches take series of these files: name one with --watch ({names})")
    return matching[0]


def score_recorded(
    watch: WatchConfig,
    champion: Bundle | None,
    recorded: Recorded,
    table: SeriesTable,
    writer: RowWriter,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> int:
    """Score recorded samples through the daemon's own path; give the number of rows written.

    An entity's scores depend on the model and on its own samples only, not on who else is recorded: the
    budget is shared by the entities that the model knows, and without a model each entity has all of it.

    The columns of a row are entity, time_ms (the start of the step), score, verdict (normal,
    anomalous, not_judged), reason (why not judged), and for each channel its actual and
    expected value. Without a model, entities that have other channels are judged apart, one
    group behind the other.

    Parameters
    ----------
    progress : callable
        Called with the share of samples that are done.
    """
    everything = build_entities(watch.settings(), champion)
    everything.update(table)  # the files are read already: all entities and channels are known
    groups = [(table, recorded.columns)] if champion else _by_channels(everything, recorded.columns, table)
    n_done = 0
    n_rows = 0
    for own_table, samples in groups:
        stages = build_watch(watch.settings(), champion, apart=True)
        stages.entities.update(own_table)
        steps: list[ScoredStep] = []  # of the newest batch
        stages.observe(WatchObserver(on_scored=steps.append))
        pipeline = Pipeline([stages], own_table, max_future_ms=0)
        source = ReplaySource(Recorded(samples, ()), SystemClock())
        finished = False
        while not finished:
            batch = source.poll(0.0)
            finished = batch.finished
            pipeline.process(batch.columns, batch.now_ms, finished=finished)
            if steps:
                columns = _columns(stages, steps, watch.step_ms, everything.channels)
                writer.write(columns)
                n_rows += len(columns["entity"])
            steps.clear()
            n_done += len(batch.columns)
            progress(n_done / max(1, len(recorded.columns)))
    return n_rows


def _by_channels(
    entities: EntityTable, columns: Columns, table: SeriesTable
) -> list[tuple[SeriesTable, Columns]]:
    """Part the samples of entities that have other channels, each part with a table of its own series.

    Without a model the channels are those that are there: those of others must not be among them.
    """
    channels_of = channels_by_row(entities)
    numbers = np.flatnonzero(entities.row_of >= 0).tolist()
    parts: dict[frozenset[int], tuple[SeriesTable, NDArray[np.int32]]] = {}
    for number in numbers:
        channels = channels_of[int(entities.row_of[number])]
        # One place more: a sample without a series has the number -1.
        own_table, own = parts.setdefault(
            channels, (SeriesTable(), np.full(len(table) + 1, UNKNOWN, np.int32))
        )
        own[number] = own_table.intern(table[number].name, table[number].labels, table[number].kind)
    given = []
    for own_table, own in parts.values():
        series = own[columns.series]
        chosen = np.flatnonzero(series != UNKNOWN)
        given.append((own_table, Columns(series[chosen], columns.time_ms[chosen], columns.value[chosen])))
    return given


def _columns(watch: Watch, steps: list[ScoredStep], step_ms: int, channels: Sequence[str]) -> dict[str, Any]:
    """Give the rows of some steps, as equally long columns; NaN for channels that the watch does not have."""
    entities = watch.entities.entities
    reason = np.concatenate([step.reason for step in steps])
    score = np.concatenate([np.where(step.judged, step.score, np.nan) for step in steps])
    judged = reason == Reason.JUDGED
    reason_texts = np.array(["", *(reason.name.lower() for reason in list(Reason)[1:])])
    columns: dict[str, Any] = {
        "entity": entities * len(steps),
        "time_ms": np.repeat([step.time_ms - step_ms for step in steps], len(entities)),
        "score": score,
        "verdict": np.where(judged, np.where(score >= 1.0, "anomalous", "normal"), "not_judged"),
        "reason": reason_texts[reason],
    }
    actual = np.concatenate([step.actual for step in steps])
    expected = np.concatenate([step.expected for step in steps])
    column_of = {channel: number for number, channel in enumerate(watch.entities.channels)}
    missing = np.full(len(score), np.nan)
    for channel in channels:
        number = column_of.get(channel)
        columns[f"{channel}.actual"] = missing if number is None else actual[:, number]
        columns[f"{channel}.expected"] = missing if number is None else expected[:, number]
    return columns
