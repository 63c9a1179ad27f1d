"""What cannot be read goes to its topic as it came; a topic that takes nothing stops nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import confluent_kafka
import pytest

from monitor.decode.influx import decode_influx
from tests.kafka.batches import T0, has, values

ROOT = Path(__file__).parents[2]
PRODUCE = 0  # Kafka's number of the request
REFUSED = {"kafka-python": "TopicAuthorizationFailedError", "confluent": "TOPIC_AUTHORIZATION_FAILED"}
TOO_LARGE = {"kafka-python": "MessageSizeTooLargeError", "confluent": "MSG_SIZE_TOO_LARGE"}


@pytest.fixture
def read_topic(cluster):
    """Read so many records of a topic as another program would."""

    def read(topic, n_records):
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": ",".join(cluster.servers),
                "group.id": "reader",
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
        messages = []
        try:
            while len(messages) < n_records:
                messages += [
                    message
                    for message in consumer.consume(n_records - len(messages), timeout=20)
                    if message.error() is None
                ]
        finally:
            consumer.close()
        return messages

    return read


def dead_letters(batches):
    """Add up what became of dead letters."""
    counts = {}
    for batch in batches:
        for result, count in batch.report.dead_letters.items():
            counts[result] = counts.get(result, 0) + count
    return counts


def counted(n_sent, **results):
    """Be content when so many dead letters had these results; without any, when so many were sent."""
    return lambda batches: all(
        dead_letters(batches).get(result, 0) >= n for result, n in (results or {"sent": n_sent}).items()
    )


def test_a_record_that_cannot_be_read_is_kept_with_its_bytes_key_headers_place_and_reason(
    cluster, open_kafka, until, sample, read_topic
):
    topic, dead = cluster.topic(2), cluster.topic()
    cluster.produce(topic, [sample(T0, 1)], partition=1)
    cluster._producer.produce(
        topic, b"\x00{torn\xff", key=b"web\x001", partition=1, headers=[("trace", b"\x07"), ("n", None)]
    )
    cluster.produce(topic, [sample(T0 + 1, 2), None], partition=1)

    batches = until(
        open_kafka(topic, dead_letter_topic=dead), lambda batches: has(2)(batches) and counted(1)(batches)
    )

    assert values(batches) == [1, 2]
    assert dead_letters(batches) == {"sent": 1}  # there are no bytes to keep of a record without a value
    (dead_letter,) = read_topic(dead, 1)
    assert (dead_letter.value(), dead_letter.key()) == (b"\x00{torn\xff", b"web\x001")
    headers = dead_letter.headers()
    assert headers[:2] == [("trace", b"\x07"), ("n", b"")]
    ours = dict(headers[2:])
    assert ours.pop("barograph.detail")
    assert int(ours.pop("barograph.timestamp")) > T0
    assert ours == {
        "barograph.topic": topic.encode(), "barograph.partition": b"1", "barograph.offset": b"1",
        "barograph.reason": b"invalid_json", "barograph.version": b"0.test",
    }  # fmt: skip


def test_a_record_that_could_be_read_in_part_is_a_dead_letter_as_a_whole(
    cluster, open_kafka, until, read_topic
):
    topic, dead = cluster.topic(), cluster.topic()
    lines = b"cpu,host=a load=1 1700000000000000000\nno line\ncpu,host=b load=2 1700000000000000000"
    cluster.produce(topic, [lines])

    batches = until(open_kafka(topic, dead_letter_topic=dead, decoder=decode_influx), counted(1))

    assert values(batches) == [1, 2]
    assert read_topic(dead, 1)[0].value() == lines


def test_letters_of_what_was_handed_out_are_there_before_the_position_is_kept(
    cluster, open_kafka, until, sample, read_topic, monkeypatch
):
    monkeypatch.setattr(
        "monitor.kafka.source._FLUSH_SECONDS", 30.0
    )  # so that a busy machine is no topic that does not answer
    topic, dead = cluster.topic(), cluster.topic()
    cluster.produce(topic, [*[b"bad %d" % k for k in range(50)], sample(T0, 1)])
    source = open_kafka(topic, dead_letter_topic=dead)
    batches = until(source, has(1))

    source.position()

    assert dead_letters([*batches, source.poll(1.0)]) == {"sent": 50}
    assert [message.value() for message in read_topic(dead, 50)] == [b"bad %d" % k for k in range(50)]


def test_a_topic_that_refuses_letters_stops_nothing(cluster, open_kafka, until, sample, client, caplog):
    topic, dead = cluster.topic(), cluster.topic()
    cluster.produce(topic, [payload for k in range(30) for payload in (b"bad", sample(T0 + k, k))])
    cluster.tell("errors", PRODUCE, *[29] * 200)  # TOPIC_AUTHORIZATION_FAILED: no use in trying again
    source = open_kafka(topic, dead_letter_topic=dead)

    batches = until(source, lambda batches: has(30)(batches) and dead_letters(batches).get("failed", 0) >= 30)

    assert values(batches) == list(range(30))
    assert source.position().partitions[f"{topic}/0"].offset == 60
    assert (
        f"dead letter failed at={topic}[0]@0 reason=invalid_json topic={dead}: {REFUSED[client]}"
        in caplog.text
    )
    assert caplog.text.count("dead letter failed") == 1

    cluster.tell("clear", PRODUCE)  # and once it is allowed again, dead letters are sent again

    def another_is_sent(batches):
        cluster.produce(
            topic, [b"bad"]
        )  # librdkafka may refuse the first by itself: it remembers the topic's error for a while
        return counted(1)(batches)

    until(source, another_is_sent, seconds=60.0)


def test_a_leader_of_the_dead_letter_topic_that_moves_costs_no_letter(
    cluster, open_kafka, until, sample, read_topic
):
    topic, dead = cluster.topic(), cluster.topic()
    cluster.produce(topic, [b"bad", sample(T0, 1)])
    cluster.tell("errors", PRODUCE, 6, 6, 7)  # NOT_LEADER_OR_FOLLOWER, twice, and a time-out

    batches = until(open_kafka(topic, dead_letter_topic=dead), counted(1))

    assert dead_letters(batches) == {"sent": 1}
    assert read_topic(dead, 1)[0].value() == b"bad"


def test_a_letter_larger_than_the_broker_takes_is_counted_and_told(
    cluster, open_kafka, until, sample, client, caplog
):
    topic, dead = cluster.topic(), cluster.topic()
    cluster.produce(topic, [b"bad", sample(T0, 1)])
    cluster.tell("errors", PRODUCE, 10)  # MESSAGE_TOO_LARGE

    batches = until(
        open_kafka(topic, dead_letter_topic=dead),
        lambda batches: has(1)(batches) and counted(0, failed=1)(batches),
    )

    assert values(batches) == [1]
    assert TOO_LARGE[client] in caplog.text


def test_without_a_topic_nothing_is_sent_or_counted(cluster, open_kafka, until, sample):
    topic = cluster.topic()
    cluster.produce(topic, [b"bad", sample(T0, 1)])

    assert dead_letters(until(open_kafka(topic), has(1))) == {}


def test_a_position_is_kept_at_once_while_the_topic_does_not_answer(cluster, open_kafka, until, sample):
    topic, dead = cluster.topic(), cluster.topic()
    source = open_kafka(topic, dead_letter_topic=dead)
    cluster.produce(topic, [b"bad", sample(T0, 1)])
    cluster.tell("errors", PRODUCE, *[7] * 10_000)  # time-outs, without an end
    until(source, has(1))
    source.position()  # waits a second, once

    begun = time.monotonic()
    for _ in range(100):
        source.position()

    assert time.monotonic() - begun < 20
    assert source.position().partitions[f"{topic}/0"].offset == 2


# The command


@pytest.fixture
def listed(cluster, tmp_path):
    """Run `barograph dead-letters` as a person does; give what it printed."""

    def run(dead, *options, servers=None):
        config = tmp_path / "config.toml"
        kafka = {
            "bootstrap_servers": servers or cluster.servers,
            "topics": ["metrics"],
            "api_version": "2.3",
            "dead_letter_topic": dead,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in kafka.items()]
        config.write_text(
            "\n".join(['[source]\nkind = "kafka"', "[source.kafka]", *lines, '[[watch]]\nname = "w"'])
        )
        command = [sys.executable, "-m", "monitor", "dead-letters", "--config", config, *options]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_the_command_counts_by_reason_and_shows_the_newest_without_harm(cluster, open_kafka, until, listed):
    topic, dead = cluster.topic(), cluster.topic(2)
    cluster.produce(topic, [b"{torn", b"clear \x1b[2J the screen", b"\xff\xfe"])
    until(open_kafka(topic, dead_letter_topic=dead), counted(3))
    cluster.produce(dead, [b"somebody else's"])

    ran = listed(dead)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(
        f"4 dead letters\n        3  invalid_json  {topic}\n        1  unknown  {dead}\n"
        f"the newest 4:\n{topic}[0]@0  20"
    )
    assert r"    clear \x1b[2J the screen" in ran.stdout
    assert "    hex fffe (2 bytes)" in ran.stdout
    assert "\x1b" not in ran.stdout

    some = listed(dead, "--reason", "invalid_json", "--limit", "1").stdout
    assert some.startswith("3 dead letters with reason invalid_json")
    assert f"the newest 1:\n{topic}[0]@2" in some


@pytest.mark.parametrize(
    ("dead", "servers", "code", "expected"),
    [
        ("", None, 2, "source.kafka.dead_letter_topic is empty: dead letters are not stored"),
        (
            "not-there",
            None,
            1,
            "there is no topic not-there, which source.kafka.dead_letter_topic names: make it",
        ),
        ("dead", ["127.0.0.1:1"], 1, "127.0.0.1:1: connection refused. Is the broker up"),
    ],
)
def test_the_command_says_what_is_missing(listed, dead, servers, code, expected):
    ran = listed(dead, servers=servers)

    assert (ran.returncode, ran.stdout) == (code, "")
    assert expected in ran.stderr
    assert ran.stderr.count("\n") == 1
