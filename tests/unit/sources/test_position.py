"""Positions: what a checkpoint stores, and a source continues from."""

import dataclasses

import pytest

from monitor.sources.position import NOTHING_YET, PartitionPosition, Position


def test_a_position_is_empty_by_default():
    assert (Position().time_ms, dict(Position().partitions)) == (None, {})
    assert (PartitionPosition(7, 5).newest_ms, PartitionPosition(7, 5).topic_id) == (NOTHING_YET, "")


def test_no_event_time_is_before_every_sample():
    assert NOTHING_YET < 0  # event times begin at 0, in 1970


def test_positions_are_equal_by_what_they_say_and_cannot_be_changed():
    position = Position(1000, {"metrics/0": PartitionPosition(7, 5, 1000)})

    assert position == Position(1000, {"metrics/0": PartitionPosition(7, 5, 1000)})
    assert position != Position(1000, {"metrics/0": PartitionPosition(8, 5, 1000)})
    with pytest.raises(dataclasses.FrozenInstanceError):
        position.time_ms = 2000
