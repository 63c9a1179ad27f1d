"""Sampled series for tests, written as text: `_` for a gap."""

from __future__ import annotations

import numpy as np

from monitor.quickstart.sampled import Sampled


def sampled(text, name="m", *, step_ms=900_000, **labels):
    """Give a series whose values are written as text."""
    values = [np.nan if word == "_" else float(word) for word in text.split()]
    return Sampled(name, labels, np.array(values), step_ms)
