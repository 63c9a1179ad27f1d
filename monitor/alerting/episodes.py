"""Scores to episodes: open, hold, close, rest. Pure: all entities of a watch at once, time passed in.

    idle -> pending (over the limit, holding) -> open -> resting -> idle

Every over-limit score becomes part of an episode or is counted as suppressed, with its reason. Missing data
neither opens nor closes an episode. An entity that stays away for as long as an episode takes to be accepted
is gone, and its episode ends with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.row_arrays import RowArrays, row_array

__all__ = ["SUPPRESSED_REASONS", "AlertPolicy", "Changes", "EpisodeBook", "Phase"]

SUPPRESSED_REASONS = ("hold", "policy", "rest", "return")
_NO_ROWS = np.empty(0, np.int64)


class Phase(IntEnum):
    """Where an entity stands."""

    IDLE = 0
    PENDING = 1
    OPEN = 2
    RESTING = 3


@dataclass(frozen=True, kw_only=True)
class AlertPolicy:
    """When an episode opens and closes; all times are event time."""

    hold_seconds: float  # an episode opens when the score has been over the limit this long
    close_score: float  # an episode closes when the score stays below this
    close_seconds: float  # for this long
    rest_seconds: float  # after it, in which none can open
    accept_after_seconds: float  # an episode, or an absence, as long as this is the new normal

    @property
    def rest_ms(self) -> int:
        """The rest after an episode."""
        return round(self.rest_seconds * 1000)


@dataclass(frozen=True, slots=True)
class Changes:
    """What one step changed: entity rows, each array of shape (n_changed,).

    `engaged` left idle; `lapsed` were over the limit for too short a time to open. The open episodes of
    `followed` ended because a second fault opened another one: they are among the `opened`, too.
    `recovered`, `levelled` and `accepted` ended; `gone` ended because their entities have been stale for too
    long. `returned` went back to an earlier level instead of leaving idle. `suppressed` counts, by reason,
    the over-limit scores that became part of no episode.
    """

    engaged: NDArray[np.int64]
    lapsed: NDArray[np.int64]
    opened: NDArray[np.int64]
    followed: NDArray[np.int64]
    recovered: NDArray[np.int64]
    levelled: NDArray[np.int64]
    accepted: NDArray[np.int64]
    gone: NDArray[np.int64]
    returned: NDArray[np.int64]
    suppressed: dict[str, int]


class EpisodeBook(RowArrays):
    """The phase of every entity of a watch, and since when; it grows with the scores that it is given."""

    phase = row_array(np.int8)
    over_since_ms = row_array(np.int64)  # first over-limit step of a pending or open episode
    opened_ms = row_array(np.int64)
    _below_since_ms = row_array(np.int64)  # 0 while the score is not below the close score
    _rest_until_ms = row_array(np.int64)
    _n_held = row_array(np.int64)  # over-limit scores while pending

    def __init__(self, policy: AlertPolicy) -> None:
        super().__init__(0)
        self._policy = policy

    @property
    def frozen(self) -> NDArray[np.bool_]:
        """True where an episode is open or about to open: such an entity must not learn; shape (n,)."""
        return np.isin(self.phase, (Phase.PENDING, Phase.OPEN))

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """True where an episode is open; shape (n,)."""
        return np.isin(self.phase, Phase.OPEN)

    def update(
        self,
        time_ms: int,
        score: NDArray[np.float64],
        *,
        vetoed: NDArray[np.bool_] | None = None,
        levelled: NDArray[np.bool_] | None = None,
        returning: NDArray[np.bool_] | None = None,
        second_since_ms: NDArray[np.int64] | None = None,
    ) -> Changes:
        """Take the scores (n,) of one step, which ends at `time_ms`; NaN where an entity was not judged.

        Parameters
        ----------
        vetoed : ndarray, shape (n,), optional
            True where an entity counts as below the limit whatever its score: its deviation does not matter.
        levelled : ndarray, shape (n,), optional
            True where an open episode ends: it has become a stable new level.
        returning : ndarray, shape (n,), optional
            True where an entity that would leave idle goes back to an earlier level: it rests instead.
        second_since_ms : ndarray, shape (n,), optional
            Since when a second fault has shown in an open episode, 0 where none does: after the hold, an
            episode of its own follows.
        """
        self.grow(len(score))
        policy = self._policy
        judged = ~np.isnan(score)
        with np.errstate(invalid="ignore"):
            over = judged & (score >= 1.0)
            low = judged & (score < policy.close_score)
        suppressed = {}
        if vetoed is not None:
            suppressed["policy"] = int((over & vetoed & (self.phase != Phase.OPEN)).sum())
            low |= judged & vetoed
            over &= ~vetoed

        self.phase[(self.phase == Phase.RESTING) & (time_ms >= self._rest_until_ms)] = Phase.IDLE
        suppressed |= {"rest": int((over & (self.phase == Phase.RESTING)).sum()), "hold": 0}

        pending = self.phase == Phase.PENDING
        lapsed = pending & judged & ~over
        suppressed["hold"] += int(self._n_held[lapsed].sum())
        self.phase[lapsed] = Phase.IDLE

        engaged = over & (self.phase == Phase.IDLE)
        returned = np.zeros_like(engaged) if returning is None else engaged & returning
        suppressed["return"] = int(returned.sum())
        engaged &= ~returned
        self.phase[engaged] = Phase.PENDING
        self.over_since_ms[engaged] = time_ms
        self._n_held[engaged] = 0
        holding = over & (self.phase == Phase.PENDING)
        self._n_held[holding] += 1
        opened = holding & (time_ms - self.over_since_ms >= policy.hold_seconds * 1000)
        self.phase[opened] = Phase.OPEN
        self.opened_ms[opened] = time_ms
        self._below_since_ms[opened] = 0

        is_open = self.phase == Phase.OPEN
        # Missing data is no evidence: the time below the close score starts over behind it.
        self._below_since_ms[is_open & ~low] = 0
        self._below_since_ms[is_open & low & (self._below_since_ms == 0)] = time_ms
        recovered = is_open & low & (time_ms - self._below_since_ms >= policy.close_seconds * 1000)
        ends_anew = np.zeros_like(is_open) if levelled is None else is_open & levelled & ~recovered
        is_old = time_ms - self.opened_ms >= policy.accept_after_seconds * 1000
        accepted = is_open & judged & ~recovered & ~ends_anew & is_old
        ended = recovered | ends_anew | accepted | returned
        self.phase[ended] = Phase.RESTING
        self._rest_until_ms[ended] = time_ms + policy.rest_ms

        second = np.zeros_like(self.opened_ms) if second_since_ms is None else second_since_ms
        followed = is_open & ~ended & (second > 0) & (time_ms - second >= policy.hold_seconds * 1000)
        self.over_since_ms[followed] = second[followed]
        self.opened_ms[followed] = time_ms
        return Changes(
            engaged=np.flatnonzero(engaged),
            lapsed=np.flatnonzero(lapsed),
            opened=np.flatnonzero(opened | followed),
            followed=np.flatnonzero(followed),
            recovered=np.flatnonzero(recovered),
            levelled=np.flatnonzero(ends_anew),
            accepted=np.flatnonzero(accepted),
            gone=_NO_ROWS,
            returned=np.flatnonzero(returned),
            suppressed=suppressed,
        )

    def accept(self, row: int, time_ms: int) -> None:
        """End an open episode at a time: an operator says that it is normal."""
        self.phase[row] = Phase.RESTING
        self._rest_until_ms[row] = time_ms + self._policy.rest_ms

    def shift_time(self, n_ms: int) -> None:
        """Move all times back by `n_ms`: the clock that they came from was ahead."""
        self.over_since_ms -= n_ms
        self.opened_ms -= n_ms
        self._rest_until_ms -= n_ms
        self._below_since_ms[self._below_since_ms != 0] -= n_ms

    def gone_from_ms(self, stale_from_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tell from when on entities (n,) count as gone that are stale from the given times.

        Absence is their new normal then.
        """
        return stale_from_ms + round(self._policy.accept_after_seconds * 1000)

    def expire(self, stale_from_ms: NDArray[np.int64], time_ms: int) -> Changes:
        """End the episodes and holds of entities that are gone at `time_ms`, as of the time when they went.

        `stale_from_ms` (m,): from when on each of the first m entities is stale, if no more samples come.
        """
        gone_ms = self.gone_from_ms(stale_from_ms)
        phase = self.phase[: len(gone_ms)]  # a view: entities that no step has shown yet have no phase
        gone_ms = gone_ms[: len(phase)]
        lapsed = np.flatnonzero((phase == Phase.PENDING) & (gone_ms <= time_ms))
        gone = np.flatnonzero((phase == Phase.OPEN) & (gone_ms <= time_ms))
        phase[lapsed] = Phase.IDLE
        phase[gone] = Phase.RESTING
        self._rest_until_ms[gone] = gone_ms[gone] + self._policy.rest_ms
        return Changes(
            engaged=_NO_ROWS,
            lapsed=lapsed,
            opened=_NO_ROWS,
            followed=_NO_ROWS,
            recovered=_NO_ROWS,
            levelled=_NO_ROWS,
            accepted=_NO_ROWS,
            gone=gone,
            returned=_NO_ROWS,
            suppressed={"hold": int(self._n_held[lapsed].sum())},
        )

    def snapshot(self, n_rows: int) -> dict[str, NDArray[np.generic]]:
        """Copy every array, by name, with room for so many entities."""
        self.grow(n_rows)
        return {name: array.copy() for name, array in self.state().items()}

    def for_rows(self, arrays: Mapping[str, NDArray[Any]]) -> EpisodeBook:
        """Give a book under the same policy that holds these arrays, by name."""
        other = EpisodeBook(self._policy)
        other.load_state(arrays)
        return other

    def _blank(self, n_rows: int) -> EpisodeBook:
        other = EpisodeBook(self._policy)
        other.grow(n_rows)
        return other
