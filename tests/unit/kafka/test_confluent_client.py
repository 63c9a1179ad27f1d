"""librdkafka's settings, and the reactions to its errors. What it does over the wire: `tests/kafka`."""

from __future__ import annotations

import time

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException

from monitor.config.kafka import KafkaConfig
from monitor.errors import SourceError
from monitor.kafka import confluent_client
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
        confluent_client.ConfluentClient({"group.id": "g", "no.such.option": 1}, ["any"], max_records=10)


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
