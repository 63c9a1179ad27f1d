"""How another model begins to judge a running watch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.bundle import Bundle
from monitor.detection.build import build_scorer, check_fits
from monitor.detection.settings import WatchSettings
from monitor.detection.watch import Watch
from monitor.errors import SwapError
from monitor.text import first_of

__all__ = ["ChannelChange", "align_rows", "swap_champion"]

_NAMED = 5  # channels of each side that a refusal names


@dataclass(frozen=True, slots=True)
class ChannelChange:
    """How the channels of a watch have changed with its model, by name.

    `left_out` were running and are unknown to the model: they are neither judged nor kept from now on.
    `awaited` are known to the model and were not running: they are gaps until their first sample.
    """

    left_out: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()


def swap_champion(watch: Watch, settings: WatchSettings, challenger: Bundle) -> ChannelChange:
    """Let another model judge a running watch from its next step on.

    Weights, scaling, calibration and tails change as one unit. Rows keep their numbers; entities that only
    the model knows come behind. Channels are matched by name, and the watch puts its own into the model's
    order: the steps, counters and gaps of those that both know go on.

    Raises
    ------
    ConfigError
        If the model was trained with another step or window than is configured.
    SwapError
        If it knows none of the running channels; nothing is changed then.
    """
    check_fits(challenger, settings)
    live = watch.entities
    running, known = tuple(live.channels), challenger.channels
    if running and not set(running) & set(known):
        raise SwapError(
            f"watch {settings.name}: the model knows none of the running channels "
            f"({first_of(running, _NAMED)}), only {first_of(known, _NAMED)}: it would judge nothing. Train "
            "one with `barograph retrain`, or from files "
            "that hold the running channels."
        )
    order = live.adopt(challenger.entities, known)
    watch.swap(build_scorer(settings, align_rows(challenger, live.entities), live), order)
    left_out = tuple(name for name in running if name not in set(known))
    awaited = tuple(name for name in known if name not in set(running)) if running else ()
    return ChannelChange(left_out, awaited)


def align_rows(bundle: Bundle, entities: Sequence[str]) -> Bundle:
    """Give a copy of a bundle with a row for each of these entities, in their order.

    Those that it does not know are uncalibrated.
    """
    row_of = {name: row for row, name in enumerate(bundle.entities)}
    rows = np.array([row_of.get(name, -1) for name in entities], np.int64)
    return replace(bundle, detector=bundle.detector.take(rows), entities=tuple(entities))
