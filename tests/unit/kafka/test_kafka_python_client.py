"""kafka-python's settings, what it needs to be installed, and the reactions to its errors."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import UUID

import pytest
from kafka import TopicPartition
from kafka.errors import (
    CommitFailedError,
    CorruptRecordError,
    FencedInstanceIdError,
    GroupAuthorizationFailedError,
    InvalidRequestError,
    KafkaConnectionError,
    KafkaTimeoutError,
    OffsetMetadataTooLargeError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from monitor.config.kafka import KafkaConfig
from monitor.errors import SourceError
from monitor.kafka import kafka_python_client
from monitor.kafka.client import (
    FatalClientError,
    FencedError,
    MetadataTooLargeError,
    OutOfRangeError,
    Partition,
    RebalanceEvent,
    RetriableError,
    RetryOnceError,
    UnreadableError,
)


def test_nothing_is_reset_or_committed_by_the_library():
    options = kafka_python_client.consumer_options(KafkaConfig(topics=["any"], group_instance_id="a"))

    assert (options["auto_offset_reset"], options["enable_auto_commit"]) == ("none", False)
    assert options["group_instance_id"] == "a"


def test_a_token_is_read_again_each_time(tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    config = KafkaConfig(
        topics=["any"],
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        sasl_token_file=str(token),
    )
    provider = kafka_python_client.consumer_options(config)["sasl_oauth_token_provider"]

    assert provider.token() == "first"
    token.write_text("second\n")
    assert provider.token() == "second"


def test_a_password_and_the_files_of_tls_reach_the_library(tmp_path):
    authority = tmp_path / "ca.pem"
    authority.touch()
    config = KafkaConfig(
        topics=["any"], security_protocol="SASL_SSL", ssl_cafile=str(authority),
        sasl_mechanism="PLAIN", sasl_username="alice", sasl_password="secret",
    )  # fmt: skip

    options = kafka_python_client.consumer_options(config)

    assert (options["security_protocol"], options["ssl_cafile"]) == ("SASL_SSL", str(authority))
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("alice", "secret")


def test_a_file_that_is_missing_ends_the_start(tmp_path):
    config = KafkaConfig(topics=["any"], security_protocol="SSL", ssl_certfile=str(tmp_path / "none.pem"))

    with pytest.raises(SourceError, match=r"source.kafka.ssl_certfile: cannot read"):
        kafka_python_client.check(config)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FencedInstanceIdError(), FencedError),
        (OffsetMetadataTooLargeError(), MetadataTooLargeError),
        (InvalidRequestError(), RetryOnceError),
        (KafkaConnectionError("away"), RetriableError),
        (CommitFailedError("rebalanced"), RetriableError),
        (GroupAuthorizationFailedError("g"), FatalClientError),
        (CorruptRecordError(), FatalClientError),
        (ValueError("not a batch"), FatalClientError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_an_error_is_of_the_class_of_its_reaction(error, expected):
    with pytest.raises(expected) as caught, kafka_python_client._neutral():
        raise error

    assert type(caught.value) is expected
    assert caught.value.name == type(error).__name__


def test_offsets_out_of_range_come_by_partition():
    with pytest.raises(OutOfRangeError) as caught, kafka_python_client._neutral():
        raise OffsetOutOfRangeError({TopicPartition("m", 1): 7})

    assert caught.value.offsets == {Partition("m", 1): 7}


class Consumer:
    """Notes which partitions are paused, resumed and sought."""

    def __init__(self):
        self.calls = []

    def subscribe(self, topics, listener):
        self.listener = listener

    def pause(self, *partitions):
        self.calls.append(("pause", *partitions))

    def resume(self, *partitions):
        self.calls.append(("resume", *partitions))

    def seek(self, partition, offset):
        self.calls.append(("seek", partition, offset))


def test_an_assigned_partition_is_paused_until_it_is_sought():
    consumer, partition = Consumer(), TopicPartition("m", 0)
    client = kafka_python_client.KafkaPythonClient(consumer, ["m"])

    consumer.listener.on_partitions_assigned([partition])
    assert client.rebalance_events() == [RebalanceEvent("assigned", (Partition("m", 0),))]
    client.resume([Partition("m", 0)])
    client.seek(Partition("m", 0), 5)
    client.resume([Partition("m", 0)])

    assert consumer.calls == [
        ("pause", partition),
        ("resume",),
        ("seek", partition, 5),
        ("resume", partition),
        ("resume", partition),
    ]


def test_events_come_once_oldest_first():
    consumer = Consumer()
    client = kafka_python_client.KafkaPythonClient(consumer, ["m"])
    consumer.listener.on_partitions_revoked([TopicPartition("m", 0)])
    consumer.listener.on_partitions_lost([TopicPartition("m", 1)])

    assert [event.what for event in client.rebalance_events()] == ["revoked", "lost"]
    assert client.rebalance_events() == []


class Breaking(Consumer):
    """A consumer whose polls fail while it has the records of a partition in hand, or none."""

    def __init__(self, error, partition):
        super().__init__()
        in_hand = SimpleNamespace(topic_partition=partition) if partition else None
        self._fetcher = SimpleNamespace(_next_partition_records=in_hand)
        self._error = error

    def poll(self, timeout_ms):
        raise self._error


@pytest.mark.parametrize("error", [CorruptRecordError("crc"), ValueError("not a batch")])
def test_what_breaks_while_records_are_read_names_their_partition(error):
    client = kafka_python_client.KafkaPythonClient(Breaking(error, TopicPartition("m", 3)), ["m"])

    with pytest.raises(UnreadableError) as raised:
        client.poll(1.0)

    assert raised.value.partition == Partition("m", 3)
    assert raised.value.name == type(error).__name__


@pytest.mark.parametrize(
    ("error", "partition"),
    [(ValueError("elsewhere"), None), (GroupAuthorizationFailedError("g"), TopicPartition("m", 3))],
)
def test_what_is_no_matter_of_the_records_names_none(error, partition):
    client = kafka_python_client.KafkaPythonClient(Breaking(error, partition), ["m"])

    with pytest.raises(FatalClientError) as raised:
        client.poll(1.0)

    assert not isinstance(raised.value, UnreadableError)


class Cluster(Consumer):
    """A consumer whose cluster's metadata comes with the next answer, or whose question for it fails."""

    def __init__(self, ids, *, api_version=(2, 8), error=None):
        super().__init__()
        self.config = {"api_version": api_version}
        self._manager = SimpleNamespace(wait_for=None)
        self._cluster = SimpleNamespace(request_update=self._request, topic_id={}.get)
        self._net = SimpleNamespace(run=self._run)
        self._ids, self._error = ids, error

    def _request(self):
        self.calls.append("update")
        return "future"

    def _run(self, wait_for, future, timeout_ms):
        self.calls.append((future, timeout_ms))
        if self._error:
            raise self._error
        self._cluster.topic_id = self._ids.get


def topic_ids(consumer, *, timeout_seconds=2.0):
    client = kafka_python_client.KafkaPythonClient(consumer, ["m"])
    return client.topic_ids(["m", "n"], timeout_seconds=timeout_seconds)


def test_the_ids_of_topics_are_those_of_the_newest_metadata():
    consumer = Cluster({"m": UUID(int=(1 << 64) + 2), "n": UUID(int=0)})  # zeros: it does not exist

    assert topic_ids(consumer) == {"m": "AAAAAAAAAAEAAAAAAAAAAg"}  # as in test_confluent_client.py
    assert consumer.calls == ["update", ("future", 2000)]


def test_a_broker_before_2_8_is_not_asked_for_ids():
    consumer = Cluster({}, api_version=(2, 7))

    assert topic_ids(consumer) == {}
    assert consumer.calls == []


@pytest.mark.parametrize("error", [UnknownTopicOrPartitionError(), TopicAuthorizationFailedError()])
def test_a_topic_that_is_missing_or_forbidden_has_no_id(error):
    assert topic_ids(Cluster({"m": UUID(int=1)}, error=error)) == {}


def test_without_waiting_the_ids_are_those_of_the_last_metadata():
    consumer = Cluster({"m": UUID(int=1)})
    consumer._cluster.topic_id = {"m": UUID(int=2)}.get

    assert topic_ids(consumer, timeout_seconds=0.0) == {"m": "AAAAAAAAAAAAAAAAAAAAAg"}
    assert consumer.calls == ["update"]


def test_an_answer_that_does_not_come_in_time_leaves_the_ids_of_the_last_metadata():
    consumer = Cluster({}, error=KafkaTimeoutError())
    consumer._cluster.topic_id = {"m": UUID(int=2)}.get

    assert topic_ids(consumer) == {"m": "AAAAAAAAAAAAAAAAAAAAAg"}


def test_a_connection_that_breaks_at_the_question_for_ids_is_transient():
    with pytest.raises(RetriableError):
        topic_ids(Cluster({}, error=KafkaConnectionError("away")))
