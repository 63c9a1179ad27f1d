"""The rows and channels of a watch, and how many there may be."""

import numpy as np
import pytest
from derive_rules import rule

from monitor.detection.entities import (
    IGNORED,
    REFUSED,
    EntityTable,
    channels_by_row,
    grid_shape,
    resolution_of,
    resolutions,
)
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
    assert places.column_of.tolist() == [0, 1, 1]


def test_fixed_channels_leave_out_other_series_and_count_them():
    places = located(
        ("load", {"host": "web1"}),
        ("fan_speed", {"host": "web1"}),
        ("fan_speed", {"host": "web9"}),
        channels=("queue_depth", "load"),
    )

    assert taken(places) == [True, False, False]
    assert places.column_of[0] == 1
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
    assert places.column_of.tolist() == [1, 1]


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
        ("cpu_busy_percent", 0.1),
        ("requests_total", 0.1),  # one more in a step of 10 s
        ("network_receive_bytes_total", 6553.6),
        ('cpu_seconds_total{mode="idle"}', 0.001),
        ('queue_depth{unit="bytes"}', 0.1),  # a label's value is no unit
    ],
)
def test_the_smallest_change_that_counts_follows_from_the_unit(channel, expected):
    assert resolution_of(channel, step_seconds=10) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("channel", "expected"),
    [("http.server.requests", 0.1), ("diskio_read_bytes", 6553.6), ("net_bytes_recv", 0.1)],
)
def test_a_counter_is_one_whatever_its_name(channel, expected):
    assert resolution_of(channel, step_seconds=10, is_counter=True) == pytest.approx(expected, rel=1e-12)


def test_a_models_channels_replace_those_that_there_are_and_say_where_each_was():
    entities = located(entities=["web1"], channels=["b", "c", "a"])
    version = entities.version

    order = entities.adopt(["web2", "web1"], ["a", "b", "d"])

    assert order.tolist() == [2, 0, -1]
    assert (entities.entities, entities.channels) == (["web1", "web2"], ["a", "b", "d"])
    assert entities.version > version


def test_after_another_model_each_series_is_located_by_its_name():
    series = [(name, {"host": "web1"}) for name in "cba"]
    entities = located(*series)

    entities.adopt([], ["a", "b"])
    entities.update(table_of(*series))

    assert entities.column_of[1:].tolist() == [1, 0]
    assert (entities.row_of.tolist(), entities.n_ignored) == ([IGNORED, 0, 0], 1)


def history(*channels):
    """Write the history of one entity, each channel as text; shape (T, 1, C)."""
    return np.array([[float(word) for word in text.split()] for text in channels]).T[:, None, :]


MOVES = "0 0 4096 0 0 8192 0 0 4096 0 0 12288 0 0"  # four times away from rest and back


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("dirty", 4096.0),  # a page
        ("dirty_bytes", 65536.0),  # the unit says it
        ("dirty_total", 0.1),  # one event in 10 s
        ("busy_percent", 0.1),
    ],
)
def test_where_the_name_says_no_unit_the_channel_s_own_steps_do(channel, expected):
    found = resolutions([channel], (), history(MOVES), 10.0)

    assert found.tolist() == [[pytest.approx(expected)]]


def test_a_counter_s_own_steps_count_and_never_lower_the_smallest_change():
    values = history(MOVES, "0 0 0.01 0 0 0.02 0 0 0.01 0 0 0.01 0 0")

    # one event in 20 s is 0.05 a second
    assert resolutions(["a", "b"], {"a", "b"}, values, 20.0).tolist() == [[4096.0, 0.05]]
    assert resolutions(["a", "b"], (), values, 20.0).tolist() == [[4096.0, 0.1]]
    assert resolutions(["a"], {"a"}, history("5 5 5 5"), 20.0).tolist() == [[0.05]]


def test_an_entity_s_smallest_change_does_not_depend_on_the_others():
    both = np.concatenate([history(MOVES), history(MOVES.replace("4096", "2"))], axis=1)

    together = resolutions(["dirty"], (), both, 10.0)

    assert together.tolist() == [[4096.0], [2.0]]


def test_a_flag_s_whole_change_is_no_small_step():
    assert resolutions(["up"], (), history(MOVES.replace("4096", "1")), 10.0).tolist() == [[0.1]]


def test_where_each_series_is_an_entity_its_own_name_and_kind_tell_the_smallest_change():
    table = table_of(("memory_used_bytes", {"host": "web1"}), ("latency_seconds", {"host": "web1"}))
    table.intern("jobs", (("host", "web1"),), Kind.DELTA)
    places = EntityTable(metrics=["*"], match={}, by=())
    places.update(table)

    assert places.counters == {'jobs{host="web1"}'}
    found = places.resolutions([1, 0, 2], np.zeros((5, 3, 1)), 10.0)
    assert found.tolist() == [[0.01], [65536.0], [0.1]]
    assert places.resolutions([2], np.zeros((5, 1, 1)), 2.0).tolist() == [[0.5]]


def test_where_entities_have_channels_those_tell_the_smallest_change():
    table = table_of(("latency_seconds", {"host": "web1"}))
    table.intern("jobs", (("host", "web1"),), Kind.COUNTER)
    places = EntityTable(metrics=["*"], match={}, by=("host",))
    places.update(table)

    assert places.resolutions([0], np.zeros((5, 1, 2)), 2.0).tolist() == [[0.01, 0.5]]


def test_counters_of_dropped_entities_are_forgotten():
    table = SeriesTable()
    for name in ("jobs", "mails"):
        table.intern(name, (), Kind.COUNTER)
    places = EntityTable(metrics=["*"], match={}, by=())
    places.update(table)

    places.keep_rows(np.array([1]))

    assert places.counters == {"mails"}


# Series that match


def test_series_match_whether_or_not_there_is_room_and_the_model_knows_their_channel():
    series = [("load", {"host": "web1"}), ("fan", {"host": "web1"}), ("load", {"zone": "a"})]

    assert located(*series).n_matching == 2
    assert located(*series, max_series=1).n_matching == 2
    assert located(*series, channels=("load",)).n_matching == 2
    assert located(*series, by=("rack",)).n_matching == 0


def test_series_that_have_lost_their_numbers_match_no_more():
    places = located(("load", {"host": "web1"}), ("load", {"host": "web2"}))

    places.forget_series(np.array([1], np.int32))

    assert places.n_matching == 1


def test_why_no_series_matches_is_said_with_how_many_were_seen():
    table = table_of(*(("load", {"host": f"web{number}"}) for number in range(45)))
    places = EntityTable(metrics=["*"], match={}, by=("hostname",))

    assert places.explain_no_match(table) == (
        "45 seen, none with label `hostname`; labels seen: host; the nearest is `host`"
    )


def test_forgotten_series_are_not_compared():
    table = table_of(("old", {"host": "web1"}))
    table.forget()  # it was interned since the start: this only ends the turn
    table.intern("new", labels_of({"host": "web1"}))
    table.forget()

    places = EntityTable(metrics=["x"], match={}, by=("host",))

    assert places.explain_no_match(table) == "1 seen, none named x; names seen: new; the nearest is `new`"


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


# Derived channels


def deriving(*rules, **options):
    """Make a table whose channels are derived by some rules."""
    places = EntityTable(metrics=["*"], match={}, by=("host",), **options)
    places.derive(rules)
    return places


SUM = rule(name="requests", of="requests_total", by=("code",))
HALF = rule(name="latency_seconds", kind="quantile", of="latency_seconds_bucket")


def locate(places, *series):
    table = SeriesTable()
    for name, labels in series:
        table.intern(name, labels_of({"host": "web1", **labels}))
    places.update(table)
    return places


def test_series_that_a_channel_is_made_of_lie_beside_the_plain_channels():
    places = locate(
        deriving(SUM),
        ("requests_total", {"code": "200", "pod": "a"}),
        ("cpu", {}),
        ("requests_total", {"code": "200", "pod": "b"}),
    )

    assert places.channels == ['requests{code="200"}', "cpu"]
    assert places.column_of.tolist() == [0, 1, 2]
    assert grid_shape(places) == (1, 3)
    assert channels_by_row(places) == {0: frozenset({0, 1})}
    assert places.counters == {'requests{code="200"}'}
    assert places.is_rate(1, 2).tolist() == [[True, False]]
    assert places.take(np.array([0])).is_rate(1, 2).tolist() == [[True, False]]


def test_room_counts_the_series_that_channels_are_made_of():
    places = deriving(SUM, max_series=2)
    locate(places, *(("requests_total", {"code": "200", "pod": pod}) for pod in "abc"))

    assert places.row_of.tolist() == [0, 0, REFUSED]
    assert places.n_refused == 1


def test_buckets_are_counters_unless_the_user_says_that_they_are_gauges():
    said = deriving(HALF)
    said.set_kinds((), ("latency_*",))
    buckets = [("latency_seconds_bucket", {"le": le}) for le in ("1", "+Inf")]

    assert locate(deriving(HALF), *buckets).kind.tolist() == [Kind.COUNTER] * 2
    assert locate(said, *buckets).kind.tolist() == [Kind.GAUGE] * 2


def test_a_plain_series_of_a_derived_channel_s_name_is_ignored():
    places = locate(deriving(SUM), ("requests", {}), ("requests_total", {"code": "200"}))

    assert (places.n_ignored, places.channels) == (1, ['requests{code="200"}'])


def test_a_model_s_channels_are_fixed_and_parts_of_others_are_ignored():
    places = locate(
        deriving(SUM, channels=['requests{code="200"}']),
        ("requests_total", {"code": "200"}),
        ("requests_total", {"code": "503"}),
    )

    assert places.channels == ['requests{code="200"}']
    assert places.row_of.tolist() == [0, IGNORED]


def test_another_model_brings_its_channels_and_series_keep_their_cells():
    places = locate(deriving(SUM), ("requests_total", {"code": "200"}), ("cpu", {}))
    before = places.column_of.tolist()

    order = places.adopt(["web1"], ["mem", "cpu", 'requests{code="200"}'])
    locate(places, ("requests_total", {"code": "200"}), ("cpu", {}), ("mem", {}))

    assert order.tolist() == [-1, 1, 0]
    assert places.column_of.tolist() == [*before, 2]
    assert places.inputs.column_of == [2, 1, -1]
