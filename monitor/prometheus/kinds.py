"""Which metrics of a server are counters: by the types that it knows, else by their names. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from monitor.sample import Kind, Labels

__all__ = ["MetricKinds"]

_OF_DISTRIBUTIONS = ("_bucket", "_count", "_sum")
_DISTRIBUTIONS = frozenset({"histogram", "summary"})


class MetricKinds:
    """Tells the kind of a series, as the decoder of remote write does with the type that is sent there.

    Where the server knows no type (it has them of metrics that are scraped now only), names decide:
    `_bucket` with a bound, `_count` and `_sum` are what histograms and summaries count, and `_total` ends a
    counter. A recorded series (`a:b_sum`) has no such suffix by that rule.

    Parameters
    ----------
    types : mapping
        Of metrics by name, as the API's metadata names them.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        self._types = dict(types)
        self._asked: set[str] = set()

    def learn(self, types: Mapping[str, str]) -> None:
        """Take over newer types; those of metrics that are no longer there stay."""
        self._types.update(types)

    def unasked(self, names: Iterable[str]) -> set[str]:
        """Give the names without a type that have not been given before: it is worth to ask for them."""
        new = {name for name in names if name not in self._asked and self._type_of(name) is None}
        self._asked |= new
        return new

    def kind_of(self, name: str, labels: Labels) -> Kind | None:
        """Tell the kind of a series; None: the suffix `_total` decides."""
        metric_type = self._type_of(name)
        if metric_type == "counter":
            return Kind.COUNTER
        if metric_type in _DISTRIBUTIONS:
            return Kind.COUNTER if name.endswith(_OF_DISTRIBUTIONS) else Kind.GAUGE
        if metric_type not in (None, "unknown"):
            return Kind.GAUGE
        if name.endswith("_bucket"):
            return Kind.COUNTER if any(label == "le" for label, _ in labels) else None
        is_counted = metric_type is None and name.endswith(_OF_DISTRIBUTIONS) and ":" not in name
        return Kind.COUNTER if is_counted else None

    def _type_of(self, name: str) -> str | None:
        """Give the type that is known under the name itself, or under that of its family."""
        if name in self._types:
            return self._types[name]
        for suffix in _OF_DISTRIBUTIONS:
            family = self._types.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
            if family in _DISTRIBUTIONS:
                return family
        family = self._types.get(name.removesuffix("_total")) if name.endswith("_total") else None
        return family if family == "counter" else None  # OpenMetrics leaves `_total` out of a family's name
