"""How another model begins to judge a running watch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from models.bundle import Bundle
from monitor.detection.build import build_scorer, check_fits
from monitor.detection.settings import WatchSettings
from monitor.detection.watch import Watch
from monitor.errors import SwapError

__all__ = ["align_rows", "swap_champion"]


def swap_champion(watch: Watch, settings: WatchSettings, challenger: Bundle) -> None:
    """Let another model judge a running watch from its next step on.

    Weights, scaling, calibration and tails change as one unit. Rows and channels keep their numbers, so that
    the grid is not disturbed; entities and channels that only the model knows come behind.

    Raises
    ------
    ConfigError
        If the model was trained with another step or window than is configured.
    SwapError
        If its channels are not those of the running watch, in their order; nothing is changed then.
    """
    check_fits(challenger, settings)
    live = watch.entities
    if tuple(live.channels) != challenger.channels[: len(live.channels)]:
        pairs = zip_longest(live.channels, challenger.channels[: len(live.channels)])
        first = next(name for name, other in pairs if name != other)
        raise SwapError(
            f"watch {settings.name}: the model does not take the running channels in their order "
            f"(the first that differs is {first}). Restart the daemon to let it serve, or train "
            "with `barograph retrain`."
        )
    live.adopt(challenger.entities, challenger.channels)
    watch.swap(build_scorer(settings, align_rows(challenger, live.entities), live))


def align_rows(bundle: Bundle, entities: Sequence[str]) -> Bundle:
    """Give a copy of a bundle with a row for each of these entities, in their order.

    Those that it does not know are uncalibrated.
    """
    row_of = {name: row for row, name in enumerate(bundle.entities)}
    rows = np.array([row_of.get(name, -1) for name in entities], np.int64)
    return replace(bundle, detector=bundle.detector.take(rows), entities=tuple(entities))
