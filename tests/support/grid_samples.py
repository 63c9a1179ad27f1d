"""Samples in a grid by hand, and the steps that come of them as text. Steps are 10 s long."""

import numpy as np

from monitor.detection.grid import Grid
from monitor.detection.steps import LocatedSamples
from monitor.sample import Kind, SeriesTable
from monitor.testing import samples

STEP_SECONDS = 10


def make_grid(*, lateness_seconds=0, idle_seconds=1000, gap_mode="skip", max_gap_steps=0, empty_steps=1000):
    return Grid(
        step_ms=STEP_SECONDS * 1000,
        lateness_ms=lateness_seconds * 1000,
        idle_ms=idle_seconds * 1000,
        gap_mode=gap_mode,
        max_gap_steps=max_gap_steps,
        empty_steps=empty_steps,
    )


def at(*points, row=0, channel=0, kind=Kind.GAUGE):
    """Place samples given as `(seconds, value)`."""
    n = len(points)
    return LocatedSamples(
        np.full(n, row, np.int32),
        np.full(n, channel, np.int32),
        np.array([round(seconds * 1000) for seconds, _ in points], np.int64),
        np.array([value for _, value in points], np.float64),
        np.full(n, kind, np.int8),
    )


def series(text, **place):
    """Place a series given as text, one value a step, `_` where none came."""
    columns = samples(text, SeriesTable(), step_seconds=STEP_SECONDS)
    return at(*zip((columns.time_ms / 1000).tolist(), columns.value.tolist(), strict=True), **place)


def together(*parts):
    """Join placed samples, ordered by time."""
    columns = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("row", "channel", "time_ms", "value", "kind")
    ]
    order = np.argsort(columns[2], kind="stable")
    return LocatedSamples(*(column[order] for column in columns))


def close(grid, now_seconds=0, *, n_rows=1, n_channels=1, finished=False):
    return list(
        grid.close(round(now_seconds * 1000), n_rows=n_rows, n_channels=n_channels, finished=finished)
    )


def written(blocks, *, row=0, channel=0):
    """Write one series of closed steps as text, `_` for a gap."""
    values = [value for block in blocks for value in block.values[:, row, channel].tolist()]
    return " ".join("_" if np.isnan(value) else f"{value:g}" for value in values)


def numbers(blocks):
    """Give the numbers of closed steps, in order."""
    return [block.first_step + t for block in blocks for t in range(len(block.values))]


def closed(samples, **settings):
    """Add samples in one batch and close everything."""
    grid = make_grid(**settings)
    grid.add(samples)
    return close(grid, n_rows=2, n_channels=2, finished=True)


def closed_one_by_one(samples, **settings):
    """Add samples one at a time, closing what can be closed behind each."""
    grid = make_grid(**settings)
    blocks = []
    for which in range(len(samples.row)):
        grid.add(samples.take(np.array([which])))
        blocks += close(grid, n_rows=2, n_channels=2)
    return blocks + close(grid, n_rows=2, n_channels=2, finished=True)


def with_carrier(text):
    return together(series(text), series(" ".join("0" for _ in text.split()), channel=1))
