"""What is read of each topic of a cluster of lists, and what is reported of it."""

from __future__ import annotations

from listed_cluster import inspect_lists, line, report_on

from monitor.decode.record import Record


def test_the_last_minute_is_read_where_something_came_in_it():
    seen, reader = inspect_lists({"metrics": [[line(age) for age in range(300, 0, -2)], [line(200)]]})

    (topic,) = seen.topics
    assert (topic.read, topic.is_live, topic.n_records, reader.n_read) == ("last 60 s", True, 151, 30)


def test_more_than_a_minute_is_read_where_samples_are_rare():
    seen, reader = inspect_lists({"metrics": [[line(age) for age in range(600, 0, -10)], [line(300)]]})

    (topic,) = seen.topics
    assert (topic.read, topic.is_live, reader.n_read) == ("last 200 s", True, 6 + 20)
    assert topic.survey.n_samples == 20


def test_no_more_than_a_minute_is_read_where_more_would_be_too_much(monkeypatch):
    monkeypatch.setattr("monitor.discovery.cluster.MAX_SAMPLES", 19)  # in 200 s there are 20
    seen, reader = inspect_lists({"metrics": [[line(age) for age in range(600, 0, -10)]]})

    assert (seen.topics[0].read, reader.n_read) == ("last 60 s", 6)


def test_the_newest_records_are_read_where_nothing_is_that_new():
    seen, reader = inspect_lists({"metrics": [[line(age) for age in range(9000, 4000, -10)]]}, n_newest=20)

    (topic,) = seen.topics
    assert (topic.read, topic.is_live, reader.n_read) == ("newest 20 a partition", False, 20)


def test_the_newest_records_are_read_where_no_series_comes_twice_in_a_minute():
    (topic,) = report_on({"metrics": [[line(age) for age in (130, 70, 10)]]}).topics

    assert topic.read == "all there is"
    assert topic.survey.interval_seconds() == 60.0


def test_no_more_is_read_of_a_busy_minute_than_is_wanted():
    seen, reader = inspect_lists({"metrics": [[line(59 - k / 100) for k in range(5000)]]}, n_newest=100)

    assert (seen.topics[0].read, reader.n_read) == ("last 60 s, newest 100 a partition", 100)


def test_a_topic_is_read_no_further_once_it_has_shown_enough_samples(monkeypatch):
    monkeypatch.setattr("monitor.discovery.cluster.MAX_SAMPLES", 3)
    seen, reader = inspect_lists({"metrics": [[line(age) for age in (40, 30, 20, 10)], [line(5)]]})

    assert (seen.topics[0].read, reader.n_read) == ("last 60 s, cut at 3 samples", 4)


def test_lag_is_what_the_group_has_not_committed():
    records = {"a": [[line(k) for k in range(9, -1, -1)], [line(1)] * 4], "b": [[line(1)] * 3]}

    seen = report_on(records, committed={("a", 0): 7})

    # 3 of the first partition, and all 4 of the second, of which nothing was ever committed
    assert [topic.lag for topic in seen.topics] == [7, None]


def test_a_lag_that_the_broker_does_not_tell_is_not_taken_as_none():
    seen = report_on({"metrics": [[line(1)]]}, committed=None)

    assert (seen.topics[0].lag, seen.knows_lag) == (None, False)


def test_a_topic_that_may_not_be_read_or_is_empty_does_not_hide_the_others():
    seen = report_on({"closed": [[line(1)]], "empty": [[]], "metrics": [[line(1)]]}, refuses=["closed"])

    assert [topic.problem for topic in seen.topics] == [
        "asked where closed begins: this user may not read it",
        "empty",
        "",
    ]
    assert [topic.has_series for topic in seen.topics] == [False, False, True]


def test_what_there_was_no_time_for_is_a_problem_of_its_topic():
    seen = report_on({"a": [[line(1)]], "b": [[line(1)]]}, seconds=[9, 9, 9, 0])

    assert [topic.problem for topic in seen.topics] == ["", "not read: the time was up (--timeout)"]


def test_a_configured_watch_is_shown_with_what_it_would_judge():
    cpu = [line(age, host, "cpu") for age in (20, 10) for host in ("h1", "h2")]
    watches = [{"name": "mine", "metrics": ["cpu_*"]}, {"name": "none", "metrics": ["x"]}]

    seen = report_on({"metrics": [[*cpu, line(5, "h1", "disk")]]}, watches=watches)

    assert [(watch.name, watch.group.n_series, watch.group.entities) for watch in seen.watches] == [
        ("mine", 2, ("h1", "h2")),
        ("none", 0, ()),
    ]


def test_only_topics_with_series_are_judged():
    seen = report_on({"metrics": [[line(20), line(10)]], "noise": [[Record(b"\xff", 1)]], "empty": [[]]})

    assert [survey.topic for survey in seen.surveys] == ["metrics"]
    assert [watch.topics for watch in seen.suggested] == [("metrics",)]
