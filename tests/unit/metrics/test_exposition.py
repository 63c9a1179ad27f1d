from __future__ import annotations

import numpy as np
import pytest
from forecasters import forecaster
from prometheus_client import CollectorRegistry
from scraped import of, scraped

from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.metrics.exposition import Exposition
from monitor.metrics.instruments import Metrics
from monitor.sample import Columns, labels_of


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
    assert shown[of("barograph_episode_actual", channel="a", **entity)] == alert.channels[0].actual > 140
    assert shown[of("barograph_episode_expected", channel="a", **entity)] == pytest.approx(100, abs=3)
    since = of("barograph_episode_deviation_timestamp_seconds", channel="a", when="since", **entity)
    assert 200 <= shown[since] <= 202


def test_what_deviated_at_one_step_alone_says_when(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    daemon.feed(noise(1, start_step=200, shift=80.0, seed=1))
    daemon.feed(noise(4, start_step=201, seed=2))
    shown = daemon.scrape()

    entity = {"watch": "w", "entity": "web1", "channel": "a"}
    assert shown[of("barograph_episode_deviation_timestamp_seconds", when="at", **entity)] == 201


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
    successor.metrics.started("1.2.3", successor.views(), now=77.0)
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


def test_hostile_entity_names_are_escaped(served, noise):
    daemon = served()
    name = 'a"b\\c\nd'
    daemon.feed(noise(200, host=name))

    assert of("barograph_judged", watch="w", entity=name) in daemon.scrape()


@pytest.mark.parametrize(("live", "n_hours"), [(True, 2), (False, 0)])
def test_the_hours_left_of_a_channel_with_a_valid_range_are_shown_while_it_is_live(
    quiet_watch, table, live, n_hours
):
    rules = [{"name": "load", "valid_min": 0.0, "valid_max": 110.5}]
    watch = build_watch(quiet_watch(metric=rules).settings(), forecaster(1.0, entity='a"b'), live=live)
    pipeline = Pipeline([watch], table, max_future_ms=0)
    number = table.intern("load", labels_of({"host": 'a"b'}))
    steps = np.arange(20, dtype=np.int64)
    columns = Columns(np.full(20, number, np.int32), 1000 * steps, np.full(20, 100.0))
    pipeline.process(columns, 20_000)
    exposition = Exposition(Metrics(CollectorRegistry(), ["w"]), 1000)
    exposition.render([watch.view()])

    shown = scraped(exposition.text)

    left = {key: value for key, value in shown.items() if key[0] == "barograph_hours_to_bound"}
    assert len(left) == n_hours
    if live:
        cell = {"watch": "w", "entity": 'a"b', "channel": "load"}
        assert shown[of("barograph_hours_to_bound", bound="max", **cell)] == pytest.approx(11 / 3600)
        assert shown[of("barograph_hours_to_bound", bound="min", **cell)] == np.inf
