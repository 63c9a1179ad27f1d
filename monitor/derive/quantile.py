"""Quantiles of classic histograms, as PromQL's `histogram_quantile` calculates them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["histogram_quantile"]

_SMALL_DIFFERENCE = 1e-12  # relative; so much a bucket may lie beside the one before by rounding alone


def histogram_quantile(
    quantile: float, bounds: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the quantile of histograms (..., B) with cumulative buckets; linear within a bucket.

    NaN where the bucket up to infinity is missing, where there is no other, and where nothing was observed.
    A quantile in the bucket up to infinity is the bound before it; one in a first bucket whose bound is not
    above 0 is that bound. Counts that fall from one bucket to the next are raised to the one before.

    Parameters
    ----------
    quantile : float
        Between 0 and 1.
    bounds : ndarray, shape (..., B)
        Upper bounds, ascending; NaN behind the last bucket.
    counts : ndarray, shape (..., B)
        Observations up to each bound, or their rates; NaN where a bucket is missing.

    References
    ----------
    The rules of `bucketQuantile` in Prometheus, promql/quantile.go (3.x).
    """
    counts = np.where(np.isnan(bounds), np.nan, counts)
    known = ~np.isnan(counts)
    bounds = np.broadcast_to(bounds, counts.shape)
    is_last = known & (np.cumsum(known[..., ::-1], axis=-1)[..., ::-1] == 1)
    has_infinity = (is_last & np.isposinf(bounds)).any(axis=-1)
    counts = _monotonic(counts)
    # A missing bucket is as the one before: the quantile never lies in it.
    previous = np.concatenate([np.zeros((*counts.shape[:-1], 1)), counts[..., :-1]], axis=-1)
    lower = _bounds_before(bounds, known)
    total = counts[..., -1]
    rank = quantile * total
    found = np.argmax(known & (counts >= rank[..., None]), axis=-1)[..., None]
    bound, start, count, before = (
        np.take_along_axis(array, found, axis=-1)[..., 0] for array in (bounds, lower, counts, previous)
    )
    is_first = np.isnan(start)
    start = np.where(is_first, 0.0, start)
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = start + (bound - start) * ((rank - before) / (count - before))
    result = np.where(is_first & (bound <= 0), bound, np.where(np.isposinf(bound), start, inside))
    is_known = has_infinity & (known.sum(axis=-1) >= 2) & (total > 0)
    return np.asarray(np.where(is_known, result, np.nan))


def _monotonic(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raise counts that fall to the one before; missing ones take it over, 0 where there is none."""
    raised = counts.copy()
    before = np.zeros(counts.shape[:-1])
    for bucket in range(counts.shape[-1]):
        here = counts[..., bucket]
        is_near = np.abs(here - before) <= _SMALL_DIFFERENCE * (np.abs(here) + np.abs(before))
        before = np.where(np.isnan(here) | is_near | (here < before), before, here)
        raised[..., bucket] = before
    return raised


def _bounds_before(bounds: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give for each bucket the bound of the last known one before it; NaN for the first."""
    order = np.arange(bounds.shape[-1])
    latest = np.maximum.accumulate(np.where(known, order, -1), axis=-1)
    latest = np.concatenate([np.full((*bounds.shape[:-1], 1), -1), latest[..., :-1]], axis=-1)
    return np.where(latest >= 0, np.take_along_axis(bounds, np.maximum(latest, 0), axis=-1), np.nan)
