from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.metrics.exposition import Exposition
from monitor.metrics.instruments import Metrics
from monitor.metrics.reference import reference
from monitor.sources.source import SourceReport


@pytest.fixture
def served(quiet_watch, table):
    """Run batches through one watch and give what a scrape then shows, as {(name, labels): value}."""

    class Served:
        def __init__(self, max_series=1000, **settings):
            self.watch = build_watch(quiet_watch(stale_seconds=30.0, **settings).settings(), None)
            self.pipeline = Pipeline([self.watch], table, max_future_ms=60_000)
            self.metrics = Metrics(CollectorRegistry(), ["w"])
            self.exposition = Exposition(self.metrics, max_series)

        def feed(self, columns, now_ms=None, n_bad=()):
            now_ms = int(columns.time_ms.max()) if now_ms is None else now_ms
            decision = self.pipeline.process(columns, now_ms)
            self.metrics.batch_done(decision, self.pipeline.watches, n_bad, duration_seconds=0.1, now=5.0)

        def scrape(self):
            self.exposition.render(self.pipeline.watches)
            return {
                (sample.name, tuple(sorted(sample.labels.items()))): sample.value
                for family in text_string_to_metric_families(self.exposition.text.decode())
                for sample in family.samples
            }

    return Served


def of(name, **labels):
    return name, tuple(sorted(labels.items()))


def test_known_label_values_start_at_zero(served):
    shown = served().scrape()

    assert shown[of("barograph_suppressed_total", watch="w", reason="rest")] == 0
    assert shown[of("barograph_samples_total", watch="w", result="late")] == 0
    assert shown[of("barograph_samples_rejected_total", reason="future")] == 0


def test_scores_limits_and_values_of_a_judged_entity_are_shown(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    shown = daemon.scrape()

    entity = {"watch": "w", "entity": "web1"}
    assert 0 <= shown[of("barograph_score", **entity)] < 1
    assert shown[of("barograph_limit", **entity)] > 0
    assert shown[of("barograph_judged", **entity)] == 1
    assert shown[of("barograph_anomaly", **entity)] == 0
    assert shown[of("barograph_actual", channel="a", **entity)] == pytest.approx(100, abs=5)
    assert shown[of("barograph_expected", channel="b", **entity)] == pytest.approx(100, abs=5)
    assert shown[of("barograph_steps_closed_total", watch="w")] == 199
    assert shown[of("barograph_windows_scored_total", watch="w")] == 199 - 108
    assert shown[of("barograph_windows_not_judged_total", watch="w", reason="warming")] == 108


def test_an_entity_that_is_not_judged_shows_no_score(served, noise):
    daemon = served()
    daemon.feed(noise(50))
    shown = daemon.scrape()

    assert shown[of("barograph_judged", watch="w", entity="web1")] == 0
    assert of("barograph_score", watch="w", entity="web1") not in shown
    assert shown[of("barograph_warming_steps", watch="w", entity="web1")] == 108 - 49


def test_a_stale_entity_disappears(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    daemon.feed(noise(60, host="web2", start_step=200, seed=1))
    shown = daemon.scrape()

    assert of("barograph_judged", watch="w", entity="web2") in shown
    assert of("barograph_judged", watch="w", entity="web1") not in shown
    assert of("barograph_actual", watch="w", entity="web1", channel="a") not in shown


def test_beyond_the_cap_the_lowest_scores_are_left_out_and_counted(served, noise):
    daemon = served(max_series=10)  # one entity of two channels has 6 + 2 * 2
    daemon.feed(noise(200))
    daemon.feed(noise(200, host="web2", seed=1))
    daemon.feed(noise(12, host="web1", start_step=200, shift=50.0, seed=2))
    daemon.feed(noise(12, host="web2", start_step=200, seed=3))
    shown = daemon.scrape()

    assert of("barograph_judged", watch="w", entity="web1") in shown
    assert of("barograph_judged", watch="w", entity="web2") not in shown
    assert shown[of("barograph_series_not_exported")] == 10


def test_an_open_episode_is_counted_and_shown(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    daemon.feed(noise(20, start_step=200, shift=50.0, seed=1))
    shown = daemon.scrape()

    assert shown[of("barograph_anomaly", watch="w", entity="web1")] == 1
    assert shown[of("barograph_episodes_open", watch="w")] == 1
    assert shown[of("barograph_episodes_opened_total", watch="w")] == 1
    assert shown[of("barograph_over_limit_total", watch="w")] > 0


def test_an_open_episode_says_since_when_how_high_and_what_it_is_made_of(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    daemon.feed(noise(20, start_step=200, shift=50.0, seed=1))
    shown = daemon.scrape()

    (alert,) = daemon.watch.open_alerts.values()
    entity = {"watch": "w", "entity": "web1"}
    assert shown[of("barograph_episode_score", **entity)] == alert.score > 1
    assert 200 <= shown[of("barograph_episode_opened_timestamp_seconds", **entity)] <= 210
    assert shown[of("barograph_episode_share", channel="a", **entity)] > 0.5  # it is the one that was shifted


def test_a_resolved_episode_leaves_nothing_behind(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    daemon.feed(noise(20, start_step=200, shift=50.0, seed=1))
    daemon.feed(noise(60, start_step=220, seed=2))
    shown = daemon.scrape()

    assert shown[of("barograph_anomaly", watch="w", entity="web1")] == 0
    assert shown[of("barograph_episodes_resolved_total", watch="w", reason="recovered")] == 1
    assert not [name for name, _ in shown if name.startswith("barograph_episode_")]


def test_the_open_episode_of_a_stale_entity_stays(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    daemon.feed(noise(20, start_step=200, shift=50.0, seed=1))
    daemon.feed(noise(60, host="web2", start_step=220, seed=2))
    shown = daemon.scrape()

    assert of("barograph_judged", watch="w", entity="web1") not in shown
    assert shown[of("barograph_anomaly", watch="w", entity="web1")] == 1
    assert of("barograph_episode_score", watch="w", entity="web1") in shown


def test_an_open_episode_stays_also_where_the_cap_leaves_no_room(served, noise):
    daemon = served(max_series=0)
    daemon.feed(noise(200))
    daemon.feed(noise(20, start_step=200, shift=50.0, seed=1))
    shown = daemon.scrape()

    assert shown[of("barograph_anomaly", watch="w", entity="web1")] == 1
    assert of("barograph_score", watch="w", entity="web1") not in shown


def test_under_the_cap_an_open_episode_comes_before_a_higher_score(served, noise):
    daemon = served(max_series=10)
    daemon.feed(noise(200))
    daemon.feed(noise(200, host="web2", seed=1))
    daemon.feed(noise(12, host="web1", start_step=200, shift=50.0, seed=2))
    daemon.feed(noise(12, host="web2", start_step=200, seed=3))
    scores = daemon.watch.last_scored.score
    scores[daemon.watch.entities.entities.index("web2")] = 1000.0
    shown = daemon.scrape()

    assert of("barograph_judged", watch="w", entity="web1") in shown
    assert of("barograph_judged", watch="w", entity="web2") not in shown


def test_a_daemon_that_goes_on_shows_its_open_episodes_before_its_first_step(served, noise):
    daemon, successor = served(), served()
    daemon.feed(noise(200))
    daemon.feed(noise(20, start_step=200, shift=50.0, seed=1))
    successor.watch.entities.update(daemon.pipeline.table)
    successor.watch.load_state(daemon.watch.state(), daemon.watch.open_alerts)
    successor.metrics.started("1.2.3", [successor.watch], now=77.0)
    shown = successor.scrape()

    assert shown[of("barograph_anomaly", watch="w", entity="web1")] == 1
    assert shown[of("barograph_episodes_open", watch="w")] == 1
    assert of("barograph_episode_share", watch="w", entity="web1", channel="a") in shown
    assert of("barograph_score", watch="w", entity="web1") not in shown
    assert shown[of("barograph_last_batch_timestamp_seconds")] == 77.0
    assert of("barograph_entities_judged", watch="w") not in shown  # nothing is known of it yet


def test_a_value_outside_its_range_is_shown(served, noise):
    daemon = served(metric=[{"name": "a", "valid_max": 120.0}])
    daemon.feed(noise(50))
    before = daemon.scrape()
    daemon.feed(noise(2, start_step=50, shift=50.0))
    shown = daemon.scrape()

    assert before[of("barograph_out_of_range", watch="w", entity="web1")] == 0
    assert shown[of("barograph_out_of_range", watch="w", entity="web1")] == 1


def test_coverage_is_shown(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    shown = daemon.scrape()

    assert shown[of("barograph_entities_expected", watch="w")] == 1
    assert shown[of("barograph_entities_judged", watch="w")] == 1


def test_hostile_entity_names_are_escaped(served, noise):
    daemon = served()
    name = 'a"b\\c\nd'
    daemon.feed(noise(200, host=name))

    assert of("barograph_judged", watch="w", entity=name) in daemon.scrape()


def test_bad_records_are_counted_by_reason(served, noise):
    daemon = served()
    daemon.feed(noise(2), n_bad=[("invalid_json", 3)])

    assert daemon.scrape()[of("barograph_bad_records_total", reason="invalid_json")] == 3


def test_the_written_reference_is_that_of_the_code():
    written = (Path(__file__).parents[3] / "docs/metrics.md").read_text()

    assert written == reference(), "run `make docs`"


def test_every_metric_that_is_scraped_stands_in_the_reference(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    daemon.scrape()
    families = text_string_to_metric_families(daemon.exposition.text.decode())
    page = reference()

    for family in families:
        assert f"| `{family.name}{'_total' if family.type == 'counter' else ''}` |" in page


def test_what_a_source_with_topics_did_is_counted_and_where_it_stands_is_shown(served):
    daemon = served()
    daemon.metrics.source_polled(
        SourceReport({"m": 3}, {"m": 300}, {"m": 7}, {"done": 1}, {"rebuilt": 1}, n_rebalances=2, lag={("m", 0): 5, ("m", 1): 6}),
        ready=True,
    )
    daemon.metrics.source_polled(SourceReport(n_records={"m": 4}, lag={("m", 1): 0}), ready=False)
    shown = daemon.scrape()

    assert shown[of("barograph_kafka_records_total", topic="m")] == 7
    assert shown[of("barograph_kafka_bytes_total", topic="m")] == 300
    assert shown[of("barograph_kafka_records_lost_total", topic="m")] == 7
    assert shown[of("barograph_kafka_commits_total", result="done")] == 1
    assert shown[of("barograph_kafka_commits_total", result="failed")] == 0
    assert shown[of("barograph_kafka_errors_total", reaction="rebuilt")] == 1
    assert shown[of("barograph_kafka_rebalances_total")] == 2
    assert shown[of("barograph_kafka_lag_records", topic="m", partition="1")] == 0
    assert of("barograph_kafka_lag_records", topic="m", partition="0") not in shown  # another daemon has it now
    assert shown[of("barograph_source_ready")] == 0
