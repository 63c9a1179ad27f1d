"""Which channels an alert names, and by which values: those with the largest error at its highest score.

The share of a channel is of a whole window. So its values are those of the step of that window where it was
furthest from what was expected, which need not be the newest one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.detector import Detector
from models.raw_scores import error_windows
from models.season import explain_season
from monitor.alerting.alert import Alert, ChannelShare
from monitor.detection.metric_rules import ValueRange
from monitor.detection.scored_step import ScoredStep

__all__ = ["N_TOP_CHANNELS", "at_peak", "explain", "is_higher"]

N_TOP_CHANNELS = 5  # named in an alert: more than one screen line explains nothing
_LASTING_SHARE = 0.5  # of a channel's largest error: what stays above up to the newest step still lasts


def explain(
    step: ScoredStep,
    rows: Sequence[int],
    channels: Sequence[str],
    valid: ValueRange,
    detector: Detector | None,
) -> dict[int, tuple[ChannelShare, ...]]:
    """Give for some entities the channels that explain a step's score, the largest share first, at most five.

    The shares are of the squared error over all channels, so those of the named ones may add up to less
    than 1. Where a value outside its valid range alone makes the score, only such channels have a share;
    where the time of day does, the shares are of the evidence against it.

    Parameters
    ----------
    rows : sequence of int
        Distinct. A window is rebuilt for each: only those are asked for that are to be shown.
    valid : ValueRange
        No value outside is ever shown as expected.
    detector : Detector, optional
        In the state that has judged the step.
    """
    explained: dict[int, tuple[ChannelShare, ...]] = {}
    broken = valid.is_outside(step.actual)
    judged = [row for row in rows if step.judged[row] and not (broken[row].any() and step.score[row] <= 1.0)]
    for row in set(rows) - set(judged):
        explained[row] = _newest_values(step, row, channels, broken[row], valid)
    if not judged:
        return explained
    index = np.array(judged)
    if detector is None or step.past is None:
        return explained | {row: _newest_values(step, row, channels, None, valid) for row in judged}
    scaling, window_length = detector.scaling.take(index), detector.settings.window_length
    actual = step.past[-window_length:, index]  # (W, m, C)
    scaled = scaling.apply(actual)
    season = explain_season(detector.season, index, scaled[-1])
    is_of_season = detector.season.score(index, scaled[-1]) >= step.score[index]  # NaN: it says nothing
    shown, usual = scaling.invert(season.actual), scaling.invert(season.usual)
    windows = np.ascontiguousarray(scaled.transpose(1, 0, 2))
    expected = scaling.invert(_expected_windows(detector, index, windows).transpose(1, 0, 2))
    for number, row in enumerate(judged):
        within = valid.of_row(row)
        if is_of_season[number]:
            explained[row] = _of_season(
                step, channels, season.evidence[number], shown[number], within.clip(usual[number])
            )
        else:
            errors = _WindowErrors(
                actual[:, number], within.clip(expected[:, number]), scaling.scale[number], detector
            )
            explained[row] = _of_window(step, row, channels, errors)
    return explained


def is_higher(alert: Alert, step: ScoredStep, row: int) -> bool:
    """Tell whether a step's score is the highest of an open alert; it is NaN where it was not judged."""
    return bool(step.score[row] > alert.score)


def at_peak(
    alert: Alert, step: ScoredStep, row: int, explained: Mapping[int, tuple[ChannelShare, ...]]
) -> Alert:
    """Give an open alert with a step's score and channels, if that score is its highest; else as it is."""
    if not is_higher(alert, step, row):
        return alert
    return replace(alert, score=float(step.score[row]), channels=explained[row])


class _WindowErrors:
    """How far the channels of one window (W, C) were from what was expected, in their own units and scale."""

    def __init__(
        self,
        actual: NDArray[np.float64],
        expected: NDArray[np.float64],
        scale: NDArray[np.float64],
        detector: Detector,
    ) -> None:
        self.actual, self.expected = actual, expected
        self._step_ms = round(detector.step_seconds * 1000)
        self._error = np.nan_to_num((actual - expected) / scale, nan=0.0)

    def furthest(self, channel: int) -> int:
        """Give the step where a channel's error was largest; of equal ones the newest."""
        size = np.abs(self._error[:, channel])
        return len(size) - 1 - int(np.argmax(size[::-1]))

    def time_ms(self, t: int, newest_ms: int) -> int:
        """Give when the t-th step ended."""
        return newest_ms - (len(self.actual) - 1 - t) * self._step_ms

    def lasting_from(self, channel: int) -> int | None:
        """Give the step from which on a channel lies as far off as at its furthest; None where it does not.

        A gap is no evidence of an end. A single step does not last.
        """
        error = self._error[:, channel]
        peak = error[self.furthest(channel)]
        is_far = (error * np.sign(peak) >= _LASTING_SHARE * abs(peak)) | np.isnan(self.actual[:, channel])
        if peak == 0 or not is_far[-2:].all():
            return None
        n_far = len(is_far) if is_far.all() else int(np.argmin(is_far[::-1]))
        return len(is_far) - n_far


def _of_window(
    step: ScoredStep, row: int, channels: Sequence[str], errors: _WindowErrors
) -> tuple[ChannelShare, ...]:
    named = []
    for channel, share in _largest(step.channel_error[row]):
        t, first = errors.furthest(channel), errors.lasting_from(channel)
        since_ms = 0 if first is None else errors.time_ms(first, step.time_ms)
        elevated_ms = int(step.elevated_since_ms[row, channel])
        if first == 0 and 0 < elevated_ms < since_ms:  # it has lasted for longer than a window
            since_ms = elevated_ms
        named.append(
            ChannelShare(
                channel=channels[channel],
                share=share,
                actual=float(errors.actual[t, channel]),
                expected=float(errors.expected[t, channel]),
                since_ms=since_ms,
                at_ms=errors.time_ms(t, step.time_ms),
            )
        )
    return tuple(named)


def _of_season(
    step: ScoredStep,
    channels: Sequence[str],
    evidence: NDArray[np.floating],
    actual: NDArray[np.float64],
    usual: NDArray[np.float64],
) -> tuple[ChannelShare, ...]:
    error = np.nan_to_num(evidence, nan=0.0)
    return _at_newest(step, channels, error, actual, usual, of_season=True)


def _newest_values(
    step: ScoredStep,
    row: int,
    channels: Sequence[str],
    broken: NDArray[np.bool_] | None,
    valid: ValueRange,
) -> tuple[ChannelShare, ...]:
    """Name channels by their newest values: those that are `broken` (C,), or those with an error."""
    within, actual = valid.of_row(row), step.actual[row]
    expected = np.where(np.isnan(step.expected[row]), within.clip(actual), step.expected[row])
    error = step.channel_error[row] if broken is None else broken.astype(np.float64)
    return _at_newest(step, channels, error, actual, expected)


def _at_newest(
    step: ScoredStep,
    channels: Sequence[str],
    error: NDArray[np.floating],
    actual: NDArray[np.float64],
    expected: NDArray[np.float64],
    *,
    of_season: bool = False,
) -> tuple[ChannelShare, ...]:
    """Name the channels with the largest of some errors (C,), with values at the newest step."""
    return tuple(
        ChannelShare(
            channel=channels[channel],
            share=share,
            actual=float(actual[channel]),
            expected=float(expected[channel]),
            since_ms=0,
            at_ms=step.time_ms,
            of_season=of_season,
        )
        for channel, share in _largest(error)
    )


def _largest(error: NDArray[np.floating]) -> list[tuple[int, float]]:
    """Give the channels with the largest of some errors (C,), and their shares of the squared error."""
    squared = np.asarray(error, np.float64) ** 2
    total = max(float(squared.sum()), 1e-12)
    largest = np.argsort(-squared, kind="stable")[:N_TOP_CHANNELS]
    return [(channel, float(squared[channel]) / total) for channel in largest.tolist()]


def _expected_windows(
    detector: Detector, rows: NDArray[np.int64], windows: NDArray[np.float32]
) -> NDArray[np.floating]:
    """Give what scaled windows (m, W, C) should have been; NaN where nothing was measured.

    That is how the network rebuilds them. The baselines expect each channel's slow mean at every step.
    """
    if detector.trained is None:
        mean = detector.gaussian.mean[rows][:, None]
        return np.where(np.isnan(windows), np.nan, mean)
    errors, _ = error_windows(detector.trained.network, windows)
    return windows - errors
