"""Rivals of three libraries that the card alone needs: isolation forest, half-space trees, random cut forest.

Each is imported when it is used: the rest of the card works without them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .contenders import Rows, flat, sample_windows, windows_by_row

__all__ = ["HalfSpaceTreesScore", "IsolationForestScore", "RandomCutForestScore"]

_SCALED_RANGE = 10.0  # scaled rows lie within +-10
_BLOCK = 20_000  # windows scored at once


class IsolationForestScore:
    """scikit-learn's isolation forest on windows of ten rows, fitted once for all entities.

    Liu et al. (2008), "Isolation Forest", ICDM. Parameters are the library's.
    """

    N_ROWS = 10

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, train: Rows) -> None:
        """Grow the trees from windows that are spread over the training rows."""
        from sklearn.ensemble import IsolationForest  # noqa: PLC0415

        self._forest = IsolationForest(random_state=self._seed)
        self._forest.fit(flat(sample_windows(windows_by_row(train, self.N_ROWS))))

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Give the library's anomaly score, 0 to 1."""
        windows = windows_by_row(values, self.N_ROWS)
        scores = np.full(values.shape[:2], np.nan)
        for row in range(values.shape[1]):
            for start in range(0, len(windows), _BLOCK):
                block = flat(windows[start : start + _BLOCK, row])
                first = self.N_ROWS - 1 + start
                scores[first : first + len(block), row] = -self._forest.score_samples(block)
        return scores


class HalfSpaceTreesScore:
    """river's half-space trees on single rows; a forest for each entity, which learns as it scores.

    Tan et al. (2011), "Fast Anomaly Detection for Streaming Data", IJCAI. Ten trees of depth 8, windows
    of 250 rows: the library's numbers.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, train: Rows) -> None:
        """Learn nothing: it learns as it scores."""

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Score and learn row by row."""
        from river.anomaly import HalfSpaceTrees  # noqa: PLC0415

        within = (values / (2 * _SCALED_RANGE) + 0.5).astype(np.float64)  # the library expects 0 to 1
        scores = np.empty(values.shape[:2])
        for row in range(values.shape[1]):
            forest = HalfSpaceTrees(seed=self._seed)
            for t, numbers in enumerate(within[:, row].tolist()):
                features = dict(enumerate(numbers))
                scores[t, row] = forest.score_one(features)
                forest.learn_one(features)
        return scores


class RandomCutForestScore:
    """A compiled robust random cut forest (rcf3): a forest for each entity, which learns as it scores.

    Guha et al. (2016), "Robust Random Cut Forest Based Anomaly Detection on Streams", ICML. Shingles hold
    about eight numbers: eight rows of one channel, one row of eight channels or more. 50 trees of 256 points:
    the library's numbers.
    """

    N_NUMBERS = 8

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, train: Rows) -> None:
        """Learn nothing: it learns as it scores."""

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Score and learn row by row; NaN where the forest is not ready."""
        from rcf3 import Forest  # noqa: PLC0415

        n_channels = values.shape[2]
        shingle = max(1, self.N_NUMBERS // n_channels)
        scores = np.full(values.shape[:2], np.nan)
        for row in range(values.shape[1]):
            forest = Forest(n_channels, shingle_size=shingle, seed=self._seed)
            for t, numbers in enumerate(values[:, row].tolist()):
                scores[t, row] = forest.update_and_score(numbers)
        scores[scores <= 0] = np.nan  # 0 until it is ready
        return scores
