"""Which series a watch takes, and what their entities and channels are called."""

from monitor.detection.selector import SeriesSelector
from monitor.sample import Kind, Series, labels_of


def selected(name, labels, *, metrics=("*",), match=None, by=("host",), ignore=()):
    """Give the entity and channel of a series, or None."""
    selector = SeriesSelector(metrics=metrics, match=match or {}, by=by, ignore=ignore)
    return selector.select(Series(name, labels_of(labels), Kind.GAUGE))


def test_a_star_stands_for_any_part_of_a_name_and_a_question_mark_for_one_character():
    metrics = ("cpu_*", "load?", "queue_depth")
    names = ("cpu_busy_ratio", "cpu", "load1", "load15", "queue_depth", "CPU_busy_ratio")

    taken = [name for name in names if selected(name, {"host": "web1"}, metrics=metrics)]

    assert taken == ["cpu_busy_ratio", "load1", "queue_depth"]


def test_what_is_ignored_is_left_out_of_what_is_taken():
    assert selected("cpu_steal_ratio", {"host": "web1"}, metrics=("cpu_*",), ignore=("*_steal_*",)) is None
    assert selected("cpu_busy_ratio", {"host": "web1"}, metrics=("cpu_*",), ignore=("*_steal_*",)) is not None


def test_a_label_must_match_its_pattern():
    match = {"env": "prod-*"}

    assert selected("load", {"host": "web1", "env": "prod-north"}, match=match) == (
        "web1",
        'load{env="prod-north"}',
    )
    assert selected("load", {"host": "web2", "env": "test"}, match=match) is None
    assert selected("load", {"host": "web3"}, match=match) is None


def test_the_watch_says_what_a_metric_is_where_its_format_is_wrong():
    selector = SeriesSelector(metrics=("*",), match={}, by=("host",), ignore=())
    selector.set_kinds(counters=("jobs_*", "sent"), gauges=("jobs_waiting", "pool_total"))
    kinds = {
        name: selector.kind_of(Series(name, labels_of({"host": "web1"}), of_format))
        for name, of_format in (
            ("jobs_done", Kind.GAUGE),
            ("jobs_waiting", Kind.COUNTER),
            ("pool_total", Kind.COUNTER),
            ("hits_total", Kind.COUNTER),
            ("load", Kind.GAUGE),
            ("sent", Kind.DELTA),
        )
    }

    assert kinds == {
        "jobs_done": Kind.COUNTER,
        "jobs_waiting": Kind.GAUGE,  # it matches both
        "pool_total": Kind.GAUGE,
        "hits_total": Kind.COUNTER,
        "load": Kind.GAUGE,
        "sent": Kind.COUNTER,
    }


def test_an_absent_label_matches_the_empty_pattern():
    assert selected("load", {"host": "web1", "env": "prod"}, match={"env": ""}) is None
    assert selected("load", {"host": "web2"}, match={"env": ""}) == ("web2", "load")


def test_an_entity_by_several_labels_is_called_by_all_in_the_order_of_the_setting():
    assert selected("load", {"host": "web1", "pod": "a"}, by=("pod", "host")) == ("pod=a,host=web1", "load")


def test_entities_differ_whatever_their_labels_values_contain():
    by = ("a", "b")
    names = {
        selected("load", labels, by=by)[0]
        for labels in (
            {"a": "1,b=2", "b": "3"},
            {"a": "1", "b": "2,b=3"},
            {"a": "1\\", "b": "2"},
            {"a": "1", "b": "2"},
        )
    }

    assert len(names) == 4


def test_by_series_each_series_is_its_own_entity_with_one_channel():
    assert selected("load", {"host": "web1"}, by=()) == ('load{host="web1"}', "value")


def test_a_series_without_one_of_the_labels_belongs_to_no_entity():
    assert selected("load", {"host": "web1"}, by=("host", "pod")) is None
    assert selected("load", {"host": "web1", "pod": "a"}, by=("host", "pod")) == ("host=web1,pod=a", "load")


def test_labels_that_make_no_entity_are_part_of_the_channels_name():
    labels = {"host": "web1", "mode": "user", "core": "0"}

    assert selected("cpu_seconds_total", labels) == ("web1", 'cpu_seconds_total{core="0",mode="user"}')
