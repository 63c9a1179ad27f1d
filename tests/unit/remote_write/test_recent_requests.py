from __future__ import annotations

import numpy as np

from monitor.remote_write.recent_requests import DecodedRequest, RecentRequests
from monitor.sample import UNKNOWN, Columns, Kind, Series, SeriesTable


def decoded(n_samples=1):
    columns = Columns(
        np.zeros(n_samples, np.int32), np.arange(n_samples, dtype=np.int64), np.arange(n_samples, dtype=float)
    )
    return DecodedRequest(columns, (Series("load", (("host", "a"),), Kind.COUNTER),))


def test_a_request_is_taken_once_and_by_its_own_offset():
    recent = RecentRequests(100)
    first, second = decoded(), decoded()
    recent.add(10, first)
    recent.add(20, second)

    assert recent.take(10) is first
    assert recent.take(10) is None
    assert recent.take(15) is None
    assert recent.take(20) is second


def test_what_the_reader_has_passed_is_dropped():
    """It was read from the log before it was added here."""
    recent = RecentRequests(2)
    recent.add(10, decoded(2))
    newest = decoded(2)
    assert recent.take(30) is None
    recent.add(40, newest)

    assert recent.take(40) is newest


def test_while_too_many_samples_wait_nothing_is_added():
    recent = RecentRequests(3)
    first = decoded(3)
    recent.add(10, first)
    recent.add(20, decoded(1))

    assert recent.take(10) is first
    assert recent.take(20) is None


def test_samples_get_the_numbers_of_the_daemons_table():
    table = SeriesTable()
    table.intern("other", ())

    columns = decoded(2).numbered(table)

    assert columns.series.tolist() == [1, 1]
    assert columns.series.dtype == np.int32
    assert table[1] == Series("load", (("host", "a"),), Kind.COUNTER)


def test_a_series_for_which_the_table_has_no_room_is_unknown():
    assert decoded().numbered(SeriesTable(0)).series.tolist() == [UNKNOWN]
