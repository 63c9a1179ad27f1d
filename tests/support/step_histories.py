"""Histories of closed steps for tests: 1 s steps, windows of 4, segments of 10 s."""

from __future__ import annotations

import numpy as np

from monitor.alerting.alert import Alert
from monitor.detection.steps import ClosedSteps
from monitor.storage.step_history import HistoryWriter, Retention, list_segments, read_spans
from monitor.storage.step_history_reader import read_steps

STEP_MS = 1000
WINDOW = 4
NAN = np.nan


def writer(folder, *, shape="s", **changes):
    retention = Retention(
        **{"segment_seconds": 10.0, "max_age_seconds": 30 * 86400.0, "max_bytes": 1 << 30, **changes}
    )
    return HistoryWriter(folder, retention, shape=shape, step_ms=STEP_MS, window_length=WINDOW)


def steps(first_step, rows):
    """Make closed steps of one channel from text: a row for each step, a word for each entity, `_` a gap."""
    values = np.array([[NAN if word == "_" else float(word) for word in row.split()] for row in rows])
    return ClosedSteps(first_step, STEP_MS, values[:, :, None])


def numbered(first_step, n_steps):
    """Make steps of one entity that hold their own numbers."""
    return steps(first_step, [str(number) for number in range(first_step, first_step + n_steps)])


def kept(folder, *blocks, entities=("web1",), channels=("a",), open_alerts=(), **options):
    history = writer(folder, **options)
    for block in blocks:
        history.add(block)
        history.write(entities, channels, open_alerts)
    return history


def alert(entity="web1", *, since_ms, resolved_ms=None):
    return Alert(
        "w",
        entity,
        since_ms,
        since_ms,
        2.0,
        3.0,
        False,
        (),
        resolved_ms,
        None if resolved_ms is None else "recovered",
    )


def back(folder, **options):
    spans = options.pop("spans", None)
    defaults = {"shape": "s", "step_ms": STEP_MS, "window_length": WINDOW}
    return read_steps(
        list_segments(folder), read_spans(folder) if spans is None else spans, **{**defaults, **options}
    )


def column(steps_read, row=0, channel=0):
    return steps_read.history.values[:, row, channel].tolist()
