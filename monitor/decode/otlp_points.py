"""Points of OpenTelemetry metrics turned into samples: what both encodings of OTLP have in common.

A series' labels are the resource's attributes, then the point's; the point's win. Sums keep their
temporality as their kind. A histogram gives `_count`, `_sum` and `_bucket`, added up as Prometheus
has them, with the bound as `le`; an exponential one `_count` and `_sum`; a summary `_count`, `_sum`
and a gauge for each `quantile`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import orjson

from monitor.decode.batch import Gathered
from monitor.decode.fields import labels_from, name_from, time_ms_from
from monitor.decode.record import Limits, Record, RejectedError
from monitor.sample import Kind, SeriesTable

__all__ = ["MAX_DEPTH", "Attribute", "Metric", "Points", "Resource", "attribute_text", "kind_of_counts", "kind_of_sum", "too_deep"]

Attribute = str | bool | int | float | list["Attribute"] | dict[str, "Attribute"] | None  # what an attribute's value may be
MAX_DEPTH = 16  # of values within values: real ones have one or two levels

DELTA = 1  # of aggregation temporality; 2 is cumulative
_NO_RECORDED_VALUE = 1  # bit of a point's flags

_Pairs = list[tuple[str, str]]
_Part = tuple[str, Kind, tuple[str, str] | None]  # one of a point's series: its name's suffix, kind, and label of its own


@dataclass(slots=True)
class Resource:
    """What sends metrics; `labels` are its attributes as name and pair."""

    number: int
    labels: dict[str, tuple[str, str]]


@dataclass(slots=True)
class Metric:
    """A metric of a resource, and the numbers of the series that its points gave, by what they were written as."""

    name: str
    resource: Resource
    numbers: dict[Hashable, int] = field(default_factory=dict)
    groups: dict[Hashable, list[int]] = field(default_factory=dict)


class Points:
    """Takes the points of a batch.

    Attributes are handed over as they were written, in a form that can be a key, and are read
    when they are new. Every method raises `RejectedError` before it takes anything.

    Parameters
    ----------
    read_attributes : callable
        Gives names and texts from attributes as they were written.
    """

    def __init__(self, table: SeriesTable, limits: Limits, read_attributes: Callable[[Hashable], _Pairs]) -> None:
        self.gathered = Gathered()
        self._table = table
        self._limits = limits
        self._read_attributes = read_attributes
        self._resources: dict[Hashable, Resource] = {}
        self._metrics: dict[tuple[int, str], Metric] = {}
        self._record = Record(b"")
        self._labels_left = 0
        self._last_time: tuple[int, int] = (0, 0)  # points of one message mostly share theirs

    def begin(self, record: Record) -> None:
        """Begin a record: its time stands where a point has none."""
        self._record = record
        # A resource's attributes are on every one of its series: a record must not ask for more
        # labels than it may have bytes.
        self._labels_left = self._limits.max_record_bytes

    def resource(self, attributes: Hashable) -> Resource:
        """Give the resource with these attributes."""
        resource = self._resources.get(attributes)
        if resource is None:
            resource = self._resources[attributes] = Resource(len(self._resources), self._labels(attributes))
        return resource

    def metric(self, resource: Resource, name: object) -> Metric:
        """Give a resource's metric."""
        checked = name_from(name, self._limits)
        metric = self._metrics.get((resource.number, checked))
        if metric is None:
            metric = self._metrics[resource.number, checked] = Metric(checked, resource)
        return metric

    def number(self, metric: Metric, kind: Kind, attributes: Hashable, time_ns: int, flags: int, value: float | None) -> None:
        """Take a point of a gauge or a sum; None stands for a gap."""
        time_ms = self._time_ms(time_ns)
        number = metric.numbers.get(attributes)
        if number is None:
            (number,) = self._new_series(metric, attributes, [("", kind, None)])
            metric.numbers[attributes] = number
        self.gathered.add(number, time_ms, None if flags & _NO_RECORDED_VALUE else value)

    def histogram(
        self,
        metric: Metric,
        kind: Kind,
        attributes: Hashable,
        time_ns: int,
        flags: int,
        count: float,
        total: float | None,
        bounds: tuple[float, ...] = (),
        counts: Sequence[int] = (),
    ) -> None:
        """Take a point of a histogram: its count, its sum where it has one, and its buckets'."""
        if flags & _NO_RECORDED_VALUE:
            count, total, counts = math.nan, math.nan, ()
        if counts and len(counts) != len(bounds) + 1:
            raise RejectedError("wrong_schema", f"{len(counts)} buckets of a histogram with {len(bounds)} bounds, expected one more")
        has_sum = total is not None

        def parts() -> list[_Part]:
            head = ["_count", "_sum"] if has_sum else ["_count"]
            texts = _bound_texts(bounds) if counts else []
            return [(suffix, kind, None) for suffix in head] + [("_bucket", kind, ("le", text)) for text in texts]

        values: list[float | None] = [count, *([total] if has_sum else []), *accumulate(counts)]
        self._group(metric, attributes, (has_sum, bounds if counts else ()), parts, time_ns, values)

    def summary(
        self,
        metric: Metric,
        attributes: Hashable,
        time_ns: int,
        flags: int,
        count: float,
        total: float,
        quantiles: dict[float, float | None],
    ) -> None:
        """Take a point of a summary: its count, its sum, and its quantiles with their values."""
        if flags & _NO_RECORDED_VALUE:
            count, total = math.nan, math.nan

        def parts() -> list[_Part]:
            labels = [("quantile", f"{quantile:.15g}") for quantile in quantiles]
            return [("_count", Kind.COUNTER, None), ("_sum", Kind.COUNTER, None), *(("", Kind.GAUGE, label) for label in labels)]

        self._group(metric, attributes, ("summary", *quantiles), parts, time_ns, [count, total, *quantiles.values()])

    def _group(
        self,
        metric: Metric,
        attributes: Hashable,
        form: Hashable,
        parts: Callable[[], list[_Part]],
        time_ns: int,
        values: list[float | None],
    ) -> None:
        time_ms = self._time_ms(time_ns)
        numbers = metric.groups.get((attributes, form))
        if numbers is None:
            numbers = metric.groups[attributes, form] = self._new_series(metric, attributes, parts())
        self.gathered.extend(numbers, time_ms, values)

    def _time_ms(self, time_ns: int) -> int:
        if not time_ns:
            return time_ms_from(self._record.time_ms, "ms")
        if time_ns != self._last_time[0]:
            self._last_time = time_ns, time_ms_from(time_ns, "ns")
        return self._last_time[1]

    def _new_series(self, metric: Metric, attributes: Hashable, parts: list[_Part]) -> list[int]:
        labels = {**metric.resource.labels, **self._labels(attributes)}
        self._labels_left -= len(parts) * (len(labels) + 1)
        if self._labels_left < 0:
            raise RejectedError("too_large", f"more than {self._limits.max_record_bytes} labels on the series of one record")
        numbers = []
        for suffix, kind, own in parts:
            pairs = {**labels, own[0]: own} if own else labels
            ordered = tuple(sorted(pair for pair in pairs.values() if pair[1]))
            numbers.append(self._table.intern(metric.name + suffix, ordered, kind))
        return numbers

    def _labels(self, attributes: Hashable) -> dict[str, tuple[str, str]]:
        pairs = self._read_attributes(attributes)
        labels_from(pairs, self._limits)  # for what it refuses: an empty text takes the resource's away, so it stays here
        return {pair[0]: pair for pair in pairs}


def kind_of_sum(temporality: int, *, is_monotonic: bool) -> Kind:
    """Tell a sum's kind; where its temporality is not said, it is taken as cumulative."""
    if temporality == DELTA:
        return Kind.DELTA
    return Kind.COUNTER if is_monotonic else Kind.GAUGE


def kind_of_counts(temporality: int) -> Kind:
    """Tell the kind of a histogram's counts."""
    return Kind.DELTA if temporality == DELTA else Kind.COUNTER


def attribute_text(value: Attribute) -> str:
    """Write an attribute's value as a label's: numbers in their shortest form, lists and objects as compact JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value) if isinstance(value, int) else orjson.dumps(value).decode()


def too_deep() -> RejectedError:
    """Give the error for values within values within values."""
    return RejectedError("too_deep", f"an attribute of more than {MAX_DEPTH} levels")


def _bound_texts(bounds: tuple[float, ...]) -> list[str]:
    if not all(lower < upper for lower, upper in pairwise((-math.inf, *bounds, math.inf))):  # NaN is neither
        raise RejectedError("wrong_schema", "the bounds of a histogram do not grow")
    return [*(f"{bound:.15g}" for bound in bounds), "+Inf"]
