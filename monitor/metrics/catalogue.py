"""Declares instruments on a registry, and lists what it has declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["Catalogue", "Declaration"]


@dataclass(frozen=True, slots=True, order=True)
class Declaration:
    """One exported metric, as the documentation shows it; `name` is the name in a scrape."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    documentation: str


class Catalogue:
    """Makes the instruments of one registry.

    prometheus_client has no public way to ask an instrument for its labels; so they are noted here,
    where each instrument is declared.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.declarations: list[Declaration] = []

    def counter(self, name: str, documentation: str, *labels: str) -> Counter:
        """Declare a counter; its name ends in `_total`."""
        self.declarations.append(Declaration(name, "counter", labels, documentation))
        return Counter(name, documentation, labels, registry=self._registry)

    def gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        """Declare a gauge."""
        self.declarations.append(Declaration(name, "gauge", labels, documentation))
        return Gauge(name, documentation, labels, registry=self._registry)

    def histogram(self, name: str, documentation: str, *, buckets: tuple[float, ...]) -> Histogram:
        """Declare a histogram without labels; `buckets` are upper bounds, ascending."""
        self.declarations.append(Declaration(name, "histogram", (), documentation))
        return Histogram(name, documentation, buckets=buckets, registry=self._registry)
