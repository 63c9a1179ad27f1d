"""What a checkpoint says of each watch: who is judged, who is not and since when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.storage.checkpoint import Checkpoint, CheckpointError

__all__ = ["WatchStatus", "watch_statuses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchStatus:
    """One watch as it was when its checkpoint was saved.

    `n_expected` is None in a checkpoint of a version that did not save it. `missing` are the entities that
    should be judged and are not, longest first, each with the end of its newest judged step, in ms; None
    where there was no such step.
    """

    watch: str
    n_entities: int
    n_open: int
    n_expected: int | None
    missing: tuple[tuple[str, int | None], ...]


def watch_statuses(checkpoint: Checkpoint) -> list[WatchStatus]:
    """Read the status of every watch.

    Raises
    ------
    CheckpointError
        If something is missing or does not fit.
    """
    try:
        return [_status(checkpoint, watch, about) for watch, about in checkpoint.about["watches"].items()]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(f"the checkpoint does not hold what it should: {error!r}") from error


def _status(checkpoint: Checkpoint, watch: str, about: Mapping[str, Any]) -> WatchStatus:
    entities, n_open = about["entities"], len(about["open_alerts"])
    prefix = f"{watch}/coverage/"
    if f"{prefix}missing" not in checkpoint.arrays:
        return WatchStatus(watch=watch, n_entities=len(entities), n_open=n_open, n_expected=None, missing=())
    missing = checkpoint.arrays[f"{prefix}missing"]
    judged_ms = np.zeros(len(missing), np.int64)
    known = checkpoint.arrays[f"{prefix}judged_ms"][: len(missing)]
    judged_ms[: len(known)] = known
    rows = np.flatnonzero(missing)
    rows = rows[np.argsort(judged_ms[rows], kind="stable")]
    return WatchStatus(
        watch=watch,
        n_entities=len(entities),
        n_open=n_open,
        n_expected=int(checkpoint.arrays[f"{prefix}expected"].sum()),
        missing=tuple((entities[row], int(judged_ms[row]) or None) for row in rows.tolist()),
    )
