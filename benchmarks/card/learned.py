"""Rivals that train a network of their own: a forecasting LSTM, and a memory of embedded patches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .contenders import WINDOW, Rows, over_channels, smoothed, windows_by_row

__all__ = ["ForecastingLstm", "PatchMemory"]

_N_BATCHES, _BATCH = 600, 64  # of a training: the order of the product's own
_LEARNING_RATE = 3e-3
_BLOCK = 512  # windows scored at once


class ForecastingLstm:
    """Error of an LSTM that is given 31 rows and forecasts the next; one network for all entities.

    Malhotra et al. (2015), "Long Short Term Memory Networks for Anomaly Detection in Time Series", ESANN, for
    forecasting instead of reconstructing. 64 units, Huber loss. Errors are divided by their usual size in the
    training rows and smoothed as those of the other forecasts.
    """

    HIDDEN = 64

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, train: Rows) -> None:
        """Train on windows drawn at random."""
        rng = np.random.default_rng(self._seed)
        torch.manual_seed(self._seed)
        n_channels = train.shape[2]
        self._network = _Forecaster(n_channels, self.HIDDEN)
        windows = windows_by_row(train, WINDOW)
        optimizer = torch.optim.Adam(self._network.parameters(), lr=_LEARNING_RATE)
        for _ in range(_N_BATCHES):
            batch = torch.from_numpy(_drawn(windows, rng))
            loss = nn.functional.huber_loss(self._network(batch[:, :-1]), batch[:, -1])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
            optimizer.step()
        self._network.eval()
        residuals = self._residuals(train)[WINDOW - 1 :]
        self._scale = np.maximum(np.quantile(residuals, 0.99, axis=(0, 1)), 0.05)

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Give the errors in their usual sizes, smoothed."""
        scores = over_channels(smoothed(self._residuals(values) / self._scale))
        scores[: WINDOW - 1] = np.nan
        return scores

    def _residuals(self, values: Rows) -> NDArray[np.float64]:
        residuals = np.zeros(values.shape)
        with torch.inference_mode():
            for row, start, windows in _blocks(values, WINDOW):
                forecast = self._network(torch.from_numpy(windows[:, :-1])).numpy()
                residuals[start : start + len(windows), row] = np.abs(windows[:, -1] - forecast)
        return residuals


class PatchMemory:
    """Distance of an embedded patch to the nearest embedded patches of the training rows.

    After PaAno (2026), "Patch-Based Representation Learning for Time-Series Anomaly Detection": a small
    convolutional encoder is trained by triplets, in which a patch a few rows away is near and one drawn at
    random is far; a memory keeps patches of the training rows, and the score is the mean distance to the
    three nearest. There, a row's score is the mean over all patches that cover it, later ones included; here
    it is that of the patch which ends with the row. Patches are not normalised: levels count here.
    """

    N_ROWS, SIZE, N_KEPT, N_NEAREST = 32, 32, 500, 3
    SHIFT = 4  # rows at most between a patch and its near one
    MARGIN = 0.5

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, train: Rows) -> None:
        """Train the encoder for all entities, and fill a memory for each."""
        rng = np.random.default_rng(self._seed)
        torch.manual_seed(self._seed)
        self._encoder = _PatchEncoder(train.shape[2], self.SIZE)
        windows = windows_by_row(train, self.N_ROWS)
        optimizer = torch.optim.Adam(self._encoder.parameters(), lr=1e-3)
        for _ in range(_N_BATCHES // 2):
            place = rng.integers(0, len(windows), _BATCH)
            row = rng.integers(0, windows.shape[1], _BATCH)
            near = np.clip(place + rng.integers(-self.SHIFT, self.SHIFT + 1, _BATCH), 0, len(windows) - 1)
            far = rng.integers(0, len(windows), _BATCH)
            embedded = [
                self._encoder(torch.from_numpy(np.ascontiguousarray(windows[at, row])))
                for at in (place, near, far)
            ]
            loss = nn.functional.triplet_margin_loss(*embedded, margin=self.MARGIN)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self._encoder.eval()
        self._memory = []
        kept = np.linspace(0, len(windows) - 1, min(self.N_KEPT, len(windows))).astype(np.int64)
        with torch.inference_mode():
            for row in range(windows.shape[1]):
                self._memory.append(self._encoder(torch.from_numpy(np.ascontiguousarray(windows[kept, row]))))

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Give the mean distances to the nearest patches."""
        scores = np.full(values.shape[:2], np.nan)
        with torch.inference_mode():
            for row, start, windows in _blocks(values, self.N_ROWS):
                distance = torch.cdist(self._encoder(torch.from_numpy(windows)), self._memory[row])
                n_nearest = min(self.N_NEAREST, distance.shape[1])
                nearest = distance.topk(n_nearest, largest=False).values.mean(dim=1)
                scores[start : start + len(windows), row] = nearest.numpy() + 1e-6  # 0 has no logarithm
        return scores


class _Forecaster(nn.Module):
    def __init__(self, n_channels: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_channels, hidden, batch_first=True)
        self.out = nn.Linear(hidden, n_channels)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:  # (B, W - 1, C) -> (B, C)
        states, _ = self.lstm(rows)
        return rows[:, -1] + self.out(states[:, -1])  # what changes from the newest row on


class _PatchEncoder(nn.Module):
    def __init__(self, n_channels: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(n_channels, 32, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(32, 32, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Flatten(),
            nn.LazyLinear(size),
        )
        self.layers(torch.zeros(1, n_channels, PatchMemory.N_ROWS))  # the last layer takes its size from it

    def forward(self, patches: torch.Tensor) -> torch.Tensor:  # (B, W, C) -> (B, size), of length 1
        return nn.functional.normalize(self.layers(patches.transpose(1, 2)), dim=1)


def _drawn(windows: Rows, rng: np.random.Generator) -> NDArray[np.float32]:
    place = rng.integers(0, len(windows), _BATCH)
    return np.ascontiguousarray(windows[place, rng.integers(0, windows.shape[1], _BATCH)])


def _blocks(values: Rows, length: int) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Cut rows (T, n, C) into blocks of an entity's windows (B, W, C): its number, their first newest row."""
    windows = windows_by_row(values, length)
    for row in range(values.shape[1]):
        for start in range(0, len(windows), _BLOCK):
            yield row, start + length - 1, np.ascontiguousarray(windows[start : start + _BLOCK, row])
