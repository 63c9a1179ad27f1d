"""The rows and channels of a watch, and how many there may be."""

import numpy as np
import pytest

from monitor.detection.entities import REFUSED, EntityTable, resolution_of
from monitor.sample import Kind, SeriesTable, labels_of


def table_of(*series):
    """Intern series given as `(name, labels)`."""
    table = SeriesTable()
    for name, labels in series:
        table.intern(name, labels_of(labels))
    return table


def located(*series, match=None, **options):
    """Give a watch's places for some series."""
    places = EntityTable(**{"metrics": ["*"], "match": match or {}, "by": ("host",), **options})
    places.update(table_of(*series))
    return places


def taken(places):
    """Tell which of the series are taken."""
    return (places.row_of >= 0).tolist()


def test_metrics_that_are_ignored_are_left_out_and_not_counted():
    host = {"host": "web1"}

    series = [("cpu_busy_ratio", host), ("cpu_steal_ratio", host), ("load", host)]
    places = located(*series, metrics=("cpu_*",), ignore=("*_steal_*",), channels=("x",))

    assert taken(places) == [False, False, False]
    assert places.n_ignored == 1  # the model does not know cpu_busy_ratio; the others nobody asked for


def test_entities_and_channels_are_numbered_as_they_appear():
    places = located(
        ("load", {"host": "web1"}), ("queue_depth", {"host": "web2"}), ("queue_depth", {"host": "web1"})
    )

    assert places.entities == ["web1", "web2"]
    assert places.channels == ["load", "queue_depth"]
    assert places.row_of.tolist() == [0, 1, 0]
    assert places.channel_of.tolist() == [0, 1, 1]


def test_fixed_channels_leave_out_other_series_and_count_them():
    places = located(
        ("load", {"host": "web1"}),
        ("fan_speed", {"host": "web1"}),
        ("fan_speed", {"host": "web9"}),
        channels=("queue_depth", "load"),
    )

    assert taken(places) == [True, False, False]
    assert places.channel_of[0] == 1
    assert places.channels == ["queue_depth", "load"]
    assert places.n_ignored == 2


def test_whether_channels_are_fixed_may_be_said_where_they_are_known():
    open_table = located(("load", {"host": "web1"}), channels=("queue_depth",), fixed=False)

    assert (open_table.channels, open_table.n_ignored) == (["queue_depth", "load"], 0)


def test_a_series_with_an_unknown_channel_makes_no_entity():
    places = located(("fan_speed", {"host": "web9"}), channels=("load",))

    assert places.entities == []


def test_what_a_watch_never_wanted_is_not_counted_as_ignored():
    places = located(("fan_speed", {"host": "web1"}), metrics=("load",), channels=("load",))

    assert places.n_ignored == 0


def test_entities_and_channels_of_a_model_keep_their_order():
    places = located(
        ("load", {"host": "web1"}),
        ("load", {"host": "web3"}),
        entities=("web2", "web1"),
        channels=("queue_depth", "load"),
    )

    assert places.entities == ["web2", "web1", "web3"]
    assert places.row_of.tolist() == [1, 2]
    assert places.channel_of.tolist() == [1, 1]


def test_once_channels_are_fixed_new_entities_come_but_no_new_channels():
    table = table_of(("load", {"host": "web1"}))
    places = EntityTable(metrics=["*"], match={}, by=("host",))
    places.update(table)
    places.fix_channels()
    table.intern("load", labels_of({"host": "web2"}))
    table.intern("queue_depth", labels_of({"host": "web2"}))

    places.update(table)

    assert places.entities == ["web1", "web2"]
    assert places.channels == ["load"]
    assert places.n_ignored == 1


def test_looking_again_places_only_what_is_new():
    table = table_of(("load", {"host": "web1"}), ("fan_speed", {"host": "web1"}))
    places = EntityTable(metrics=["*"], match={}, by=("host",), channels=("load",))
    for _ in range(3):
        places.update(table)

    assert places.n_ignored == 1
    assert taken(places) == [True, False]


def test_a_series_that_would_need_more_places_than_there_may_be_is_refused_and_those_placed_stay():
    table = table_of(*(("load", {"host": f"web{number}"}) for number in range(4)))
    # A second channel: three entities would need six cells.
    table.intern("queue_depth", labels_of({"host": "web0"}))
    places = EntityTable(metrics=["load", "queue_*"], match={}, by=("host",), max_series=3)
    places.update(table)
    table.intern("memory", labels_of({"host": "web9"}))  # of no concern to the watch
    places.update(table)

    assert (places.entities, places.channels) == (["web0", "web1", "web2"], ["load"])
    assert taken(places) == [True, True, True, False, False, False]
    assert (places.n_refused, str(places.last_refused)) == (2, 'queue_depth{host="web0"}')
    assert places.refused(np.array([0, 3, 4, 4, 5], np.int32)) == 3


def test_a_model_may_know_more_than_there_is_room_for():
    table = table_of(("load", {"host": "web2"}), ("load", {"host": "web9"}))
    places = EntityTable(
        metrics=["*"], match={}, by=("host",), entities=("web1", "web2"), channels=("load",), max_series=1
    )
    places.update(table)

    assert places.row_of.tolist() == [1, REFUSED]


def test_samples_are_selected_by_the_number_of_their_series():
    places = located(("load", {"host": "web1"}), ("fan_speed", {"host": "web1"}), metrics=("load",))

    assert places.select(np.array([1, 0, 0, 1], np.int32)).tolist() == [False, True, True, False]


def test_the_kind_of_a_series_is_kept():
    places = located(("requests_total", {"host": "web1"}), ("load", {"host": "web1"}))

    assert places.kind.tolist() == [Kind.COUNTER, Kind.GAUGE]


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("memory_used_bytes", 65536.0),
        ("latency_seconds", 0.01),
        ("cpu_busy_ratio", 0.01),
        ("queue_depth", 0.1),
        ("requests_total", 0.1),  # one more in a step of 10 s
        ("network_receive_bytes_total", 6553.6),
        ('cpu_seconds_total{mode="idle"}', 0.001),
        ('queue_depth{unit="bytes"}', 0.1),  # a label's value is no unit
    ],
)
def test_the_smallest_change_that_counts_follows_from_the_unit(channel, expected):
    assert resolution_of(channel, step_seconds=10) == pytest.approx(expected, rel=1e-12)


def test_where_each_series_is_an_entity_its_own_name_tells_the_smallest_change():
    places = located(("memory_used_bytes", {"host": "web1"}), ("latency_seconds", {"host": "web1"}), by=())

    assert places.series_resolution([1, 0], 10.0).tolist() == [[0.01], [65536.0]]


def test_where_entities_have_channels_the_series_say_nothing_of_the_smallest_change():
    assert located(("latency_seconds", {"host": "web1"})).series_resolution([0], 10.0) is None


def test_cells_of_counters_hold_rates_also_in_a_table_of_some_entities():
    places = located(
        ("load", {"host": "a"}), ("sent_total", {"host": "a"}), ("sent_total", {"host": "b"}),
        ("load", {"host": "c"}),
    )  # fmt: skip

    some = places.take(np.array([2, 1]))

    assert places.is_rate(3, 2).tolist() == [[False, True], [False, True], [False, False]]
    assert places.is_rate(1, 1).tolist() == [[False]]
    assert (some.entities, some.channels) == (["c", "b"], ["load", "sent_total"])
    assert some.is_rate(2, 2).tolist() == [[False, False], [False, True]]
