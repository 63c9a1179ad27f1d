"""Offline scoring: from metric files to one row for each entity and step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from models.bundle import Bundle
from monitor.clock import SystemClock
from monitor.commands.row_writer import RowWriter
from monitor.config.schema import Config
from monitor.config.watch import WatchConfig
from monitor.detection.build import build_entities, build_watch
from monitor.detection.pipeline import Pipeline
from monitor.detection.scored_step import Reason, ScoredStep
from monitor.detection.view import WatchObserver
from monitor.detection.watch import Watch
from monitor.errors import ConfigError, MonitorError
from monitor.sample import SeriesTable
from monitor.sources.metric_files import Recorded
from monitor.sources.replay import ReplaySource

__all__ = ["choose_watch", "score_recorded"]


def choose_watch(config: Config, table: SeriesTable, name: str) -> WatchConfig:
    """Find the watch to which series of the table belong: the named watch, else the only such watch.

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
            "Compare `metrics`, `match` and `by` with the files."
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

    The columns of a row are entity, time_ms (the start of the step), score, verdict (normal,
    anomalous, not_judged), reason (why not judged), and for each channel its actual and
    expected value. A watch without a model learns its channels while it warms up; the
    columns are those it has at the end.

    Parameters
    ----------
    progress : callable
        Called with the share of samples that are done.
    """
    stages = build_watch(watch.settings(), champion)
    steps: list[ScoredStep] = []  # of the newest batch
    stages.observe(WatchObserver(on_scored=steps.append))
    pipeline = Pipeline([stages], table, max_future_ms=0)
    source = ReplaySource(recorded, SystemClock())
    stages.entities.update(table)  # the files are read already: all entities and channels are known
    n_done = 0
    n_rows = 0
    while True:
        batch = source.poll(0.0)
        pipeline.process(batch.columns, batch.now_ms, finished=batch.finished)
        if steps:
            columns = _columns(stages, steps, watch.step_ms)
            writer.write(columns)
            n_rows += len(columns["entity"])
        steps.clear()
        n_done += len(batch.columns)
        progress(n_done / max(1, len(recorded.columns)))
        if batch.finished:
            return n_rows


def _columns(watch: Watch, steps: list[ScoredStep], step_ms: int) -> dict[str, Any]:
    """Give the rows of some steps, as equally long columns."""
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
    for number, channel in enumerate(watch.entities.channels):
        columns[f"{channel}.actual"] = actual[:, number]
        columns[f"{channel}.expected"] = expected[:, number]
    return columns
