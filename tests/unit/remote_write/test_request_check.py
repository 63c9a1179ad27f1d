from __future__ import annotations

import re

import cramjam
import pytest
import zstandard
from protobuf_writer import histogram, request_2, sample, series_1, snappy
from write_requests import HEADERS_1, HEADERS_2, TIME_MS, message_1, message_2

from monitor.decode.record import DEFAULT_LIMITS, Limits
from monitor.decode.remote_write import decode_remote_write
from monitor.remote_write.request_check import RefusedError, RequestForm, check_body, form_of, record_of
from monitor.sample import SeriesTable

IN_ZSTD = zstandard.ZstdCompressor().compress(message_1([1.0] * 50))
V1, V2 = RequestForm(1, "snappy"), RequestForm(2, "snappy")


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        (HEADERS_1, V1),
        (HEADERS_2, V2),
        ({"Content-Type": "application/x-protobuf"}, V1),
        ({"Content-Type": "application/x-protobuf; proto=prometheus.WriteRequest"}, V1),
        ({"Content-Type": 'Application/X-Protobuf;charset=x;proto="io.prometheus.write.v2.Request"'}, V2),
        ({"Content-Type": "application/x-protobuf", "Content-Encoding": "ZSTD"}, RequestForm(1, "zstd")),
        # The content type decides, whatever the version says.
        ({**HEADERS_1, "X-Prometheus-Remote-Write-Version": "2.0.0"}, V1),
    ],
)
def test_the_headers_say_how_a_body_is_written(headers, form):
    assert form_of(lower(headers)) == form


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({}, "Content-Type is ''"),
        ({"Content-Type": "application/json"}, "Content-Type is 'application/json'"),
        ({"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"}, "v3"),
        ({**HEADERS_1, "Content-Encoding": "gzip"}, "Content-Encoding is 'gzip', expected snappy or zstd"),
        ({"Content-Type": "text/\x1b[31m" + "x" * 1000}, r"text/\\x1b"),
    ],
)
def test_what_cannot_be_read_is_an_unsupported_type_and_named(headers, named):
    with pytest.raises(RefusedError, match=re.escape(named)) as caught:
        form_of(lower(headers))

    assert caught.value.status == 415
    assert len(caught.value.text) < 400


@pytest.mark.parametrize(("form", "message"), [(V1, message_1), (V2, message_2)])
def test_what_is_logged_decodes_to_what_was_sent(form, message):
    checked = check_body(snappy(message([1.5, 2.5])), form, DEFAULT_LIMITS)

    assert (checked.n_samples, checked.n_histograms, checked.rejected) == (2, 0, {})
    assert (checked.logged.version, checked.logged.n_samples) == (form.version, 2)
    table, other = SeriesTable(), SeriesTable()
    from_log = decode_remote_write([record_of(checked.logged)], table).columns
    at_once = checked.decoded.numbered(other)
    for columns in (from_log, at_once):
        assert columns.value.tolist() == [1.5, 2.5]
        assert columns.time_ms.tolist() == [TIME_MS, TIME_MS + 1000]
        assert columns.series.tolist() == [0, 0]
    assert table[0] == other[0]


def test_a_body_in_zstd_is_logged_as_snappy():
    body = zstandard.ZstdCompressor().compress(message_1([1.0, 2.0]))

    checked = check_body(body, RequestForm(1, "zstd"), DEFAULT_LIMITS)

    assert checked.n_samples == 2
    assert bytes(cramjam.snappy.decompress_raw(checked.logged.body)) == message_1([1.0, 2.0])


def test_a_frame_of_zstd_that_does_not_say_its_size_is_read_up_to_the_limit():
    compressor = zstandard.ZstdCompressor(write_content_size=False)
    body = compressor.compress(message_1([1.0] * 100))

    assert check_body(body, RequestForm(1, "zstd"), DEFAULT_LIMITS).n_samples == 100
    small = check_body(body, RequestForm(1, "zstd"), Limits(max_record_bytes=500))
    assert (small.logged, small.rejected) == (None, {"invalid_zstd": 1})


def test_samples_and_native_histograms_are_counted_apart_and_precisely():
    hist = histogram(3, TIME_MS, count=3, total=4.0)
    body = snappy(
        request_2(
            ({"__name__": "load"}, [sample(1.0, TIME_MS), sample(2.0, TIME_MS + 1)], 2),
            ({"__name__": "seconds"}, [hist], 3),
        )
    )

    checked = check_body(body, V2, DEFAULT_LIMITS)

    assert (checked.n_samples, checked.n_histograms) == (2, 1)


def test_what_is_good_of_a_partly_bad_request_is_kept_and_the_rest_is_counted_with_its_reason():
    good = series_1({"__name__": "load"}, sample(1.0, TIME_MS))
    nameless = series_1({"job": "x"}, sample(1.0, TIME_MS))

    checked = check_body(snappy(good + nameless + nameless), V1, DEFAULT_LIMITS)

    assert checked.n_samples == 1
    assert checked.logged is not None
    assert sum(checked.rejected.values()) == 2
    assert checked.details


@pytest.mark.parametrize(
    ("body", "form", "reason"),
    [
        (b"", V1, "invalid_snappy"),
        (b"\xff" * 50, V1, "invalid_snappy"),
        (snappy(b"\xff" * 50), V1, "invalid_protobuf"),
        (snappy(message_2([1.0])), V1, "wrong_schema"),
        (snappy(message_1([1.0])), V2, "wrong_schema"),
        (b"no zstd", RequestForm(1, "zstd"), "invalid_zstd"),
        (
            zstandard.ZstdCompressor().compress(message_1([1.0] * 50))[:-9],
            RequestForm(1, "zstd"),
            "invalid_zstd",
        ),
    ],
)
def test_nothing_of_an_unreadable_body_is_logged(body, form, reason):
    checked = check_body(body, form, DEFAULT_LIMITS)

    assert checked.logged is None
    assert list(checked.rejected) == [reason]


def test_a_request_without_samples_is_good_and_needs_no_log():
    checked = check_body(snappy(b""), V1, DEFAULT_LIMITS)

    assert (checked.logged, checked.rejected) == (None, {})


@pytest.mark.parametrize("encoding", ["snappy", "zstd"])
def test_what_grows_too_large_is_refused_before_it_takes_memory(encoding):
    message = message_1([0.0] * 1000)
    body = snappy(message) if encoding == "snappy" else zstandard.ZstdCompressor().compress(message)

    with pytest.raises(RefusedError, match=r"decode\.max_record_bytes") as caught:
        check_body(body, RequestForm(1, encoding), Limits(max_record_bytes=2000))

    assert caught.value.status == 413
