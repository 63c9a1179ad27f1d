"""The detector of one watch: network and baselines, and for every entity what is normal for it.

A *row* is an entity's index in the arrays. The caller says which rows may learn a step: rows in
an open episode may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.baselines import GaussianBaseline, NeighbourBaseline
from models.dataset import WindowIndex, gather_windows, index_windows, windows_of
from models.limits import Budget, OwnLimits, PeakHistogram, block_peaks
from models.peak_records import GROSS_SURPRISE, PeakRecords
from models.raw_scores import NetworkRawScores, RowErrorScales, raw_score_windows
from models.row_arrays import RowArrays, row_array
from models.scaling import Scaling, fit_scaling_and_rest
from models.season import SeasonProfile
from models.settings import ModelSettings
from models.tail import TailBank, tails_of_memories
from models.trained import Trained, fit_row_error_scales, min_thresholds, raw_score_weights

__all__ = ["WARMING_STEPS", "BlockRawScores", "Detector", "calibration_episodes"]

WARMING_STEPS = 100  # beyond a window: fewer raw scores say nothing about a tail


@dataclass(frozen=True, slots=True)
class BlockRawScores:
    """Those raw scores of a block's windows that depend on no order: the network's and the PCA's.

    `index` lists the windows, in the order of the arrays. `raw_scores` is (B, R); the columns of
    the baselines with memory are still NaN. `channel_error` and `expected` are (B, C), empty
    without a network.
    """

    index: WindowIndex
    raw_scores: NDArray[np.float64]
    channel_error: NDArray[np.float64]
    expected: NDArray[np.float32]


class Detector(RowArrays):
    """Turns scaled windows into raw scores and surprise, and learns what is normal for each row.

    Raw scores and their weights were measured on labelled series. With one channel, the
    network's three raw scores together, the nearest neighbour and the windowed Gaussian weigh
    a third each. With several channels, the network's raw scores of window and tail and the
    windowed PCA weigh a third each. Without a network, neighbour and Gaussian weigh half each.
    What is out of season is judged beside that surprise, by a limit of its own.

    Parameters
    ----------
    resolution : ndarray, shape (C,)
        Smallest meaningful change of each channel, in its own unit.
    block_steps : int
        Steps of one block of the peak histogram: the shortest episode and its rest.
    """

    calibrated = row_array(np.bool_)
    block_peak = row_array(np.float64)  # highest surprise so far of the block that is under way
    block_length = row_array(np.int64)  # its steps so far

    def __init__(
        self,
        settings: ModelSettings,
        *,
        n_rows: int,
        resolution: NDArray[np.float64],
        step_seconds: float,
        block_steps: int,
        trained: Trained | None = None,
    ) -> None:
        super().__init__(n_rows)
        self.settings = settings
        self.resolution = resolution
        self.step_seconds = step_seconds
        self.trained = trained
        self._uses_neighbour = trained is None or trained.pca is None
        self.weights = raw_score_weights(trained)
        self.block_steps = block_steps
        self.peaks = PeakHistogram(block_steps * step_seconds)
        self.own_limits: OwnLimits | None = None
        n_channels = len(resolution)
        self.scaling = Scaling(n_rows, channels=n_channels)
        make_tails = tails_of_memories if self._uses_neighbour else TailBank
        self.tails = make_tails(n_rows, len(self.weights))
        self.records = PeakRecords(n_rows)
        self.gaussian = GaussianBaseline(n_rows, channels=n_channels)
        n_windows = settings.memory_windows if self._uses_neighbour else 0
        self.neighbour = NeighbourBaseline(n_rows, n_windows, settings.window_length, n_channels)
        self.season = SeasonProfile(n_rows, n_channels, step_seconds)
        self.error_scales = RowErrorScales(n_rows, channels=n_channels)

    @property
    def _parts(self) -> dict[str, RowArrays]:
        """The parts that hold row arrays too, by the prefix of their arrays' names."""
        return {
            "scaling": self.scaling,
            "tails": self.tails,
            "records": self.records,
            "gaussian": self.gaussian,
            "neighbour": self.neighbour,
            "season": self.season,
            "error_scales": self.error_scales,
        }

    def grow(self, n_rows: int, **sizes: int) -> None:
        """Make room for more rows, which are uncalibrated; the old rows keep what they know."""
        super().grow(n_rows, **sizes)
        for part in self._parts.values():
            part.grow(n_rows)
        if self.own_limits is not None:
            self.own_limits.grow(n_rows)

    def judge_apart(self, budget: Budget, *, n_entities: int) -> None:
        """Give each row a limit of its own from now on: what other rows show does not change it.

        So many entities share the budget, whatever rows there are. Rows must not be dropped any more.
        """
        self.own_limits = OwnLimits(self.peaks, budget, n_entities=n_entities, n_rows=self.n_rows)

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these rows and number them anew, in this order; their scores stay the same."""
        super().keep_rows(rows)
        for part in self._parts.values():
            part.keep_rows(rows)

    def put(self, rows: NDArray[np.int64], other: Self, of_rows: NDArray[np.int64] | None = None) -> None:
        """Write rows of `other`, a detector of the same network, into these rows."""
        super().put(rows, other, of_rows)
        for name, part in self._parts.items():
            part.put(rows, other._parts[name], of_rows)

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Copy these rows, in their order, into a new detector; -1 gives an uncalibrated row.

        Network and limit are the same. What either detector learns from now on, the other does not.
        """
        other = super().take(rows)
        other.peaks.counts[:] = self.peaks.counts
        other.peaks.total[:] = self.peaks.total
        return other

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """Copy what steps are judged by and learning changes, by name; each array has a row per entity."""
        parts = {"tails": self.tails.snapshot(), "season": self.season.snapshot()}
        if self._uses_neighbour:
            parts |= {"gaussian": self.gaussian.snapshot(), "neighbour": self.neighbour.snapshot()}
        return {"calibrated": self.calibrated.copy()} | _prefixed(parts)

    def restore(self, snapshot: Mapping[str, NDArray[Any]], *, begins: bool) -> None:
        """Judge by a snapshot; restore what follows each step only if a run of snapshots `begins`."""
        self.calibrated = snapshot["calibrated"].copy()
        self.tails.restore(_of_part(snapshot, "tails"))
        of_season = _of_part(snapshot, "season")
        if of_season:  # snapshots of earlier versions have none
            self.season.restore(of_season, begins=begins)
        if self._uses_neighbour:
            self.gaussian.restore(_of_part(snapshot, "gaussian"), begins=begins)
            self.neighbour.restore(_of_part(snapshot, "neighbour"))

    def raw_score_block(
        self, scaled: NDArray[np.float32], rows: NDArray[np.int64] | None = None
    ) -> BlockRawScores:
        """Score every window of scaled steps (T + W - 1, n, C) that can be judged, in one batch.

        The steps are those of some `rows` (n,); by default of the first n.
        """
        index = index_windows(scaled, self.settings.window_length)
        raw_scores = np.full((len(index), len(self.weights)), np.nan)
        if self.trained is None:
            return BlockRawScores(index, raw_scores, np.empty((0, 0)), np.empty((0, 0), np.float32))
        windows = gather_windows(scaled, index, self.settings.window_length)
        of_rows = index.row if rows is None else rows[index.row]
        scale, pca = self.error_scales.network(of_rows, self.trained.error_scale), self.trained.pca
        network: NetworkRawScores = raw_score_windows(self.trained.network, windows, scale)
        raw_scores[:, : network.raw_scores.shape[1]] = network.raw_scores
        if pca is not None:
            own = self.error_scales.pca_scale(of_rows, pca.error_scale)
            raw_scores[:, -1] = pca.raw_score(windows, own)
        return BlockRawScores(index, raw_scores, network.channel_error, network.expected)

    def complete_raw_scores(
        self, rows: NDArray[np.int64], raw_scores: NDArray[np.float64], windows: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Add the raw scores of the baselines with memory; to be called step by step, in order.

        Parameters
        ----------
        rows, raw_scores, windows : ndarray, shapes (n,), (n, R), (n, W, C)
            Distinct rows, their raw scores from `raw_score_block`, and their newest windows.
        """
        gaussian = self.gaussian.raw_score(rows, windows[:, -1])
        if not self._uses_neighbour:
            return raw_scores
        raw_scores = raw_scores.copy()
        raw_scores[:, -2] = self.neighbour.raw_score(rows, windows)
        raw_scores[:, -1] = gaussian
        return raw_scores

    def surprise(self, rows: NDArray[np.int64], raw_scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the surprise (n,) of raw scores (n, R): their weighted mean surprise, ignoring NaN."""
        each = self.tails.surprise(rows, raw_scores)  # (n, R)
        weights = np.where(np.isnan(each), 0.0, self.weights)
        total = weights.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.where(total > 0, np.nansum(each * weights, axis=1) / total, np.nan)

    def min_limits(self, budget: Budget) -> NDArray[np.float64]:
        """Give what each row's limit (n,) may not lie below.

        That is the peak that the row has shown too often for the budget. Without a network, the
        baselines have little to go by at first: until a row has shown as much as a budget's period,
        its limit comes down from a surprise of 6. What is gross is far above that.
        """
        floor = self.records.floor(budget.rate_per_second(1) * self.step_seconds)
        if self.trained is not None:
            return floor
        shown_seconds = self.tails.n_learned * self.step_seconds
        return np.asarray(np.maximum(floor, GROSS_SURPRISE * (1 - shown_seconds / budget.period_seconds)))

    def learn(
        self,
        rows: NDArray[np.int64],
        raw_scores: NDArray[np.float64],
        windows: NDArray[np.float32],
        surprise: NDArray[np.float64],
        free: NDArray[np.bool_],
    ) -> None:
        """Let distinct rows learn one step.

        Rows that are not `free` update only their frozen tails and the season. If their tail is
        young, their baselines learn too: an episode that a baseline with little history has raised
        must not keep it from learning better.

        Parameters
        ----------
        raw_scores, windows, surprise : ndarray, shapes (n, R), (n, W, C), (n,)
            The rows' newest windows, and what was computed from them.
        free : ndarray, shape (n,)
            True where no episode is open or about to open.
        """
        learns = free | self.tails.is_young(rows)
        self.tails.learn(rows, raw_scores)
        self.season.learn(rows, windows[:, -1])
        self.gaussian.learn(rows[learns], windows[learns, -1])
        if self._uses_neighbour:
            self.neighbour.learn(rows[learns], windows[learns])
        self.records.count(rows, surprise, free)
        self.block_length[rows] = np.where(free, self.block_length[rows] + 1, 0)
        self.block_peak[rows] = np.where(free, np.fmax(self.block_peak[rows], surprise), 0.0)
        full = rows[self.block_length[rows] >= self.block_steps]
        if full.size:
            if self.own_limits is None:
                self.peaks.add(self.block_peak[full])
            else:
                self.own_limits.add(full, self.block_peak[full])
            self.records.add(full, self.block_peak[full])
            self.block_length[full], self.block_peak[full] = 0, 0.0

    def calibrate(
        self,
        rows: NDArray[np.int64],
        history: NDArray[np.float64],
        *,
        held_out_from: NDArray[np.int64] | None = None,
        resolution: NDArray[np.float64] | None = None,
    ) -> None:
        """Learn from history what is normal for some rows: scaling, baselines' memories, tails, peaks.

        A row with less than `W + 100` measured steps stays uncalibrated.

        Parameters
        ----------
        history : ndarray, shape (T, n, C)
            In the channels' own units, oldest first; NaN is a gap.
        held_out_from : ndarray, shape (n,), optional
            First step of each row that the network was not trained on: its errors on older
            windows are too small to calibrate by. None if it was trained on none of these rows.
        resolution : ndarray, shape (n, C), optional
            Smallest meaningful change, where it differs between rows; by default that of the channels.
        """
        window_length = self.settings.window_length
        fitted, at_rest = fit_scaling_and_rest(history, self.resolution if resolution is None else resolution)
        self.scaling.centre[rows], self.scaling.scale[rows] = fitted.centre, fitted.scale
        scaled = fitted.apply(history)
        if self.trained is not None and self.trained.pca is not None and held_out_from is not None:
            for index, row in enumerate(rows.tolist()):
                steps = scaled[held_out_from[index] :, [index]]
                fit_row_error_scales(self.error_scales, row, steps, self.trained, window_length)
        block = self.raw_score_block(scaled, rows)
        n_windows = len(history) - window_length + 1
        raw_scores = np.full((n_windows, len(rows), len(self.weights)), np.nan)
        raw_scores[block.index.end - window_length + 1, block.index.row] = block.raw_scores
        windows = windows_of(scaled, window_length)
        for t in range(n_windows):
            here = np.flatnonzero(~np.isnan(windows[t, :, -1]).all(axis=-1))
            raw_scores[t, here] = self.complete_raw_scores(rows[here], raw_scores[t, here], windows[t, here])
            self.gaussian.learn(rows[here], windows[t, here, -1])
            if self._uses_neighbour:
                self.neighbour.learn(rows[here], windows[t, here])
        n_network = 0 if self.trained is None else len(self.weights) - (2 if self._uses_neighbour else 0)
        n_shown = (~np.isnan(history).all(axis=2)).sum(axis=0)  # (n,)
        least = min_thresholds(self.trained)
        peaks = [np.empty(0)]
        for index, row in enumerate(rows.tolist()):
            first = 0 if held_out_from is None else int(held_out_from[index])
            raw_scores[:first, index, :n_network] = np.nan
            if n_shown[index] < window_length + WARMING_STEPS:
                continue  # it is calibrated later, once there is more
            self.calibrated[row] = True
            self.tails.min_threshold[row] = least if at_rest[index].all() else 0.0
            self.tails.start(row, raw_scores[:, index])
            held_out = raw_scores[first:, index]
            of_blocks = block_peaks(self.surprise(np.full(len(held_out), row), held_out), self.block_steps)
            self.records.start(row, of_blocks, len(of_blocks) * self.block_steps)
            if self.own_limits is None:
                peaks.append(of_blocks)
            else:
                self.own_limits.start(row, of_blocks)
        self.peaks.start(np.concatenate(peaks))

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give every array that learning changes, by name; the arrays themselves, not copies."""
        parts = _prefixed({name: part.state() for name, part in self._parts.items()})
        return super().state() | parts | {"peaks": self.peaks.counts, "n_blocks": self.peaks.total}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Copy arrays that `state` gave; what older versions did not have may be missing.

        Raises
        ------
        ValueError
            If an array is missing, of another dtype, or of another number of rows or channels;
            nothing is changed then.
        """
        blank: dict[str, Mapping[str, NDArray[np.generic]]] = {
            "records": PeakRecords(self.n_rows).state(),
            "error_scales": RowErrorScales(self.n_rows, channels=len(self.resolution)).state(),
            "season": self.season.take(np.full(self.n_rows, -1)).state(),
            "tails": {"min_threshold": np.zeros_like(self.tails.threshold)},
        }
        arrays = {**_prefixed(blank), **arrays}
        for name, array in self.state().items():  # check all first: half a state is worse than none
            if name not in arrays:
                raise ValueError(f"{name} is missing")
            if array.dtype != arrays[name].dtype:
                raise ValueError(f"{name} has dtype {arrays[name].dtype}, expected {array.dtype}")
            if array.shape != arrays[name].shape and not name.startswith("tails.saved"):
                raise ValueError(f"{name} has shape {arrays[name].shape}, expected {array.shape}")
        for name, part in self._parts.items():
            part.load_state(_of_part(arrays, name))
        super().load_state(arrays)
        self.peaks.counts[:] = arrays["peaks"]
        self.peaks.total[:] = arrays["n_blocks"]

    def _blank(self, n_rows: int) -> Self:
        return type(self)(
            self.settings,
            n_rows=n_rows,
            resolution=self.resolution,
            step_seconds=self.step_seconds,
            block_steps=self.block_steps,
            trained=self.trained,
        )


def calibration_episodes(detector: Detector, budget: Budget, limit: float) -> tuple[int, float]:
    """Give the episodes that a watch's limit raises in the history it was made from, and those allowed."""
    records = detector.records
    n_over = records.n_calibrated_over(np.maximum(limit, detector.min_limits(budget)))
    seconds = records.n_calibrated * detector.step_seconds  # (n,)
    shown = seconds[seconds > 0]
    return n_over, budget.rate_per_second(len(shown)) * float(shown.mean()) if shown.size else 0.0


def _prefixed(parts: Mapping[str, Mapping[str, NDArray[np.generic]]]) -> dict[str, NDArray[np.generic]]:
    return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}


def _of_part(arrays: Mapping[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    prefix = f"{part}."
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
