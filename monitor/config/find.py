"""Which configuration file is used when none is named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["PLACES", "find_config"]

# The last one is part of the package: config.toml of the version that is installed.
PLACES = (Path("config.toml"), Path("/etc/barograph/config.toml"), Path(__file__).with_name("default.toml"))


def find_config(places: Sequence[Path] = PLACES) -> Path:
    """Give the first place where there is something; the last one where there is nothing at all."""
    return next((place for place in places if os.path.exists(place)), places[-1])
