"""A watch, batch by batch: late samples, a clock that is set back, coverage, a restart; steps are 1 s."""

import numpy as np
import pytest
from forecasters import forecaster
from metric_stream import LEVELS, NEEDED, Stream, watch
from stage_settings import alert_policy

from models.bundle import Bundle
from monitor.detection.build import build_scorer, build_watch
from monitor.detection.pipeline import Pipeline
from monitor.detection.view import WatchObserver
from monitor.sample import Columns, concatenate, labels_of, no_samples
from monitor.storage.step_history import History
from monitor.testing import samples
from monitor.training.train import fit_watch

GONE = alert_policy(close_seconds=10, rest_seconds=10, accept_after_seconds=200)


def test_late_samples_are_counted_in_the_report():
    stream = Stream(seed=0).run(50)

    decision = stream.take(samples("1 2 3", stream.table, name="load", host="web1"), now_ms=50_000)

    assert (decision.reports["web"].n_samples, decision.reports["web"].n_late) == (3, 3)


# What is reported


def test_warming_steps_are_counted_as_not_judged():
    stream = Stream(seed=1)
    number = stream.table.intern("load", labels_of({"host": "web1"}))
    n_steps = NEEDED + 30
    times = np.arange(n_steps) * 1000
    columns = Columns(np.full(n_steps, number, np.int32), times, stream.rng.normal(50, 1, n_steps))
    report = stream.take(columns, n_steps * 1000, finished=True).reports["web"]

    assert (report.n_steps, report.n_scored) == (n_steps, 30)
    assert report.not_judged == {"warming": NEEDED, "gap": 0, "stale": 0}


def test_finished_judges_the_steps_still_open():
    stream = Stream(watch(lateness_ms=20_000), seed=1).run(150)
    before = stream.watch.last_scored.time_ms

    stream.take(no_samples(), stream.now * 1000, finished=True)

    assert before == 129_000  # the newest sample, at 149 s, minus 20 s
    assert stream.watch.last_scored.time_ms == 150_000


# A clock that was set back


def test_behind_a_clock_that_was_ahead_and_set_back_steps_close_on_and_nothing_is_late():
    stream = Stream(watch(lateness_ms=2000), seed=12).run(200)
    stream.now += 3600
    stream.run(5)
    stream.now -= 3600

    stream.run(100)

    assert stream.n_late == 0
    assert stream.watch.grid.watermark_ms == (stream.now - 1) * 1000 - 2000
    assert stream.watch.last_scored.time_ms == stream.watch.grid.watermark_ms // 1000 * 1000
    assert stream.watch.last_scored.judged.all()


def test_it_is_reported_by_how_many_steps_the_clock_was_set_back():
    stream = Stream(seed=12).run(200)
    stream.now -= 100
    columns = concatenate(stream.columns(name, stream.now, np.ones(1)) for name in LEVELS)

    report = stream.take(columns, stream.now * 1000).reports["web"]

    assert (report.n_steps_back, report.n_late) == (99, 0)  # step 199 was open, step 100 is now


def test_a_clock_set_back_by_less_than_a_sample_may_be_ahead_makes_samples_late_and_no_step_anew():
    stream = Stream(seed=12).run(200)
    watermark_ms = stream.watch.grid.watermark_ms
    columns = concatenate(stream.columns(name, 200 - 60, np.ones(1)) for name in LEVELS)

    report = stream.take(columns, (200 - 60) * 1000).reports["web"]

    assert (report.n_steps_back, report.n_late) == (0, 2)
    assert stream.watch.grid.watermark_ms == watermark_ms


def test_an_episode_that_is_open_when_the_clock_is_set_back_resolves_in_its_time():
    stream = Stream(seed=13).run(300).mature().run(30, load=15)
    stream.now -= 200

    stream.run(100).run(30, load=15).run(100)

    assert [alert.reason for alert in stream.alerts] == [None, "recovered", None, "recovered"]
    assert all(alert.resolved_ms is None or alert.resolved_ms >= alert.opened_ms for alert in stream.alerts)
    assert stream.alerts[2].opened_ms < 250_000  # the second fault began at 230 s by the clock as it is now


def test_a_rest_that_is_under_way_when_the_clock_is_set_back_ends_in_its_time():
    policy = alert_policy(close_seconds=10, rest_seconds=60, accept_after_seconds=1e6)
    stream = Stream(watch(policy=policy), seed=13).run(300).mature().run(30, load=15).run(30)
    n_alerts = len(stream.alerts)
    stream.now -= 200

    stream.run(100).run(30, load=15).run(100)

    assert n_alerts == 2  # opened and recovered: at rest now
    assert [alert.reason for alert in stream.alerts] == [None, "recovered", None, "recovered"]
    assert (
        260_000 <= stream.alerts[2].opened_ms < 270_000
    )  # by the clock as it was, the rest would last until 400 s or so


def test_a_watch_that_no_sample_of_the_batch_belongs_to_keeps_its_steps():
    stream = Stream(watch("loads", metrics=["load"]), watch("others", metrics=["other"]), seed=14).run(200)
    number = stream.table.intern("other", labels_of({"host": "web1"}))
    before = stream.watch.grid.watermark_ms

    stream.take(Columns(np.array([number], np.int32), np.array([50_000]), np.ones(1)), 50_000)

    assert stream.watch.grid.watermark_ms == before


# Coverage


def coverage(stream, columns=None, **options):
    report = stream.take(no_samples() if columns is None else columns, stream.now * 1000, **options).reports[
        "web"
    ]
    return report.n_expected, report.n_judged


def test_a_warming_entity_is_not_expected_yet_and_a_judged_one_is_covered():
    stream = Stream(seed=1, batch_steps=1).run(NEEDED - 5)
    warming = coverage(stream)

    stream.run(20)

    assert warming == (0, 0)
    assert coverage(stream) == (1, 1)


def test_an_entity_counts_as_not_judged_within_three_steps_of_its_last_sample():
    stream = Stream(seed=1, batch_steps=1).run(150)  # the newest sample at 149 s, the newest step ends there

    covered = []
    for _ in range(3):
        stream.now += 1
        covered.append(coverage(stream))

    assert covered == [
        (1, 1),
        (1, 0),
        (1, 0),
    ]  # the newest judged step ended at 149 s, and 2.5 s later that is too long ago


def test_a_source_that_trails_the_clock_steadily_is_covered():
    stream = Stream(seed=1, batch_steps=1)
    for _ in range(150):
        columns = concatenate(
            stream.columns(name, stream.now, np.array([level])) for name, level in LEVELS.items()
        )
        report = stream.pipeline.process(columns, (stream.now + 4) * 1000).reports["web"]
        stream.now += 1

    assert (report.n_expected, report.n_judged) == (1, 1)


@pytest.mark.parametrize("name", ["load", "requests_total"])  # a counter has no rate in its first step
def test_a_first_start_with_a_model_misses_only_those_who_send_nothing_while_windows_fill(
    quiet_watch, table, name
):
    config = quiet_watch(model={"hidden": 4, "latent": 2, "epochs": 1}, lateness_seconds=1.0)
    past = np.random.default_rng(0).normal(100, 1, (400, 2, 1))
    history = History(("web1", "web2"), (name,), past, 0, 400_000)
    bundle = Bundle(fit_watch(config.settings(), history).detector, history.channels, history.entities, {})
    pipeline = Pipeline([build_watch(config.settings(), bundle)], table, max_future_ms=0)
    number = table.intern(name, labels_of({"host": "web1"}))
    judged = {}

    for tenth in range(5001, 5300):  # ten turns a second; web1 sends every second, web2 never
        now_ms = 100 * tenth
        time_ms = np.array([now_ms] if tenth % 10 == 0 else [], np.int64)
        columns = Columns(np.full(len(time_ms), number, np.int32), time_ms, 10.0 * tenth + 0.0 * time_ms)
        report = pipeline.process(columns, now_ms).reports["w"]
        judged[now_ms - 500_100] = (report.n_judged, report.n_expected)

    # A step closes 3.5 s behind the clock at most, and the first that shows anything may be the second one.
    assert {counts for after_ms, counts in judged.items() if after_ms < 4500} == {(2, 2)}
    assert {counts for after_ms, counts in judged.items() if after_ms >= 4500} == {(1, 2)}
    assert pipeline.watches[0].last_scored.judged.tolist() == [True, False]  # a window of 8 has been full


def test_behind_the_end_of_its_source_nothing_is_judged():
    stream = Stream(seed=1, batch_steps=1).run(150)

    assert coverage(stream, finished=True) == (1, 0)


def test_an_entity_that_is_gone_is_no_longer_expected():
    stream = Stream(watch(policy=GONE), seed=1).run(150).silence(200)
    missed = coverage(stream)

    stream.silence(100)

    assert missed == (1, 0)
    assert coverage(stream) == (0, 0)


def test_the_series_that_match_are_counted_and_whether_it_is_too_early_to_miss_them():
    stream = Stream(watch(metrics=["load"]), watch("none", metrics=["x"]), seed=1, batch_steps=1)

    first = stream.take(stream.columns("load", 0, np.ones(1)), 0).reports
    later = stream.take(no_samples(), stream.watch.grid.longest_delay_ms).reports

    assert (first["web"].n_matching, first["none"].n_matching) == (1, 0)
    assert first["none"].has_just_begun
    assert (later["none"].n_matching, later["none"].has_just_begun) == (0, False)


# Behind a restart that found no state


def test_what_an_earlier_run_has_told_fills_windows_and_is_not_told_again():
    stream = Stream(seed=3)
    scored = []
    stream.watch.observe(WatchObserver(on_scored=lambda step: scored.append(step.time_ms)))
    stream.run(150, load=0)
    notified = 120_000

    again = Stream(seed=3)
    repeated = []
    again.watch.observe(WatchObserver(on_scored=lambda step: repeated.append(step.time_ms)))
    step = again.pipeline.process
    reports = []

    def step_behind_a_restart(columns, now_ms, **options):
        decision = step(columns, now_ms, complete_ms=now_ms, delivered_ms=notified, **options)
        reports.append(decision.reports["web"])
        return decision

    again.pipeline.process = step_behind_a_restart
    again.run(150, load=0)

    assert repeated == [time_ms for time_ms in scored if time_ms > notified]
    assert sum(report.n_repeated for report in reports) == 120
    assert sum(report.n_steps for report in reports) == len(repeated)
    np.testing.assert_array_equal(again.watch.last_scored.score, stream.watch.last_scored.score)


def test_an_episode_that_an_earlier_run_has_told_is_resolved_under_the_same_name():
    whole = Stream(seed=5).run(200).mature().run(30, load=40).run(40)
    opened, resolved = whole.alerts
    notified = opened.opened_ms

    again = Stream(seed=5)
    step = again.pipeline.process
    again.pipeline.process = lambda columns, now_ms, **options: step(
        columns, now_ms, complete_ms=now_ms, delivered_ms=notified, **options
    )
    again.run(200).mature().run(30, load=40).run(40)

    assert [(alert.identity, alert.reason) for alert in again.alerts] == [
        (resolved.identity, resolved.reason)
    ]


# The hours left


def test_the_hours_left_are_those_of_the_model_that_judges_now(quiet_watch, table):
    settings = quiet_watch(metric=[{"name": "load", "valid_max": 105.5}]).settings()
    live = build_watch(settings, forecaster(1.0), live=True)
    pipeline = Pipeline([live], table, max_future_ms=0)
    pipeline.process(samples("100 " * 20, table, name="load", host="web1"), 20_000)
    before = live.view().hours_to_bound[0, 0, 1]

    live.swap(build_scorer(settings, forecaster(3.0), live.entities), np.array([0]))
    pipeline.process(samples("100", table, name="load", host="web1", start_ms=20_000), 22_000)

    assert (before, live.view().hours_to_bound[0, 0, 1]) == (
        pytest.approx(6 / 3600),
        pytest.approx(2 / 3600),
    )


def test_the_hours_left_move_with_the_rows_of_entities_that_stay(quiet_watch, table):
    settings = quiet_watch(metric=[{"name": "load", "valid_max": 105.5}]).settings()
    live = build_watch(settings, forecaster(1.0, entities=("web1", "web2")), live=True)
    both = [samples("100 " * 20, table, name="load", host="web1")]
    both.append(samples("103 " * 20, table, name="load", host="web2"))
    Pipeline([live], table, max_future_ms=0).process(concatenate(both), 20_000)

    live.keep_rows(np.array([1]))

    np.testing.assert_allclose(live.view().hours_to_bound[:, 0, 1], [3 / 3600])


def test_a_bound_of_a_metric_holds_where_each_series_is_an_entity(quiet_watch, table):
    rules = [{"name": "load", "valid_max": 105.5}]
    live = build_watch(quiet_watch(by="series", metric=rules).settings(), None, live=True)
    both = [samples("106 " * 6, table, name=name, host="web1") for name in ("used", "load")]

    decision = Pipeline([live], table, max_future_ms=0).process(concatenate(both), 8000)

    assert [alert.entity for alert in decision.alerts] == ['load{host="web1"}']
    assert live.view().out_of_range.tolist() == [False, True]
