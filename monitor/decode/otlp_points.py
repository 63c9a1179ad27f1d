"""Points of OpenTelemetry metrics turned into samples: everything that both encodings of OTLP share.

The labels of a series are the resource's attributes and the point's; where both have a name, the point's
value counts. Sums keep their temporality as their kind. A histogram gives `_count`, `_sum` and `_bucket`,
cumulative as in Prometheus, with the bound as `le`; an exponential histogram gives `_count` and `_sum`; a
summary gives `_count`, `_sum` and a gauge for each `quantile`.

References
----------
https://opentelemetry.io/docs/specs/otel/metrics/data-model/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Literal

import orjson

from monitor.decode.batch import Gathered
from monitor.decode.fields import labels_from, name_from, time_ms_from
from monitor.decode.record import Decoded, Limits, Record, RejectedError
from monitor.sample import Kind, SeriesTable

__all__ = [
    "NO_RECORDED_VALUE",
    "Aggregate",
    "Attribute",
    "Form",
    "Metric",
    "Points",
    "Resource",
    "check_depth",
    "kind_of",
    "missing_value",
    "too_deep",
]

# What a metric's points are, as OTLP's JSON names it.
Form = Literal["gauge", "sum", "histogram", "exponentialHistogram", "summary"]
# What an attribute's value may be.
Attribute = str | bool | int | float | list["Attribute"] | dict[str, "Attribute"] | None

NO_RECORDED_VALUE = 1  # bit of a point's flags
_DELTA = 1  # aggregation temporality; 2 is cumulative
_MAX_DEPTH = 16  # of values within values: real ones have one or two levels

# A series of a point: the suffix of its name, its kind, and a label of its own.
_Part = tuple[str, Kind, tuple[str, str] | None]


@dataclass(slots=True)
class Resource:
    """A sender of metrics; `labels` are its attributes, by name, as pairs of name and value."""

    number: int
    labels: dict[str, tuple[str, str]]


@dataclass(slots=True)
class Metric:
    """A metric of a resource, and the numbers of its points' series, by attributes as they were written."""

    name: str
    resource: Resource
    numbers: dict[Hashable, int] = field(default_factory=dict)
    groups: dict[Hashable, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class Aggregate:
    """What points of histograms and of summaries share; `total` is the sum, None if it was not sent."""

    attributes: Hashable
    time_ns: int
    flags: int
    count: float
    total: float | None


class Points:
    """Collects the points of a batch of export requests.

    Attributes are passed as they were written, in a hashable form, and are read only when they are new.
    Every method that adds a point raises `RejectedError` before it adds anything.

    Parameters
    ----------
    read_attributes : callable
        Gives names and values from attributes as they were written.
    """

    def __init__(
        self,
        table: SeriesTable,
        limits: Limits,
        read_attributes: Callable[[Hashable], Iterable[tuple[str, Attribute]]],
    ) -> None:
        self._gathered = Gathered()
        self._table = table
        self._limits = limits
        self._read_attributes = read_attributes
        self._resources: dict[Hashable, Resource] = {}
        self._metrics: dict[tuple[int, str], Metric] = {}
        self._index = 0
        self._record = Record(b"")
        self._labels_left = 0
        self._last_time: tuple[int, int] = (0, 0)  # most points of one message share their time

    def decode(self, records: Sequence[Record], read_request: Callable[[Record], None]) -> Decoded:
        """Read export requests one by one, and give all their samples and rejections.

        Parameters
        ----------
        read_request : callable
            Adds the points of a record. It raises `RejectedError` where the whole record cannot be read, and
            calls `reject` for a part of it.
        """
        for index, record in enumerate(records):
            self._index = index
            self._record = record  # its timestamp is used where a point has none
            # A resource's attributes are repeated on each of its series: a record must not ask for more
            # labels than it may have bytes.
            self._labels_left = self._limits.max_record_bytes
            try:
                read_request(record)
            except RejectedError as error:
                self.reject(error)
        return self._gathered.decoded()

    def reject(self, error: RejectedError) -> None:
        """Count a part of the current record that could not be read."""
        self._gathered.reject(self._index, error)

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

    def number(
        self, metric: Metric, kind: Kind, attributes: Hashable, time_ns: int, flags: int, value: float | None
    ) -> None:
        """Add a point of a gauge or a sum; None is a gap."""
        time_ms = self._time_ms(time_ns)
        number = metric.numbers.get(attributes)
        if number is None:
            (number,) = self._new_series(metric, attributes, [("", kind, None)])
            metric.numbers[attributes] = number
        self._gathered.add(number, time_ms, None if flags & NO_RECORDED_VALUE else value)

    def histogram(
        self,
        metric: Metric,
        kind: Kind,
        point: Aggregate,
        bounds: tuple[float, ...] = (),
        counts: Sequence[int] = (),
    ) -> None:
        """Add a point of a histogram: its count, its sum if it has one, and its buckets.

        Parameters
        ----------
        bounds : tuple of float
            Upper bounds of the buckets but the last, which has none.
        counts : sequence of int
            Observations in each bucket, one more than `bounds`; empty if only count and sum were sent.
        """
        count = point.count
        total = point.total
        if point.flags & NO_RECORDED_VALUE:
            count = total = math.nan
            counts = ()
        if counts and len(counts) != len(bounds) + 1:
            raise RejectedError(
                "wrong_schema",
                f"{len(counts)} buckets of a histogram with {len(bounds)} bounds, expected one more",
            )
        sums = [] if total is None else [total]
        shown_bounds = bounds if counts else ()

        def parts() -> list[_Part]:
            suffixes = ["_count", "_sum"] if sums else ["_count"]
            texts = _bound_texts(bounds) if counts else []
            plain: list[_Part] = [(suffix, kind, None) for suffix in suffixes]
            return plain + [("_bucket", kind, ("le", text)) for text in texts]

        values: list[float | None] = [count, *sums, *accumulate(counts)]
        self._group(metric, point, (bool(sums), shown_bounds), parts, values)

    def summary(
        self, metric: Metric, kind: Kind, point: Aggregate, quantiles: dict[float, float | None]
    ) -> None:
        """Add a point of a summary: its count, its sum, and the value of each of its quantiles."""
        count = point.count
        total = 0.0 if point.total is None else point.total  # protobuf omits a sum of zero
        if point.flags & NO_RECORDED_VALUE:
            count = total = math.nan

        def parts() -> list[_Part]:
            labels = [("quantile", f"{quantile:.15g}") for quantile in quantiles]
            return [
                ("_count", kind, None),
                ("_sum", kind, None),
                *(("", Kind.GAUGE, label) for label in labels),
            ]

        self._group(metric, point, ("summary", *quantiles), parts, [count, total, *quantiles.values()])

    def _group(
        self,
        metric: Metric,
        point: Aggregate,
        layout: Hashable,
        parts: Callable[[], list[_Part]],
        values: list[float | None],
    ) -> None:
        """Add samples of several series that a point gives; `layout` tells apart points with other parts."""
        time_ms = self._time_ms(point.time_ns)
        key = point.attributes, layout
        numbers = metric.groups.get(key)
        if numbers is None:
            numbers = metric.groups[key] = self._new_series(metric, point.attributes, parts())
        self._gathered.extend(numbers, time_ms, values)

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
            raise RejectedError(
                "too_large", f"more than {self._limits.max_record_bytes} labels on the series of one record"
            )
        numbers = []
        for suffix, kind, own_label in parts:
            pairs = {**labels, own_label[0]: own_label} if own_label else labels
            ordered = tuple(sorted(pair for pair in pairs.values() if pair[1]))
            numbers.append(self._table.intern(metric.name + suffix, ordered, kind))
        return numbers

    def _labels(self, attributes: Hashable) -> dict[str, tuple[str, str]]:
        pairs = [(name, _attribute_text(value)) for name, value in self._read_attributes(attributes)]
        # Only checked here: an empty value on a point removes the resource's label, so it has to stay.
        labels_from(pairs, self._limits)
        return {pair[0]: pair for pair in pairs}


def kind_of(form: Form, temporality: int, *, is_monotonic: bool) -> Kind:
    """Tell the kind of a metric's values or counts; without a temporality they count as cumulative."""
    if form == "gauge":
        return Kind.GAUGE
    if form == "summary":
        return Kind.COUNTER
    if temporality == _DELTA:
        return Kind.DELTA
    return Kind.GAUGE if form == "sum" and not is_monotonic else Kind.COUNTER


def missing_value() -> RejectedError:
    """Give the error for a point that has no value, and does not say that it has none."""
    return RejectedError("wrong_schema", "a point without a value")


def too_deep() -> RejectedError:
    """Give the error for values nested too deeply."""
    return RejectedError("too_deep", f"an attribute of more than {_MAX_DEPTH} levels")


def check_depth(depth: int) -> None:
    """Reject values nested deeper than any real attribute: the readers recurse."""
    if depth > _MAX_DEPTH:
        raise too_deep()


def _attribute_text(value: Attribute) -> str:
    """Write an attribute as a label's value: numbers in their shortest form, lists and objects as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value) if isinstance(value, int) else orjson.dumps(value).decode()


def _bound_texts(bounds: tuple[float, ...]) -> list[str]:
    with_ends = (-math.inf, *bounds, math.inf)
    if not all(lower < upper for lower, upper in pairwise(with_ends)):  # also False for NaN
        raise RejectedError("wrong_schema", "the bounds of a histogram do not increase")
    return [*(f"{bound:.15g}" for bound in bounds), "+Inf"]
