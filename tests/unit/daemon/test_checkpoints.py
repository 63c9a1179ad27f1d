"""Which checkpoint a source goes on from."""

from __future__ import annotations

import json

import pytest
from prometheus_client import CollectorRegistry

from monitor.alerting.alert import Alert, ChannelShare
from monitor.alerting.alert_age import AlertAgeFilter
from monitor.config.explain import parse_config
from monitor.config.schema import SourceConfig
from monitor.daemon.checkpoints import CheckpointKeeper, capture, continues, position_of, undelivered_of
from monitor.metrics.instruments import Metrics
from monitor.sources.position import PartitionPosition, Position
from monitor.storage.checkpoint import Checkpoint
from monitor.testing import FakeClock


def source(**settings):
    kafka = {
        "topics": ["metrics"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_username": "u",
        "sasl_password": "hush",
    }
    document = {"source": {"kind": "kafka", "kafka": {**kafka, **settings}}, "watch": [{"name": "w"}]}
    return parse_config(document, origin="test").source


POSITION = Position(
    5000, {"metrics/0": PartitionPosition(50, 20, 5000, "id"), "metrics/1": PartitionPosition(7, 7)}
)


def test_a_position_comes_back_as_it_was():
    kept = capture([], source=source(), position=POSITION)

    assert position_of(Checkpoint({}, json.loads(json.dumps(kept.about)))) == POSITION


def test_what_was_not_delivered_comes_back_as_it_was():
    share = ChannelShare("load", 0.9, 5.0, float("nan"), 0)
    alert = Alert("w", "web1", 1000, 2000, 3.5, 1.7, True, (share,), resolved_ms=9000, reason="recovered")

    kept = capture([], source=source(), position=POSITION, undelivered=[alert])

    (back,) = undelivered_of(Checkpoint({}, json.loads(json.dumps(kept.about))))
    assert repr(back) == repr(alert)  # NaN is not equal to itself


def test_no_secret_is_kept():
    assert "hush" not in json.dumps(capture([], source=source(), position=POSITION).about)


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        (
            {"sasl_password": "new", "topics": ["metrics", "more"], "start": "earliest", "idle_seconds": 1.0},
            True,
        ),
        ({"group_id": "another"}, False),
        ({"bootstrap_servers": ["other:9092"]}, False),
    ],
)
def test_another_group_or_cluster_means_other_offsets(settings, same):
    kept = capture([], source=source(), position=POSITION)

    assert continues(kept, source(**settings)) == same


def test_a_checkpoint_from_before_there_were_partitions_is_read():
    older = Checkpoint({}, {"watches": {}, "source": "{}", "position_ms": 5000})

    assert position_of(older) == Position(5000)
    assert undelivered_of(older) == []


def test_a_checkpoint_from_before_positions_had_the_id_of_their_topic_is_read():
    partitions = {"metrics/0": {"offset": 50, "rewind": 20, "newest_ms": 5000}}
    older = Checkpoint({}, {"position_ms": 5000, "partitions": partitions})

    assert position_of(older) == Position(5000, {"metrics/0": PartitionPosition(50, 20, 5000, "")})


def test_a_large_checkpoint_is_due_at_most_at_five_megabytes_a_second(tmp_path):
    clock = FakeClock()
    keeper = CheckpointKeeper(
        tmp_path / "state",
        [],
        AlertAgeFilter({}),
        source=source(),
        metrics=Metrics(CollectorRegistry(), []),
        clock=clock,
        every_seconds=1.0,
    )
    clock.advance(1.0)
    assert keeper.is_due()

    keeper.save(Position(5000, {"m" * 10_000_000: PartitionPosition(1, 1)}))  # 2 s of writing

    clock.advance(1.9)
    assert not keeper.is_due()
    clock.advance(0.2)
    assert keeper.is_due()

    keeper.save(POSITION)

    clock.advance(0.9)
    assert not keeper.is_due()
    clock.advance(0.2)
    assert keeper.is_due()


def test_a_checkpoint_of_prometheus_goes_on_with_another_server_and_holds_no_secret():
    first = {"mode": "query_range", "url": "http://a", "bearer_token": "s3cret"}
    polled = SourceConfig.model_validate({"kind": "prometheus", "prometheus": first})
    kept = capture([], source=polled, position=Position(1000))

    assert "s3cret" not in str(kept.about)
    assert position_of(kept) == Position(1000)
    other = {"kind": "prometheus", "prometheus": {"mode": "query_range", "url": "http://b"}}
    assert continues(kept, SourceConfig.model_validate(other))
    assert not continues(kept, SourceConfig.model_validate({"kind": "host"}))


def test_settings_of_prometheus_do_not_matter_to_other_sources():
    kept = capture([], source=SourceConfig(), position=Position())

    assert continues(kept, SourceConfig.model_validate({"prometheus": {"bearer_token": "s3cret"}}))
