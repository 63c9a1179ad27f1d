"""Scores to episodes: open, hold, close, rest; pure, all entities of a watch at once, time passed in.

    idle -> pending (over the limit, holding) -> open -> resting -> idle

Every over-limit score ends in an episode or is counted as suppressed with its reason. Missing
data neither opens nor closes an episode; an entity that stays away as long as an episode takes to be
accepted is gone, and its episode ends with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AlertPolicy", "Changes", "EpisodeBook", "Phase"]


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


@dataclass(frozen=True, slots=True)
class Changes:
    """What one step changed: entity rows, each array of shape (n_changed,).

    `engaged` left idle; `lapsed` were over the limit too shortly to open; `suppressed` counts
    over-limit scores that became no part of an episode. `gone` are episodes of entities that
    have been stale for so long that nobody waits for them.
    """

    engaged: NDArray[np.int64]
    lapsed: NDArray[np.int64]
    opened: NDArray[np.int64]
    recovered: NDArray[np.int64]
    accepted: NDArray[np.int64]
    gone: NDArray[np.int64]
    suppressed: dict[str, int]


SUPPRESSED_REASONS = ("hold", "policy", "rest")
_ARRAYS = ("phase", "over_since_ms", "opened_ms", "_below_since_ms", "_rest_until_ms", "_n_held")
_NONE = np.empty(0, np.int64)


class EpisodeBook:
    """The phase of every entity of a watch, and since when."""

    def __init__(self, policy: AlertPolicy) -> None:
        self._policy = policy
        self.phase = np.empty(0, np.int8)
        self.over_since_ms = np.empty(0, np.int64)  # first over-limit step of a pending or open episode
        self.opened_ms = np.empty(0, np.int64)
        self._below_since_ms = np.empty(0, np.int64)  # 0 while the score is not below the close score
        self._rest_until_ms = np.empty(0, np.int64)
        self._n_held = np.empty(0, np.int64)  # over-limit scores while pending

    @property
    def frozen(self) -> NDArray[np.bool_]:
        """True where an episode is open or about to open: such an entity must not learn; shape (n,)."""
        return np.isin(self.phase, (Phase.PENDING, Phase.OPEN))

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """True where an episode is open; shape (n,)."""
        return np.isin(self.phase, Phase.OPEN)

    def update(self, time_ms: int, score: NDArray[np.float64], *, vetoed: NDArray[np.bool_] | None = None) -> Changes:
        """Take the scores (n,) of one step; NaN where an entity was not judged.

        `vetoed` (n,) entities count as quiet whatever their score: no deviation of theirs matters.
        """
        self._make_room(len(score))
        policy = self._policy
        judged = ~np.isnan(score)
        with np.errstate(invalid="ignore"):
            over = judged & (score >= 1.0)
            low = judged & (score < policy.close_score)
        suppressed = {}
        if vetoed is not None:
            suppressed["policy"] = int((over & vetoed & (self.phase != Phase.OPEN)).sum())
            over, low = over & ~vetoed, low | (judged & vetoed)

        self.phase[(self.phase == Phase.RESTING) & (time_ms >= self._rest_until_ms)] = Phase.IDLE
        suppressed |= {"rest": int((over & (self.phase == Phase.RESTING)).sum()), "hold": 0}

        pending = self.phase == Phase.PENDING
        lapsed = pending & judged & ~over
        suppressed["hold"] += int(self._n_held[lapsed].sum())
        self.phase[lapsed] = Phase.IDLE

        engaged = over & (self.phase == Phase.IDLE)
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
        accepted = is_open & judged & ~recovered & (time_ms - self.opened_ms >= policy.accept_after_seconds * 1000)
        ended = recovered | accepted
        self.phase[ended] = Phase.RESTING
        self._rest_until_ms[ended] = time_ms + round(policy.rest_seconds * 1000)
        return Changes(
            engaged=np.flatnonzero(engaged),
            lapsed=np.flatnonzero(lapsed),
            opened=np.flatnonzero(opened),
            recovered=np.flatnonzero(recovered),
            accepted=np.flatnonzero(accepted),
            gone=_NONE,
            suppressed=suppressed,
        )

    def shift_time(self, n_ms: int) -> None:
        """Move every time that is remembered back by so much: the clock that they came from was ahead."""
        for name in ("over_since_ms", "opened_ms", "_rest_until_ms"):
            setattr(self, name, getattr(self, name) - n_ms)
        self._below_since_ms = np.where(self._below_since_ms != 0, self._below_since_ms - n_ms, 0)

    def gone_from_ms(self, stale_from_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tell from when on entities (n,) that are stale from the given times count as gone: absence is their new normal."""
        return stale_from_ms + round(self._policy.accept_after_seconds * 1000)

    def expire(self, stale_from_ms: NDArray[np.int64], time_ms: int) -> Changes:
        """End the episodes, and the holds, of entities that are gone at a time; they count as ended when they went.

        `stale_from_ms` (m,): from when on each of the first m entities is stale, if nothing comes of it.
        """
        at_ms = self.gone_from_ms(stale_from_ms)
        phase = self.phase[: len(at_ms)]  # a view: entities that no step has shown yet have no phase
        at_ms = at_ms[: len(phase)]
        lapsed = np.flatnonzero((phase == Phase.PENDING) & (at_ms <= time_ms))
        gone = np.flatnonzero((phase == Phase.OPEN) & (at_ms <= time_ms))
        phase[lapsed] = Phase.IDLE
        phase[gone] = Phase.RESTING
        self._rest_until_ms[gone] = at_ms[gone] + round(self._policy.rest_seconds * 1000)
        return Changes(
            engaged=_NONE,
            lapsed=lapsed,
            opened=_NONE,
            recovered=_NONE,
            accepted=_NONE,
            gone=gone,
            suppressed={"hold": int(self._n_held[lapsed].sum())},
        )

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Let go of all but these entities, which are numbered anew, in this order."""
        rows = rows[rows < len(self.phase)]
        for name in _ARRAYS:
            setattr(self, name, getattr(self, name)[rows])

    def snapshot(self, n_rows: int) -> dict[str, NDArray[np.generic]]:
        """Copy every array, by name, with room for so many entities."""
        self._make_room(n_rows)
        return {name: getattr(self, name).copy() for name in _ARRAYS}

    def for_rows(self, arrays: Mapping[str, NDArray[Any]]) -> EpisodeBook:
        """Give a book under the same policy that stands where these arrays, by name, say."""
        other = EpisodeBook(self._policy)
        other.load_state(arrays)
        return other

    def replace_rows(self, rows: NDArray[np.int64], other: EpisodeBook) -> None:
        """Let some entities stand where all those of another book stand, in their order."""
        for name in _ARRAYS:
            getattr(self, name)[rows] = getattr(other, name)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give every array by name."""
        return {name: getattr(self, name) for name in _ARRAYS}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over arrays that `state` gave."""
        for name in _ARRAYS:
            setattr(self, name, arrays[name].copy())

    def _make_room(self, n_rows: int) -> None:
        more = n_rows - len(self.phase)
        if more:
            for name in _ARRAYS:
                setattr(self, name, np.pad(getattr(self, name), (0, more)))
