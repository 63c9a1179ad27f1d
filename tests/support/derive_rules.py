"""Rules of derived channels, and series for them."""

from __future__ import annotations

from typing import Any

from monitor.derive.rules import DeriveRule
from monitor.sample import Kind, Series, labels_of


def rule(**changes: Any) -> DeriveRule:
    """Give a rule that adds up requests, but for some fields."""
    fields = {
        "name": "requests", "kind": "sum", "of": "http_requests_total", "match": {}, "by": (), "over": "",
        "over_match": {}, "quantile": 0.5,
    }  # fmt: skip
    return DeriveRule(**(fields | changes))


def series(name: str, **labels: str) -> Series:
    """Give a counter."""
    return Series(name, labels_of(labels), Kind.COUNTER)
