"""Records, and what decoding them gives."""

import pytest

from monitor.decode.record import Decoded, Record, RejectedError, Rejection
from monitor.sample import no_samples


def test_a_record_without_a_timestamp_or_headers_says_so():
    assert Record(b"x") == (b"x", -1, ())


def test_rejections_are_counted_by_reason_with_all_their_parts():
    rejections = (
        Rejection(0, "bad_time", n_parts=3),
        Rejection(0, "bad_label"),
        Rejection(2, "bad_time", "noon, expected a number"),
    )

    assert Decoded(no_samples(), rejections).rejected == {"bad_time": 4, "bad_label": 1}


def test_a_rejected_record_says_why():
    with pytest.raises(RejectedError) as caught:
        raise RejectedError("bad_time", "noon, expected a number")

    assert (caught.value.reason, caught.value.detail) == ("bad_time", "noon, expected a number")
