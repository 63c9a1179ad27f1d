"""The plain types between the source and a client library."""

from __future__ import annotations

import pytest

from monitor.errors import SourceError
from monitor.kafka.client import (
    ClientError,
    FatalClientError,
    MetadataTooLargeError,
    OutOfRangeError,
    Partition,
    RetriableError,
    RetryOnceError,
    TruncatedError,
    check_readable,
    headers_of,
)


@pytest.mark.parametrize("partition", [Partition("metrics", 3), Partition("a/b", 0)])
def test_a_partition_is_read_back_from_its_name(partition):
    assert Partition.of(partition.name) == partition


def test_a_partition_writes_its_name_and_the_position_of_a_record():
    assert (Partition("m", 3).name, Partition("m", 3).position(17)) == ("m/3", "m[3]@17")


def test_errors_say_how_often_in_a_row_a_client_survives_them():
    assert FatalClientError.max_consecutive == 0
    assert RetryOnceError.max_consecutive == 1
    for transient in (RetriableError, MetadataTooLargeError, OutOfRangeError, TruncatedError):
        assert transient.max_consecutive == 4


@pytest.mark.parametrize(
    ("text", "expected"), [("two\n  lines", "two lines"), ("", "no text"), (" \n", "no text")]
)
def test_the_text_of_an_error_stays_on_its_line(text, expected):
    assert ClientError("Name", text).text == expected


def test_a_header_without_a_value_counts_as_empty():
    assert headers_of([("a", None), ("b", b"7")]) == (("a", b""), ("b", b"7"))
    assert headers_of(None) == headers_of([]) == ()


def test_a_file_that_cannot_be_read_is_named_with_its_key(tmp_path):
    (tmp_path / "ca.pem").touch()
    check_readable(str(tmp_path / "ca.pem"), "ssl_cafile")

    with pytest.raises(SourceError, match=r"source.kafka.ssl_cafile: cannot read .*none.pem: No such file"):
        check_readable(str(tmp_path / "none.pem"), "ssl_cafile")
