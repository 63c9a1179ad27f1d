"""Hostile payloads over all decoders: they raise nothing, only reject, and no payload costs much.

BAROGRAPH_FUZZ_PAYLOADS sets how many (20 000 in CI, a million by `make fuzz`), BAROGRAPH_FUZZ_SEED the seed.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
import tracemalloc

import numpy as np
import pytest
from hostile import FORMATS, MS, damaged, nasty, noise
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from protobuf_writer import BYTES, FIXED32, FIXED64, VARINT, field, snappy, varint

from monitor.decode.formats import FORMATS as NAMES
from monitor.decode.record import MAX_TIME_MS, MIN_TIME_MS, Record
from monitor.sample import SeriesTable, is_stale

N_PAYLOADS = int(os.environ.get("BAROGRAPH_FUZZ_PAYLOADS", "20000"))
SEED = int(os.environ.get("BAROGRAPH_FUZZ_SEED", "0"))

REASONS = {
    "bad_label",
    "bad_time",
    "duplicate_label",
    "invalid_json",
    "invalid_line",
    "invalid_protobuf",
    "invalid_snappy",
    "invalid_utf8",
    "label_too_long",
    "too_deep",
    "too_large",
    "wrong_encoding",
    "wrong_schema",
}
# CPU time that a payload may take: the slowest known takes 3e-6 s a byte, and machines differ.
BASE_SECONDS, SECONDS_PER_BYTE = 1.0, 1e-5
# Memory: objects of a new series and its labels are about 50 times their bytes in a payload, at worst.
BASE_BYTES, BYTES_PER_BYTE = 32 << 20, 100
MAX_GROWTH_BYTES = 256 << 20  # of the process over all payloads
PAYLOADS_PER_TABLE = 1000  # series are never forgotten: a table is thrown away before they are what grows

every_format = pytest.mark.parametrize("name", FORMATS)


class Judge:
    """Decodes payloads, and checks all that a decoder promises."""

    def __init__(self) -> None:
        self.slowest = (0.0, "", b"")
        self._n_left = 0

    def decode(self, name, payload, n_bytes=None):
        """Decode a payload; `n_bytes` is what it grows to when it is decompressed."""
        if not self._n_left:
            self._table, self._n_left = SeriesTable(), PAYLOADS_PER_TABLE
        self._n_left -= 1
        form = FORMATS[name]
        started = time.process_time()
        try:
            decoded = form.decode([Record(payload, MS, form.headers)], self._table)
        except BaseException as error:  # also a panic of a library in another language
            raise AssertionError(f"{name}: {type(error).__name__} escaped from {payload[:2000]!r}") from error
        seconds = time.process_time() - started
        if seconds > self.slowest[0]:
            self.slowest = (seconds, name, payload)
        allowed = BASE_SECONDS + SECONDS_PER_BYTE * (n_bytes or len(payload))
        assert seconds < allowed, f"{name}: {seconds} s for {payload[:2000]!r}"
        self._check(decoded, len(self._table), f"{name}: {payload[:2000]!r}")
        return decoded

    @staticmethod
    def _check(decoded, n_series, what):
        columns = decoded.columns
        assert columns.series.shape == columns.time_ms.shape == columns.value.shape == (len(columns),), what
        assert (columns.series.dtype, columns.time_ms.dtype, columns.value.dtype) == (
            np.int32,
            np.int64,
            np.float64,
        ), what
        if len(columns):
            assert 0 <= columns.series.min() <= columns.series.max() < n_series, what
            assert MIN_TIME_MS <= columns.time_ms.min() <= columns.time_ms.max() <= MAX_TIME_MS, what
            assert not np.isinf(columns.value[~is_stale(columns.value)]).any(), what
        reasons = [rejection.reason for rejection in decoded.rejections]
        assert len(set(reasons)) == len(reasons), what
        for rejection in decoded.rejections:
            assert rejection.index == 0, what
            assert rejection.reason in REASONS, f"{rejection} {what}"
            assert rejection.n_parts > 0, what
            assert len(rejection.detail) < 400, what


def peak_rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def report(capsys, what, judge, n_payloads):
    """Write the result of a long run."""
    if N_PAYLOADS > 20_000:
        seconds, name, payload = judge.slowest
        with capsys.disabled():
            slowest = f"slowest {seconds * 1000:.1f} ms for {len(payload)} bytes of {name}"
            sys.stderr.write(f"\n{what}: {n_payloads} payloads, {slowest}\n")


def test_every_format_is_here():
    assert {*NAMES, "mapped"} == set(FORMATS) - {"remote_write_2"}


@every_format
def test_the_seeds_are_well_formed(name):
    form = FORMATS[name]

    decoded = form.decode([Record(payload, MS, form.headers) for payload in form.seeds], SeriesTable())

    assert decoded.rejections == ()
    assert len(decoded.columns) > 0


@every_format
def test_damaged_payloads_are_decoded_or_rejected(name, capsys):
    rng = random.Random(f"{SEED} {name}")
    judge, before = Judge(), peak_rss()
    n_payloads = N_PAYLOADS // len(FORMATS)
    n_clean = 0

    for _ in range(n_payloads):
        n_clean += not judge.decode(name, damaged(FORMATS[name], rng)).rejections

    assert (
        0.01 * n_payloads < n_clean < 0.9 * n_payloads
    )  # or the damage is too great, or too small, to find anything
    assert peak_rss() - before < MAX_GROWTH_BYTES
    report(capsys, name, judge, n_payloads)


def test_noise_is_decoded_or_rejected_by_all(capsys):
    rng = random.Random(f"{SEED} noise")
    judge, before = Judge(), peak_rss()

    for _ in range(N_PAYLOADS // 10):
        payload = noise(rng)
        for name in FORMATS:
            judge.decode(name, payload)
        judge.decode("remote_write", snappy(payload))

    assert peak_rss() - before < MAX_GROWTH_BYTES
    report(capsys, "noise, by each", judge, N_PAYLOADS // 10)


@every_format
def test_payloads_that_are_wrong_on_purpose_cost_no_more_than_others(name, capsys):
    judge = Judge()
    payloads = nasty(name)

    for payload in payloads:
        n_bytes = max(len(payload), 1 << 20)  # to what compressed ones may grow
        before = peak_rss()
        judge.decode(name, payload, n_bytes)
        assert peak_rss() - before < BASE_BYTES + BYTES_PER_BYTE * n_bytes, payload[:200]

    report(capsys, f"{name}, wrong on purpose", judge, len(payloads))


@pytest.mark.parametrize("size", [1 << 24, 1 << 30, 1 << 31, (1 << 32) - 1])
def test_a_promise_of_gigabytes_allocates_nothing(size):
    payload = varint(size) + snappy(b"x" * 100)[1:]
    tracemalloc.start()
    before = peak_rss()
    Judge().decode("remote_write", payload)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1 << 20
    assert peak_rss() - before < 8 << 20


# By structure: payloads that are nearly right, in ways that damage at random will not find.

N_EXAMPLES = max(50, N_PAYLOADS // 100)
by_structure = settings(
    max_examples=N_EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)

TEXTS = [
    "NaN",
    "1e999",
    "-1",
    "9" * 30,
    "2023-11-14T22:13:20Z",
    "9999-12-31T23:59:59Z",
    "0000-00-00T00:00:00Z",
    "\x00",
    "le",
    "host",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(TEXTS)
)
KEYS = [
    "labels",
    "metrics",
    "name",
    "time",
    "value",
    "fields",
    "tags",
    "values",
    "key",
    "le",
    "__name__",
    "dataPoints",
    "attributes",
]
JSON = st.recursive(
    SCALARS,
    lambda inside: (
        st.lists(inside, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inside, max_size=6)
    ),
    max_leaves=15,
)


def like(payload):
    """Give JSON as a seed has it, with parts of it left out or exchanged."""

    def nearly(value):
        if isinstance(value, dict):
            return (
                st.fixed_dictionaries({}, optional={key: nearly(item) for key, item in value.items()}) | JSON
            )
        if isinstance(value, list) and value:
            return st.lists(st.one_of(*map(nearly, value)), max_size=4) | JSON
        return st.just(value) | SCALARS

    return nearly(json.loads(payload))


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].seeds[0][:1] in (b"{", b"[")])
def test_json_that_is_nearly_right_is_decoded_or_rejected(name):
    judge = Judge()

    @seed(SEED)
    @by_structure
    @given(message=st.one_of(*map(like, FORMATS[name].seeds)))
    def check(message):
        judge.decode(name, json.dumps(message).encode())

    check()


WORDS = [
    "cpu",
    "host",
    "=",
    ",",
    " ",
    "\n",
    "\r\n",
    "\\",
    '"',
    "1",
    "-1.5e3",
    "7i",
    "8u",
    "t",
    "false",
    "NaN",
    "é",
    ".",
    "9" * 30,
    str(MS),
]


@pytest.mark.parametrize("name", ["influx", "graphite"])
def test_lines_that_are_nearly_right_are_decoded_or_rejected(name):
    judge = Judge()

    @seed(SEED)
    @by_structure
    @given(words=st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=30))
    def check(words):
        judge.decode(name, "".join(words).encode())

    check()


NUMBERS = st.integers(0, 20) | st.sampled_from([MS, MS * 10**6, (1 << 63) - 1, (1 << 64) - 1])


def messages(inside):
    number = st.integers(1, 16)
    parts = (
        st.builds(field, number, st.just(VARINT), NUMBERS)
        | st.builds(field, number, st.just(FIXED64), st.binary(min_size=8, max_size=8))
        | st.builds(field, number, st.just(FIXED32), st.binary(min_size=4, max_size=4))
        | st.builds(field, number, st.just(BYTES), inside)
    )
    return st.lists(parts, max_size=5).map(b"".join)


MESSAGES = st.recursive(
    st.binary(max_size=6) | st.sampled_from([b"__name__", b"le", b"m"]), messages, max_leaves=20
)


@pytest.mark.parametrize("name", ["remote_write", "remote_write_2", "otlp_proto"])
def test_messages_of_any_fields_are_decoded_or_rejected(name):
    judge = Judge()

    @seed(SEED)
    @by_structure
    @given(data=messages(MESSAGES))
    def check(data):
        judge.decode(name, snappy(data) if FORMATS[name].is_compressed else data)

    check()
