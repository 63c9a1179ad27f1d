"""What is printed of a cluster fits its columns and is safe for a terminal."""

from __future__ import annotations

import pytest
from listed_cluster import line, report_on

from monitor.config.kafka import KafkaConfig
from monitor.discovery.report import print_report
from monitor.discovery.suggested_settings import suggestion_of

KAFKA = KafkaConfig(bootstrap_servers=["b:9092"], group_id="g", topics=["m"])


@pytest.fixture
def printed(capsys):
    """Print a report; give its lines."""

    def run(*arguments, **options):
        seen = report_on(*arguments, **options)
        print_report(seen, KAFKA, suggestion_of(seen, {}, {}))
        return [row.rstrip() for row in capsys.readouterr().out.splitlines()]

    return run


def row_of(topic, rows):
    """Give the words of a topic's row."""
    return next(row.split() for row in rows if row.split()[:1] == [topic])


def test_what_is_shown_fits_a_hundred_columns_and_holds_no_terminal_commands(printed):
    evil = "h\x1b[31m" + "x" * 80
    records = {
        "a-topic-with-quite-a-long-name." * 2: [[line(age, "h" * 70) for age in (20, 10)]],
        "evil": [[line(20, evil), line(10, evil)]],
    }

    rows = printed(records, committed={}, watches=[{"name": "mine"}])

    text = "\n".join(rows)
    assert "suggested watches" in text
    assert "your watches" in text
    assert "\x1b" not in text
    assert max(map(len, rows)) <= 100


def test_a_topic_is_a_row_with_its_size_lag_format_and_interval(printed):
    rows = printed(
        {"metrics": [[line(age) for age in (30, 20, 10)]], "idle": [[]]}, committed={("metrics", 0): 1}
    )

    assert rows[0] == "Kafka at b:9092; lag of group g"
    metrics = row_of("metrics", rows)
    idle = row_of("idle", rows)
    assert metrics == ["metrics", "1", "3", "2", "influx", "1", "10", "s", "last", "60", "s"]
    assert idle == ["idle", "1", "0", "-", "empty"]


def test_a_lag_that_is_not_known_is_a_question_mark(printed):
    rows = printed({"metrics": [[line(20), line(10)]]}, committed=None)

    metrics = row_of("metrics", rows)
    assert metrics[3] == "?"


def test_topics_that_are_not_shown_are_counted(printed):
    records = {name: [[line(1)]] for name in ("a", "b", "c", "_internal")}

    assert "not shown: 2 other topics and 1 internal ones (--topic NAME, * and ? as wildcards)" in printed(
        records, "a"
    )
    assert "not shown: another topic and 1 internal ones (--topic NAME, * and ? as wildcards)" in printed(
        records, "a", "b"
    )


def test_without_series_nothing_is_suggested(printed):
    assert printed({"empty": [[]]})[-1] == "nothing to suggest: no series were found"
