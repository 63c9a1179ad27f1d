"""Ratios that count as much as there is evidence for: the learned traffic floor."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.row_arrays import RowArrays, row_array

__all__ = ["Traffic"]

_MEMORY_SECONDS = 7 * 86400.0  # what is older counts 1/e and less: a day must not forget another
_LEAST_STEPS = 100  # with traffic: before, neither the usual ratio nor the usual traffic is known


class Traffic(RowArrays):
    """The usual ratio and the usual traffic of n entities' C channels, as far as these are ratios.

    A share of few is weak evidence: 1 of 5 says little, 1000 of 5000 say much. With a beta prior around the
    usual ratio p, as strong as the traffic b of a usual step, the ratio of a step with k of n is expected to
    be (k + b p) / (n + b) (posterior mean of the beta-binomial model, Gelman et al., Bayesian Data Analysis,
    section 2.4). Where n is far below b it stays at p; where n is above, it is nearly k / n.
    """

    hits = row_array(np.float64, "channels")  # sum over steps, older ones fading
    total = row_array(np.float64, "channels")
    weight = row_array(np.float64, "channels")  # the same sum of steps with traffic
    n_steps = row_array(np.int64, "channels")  # of them, not fading

    def shrunk(
        self,
        rows: NDArray[np.int64],
        channels: NDArray[np.int64],
        hits: NDArray[np.float64],
        total: NDArray[np.float64],
        step_seconds: float,
    ) -> NDArray[np.float64]:
        """Give the ratios (G,) of one step, and learn the step then.

        NaN without traffic, and for the first 100 steps with any.

        Parameters
        ----------
        rows, channels : ndarray, shape (G,)
            Where each ratio belongs.
        hits, total : ndarray, shape (G,)
            Of the step, as counts; NaN where nothing came. Without hits, but with a total, there were none.
        """
        where = (rows, channels)
        n_hits, n_total = np.nan_to_num(hits), np.nan_to_num(total)
        has_traffic = n_total > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            usual_ratio = self.hits[where] / self.total[where]
            usual_traffic = self.total[where] / self.weight[where]
            ratio = (n_hits + usual_traffic * usual_ratio) / (n_total + usual_traffic)
        is_known = has_traffic & (self.n_steps[where] >= _LEAST_STEPS)
        keeps = math.exp(-step_seconds / _MEMORY_SECONDS)
        for kept, more in ((self.hits, n_hits), (self.total, n_total), (self.weight, 1.0)):
            kept[where] = np.where(has_traffic, keeps * kept[where] + more, kept[where])
        self.n_steps[where] += has_traffic
        return np.where(is_known, ratio, np.nan)
