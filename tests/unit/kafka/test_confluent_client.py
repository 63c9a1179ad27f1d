"""librdkafka's settings, and the reactions to its errors. What it does over the wire: `tests/kafka`."""

from __future__ import annotations

import time
from concurrent.futures import Future
from types import SimpleNamespace
from uuid import UUID

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection, Uuid

from monitor.config.kafka import KafkaConfig
from monitor.errors import SourceError
from monitor.kafka import confluent_client, kafka_python_client
from monitor.kafka.client import (
    FatalClientError,
    FencedError,
    MetadataTooLargeError,
    Partition,
    RebalanceEvent,
    RetriableError,
    RetryOnceError,
    UnreadableError,
)


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    return file


def test_nothing_is_reset_or_committed_by_the_library():
    options = confluent_client.consumer_options(KafkaConfig(topics=["any"]))

    assert options["auto.offset.reset"] == "error"
    assert not options["enable.auto.commit"]
    assert not options["enable.auto.offset.store"]


def test_a_login_over_tls_reaches_the_library(tmp_path):
    authority = tmp_path / "ca.pem"
    authority.touch()
    config = KafkaConfig(
        topics=["any"], security_protocol="SASL_SSL", ssl_cafile=str(authority), ssl_check_hostname=False,
        sasl_mechanism="SCRAM-SHA-256", sasl_username="alice", sasl_password="secret",
    )  # fmt: skip

    options = confluent_client.consumer_options(config)

    assert {key: value for key, value in options.items() if key.startswith(("security", "ssl", "sasl"))} == {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(authority),
        "ssl.endpoint.identification.algorithm": "none",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "alice",
        "sasl.password": "secret",
    }


def test_a_token_is_read_again_each_time(token_file):
    config = KafkaConfig(
        topics=["any"],
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        sasl_token_file=str(token_file),
    )
    read_token = confluent_client.consumer_options(config)["oauth_cb"]

    assert read_token("")[0] == "first"
    token_file.write_text("second\n")
    expires_at = time.time() + 60
    assert read_token("") == ("second", pytest.approx(expires_at, abs=10))


def test_a_file_that_is_missing_ends_the_start(tmp_path):
    config = KafkaConfig(topics=["any"], security_protocol="SSL", ssl_keyfile=str(tmp_path / "none.pem"))

    with pytest.raises(SourceError, match=r"source.kafka.ssl_keyfile: cannot read"):
        confluent_client.check(config)


def test_a_setting_that_the_library_refuses_ends_the_start_with_its_message():
    with pytest.raises(SourceError, match=r"source.kafka: .*no\.such\.option"):
        confluent_client.ConfluentClient(
            {"group.id": "g", "no.such.option": 1},
            ["any"],
            max_records=10,
            topic_ids=confluent_client._TopicIds({}),
        )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError.FENCED_INSTANCE_ID, FencedError),
        (KafkaError._FATAL, FencedError),
        (KafkaError.OFFSET_METADATA_TOO_LARGE, MetadataTooLargeError),
        (KafkaError.INVALID_REQUEST, RetryOnceError),
        (KafkaError._TRANSPORT, RetriableError),
        (KafkaError.REBALANCE_IN_PROGRESS, RetriableError),
        (KafkaError._BAD_COMPRESSION, FatalClientError),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, FatalClientError),
    ],
)
def test_an_error_is_of_the_class_of_its_reaction(code, expected):
    with pytest.raises(expected) as caught, confluent_client._neutral():
        raise KafkaException(KafkaError(code, "why"))

    assert type(caught.value) is expected
    assert (caught.value.name, caught.value.text) == (KafkaError(code).name(), "why")


def test_any_other_exception_is_fatal_to_the_client():
    with pytest.raises(FatalClientError, match="ValueError"), confluent_client._neutral():
        raise ValueError("not a batch")


class Consumer:
    """Notes what is assigned and unassigned."""

    def __init__(self):
        self.calls = []

    def incremental_assign(self, partitions):
        self.calls.append(("assign", [(one.topic, one.partition) for one in partitions]))

    def incremental_unassign(self, partitions):
        self.calls.append(("unassign", sorted((one.topic, one.partition) for one in partitions)))


def partitions(*numbers):
    return [confluent_kafka.TopicPartition("m", number) for number in numbers]


def test_an_assigned_partition_is_accepted_and_not_read_until_it_is_sought():
    membership, consumer = confluent_client._Membership(), Consumer()

    membership.on_assign(consumer, partitions(0, 1))

    assert consumer.calls == [("assign", [])]
    assert membership.assigned == {Partition("m", 0), Partition("m", 1)}
    assert membership.sought == set()
    assert membership.drain_events() == [RebalanceEvent("assigned", (Partition("m", 0), Partition("m", 1)))]
    assert membership.drain_events() == []


@pytest.mark.parametrize("what", ["revoked", "lost"])
def test_of_the_partitions_that_go_those_that_are_read_are_unassigned(what):
    membership, consumer = confluent_client._Membership(), Consumer()
    membership.on_assign(consumer, partitions(0, 1))
    membership.sought.add(Partition("m", 0))
    membership.advance(Partition("m", 0), 5)
    membership.drain_events()

    (membership.on_revoke if what == "revoked" else membership.on_lost)(consumer, partitions(0, 1))

    assert consumer.calls[-1] == ("unassign", [("m", 0)])
    assert (membership.assigned, membership.sought, membership.with_known_end) == (set(), set(), set())
    assert membership.drain_events() == [RebalanceEvent(what, (Partition("m", 0), Partition("m", 1)))]


def test_errors_of_connections_are_raised_only_without_partitions():
    errors = confluent_client._PendingErrors()
    errors.on_error(KafkaError(KafkaError._TRANSPORT, "away"))

    errors.raise_pending(has_partitions=True)
    with pytest.raises(RetriableError, match="away"):
        errors.raise_pending(has_partitions=False)
    errors.raise_pending(has_partitions=False)  # once


def test_a_fatal_error_is_always_raised():
    errors = confluent_client._PendingErrors()
    errors.on_error(KafkaError(KafkaError._FATAL, "fenced", fatal=True))

    with pytest.raises(FencedError, match="fenced"):
        errors.raise_pending(has_partitions=True)


def test_a_damaged_batch_names_its_partition_and_is_not_replaced_by_another_error():
    errors, (damaged, other) = confluent_client._PendingErrors(), partitions(3, 4)
    errors.add(KafkaError(KafkaError.LEADER_NOT_AVAILABLE), other)
    errors.add(KafkaError(KafkaError._BAD_MSG, "crc"), damaged)
    errors.add(KafkaError(KafkaError.LEADER_NOT_AVAILABLE), other)

    assert errors.unreadable == {Partition(damaged.topic, 3)}
    with pytest.raises(UnreadableError, match="crc") as raised:
        errors.raise_pending(has_partitions=True)
    assert raised.value.partition == Partition(damaged.topic, 3)


def test_a_partition_that_may_not_be_read_is_not_damaged():
    errors, (refused,) = confluent_client._PendingErrors(), partitions(3)
    errors.add(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), refused)

    assert errors.unreadable == set()
    with pytest.raises(FatalClientError) as raised:
        errors.raise_pending(has_partitions=True)
    assert not isinstance(raised.value, UnreadableError)


class Admin:
    """Keeps what is asked for each topic open until it is answered."""

    def __init__(self, options, logger):
        self.questions = []

    def describe_topics(self, topics, request_timeout):
        assert isinstance(topics, TopicCollection)
        self.questions.append({topic: Future() for topic in ("a", "old", "missing")})
        return self.questions[-1]


@pytest.fixture
def topic_ids(monkeypatch):
    monkeypatch.setattr(confluent_client, "AdminClient", Admin)
    return confluent_client._TopicIds({})


def answer(question, topic_id):
    missing = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "none")
    question["a"].set_result(SimpleNamespace(topic_id=topic_id))
    question["old"].set_result(SimpleNamespace(topic_id=Uuid(0, 0)))  # of a broker without ids
    question["missing"].set_exception(KafkaException(missing))


def test_ids_are_given_by_the_call_after_their_answer_and_topics_without_one_are_left_out(topic_ids):
    assert topic_ids.ask(["a", "old", "missing"], 0.0) == {}
    assert topic_ids.ask(["a", "old", "missing"], 0.0) == {}
    (question,) = topic_ids._admin.questions  # it is still open

    answer(question, Uuid(1, 2))

    # Six bits a letter: the 1 is bit 63, in letter 10 of bits 60 to 65: 000100, which is E. The 2 is bit 126,
    # in letter 21 of bits 126 to 131: 100000, which is g.
    assert topic_ids.ask(["a", "old", "missing"], 0.0) == {"a": "AAAAAAAAAAEAAAAAAAAAAg"}
    assert len(topic_ids._admin.questions) == 2


def test_an_answer_that_is_waited_for_is_one_to_a_new_question(topic_ids, monkeypatch):
    topic_ids.ask(["a"], 0.0)

    def answer_both(answers, timeout_seconds):
        assert timeout_seconds == 2.0
        answer(topic_ids._admin.questions[0], Uuid(1, 2))
        answer(topic_ids._admin.questions[1], Uuid(0, 1))

    monkeypatch.setattr(confluent_client, "wait", answer_both)
    assert topic_ids.ask(["a"], 2.0) == {"a": "AAAAAAAAAAAAAAAAAAAAAQ"}


def test_an_id_is_written_as_kafka_python_has_it(topic_ids, monkeypatch):
    unsafe = Uuid(0xFBEF - (1 << 16) << 48, 0)  # bytes FB EF, and zeros: letters 62, 62 and 60 of base64
    uuid = UUID("fbef0000-0000-0000-0000-000000000000")
    monkeypatch.setattr(confluent_client, "wait", lambda *_: answer(topic_ids._admin.questions[0], unsafe))

    assert topic_ids.ask(["a"], 2.0) == {"a": "--8AAAAAAAAAAAAAAAAAAA"}
    assert kafka_python_client._id_text(uuid.bytes) == "--8AAAAAAAAAAAAAAAAAAA"


def test_an_answer_that_does_not_come_in_time_leaves_the_id_unknown(topic_ids, monkeypatch):
    monkeypatch.setattr(confluent_client, "wait", lambda answers, timeout_seconds: None)

    assert topic_ids.ask(["a"], 2.0) == {}
