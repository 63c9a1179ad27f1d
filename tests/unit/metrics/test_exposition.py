from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from forecasters import forecaster
from prometheus_client import CollectorRegistry
from scraped import of, scraped

from monitor.detection.build import build_scorer, build_watch
from monitor.detection.pipeline import Pipeline
from monitor.metrics.exposition import Exposition, enough_series
from monitor.metrics.instruments import Metrics
from monitor.sample import Columns, concatenate, labels_of


def test_scores_limits_and_on_request_values_of_a_judged_entity_are_shown(served, noise):
    daemon = served(all_channels=True)
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


def fed_with_a_fault_of_web1(daemon, noise):
    """Feed two hosts of two channels; an episode of web1 is open in the end."""
    daemon.feed(concatenate([noise(200), noise(200, host="web2", seed=1)]))
    fault = noise(12, host="web1", start_step=200, shift=50.0, seed=2)
    daemon.feed(concatenate([fault, noise(12, host="web2", start_step=200, seed=3)]))
    return daemon


def values_in(shown):
    """Give the entities of which a scrape shows actual and expected values, with the number of these."""
    entities = [
        dict(labels)["entity"] for name, labels in shown if name in ("barograph_actual", "barograph_expected")
    ]
    return Counter(entities)


def test_values_are_those_of_entities_with_an_open_episode_or_half_the_limit(served, noise):
    daemon = fed_with_a_fault_of_web1(served(), noise)
    scores = daemon.watch.last_scored.score
    web2 = daemon.watch.entities.entities.index("web2")

    scores[web2] = 0.49
    below = daemon.scrape()
    scores[web2] = 0.5
    at_half = daemon.scrape()

    assert values_in(below) == {"web1": 4}
    assert values_in(at_half) == {"web1": 4, "web2": 4}
    for entity in ("web1", "web2"):
        assert of("barograph_score", watch="w", entity=entity) in below
    assert below[of("barograph_series_not_exported")] == 0  # what is left out by design is not lost


def test_values_of_an_episode_whose_score_has_fallen_are_shown_until_it_ends_unless_it_is_withheld(
    served, noise
):
    daemon = fed_with_a_fault_of_web1(served(), noise)
    daemon.watch.last_scored.score[:] = 0.1
    (alert,) = daemon.watch.open_alerts.values()

    assert values_in(daemon.scrape()) == {"web1": 4}
    assert values_in(daemon.scrape(withheld={alert.identity})) == {}


@pytest.mark.parametrize(
    ("max_series", "n_values", "n_lost"), [(16, {"web1": 4}, 0), (15, {}, 4), (11, {"web1": 4}, 6)]
)
def test_where_the_cap_is_short_scores_come_before_values_and_what_is_lost_is_counted(
    served, noise, max_series, n_values, n_lost
):
    daemon = fed_with_a_fault_of_web1(served(max_series=max_series), noise)  # 6 + 6, and 4 values of web1
    daemon.watch.last_scored.score[daemon.watch.entities.entities.index("web2")] = 0.1
    shown = daemon.scrape()

    assert (of("barograph_score", watch="w", entity="web2") in shown) == (max_series >= 12)
    assert shown[of("barograph_series_not_exported")] == n_lost
    assert values_in(shown) == n_values


def test_scores_of_all_watches_come_before_the_values_of_the_first(served, noise):
    daemon = fed_with_a_fault_of_web1(served(max_series=24), noise)
    view = daemon.watch.view()
    daemon.exposition.render([view, replace(view, name="second")])
    shown = scraped(daemon.exposition.text)

    scores = [dict(labels)["watch"] for name, labels in shown if name == "barograph_score"]
    assert Counter(scores) == {"w": 2, "second": 2}
    assert values_in(shown) == {}
    assert shown[of("barograph_series_not_exported")] == 8


def test_the_automatic_cap_leaves_out_nothing_of_watches_that_are_full():
    # 50 entities of 1 channel each, and 5 of 10: 6 of an entity, 2 values and 2 hours to a bound of a channel
    assert enough_series([50]) >= 50 * 6 + 50 * 4
    assert enough_series([50, 50]) >= (50 * 6 + 50 * 4) + (5 * 6 + 50 * 4)


def test_beyond_the_cap_the_lowest_scores_are_left_out_and_counted(served, noise):
    daemon = served(max_series=10)  # one entity of two channels has 6 + 2 * 2
    daemon.feed(noise(200))
    daemon.feed(noise(200, host="web2", seed=1))
    daemon.feed(noise(12, host="web1", start_step=200, shift=50.0, seed=2))
    daemon.feed(noise(12, host="web2", start_step=200, seed=3))
    shown = daemon.scrape()

    assert of("barograph_judged", watch="w", entity="web1") in shown
    assert of("barograph_judged", watch="w", entity="web2") not in shown
    assert shown[of("barograph_series_not_exported")] == 6


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


def test_channels_that_another_model_has_in_another_order_keep_their_values(served, noise, quiet_watch):
    daemon = served(all_channels=True)
    daemon.feed(noise(200))
    before = daemon.scrape()

    order = daemon.watch.entities.adopt([], ["b", "c", "a"])
    settings = quiet_watch().settings()
    daemon.watch.swap(build_scorer(settings, None, daemon.watch.entities), order)
    after = daemon.scrape()

    for channel in "ab":
        actual = of("barograph_actual", watch="w", entity="web1", channel=channel)
        assert after[actual] == before[actual]
    assert of("barograph_actual", watch="w", entity="web1", channel="c") not in after


def test_who_is_not_judged_is_named_with_the_time_of_its_newest_judged_step_also_beyond_the_cap(
    served, noise
):
    daemon = served(max_series=0)
    daemon.feed(concatenate([noise(200), noise(200, host='web"2', seed=1)]))
    before = daemon.scrape()
    daemon.feed(noise(20, start_step=200, seed=2))
    shown = daemon.scrape()

    name = "barograph_not_judged_since_timestamp_seconds"
    assert [key for key in before if key[0] == name] == []
    # The newest sample of web"2 is of 199 s, in the step that ends at 200 s.
    assert {key: value for key, value in shown.items() if key[0] == name} == {
        of(name, watch="w", entity='web"2'): 200.0
    }


def test_of_many_that_are_not_judged_the_first_ten_are_named(served, noise):
    daemon = served()
    daemon.feed(concatenate([noise(200, host=f"web{number}", seed=number) for number in range(12)]))
    daemon.feed(noise(20, host="web0", start_step=200))
    shown = daemon.scrape()

    named = [
        dict(labels)["entity"] for name, labels in shown if name.startswith("barograph_not_judged_since")
    ]
    assert sorted(named) == sorted(f"web{number}" for number in range(1, 11))
