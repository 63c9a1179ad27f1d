"""Where a partition begins, by what is known of it, over a cluster in memory."""

from __future__ import annotations

import pytest
from fake_kafka import M0, M1, FakeKafka

from monitor.config.kafka import KafkaConfig
from monitor.kafka.client import Committed, Partition, RetriableError
from monitor.kafka.commit_metadata import CommitMetadata
from monitor.kafka.progress import ReadProgress
from monitor.kafka.start_offsets import Restart, StartOffsets
from monitor.kafka.topic_identity import TopicIdentity
from monitor.sources.position import PartitionPosition, Position
from monitor.testing import FakeClock

RESUMED = Position(5000, {"m/0": PartitionPosition(6, 4, 5000)})


@pytest.fixture
def kafka():
    return FakeKafka(m_0=[b"x"] * 10, m_1=[b"x"] * 20)


OF_A = Position(5000, {"m/0": PartitionPosition(6, 4, 5000, "a")})


def start_offsets(*, resumed=None, now=0.0, metadata=None, recreated=None, **settings):
    config = KafkaConfig(topics=["m"], **settings)
    identity = TopicIdentity(FakeClock(now), [].append if recreated is None else recreated.append)
    progress = ReadProgress(rewind_ms=320, idle_seconds=10.0, resumed=resumed)
    return StartOffsets(config, FakeClock(now), progress, metadata or CommitMetadata(), identity)


def test_a_position_of_ours_counts_before_a_commit(kafka):
    kafka.group = {M0: Committed(2, ""), M1: Committed(3, "")}

    starts = start_offsets(resumed=RESUMED).find(kafka, [M0, M1])

    assert (starts.offsets, starts.new) == ({M0: 6, M1: 3}, [])


def test_the_metadata_of_commits_is_read_also_where_the_position_is_ours(kafka):
    kafka.group = {M0: Committed(2, '{"v":1,"wm":5000}'), M1: Committed(3, '{"v":1,"wm":4000}')}
    metadata = CommitMetadata()

    start_offsets(resumed=RESUMED, metadata=metadata).find(kafka, [M0, M1])

    assert metadata.delivered_ms == 4000


@pytest.mark.parametrize("resumed", [RESUMED, None], ids=["by our position", "by a commit"])
def test_a_partition_that_was_added_to_a_known_topic_is_read_from_its_beginning(kafka, resumed):
    kafka.group = {} if resumed else {M0: Committed(6, "")}

    starts = start_offsets(resumed=resumed, start="latest").find(kafka, [M0, M1])

    assert (starts.offsets, starts.new) == ({M0: 6, M1: 0}, [M1])


@pytest.mark.parametrize(
    ("start", "expected"),
    [("earliest", {M0: 0, M1: 0}), ("latest", {M0: 10, M1: 20}), (88.0, {M0: 10, M1: 12})],
)
def test_a_topic_that_the_group_never_read_begins_as_configured(kafka, start, expected):
    starts = start_offsets(start=start, now=100.0).find(kafka, [M0, M1])  # 88 s back: since second 12

    assert (starts.offsets, starts.new) == (expected, [M0, M1])


def test_a_broker_that_does_not_answer_begins_nothing(kafka):
    kafka.errors = {"end_offsets": [RetriableError("away", "")]}

    with pytest.raises(RetriableError):
        start_offsets(start="latest").find(kafka, [M0])


@pytest.mark.parametrize(("on_gap", "offset", "n_lost"), [("earliest", 7, 5), ("latest", 10, 8)])
def test_records_that_were_deleted_are_skipped_and_counted(kafka, caplog, on_gap, offset, n_lost):
    kafka.first[M0] = 7

    restarts = list(start_offsets(on_gap=on_gap).after_gap(kafka, {M0: 2}))

    assert restarts == [Restart(M0, offset, n_lost)]
    assert caplog.messages == [
        f"records lost at=m[0]@2: {n_lost} were deleted before they were read; continuing at {offset}"
    ]


def test_a_log_that_ends_before_our_position_is_another_one_and_read_from_its_beginning(kafka, caplog):
    restarts = list(start_offsets(on_gap="latest").after_gap(kafka, {M0: 500}))

    assert restarts == [Restart(M0, 0, 0)]
    assert caplog.messages == ["log ends before at=m[0]@500, at 10: read again from 0"]


def test_a_truncated_log_is_read_from_where_it_parts_else_from_its_beginning(kafka):
    restarts = list(start_offsets().after_truncation(kafka, {M0: 8, M1: None}))

    assert restarts == [Restart(M0, 8), Restart(M1, 0)]


def test_a_topic_whose_name_has_a_slash_is_known_by_its_partitions():
    kafka = FakeKafka()
    kafka.logs = {Partition("a/b", 0): [b"x"], Partition("a/b", 1): [b"x"] * 3}
    kafka.first = dict.fromkeys(kafka.logs, 0)
    resumed = Position(5000, {"a/b/0": PartitionPosition(1, 1, 5000)})

    starts = start_offsets(resumed=resumed, start="latest").find(kafka, sorted(kafka.logs))

    assert starts.offsets == {Partition("a/b", 0): 1, Partition("a/b", 1): 0}


# A topic that was deleted and made again


def test_a_position_of_the_topic_that_there_is_counts_and_so_does_that_of_an_earlier_version(kafka):
    kafka.topics = {"m": "a"}

    for resumed in (OF_A, RESUMED):
        recreated = []
        starts = start_offsets(resumed=resumed, recreated=recreated).find(kafka, [M0])
        assert (starts.offsets, starts.new, starts.topic_ids) == ({M0: 6}, [], {M0: "a"})
        assert recreated == []


def test_a_position_counts_where_the_broker_gives_no_ids_and_keeps_the_id_that_it_had(kafka):
    kafka.group = {M1: Committed(2, '{"v":1,"id":"c"}')}

    starts = start_offsets(resumed=OF_A).find(kafka, [M0, M1])

    assert (starts.offsets, starts.topic_ids) == ({M0: 6, M1: 2}, {M0: "a", M1: "c"})


def test_a_topic_that_was_made_again_is_read_from_its_beginning_whatever_start_and_on_gap_say(kafka, caplog):
    kafka.topics = {"m": "b"}
    recreated = []

    starts = start_offsets(resumed=OF_A, recreated=recreated, start="latest", on_gap="latest").find(
        kafka, [M0, M1]
    )

    assert (starts.offsets, starts.new, starts.topic_ids) == ({M0: 0, M1: 0}, [M0, M1], {M0: "b", M1: "b"})
    assert recreated == ["m"]
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("metadata", "offset"),
    [('{"v":1,"id":"b"}', 2), ('{"v":1,"wm":5000,"id":"a"}', 0), ('{"v":1,"wm":5000}', 0), ("", 0)],
    ids=["of the new topic", "of the old topic", "of an earlier version", "without a text"],
)
def test_behind_a_position_of_another_topic_only_a_commit_of_this_topic_counts(kafka, metadata, offset):
    kafka.topics = {"m": "b"}
    kafka.group = {M0: Committed(2, metadata)}

    starts = start_offsets(resumed=OF_A, start="latest").find(kafka, [M0])

    assert starts.offsets == {M0: offset}


@pytest.mark.parametrize(
    ("metadata", "offset"), [('{"v":1,"id":"a"}', 0), ('{"v":1,"id":"b"}', 2), ('{"v":1}', 2)]
)
def test_without_a_position_a_commit_counts_unless_it_is_of_another_topic(kafka, metadata, offset):
    kafka.topics = {"m": "b"}
    kafka.group = {M0: Committed(2, metadata)}

    assert start_offsets(start="latest").find(kafka, [M0]).offsets == {M0: offset}


@pytest.mark.parametrize("what", ["after_gap", "after_truncation"])
def test_an_error_of_a_topic_that_was_made_again_is_not_taken_for_that_of_a_gap(kafka, caplog, what):
    kafka.topics = {"m": "b"}
    kafka.first = {M0: 3, M1: 0}

    restarts = list(getattr(start_offsets(resumed=OF_A, on_gap="latest"), what)(kafka, {M0: 500}))

    assert restarts == [Restart(M0, 3, 0, "b")]
    assert [line.split(":")[0] for line in caplog.messages] == ["topic recreated topic=m"]
