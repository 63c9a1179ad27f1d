"""Prometheus remote write, 1.0 and 2.0: requests in protobuf, compressed as one snappy block.

The headers say which version a request has (`Content-Type`, or else `X-Prometheus-Remote-Write-Version`);
without headers it is 1.0. A native histogram gives `_count` and `_sum`; metadata, exemplars and creation
times hold no samples.

A malformed series is rejected alone, because its length is known; so is a sample with a bad time. Reasons of
rejection: `too_large`, `invalid_snappy`, `wrong_encoding`, `invalid_protobuf`, `wrong_schema`, `bad_time`,
and those of labels and text in `fields.py`.

References
----------
https://prometheus.io/docs/specs/prw/remote_write_spec/ and remote_write_spec_2_0/
"""

from __future__ import annotations

import contextlib
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import cramjam
import numpy as np

from monitor.decode.batch import Rejections
from monitor.decode.fields import check_size, labels_from, name_from, shown, text_from, time_ms_from
from monitor.decode.protobuf import (
    BYTES,
    FIXED64,
    VARINT,
    Wanted,
    as_int64,
    cut_off,
    field_tag,
    fields,
    varint,
    varints,
)
from monitor.decode.record import (
    DEFAULT_LIMITS,
    MAX_TIME_MS,
    MIN_TIME_MS,
    Decoded,
    Limits,
    Record,
    RejectedError,
)
from monitor.sample import STALE_NAN, Columns, Kind, SeriesTable, is_stale

__all__ = ["decode_remote_write", "snappy_block"]

_NAME = "__name__"
_Key = bytes | tuple[bytes | int, ...]  # a series' labels as written: their fields in one piece or in several

# A request: series in 1.0 and in 2.0, symbols in 2.0 only. Neither protocol uses the other's field numbers.
_SERIES_1, _SYMBOL, _SERIES_2 = field_tag(1, BYTES), field_tag(4, BYTES), field_tag(5, BYTES)
_REQUEST = Wanted(_SERIES_1, _SYMBOL, _SERIES_2)
_SYMBOLS = Wanted(_SYMBOL)

# A series: labels and samples are in the same fields in both versions, and every sender writes them first.
_LABELS, _SAMPLE = field_tag(1, BYTES), field_tag(2, BYTES)
_LABEL_REF = field_tag(1, VARINT)  # a single reference, not packed with others, in 2.0
_HISTOGRAM_1 = field_tag(4, BYTES)
_HISTOGRAM_2, _METADATA = field_tag(3, BYTES), field_tag(5, BYTES)
_FIELDS_1 = Wanted(_LABELS, _SAMPLE, _HISTOGRAM_1)
_FIELDS_2 = Wanted(_LABELS, _LABEL_REF, _SAMPLE, _HISTOGRAM_2, _METADATA)

_LABEL_NAME, _LABEL_VALUE = field_tag(1, BYTES), field_tag(2, BYTES)
_LABEL = Wanted(_LABEL_NAME, _LABEL_VALUE)
_LABELS_ALONE = Wanted(_LABELS)
_VALUE, _TIME = field_tag(1, FIXED64), field_tag(2, VARINT)
_SAMPLE_FIELDS = Wanted(_VALUE, _TIME)
_COUNT_INT, _COUNT_FLOAT, _SUM = field_tag(1, VARINT), field_tag(2, FIXED64), field_tag(3, FIXED64)
_RESET_HINT, _HISTOGRAM_TIME = field_tag(14, VARINT), field_tag(15, VARINT)
_HISTOGRAM = Wanted(_COUNT_INT, _COUNT_FLOAT, _SUM, _RESET_HINT, _HISTOGRAM_TIME)
_TYPE = field_tag(1, VARINT)
_TYPE_ALONE = Wanted(_TYPE)

# Numbers of 2.0's metric types, and of the hint that a histogram is a gauge.
_UNSPECIFIED, _COUNTER, _HISTOGRAM_TYPE, _SUMMARY = 0, 1, 3, 5
_RESET_HINT_GAUGE = 3

_TIME_TAG = bytes([_TIME])
_ZERO = bytes(8)  # proto3 leaves a value of zero out
_DOUBLE = struct.Struct("<d")
_STALE = _DOUBLE.pack(STALE_NAN)
_EXPONENT = 0x7FF0000000000000  # all of these bits are set in values that are not finite
_MAX_EXPANSION = 22  # snappy's densest element is a copy of 64 bytes in 3
_KNOWN_TIMES = 1 << 16  # kept for a batch, to bound memory; the samples of a scrape share one


@dataclass(slots=True)
class _Protocol:
    """How a series is written: the differences between 1.0 and 2.0.

    `pairs` reads labels from the keys of `known`: the labels' fields as they were written.
    """

    wanted: Wanted
    histogram: int
    pairs: Callable[[_Key], Iterable[tuple[str, str]]]
    known: dict[object, int] = field(default_factory=dict)


def decode_remote_write(
    records: Sequence[Record], table: SeriesTable, limits: Limits = DEFAULT_LIMITS
) -> Decoded:
    """Read write requests of both versions; a request may hold no samples, such as one with metadata only."""
    batch = _Batch(table, limits)
    for index, record in enumerate(records):
        try:
            version = _version(record.headers)
            batch.read(index, snappy_block(record.value, limits), version)
        except RejectedError as error:
            batch.rejections.add(index, error)
    return batch.decoded()


def snappy_block(block: bytes, limits: Limits) -> bytes:
    """Decompress a snappy block; the size that it declares is checked before memory is allocated for it."""
    check_size(block, limits)
    try:
        size, _ = varint(block, 0)
    except RejectedError as error:
        raise RejectedError("invalid_snappy", "no length at the beginning") from error
    if size > limits.max_record_bytes:
        at_most = f"at most {limits.max_record_bytes} are read (decode.max_record_bytes)"
        raise RejectedError("too_large", f"{size} bytes when decompressed, {at_most}")
    if size > _MAX_EXPANSION * len(block):
        raise RejectedError("invalid_snappy", f"{size} bytes promised by a block of {len(block)}")
    try:
        data = bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        stream = block.startswith(b"\xff\x06\x00\x00sNaPpY")
        raise RejectedError(
            "invalid_snappy", "the stream format, expected a single block" if stream else shown(str(error))
        ) from error
    if len(data) != size:
        raise RejectedError("invalid_snappy", f"{len(data)} bytes, {size} were promised")
    return data


def _version(headers: Iterable[tuple[str, bytes]]) -> int:
    """Tell 1.0 from 2.0. The content type takes precedence over the version, as the specification says."""
    named = {name.lower(): value.decode("latin-1").strip().lower() for name, value in headers}
    encoding = named.get("content-encoding", "snappy")
    if encoding != "snappy":
        raise RejectedError("wrong_encoding", f"{shown(encoding)}, expected snappy")
    _, _, proto = named.get("content-type", "").replace(" ", "").partition("proto=")
    proto = proto.partition(";")[0].strip('"')
    if proto:
        version = {"prometheus.writerequest": 1, "io.prometheus.write.v2.request": 2}.get(proto)
        if version is None:
            raise RejectedError(
                "wrong_schema", f"message {shown(proto)}, expected that of remote write 1.0 or 2.0"
            )
        return version
    version = {"0": 1, "1": 1, "2": 2}.get(
        named.get("x-prometheus-remote-write-version", "1").partition(".")[0]
    )
    if version is None:
        raise RejectedError(
            "wrong_schema",
            f"version {shown(named['x-prometheus-remote-write-version'])}, expected 1.0 or 2.0",
        )
    return version


class _Batch:
    """What has been read of a batch: parallel lists, and all series and times by how they were written."""

    def __init__(self, table: SeriesTable, limits: Limits) -> None:
        self._table = table
        self._limits = limits
        self._numbers: list[int] = []
        self._times_ms: list[int] = []
        self._values: list[bytes] = []  # the eight bytes as sent: only its bits identify the stale marker
        self._known_times: dict[bytes, int] = {}
        self._protocol_1 = _Protocol(_FIELDS_1, _HISTOGRAM_1, _pairs_1)
        self._known_2: dict[
            object, dict[object, int]
        ] = {}  # by symbol table: references mean nothing without theirs
        self._n_histograms = 0
        self.rejections = Rejections()

    def read(self, index: int, data: bytes, version: int) -> None:
        """Read one request."""
        protocol = self._protocol_1 if version == 1 else self._protocol_2(data)
        series_tag = _SERIES_1 if version == 1 else _SERIES_2
        for tag, start, stop in fields(data, 0, len(data), _REQUEST):
            if tag == series_tag:
                self._read_series(index, data, start, stop, protocol)
            elif version == 1 or tag == _SERIES_1:
                raise RejectedError(
                    "wrong_schema", f"a message of version {3 - version}.0, and no header that says so"
                )

    def decoded(self) -> Decoded:
        """Give everything as columns."""
        value = np.frombuffer(b"".join(self._values), "<f8").astype(np.float64)
        exponent = value.view(np.int64) & _EXPONENT
        value[(exponent == _EXPONENT) & ~is_stale(value)] = np.nan
        columns = Columns(np.array(self._numbers, np.int32), np.array(self._times_ms, np.int64), value)
        return Decoded(columns, tuple(self.rejections), self._n_histograms)

    def _protocol_2(self, data: bytes) -> _Protocol:
        """Read the symbols of a request, which may be anywhere in it."""
        bounds = array("Q")  # start and end of each: a million symbols must not be a million objects
        # Where this walk fails, the walk over the series fails too, and reports it.
        with contextlib.suppress(RejectedError):
            for _, start, stop in fields(data, 0, len(data), _SYMBOLS):
                bounds.extend((start, stop))
        table = (bounds[1] - bounds[0], data[bounds[0] : bounds[-1]]) if bounds else None
        return _Protocol(_FIELDS_2, _HISTOGRAM_2, _pairs_2(data, bounds), self._known_2.setdefault(table, {}))

    def _read_series(self, index: int, data: bytes, position: int, stop: int, protocol: _Protocol) -> None:
        """Read one series, or nothing of it."""
        n_before, n_histograms = len(self._numbers), self._n_histograms
        try:
            self._add_series(index, data, position, stop, protocol)
        except (RejectedError, IndexError) as error:  # an index past the end of the request
            del self._numbers[n_before:], self._times_ms[n_before:], self._values[n_before:]
            self._n_histograms = n_histograms
            self.rejections.add(index, error if isinstance(error, RejectedError) else cut_off())

    def _add_series(self, index: int, data: bytes, position: int, stop: int, protocol: _Protocol) -> None:
        """Read one series. This is the hot path, for labels followed by samples, as every sender writes them.

        Labels and times are not parsed: their bytes are the keys of series and times already known. The times
        of a scrape are equal byte for byte.
        """
        n_before = len(self._times_ms)
        labels_end = _end_of_labels(data, position, stop)
        key: _Key = (first_labels := data[position:labels_end])
        position = labels_end
        times_ms, values, known_times = self._times_ms, self._values, self._known_times
        while position < stop and data[position] == _SAMPLE:
            size = data[position + 1]
            position += 2
            if size > 0x7F:
                size, position = varint(data, position - 1)
            end = position + size
            if end > stop:
                raise cut_off()
            if size > 9 and data[position] == _VALUE:
                value, time = data[position + 1 : position + 9], data[position + 9 : end]
            else:
                value, time = _ZERO, data[position:end]
            time_ms = known_times.get(time)
            if time_ms is None:
                time_ms = self._new_time(time)
            if time_ms is None:
                self._add_sample(index, data, position, end)
            else:
                values.append(value)
                times_ms.append(time_ms)
            position = end
        metric_type, histograms = _UNSPECIFIED, list[tuple[int, int]]()
        if position < stop:
            key, metric_type, histograms = self._read_rest(
                index, data, position, stop, first_labels, protocol
            )
        n_samples = len(times_ms) - n_before
        if n_samples:
            number = protocol.known.get(key)
            if number is None:
                number = self._new_series(protocol, key, "", metric_type)
            self._numbers += [number] * n_samples
        for start, end in histograms:
            self._add_histogram(index, data, start, end, key, protocol)

    def _read_rest(
        self, index: int, data: bytes, position: int, stop: int, first_labels: bytes, protocol: _Protocol
    ) -> tuple[_Key, int, list[tuple[int, int]]]:
        """Read what follows the first labels and samples of a series.

        Gives the series' key, its type, and where its histograms start and end.
        """
        metric_type = _UNSPECIFIED
        histograms = []
        more_labels: list[bytes | int] = []
        for tag, start, end in fields(data, position, stop, protocol.wanted):
            if tag == _SAMPLE:
                self._add_sample(index, data, start, end)
            elif tag == protocol.histogram:
                histograms.append((start, end))
            elif tag == _METADATA:
                for _, number, _ in fields(data, start, end, _TYPE_ALONE):
                    metric_type = number
            else:
                more_labels.append(data[start:end] if tag == _LABELS else start)
        return (first_labels, *more_labels) if more_labels else first_labels, metric_type, histograms

    def _new_time(self, time: bytes) -> int | None:
        """Read and cache a time that is the only field; None for anything else, and for a bad time."""
        if time[:1] != _TIME_TAG:
            return None
        time_ms, stop = varint(time, 1)
        if stop != len(time) or not MIN_TIME_MS <= time_ms <= MAX_TIME_MS:
            return None
        if len(self._known_times) < _KNOWN_TIMES:
            self._known_times[time] = time_ms
        return time_ms

    def _add_sample(self, index: int, data: bytes, position: int, end: int) -> None:
        """Add a sample of any shape; one with a bad time is rejected alone."""
        value, time = _ZERO, 0
        for tag, start, stop in fields(data, position, end, _SAMPLE_FIELDS):
            if tag == _VALUE:
                value = data[start:stop]
            else:
                time = start
        time_ms = self._checked_time(index, time)
        if time_ms is not None:
            self._values.append(value)
            self._times_ms.append(time_ms)

    def _add_histogram(
        self, index: int, data: bytes, position: int, end: int, key: _Key, protocol: _Protocol
    ) -> None:
        """Add a native histogram's count and sum. At the end of its series, the sum is the stale marker."""
        count, total, time, hint = _ZERO, _ZERO, 0, 0
        for tag, start, stop in fields(data, position, end, _HISTOGRAM):
            if tag == _COUNT_INT:
                count = _DOUBLE.pack(start)
            elif tag == _COUNT_FLOAT:
                count = data[start:stop]
            elif tag == _SUM:
                total = data[start:stop]
            elif tag == _RESET_HINT:
                hint = start
            else:
                time = start
        time_ms = self._checked_time(index, time)
        if time_ms is None:
            return
        metric_type = _UNSPECIFIED if hint == _RESET_HINT_GAUGE else _HISTOGRAM_TYPE
        self._n_histograms += 1
        for suffix, value in (("_count", _STALE if total == _STALE else count), ("_sum", total)):
            number = protocol.known.get((key, suffix))
            if number is None:
                number = self._new_series(protocol, key, suffix, metric_type)
            self._numbers.append(number)
            self._times_ms.append(time_ms)
            self._values.append(value)

    def _checked_time(self, index: int, time: int) -> int | None:
        try:
            return time_ms_from(as_int64(time), "ms")
        except RejectedError as error:
            self.rejections.add(index, error)
            return None

    def _new_series(self, protocol: _Protocol, key: _Key, suffix: str, metric_type: int) -> int:
        """Read a series' labels, and give it a number that is found by its key from now on."""
        labels = labels_from(protocol.pairs(key), self._limits)
        name = (
            name_from(next((value for label, value in labels if label == _NAME), None), self._limits) + suffix
        )
        others = tuple(pair for pair in labels if pair[0] != _NAME)
        number = self._table.intern(name, others, _kind(name, others, metric_type))
        protocol.known[(key, suffix) if suffix else key] = number
        return number


def _end_of_labels(data: bytes, position: int, stop: int) -> int:
    """Give the position after the labels that a series begins with."""
    while position < stop and data[position] == _LABELS:
        size = data[position + 1]
        position += 2
        if size > 0x7F:
            size, position = varint(data, position - 1)
        position += size
    if position > stop:
        raise cut_off()
    return position


def _kind(name: str, labels: Iterable[tuple[str, str]], metric_type: int) -> Kind | None:
    """Tell the kind from the metric's type if that is sent; otherwise None, and the name's suffix decides.

    A bucket with a bound is always a counter. `_count` and `_sum` are counters in histograms and summaries
    only: without a type they may be anything.
    """
    if metric_type == _UNSPECIFIED:
        return (
            Kind.COUNTER if name.endswith("_bucket") and any(label == "le" for label, _ in labels) else None
        )
    if metric_type in (_HISTOGRAM_TYPE, _SUMMARY):
        return Kind.COUNTER if name.endswith(("_bucket", "_count", "_sum")) else Kind.GAUGE
    return Kind.COUNTER if metric_type == _COUNTER else Kind.GAUGE


def _pairs_1(key: _Key) -> Iterator[tuple[str, str]]:
    """Read the labels of a series of 1.0: messages of a name and a value each."""
    first, *more = (key,) if isinstance(key, bytes) else key
    assert isinstance(first, bytes)
    messages = [first[start:stop] for _, start, stop in fields(first, 0, len(first), _LABELS_ALONE)]
    for message in (*messages, *more):
        assert isinstance(message, bytes)
        name = value = b""
        for tag, start, stop in fields(message, 0, len(message), _LABEL):
            if tag == _LABEL_NAME:
                name = message[start:stop]
            else:
                value = message[start:stop]
        yield text_from(name), text_from(value)


def _pairs_2(data: bytes, bounds: array[int]) -> Callable[[_Key], Iterator[tuple[str, str]]]:
    """Give a reader of the labels of a series of 2.0: references to symbols, names and values in turn."""

    def symbol(reference: int) -> str:
        if 2 * reference >= len(bounds):
            raise RejectedError("wrong_schema", f"a label refers to symbol {reference} of {len(bounds) // 2}")
        return text_from(data[bounds[2 * reference] : bounds[2 * reference + 1]])

    def pairs(key: _Key) -> Iterator[tuple[str, str]]:
        first, *more = (key,) if isinstance(key, bytes) else key
        assert isinstance(first, bytes)
        references: list[int] = []
        for _, start, stop in fields(first, 0, len(first), _LABELS_ALONE):
            references += varints(first, start, stop)
        for part in more:
            references += [part] if isinstance(part, int) else varints(part, 0, len(part))
        if len(references) % 2:
            raise RejectedError(
                "wrong_schema", f"{len(references)} references of labels, expected name and value in turn"
            )
        for name, value in zip(references[::2], references[1::2], strict=True):
            yield symbol(name), symbol(value)

    return pairs
