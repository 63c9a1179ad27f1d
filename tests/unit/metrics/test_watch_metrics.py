from __future__ import annotations

from dataclasses import replace

from scraped import of

from monitor.alerting.alert import Alert
from monitor.detection.report import WatchReport
from monitor.metrics.watch_metrics import WatchCounters, WatchGauges

RESULTS = ("accepted", "late", "revised", "refused")


def test_an_open_episode_is_counted_and_shown(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    daemon.feed(noise(20, start_step=200, shift=50.0, seed=1))
    shown = daemon.scrape()

    assert shown[of("barograph_anomaly", watch="w", entity="web1")] == 1
    assert shown[of("barograph_episodes_open", watch="w")] == 1
    assert shown[of("barograph_episodes_opened_total", watch="w")] == 1
    assert shown[of("barograph_over_limit_total", watch="w")] > 0


def test_coverage_is_shown(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    shown = daemon.scrape()

    assert shown[of("barograph_entities_expected", watch="w")] == 1
    assert shown[of("barograph_entities_judged", watch="w")] == 1


def test_a_withheld_episode_is_not_counted_as_open_and_shows_no_anomaly(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    daemon.feed(noise(20, start_step=200, shift=50.0, seed=1))
    (alert,) = daemon.watch.open_alerts.values()
    daemon.metrics.started("1.2.3", daemon.views(), now=0.0, withheld={alert.identity})
    shown = daemon.scrape(withheld={alert.identity})

    assert shown[of("barograph_episodes_open", watch="w")] == 0
    assert shown[of("barograph_anomaly", watch="w", entity="web1")] == 0
    assert of("barograph_episode_score", watch="w", entity="web1") not in shown


def test_a_withheld_episode_is_counted_once_it_has_ended_under_both_names(declared):
    counters, scrape = declared(WatchCounters, ["w"])
    opened = Alert("w", "web1", 0, 1000, 2.5, 3.0, False, ())
    ended = replace(opened, resolved_ms=2000, reason="recovered")

    counters.count_withheld([opened, ended, replace(ended, amends=True)])

    assert scrape()[of("barograph_episodes_withheld_total", watch="w")] == 1
    assert scrape()[of("barograph_episodes_quiet_total", watch="w")] == 1


def test_samples_are_counted_by_what_became_of_them(declared):
    counters, scrape = declared(WatchCounters, ["w"])

    counters.count("w", WatchReport(n_samples=10, n_late=2, n_revised=3, n_refused=4))

    counts = {result: scrape()[of("barograph_samples_total", watch="w", result=result)] for result in RESULTS}
    assert counts == {"accepted": 5, "late": 2, "revised": 3, "refused": 4}


def test_that_no_series_matches_is_shown_once_there_was_time_to_see_some_and_where_it_is_a_fault(declared):
    gauges, scrape = declared(WatchGauges, ["new", "wrong", "right", "spare"], {"spare"})
    gauges.count_coverage("new", WatchReport(n_matching=0, has_just_begun=True))
    gauges.count_coverage("wrong", WatchReport(n_matching=0))
    gauges.count_coverage("right", WatchReport(n_matching=45, has_just_begun=True))
    gauges.count_coverage("spare", WatchReport(n_matching=0))

    matching = {
        watch: scrape().get(of("barograph_series_matching", watch=watch)) for watch in ("new", "spare")
    }
    assert matching == {"new": None, "spare": None}
    assert scrape()[of("barograph_series_matching", watch="wrong")] == 0
    assert scrape()[of("barograph_series_matching", watch="right")] == 45


def test_muted_entities_are_counted_by_watch_from_zero_on(declared):
    gauges, scrape = declared(WatchGauges, ["w", "v"])
    before = scrape()
    gauges.count_muted({("w", "web1"), ("w", "web2")})
    during = scrape()
    gauges.count_muted(frozenset())

    name = "barograph_entities_muted"
    assert (before[of(name, watch="w")], before[of(name, watch="v")]) == (0, 0)
    assert (during[of(name, watch="w")], during[of(name, watch="v")]) == (2, 0)
    assert scrape()[of(name, watch="w")] == 0
