"""Samples of some steps to values: counters and deltas as rates, nothing taken across the end of a series."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.detection.steps import LocatedSamples
from monitor.sample import Kind


def spread(
    samples: LocatedSamples, first_step: int, n_steps: int, n_rows: int, n_channels: int, step_ms: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Spread samples over arrays (T, n, C) of value and time, and tell which channels (n, C) are counters.

    Deltas become rates per second here: they need no value before them.
    """
    value = np.full((n_steps, n_rows, n_channels), np.nan)
    time_ms = np.zeros((n_steps, n_rows, n_channels), np.int64)
    counter = np.zeros((n_rows, n_channels), bool)
    at = (samples.time_ms // step_ms - first_step, samples.row, samples.channel)
    value[at] = samples.value
    time_ms[at] = samples.time_ms
    counter[samples.row, samples.channel] = samples.kind == Kind.COUNTER
    of_delta = samples.kind == Kind.DELTA
    if of_delta.any():
        cells = tuple(index[of_delta] for index in at)
        value[cells] = 0.0
        with np.errstate(over="ignore"):
            np.add.at(value, cells, samples.value[of_delta])
        delta = np.zeros((n_rows, n_channels), bool)
        delta[samples.row[of_delta], samples.channel[of_delta]] = True
        value[:, delta] /= step_ms / 1000
        value[np.isinf(value)] = np.nan  # a sum beyond what a float holds
    return value, time_ms, counter


class Ends(NamedTuple):
    """The first step from which on values are of a series that goes on; -1 where none has ended. Arrays (T, n, C).

    `before` as the step's own value sees those before it, `after` as seen from the step's end.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]


def ends_of(ends: LocatedSamples, value: NDArray[np.float64], time_ms: NDArray[np.int64], first_step: int, step_ms: int) -> Ends:
    """Tell which values (T, n, C) lie on this side of a series' end, from the ends that came."""
    if not len(ends.row):
        never = np.broadcast_to(np.int64(-1), value.shape)
        return Ends(never, never)
    ended_ms = np.full(value.shape, -1, np.int64)
    ended_ms[ends.time_ms // step_ms - first_step, ends.row, ends.channel] = ends.time_ms
    has_ended = ended_ms >= 0
    began_again = has_ended & ~np.isnan(value) & (ended_ms < time_ms)
    steps = np.arange(len(value))[:, None, None]
    own = np.where(began_again, steps, np.where(has_ended, steps + 1, -1))
    after = np.maximum.accumulate(own, axis=0)
    before = np.concatenate([np.full((1, *value.shape[1:]), -1), after[:-1]])
    return Ends(np.where(began_again, steps, before), after)


def previous_values(
    value: NDArray[np.float64], time_ms: NDArray[np.int64], carried: NDArray[np.float64], carried_ms: NDArray[np.int64], ends: Ends
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Give, for each step of (T, n, C), the value and time of the last sample before it that the same series had."""
    steps = np.arange(len(value))[:, None, None]
    latest = np.maximum.accumulate(np.where(np.isnan(value), -1, steps), axis=0)
    latest = np.concatenate([np.full((1, *value.shape[1:]), -1), latest[:-1]])
    at = np.maximum(latest, 0)
    before = np.where(latest >= 0, np.take_along_axis(value, at, 0), carried)
    before = np.where(latest < ends.before, np.nan, before)
    before_ms = np.where(latest >= 0, np.take_along_axis(time_ms, at, 0), carried_ms)
    return before, before_ms


def last_known(known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give the index of the last True along the first axis of (T, n, C); -1 where there is none."""
    last = len(known) - 1 - np.argmax(known[::-1], axis=0)
    return np.where(known.any(axis=0), last, -1)
