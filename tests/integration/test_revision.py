"""Late samples through the whole pipeline: windows judged again, alerts amended, retracted, opened late.

And the same over a restart.
"""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maturity import mature
from prometheus_client import CollectorRegistry

from monitor.config.schema import SourceConfig
from monitor.config.watch import WatchConfig
from monitor.daemon.checkpoints import capture, resume_watch
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.detection.view import WatchObserver
from monitor.metrics.exposition import Exposition
from monitor.metrics.instruments import Metrics
from monitor.outlets.log import LogOutlet
from monitor.sample import Columns, SeriesTable, labels_of
from monitor.sources.position import Position

WARM = 300  # steps of quiet: enough for a limit to settle
METRICS = ("load", "queue_depth")


def config(**changes):
    return WatchConfig.model_validate(
        {
            "name": "w",
            "step_seconds": 1.0,
            "window_length": 8,
            "lateness_seconds": 0.0,
            "revision_seconds": 20.0,
            "budget": "1/day",
            "alert": {"close_seconds": 5.0, "rest_seconds": 5.0},
            **changes,
        }
    )


class Stream:
    """Two hosts, one sample a second, in steps of a second; samples may be kept back and sent later."""

    def __init__(self, *, seed=0, hosts=("web1", "web2"), **changes):
        self.config = config(**changes)
        self.table = SeriesTable()
        self.hosts = hosts
        self.numbers = np.array(
            [[self.table.intern(metric, labels_of({"host": host})) for metric in METRICS] for host in hosts],
            np.int32,
        )
        self.rng = np.random.default_rng(seed)
        self.build(build_watch(self.config.settings(), None))
        self.now = 0  # in steps
        self.alerts, self.scores, self.reports = [], {}, []

    def build(self, watch):
        self.watch = watch
        self.pipeline = Pipeline([watch], self.table, max_future_ms=0)
        watch.observe(WatchObserver(on_scored=self._scored, on_rescored=self._rescored))

    def _scored(self, scored):
        self.scores[scored.time_ms] = scored.score.copy()

    def _rescored(self, rows, scored):
        self.scores[scored.time_ms][rows] = scored.score

    def values(self, n_steps, **shifts):
        """Make quiet metrics (T, n, C), those of the first host shifted by so many standard deviations."""
        values = self.rng.normal(100.0, 1.0, (n_steps, len(self.hosts), len(METRICS)))
        for metric, shift in shifts.items():
            values[:, 0, METRICS.index(metric)] += shift
        return values

    def send(self, values, *, missing=()):
        """Send steps one by one, but for the `(step, host, metric)` places given; give what was kept back."""
        kept_back = []
        for at, step in enumerate(values):
            points = []
            for host in range(len(self.hosts)):
                for metric in range(len(METRICS)):
                    point = (self.numbers[host, metric], self.now * 1000, step[host, metric])
                    (kept_back if (at, host, metric) in missing else points).append(point)
            self.now += 1
            self.take(points)
        return kept_back

    def warm(self):
        """Let quiet steps pass that count as a long history."""
        self.send(self.values(WARM))
        mature(self.watch.scorer.detector)

    def take(self, points, **options):
        series, times, values = zip(*points, strict=True) if points else ((), (), ())
        columns = Columns(np.array(series, np.int32), np.array(times, np.int64), np.array(values, np.float64))
        decision = self.pipeline.process(columns, (self.now - 1) * 1000, **options)
        self.reports.append(decision.reports["w"])
        self.alerts += decision.alerts
        return decision

    def restart(self):
        kept = capture([(self.config, None, self.watch)], source=SourceConfig(), position=Position(None, {}))
        arrays = {name: array.copy() for name, array in kept.arrays.items()}
        watch, what = resume_watch(self.config, None, None, type(kept)(arrays, kept.about))
        assert what == "resumed"
        self.build(watch)

    def notified(self):
        """Give what was told, short."""
        return [(alert.entity, kind_of(alert), alert.revision) for alert in self.alerts]


def kind_of(alert):
    if alert.amends:
        return "retracted" if alert.reason == "retracted" else "amended"
    return alert.reason or "opened"


def of_first_host(n_steps, start=0):
    return {(step, 0, metric) for step in range(start, start + n_steps) for metric in range(len(METRICS))}


def test_a_gap_that_raised_an_alert_is_retracted_when_its_samples_come():
    stream = Stream(gap_mode="zero", max_gap_seconds=30.0)
    stream.warm()
    late = stream.send(stream.values(6), missing=of_first_host(3, 2))  # the gap reads as 0: far from 100
    assert stream.notified() == [("web1", "opened", 0)]
    assert stream.watch.book.is_open.tolist() == [True, False]

    decision = stream.take(late)

    assert stream.notified()[1:] == [("web1", "retracted", 1)]
    assert stream.alerts[0].identity == stream.alerts[1].identity
    assert stream.watch.open_alerts == {}
    assert not stream.watch.book.frozen.any()
    report = decision.reports["w"]
    assert (report.n_samples, report.n_late, report.n_revised, report.revised) == (6, 0, 6, {"retracted": 1})
    assert report.n_judged_again == 3  # steps 2, 3 and 4 of one host: the step that came last is open still
    stream.send(stream.values(40))
    assert len(stream.alerts) == 2


def test_what_comes_late_within_a_fault_amends_its_alert_and_does_not_raise_it_again():
    stream = Stream()
    stream.warm()
    fault = stream.values(6, load=12.0)
    fault[3, 0, 0] += 40.0
    late = stream.send(fault, missing={(3, 0, 0)})
    (opened,) = stream.alerts

    stream.take(late)

    assert stream.notified() == [("web1", "opened", 0), ("web1", "amended", 1)]
    amended = stream.alerts[1]
    assert amended.identity == opened.identity
    assert amended.score > opened.score
    assert amended.channels[0].channel == "load"
    assert stream.watch.open_alerts[0].score == amended.score
    stream.send(stream.values(30))
    assert stream.notified()[2:] == [("web1", "recovered", 1)]


def test_samples_that_repeat_what_is_known_change_nothing():
    stream = Stream()
    stream.warm()
    fault = stream.values(5, load=12.0)
    stream.send(fault)
    notified, scores = stream.notified(), {time_ms: score.copy() for time_ms, score in stream.scores.items()}

    decision = stream.take([(stream.numbers[0, 0], (stream.now - 3) * 1000, fault[2, 0, 0])])

    assert stream.notified() == notified
    assert (decision.reports["w"].n_revised, decision.reports["w"].n_judged_again) == (1, 0)
    for time_ms, score in scores.items():
        np.testing.assert_array_equal(stream.scores[time_ms], score)


def test_a_fault_that_comes_late_opens_late_and_once():
    stream = Stream()
    stream.warm()
    late = stream.send(stream.values(6, load=12.0), missing=of_first_host(6))
    assert stream.alerts == []

    stream.take(late[:-2])

    assert stream.notified() == [("web1", "opened", 0)]
    assert stream.alerts[0].opened_ms <= (stream.now - 1) * 1000
    assert stream.watch.book.is_open[0]
    assert stream.watch.scorer.detector.tails.is_frozen(0)
    stream.send(stream.values(30))
    assert stream.notified()[1:] == [("web1", "recovered", 0)]


def test_a_fault_that_comes_late_and_is_over_is_told_with_its_end():
    stream = Stream()
    stream.warm()
    fault = stream.values(16)
    fault[:2, 0, 0] += 30.0
    late = stream.send(fault, missing=of_first_host(16))

    stream.take(late[:-2])

    assert stream.notified() == [("web1", "opened", 0), ("web1", "recovered", 0)]
    assert stream.alerts[0].identity == stream.alerts[1].identity
    assert stream.watch.open_alerts == {}
    assert not stream.watch.book.frozen.any()


def test_an_alert_that_is_over_is_retracted_and_not_raised_again():
    stream = Stream(gap_mode="zero", max_gap_seconds=30.0)
    stream.warm()
    late = stream.send(stream.values(2), missing=of_first_host(1))
    stream.send(stream.values(14))
    assert stream.notified() == [("web1", "opened", 0), ("web1", "recovered", 0)]

    decision = stream.take(late)

    assert stream.notified()[2:] == [("web1", "retracted", 1)]
    assert stream.alerts[2].amends  # it neither opens nor ends anything
    assert stream.alerts[2].resolved_ms == stream.alerts[1].resolved_ms
    assert decision.reports["w"].revised == {"retracted": 1}


def test_what_was_told_as_over_stays_over():
    stream = Stream()
    stream.warm()
    fault = stream.values(18, load=14.0)
    short = np.concatenate([fault[:2], stream.values(15)])
    stream.send(short)
    assert stream.notified() == [("web1", "opened", 0), ("web1", "recovered", 0)]
    stream.now -= 15
    late = [(stream.numbers[0, 0], (stream.now + at) * 1000 + 500, fault[2 + at, 0, 0]) for at in range(14)]
    stream.now += 15

    stream.take(late)  # the fault had been there all the time

    assert [kind for _, kind, _ in stream.notified()[2:]] == ["amended"]
    assert stream.watch.open_alerts == {}
    assert not stream.watch.book.frozen[0]


def test_later_than_the_span_is_dropped_and_counted():
    stream = Stream(revision_seconds=5.0)
    stream.warm()

    decision = stream.take(
        [
            (stream.numbers[0, 0], (stream.now - 7) * 1000, 500.0),
            (stream.numbers[0, 0], (stream.now - 6) * 1000, 100.5),
        ]
    )

    assert (decision.reports["w"].n_late, decision.reports["w"].n_revised) == (1, 1)
    assert stream.alerts == []


def test_without_a_span_nothing_is_kept_and_all_that_is_late_is_dropped():
    stream = Stream(revision_seconds=0.0)
    stream.warm()

    decision = stream.take([(stream.numbers[0, 0], (stream.now - 2) * 1000, 500.0)])

    assert (decision.reports["w"].n_late, decision.reports["w"].n_revised) == (1, 0)
    assert not any(name.startswith("moments/") and array.size for name, array in stream.watch.state().items())


def test_entities_that_were_numbered_anew_are_corrected_as_they_are_now_numbered():
    stream = Stream(gap_mode="zero", max_gap_seconds=30.0)
    stream.warm()
    late = stream.send(
        stream.values(6), missing={(step, 1, metric) for step in (2, 3) for metric in range(2)}
    )  # of the second host
    assert stream.notified() == [("web2", "opened", 0)]
    rows = np.array([1])
    stream.watch.keep_rows(rows)  # as when entities are gone
    stream.scores = {time_ms: score[rows] for time_ms, score in stream.scores.items()}

    stream.take(late)

    assert stream.notified()[1:] == [("web2", "retracted", 1)]
    assert stream.watch.open_alerts == {}


def test_an_entity_that_is_not_judged_yet_shows_what_came_late():
    stream = Stream()
    stream.send(stream.values(50))
    late = stream.send(stream.values(5), missing=of_first_host(3))
    missing_before = stream.watch.scorer.missing_steps()[0]

    decision = stream.take(late)

    assert stream.watch.scorer.missing_steps()[0] == missing_before - 3
    assert (decision.reports["w"].n_revised, decision.reports["w"].n_judged_again) == (6, 0)


def test_what_an_earlier_run_has_told_is_corrected_in_silence():
    def run(**options):
        stream = Stream(gap_mode="zero", max_gap_seconds=30.0)
        stream.warm()
        late = stream.send(stream.values(6), missing=of_first_host(3, 2))
        stream.alerts.clear()
        decision = stream.take(late, **options)
        return stream, decision.reports["w"]

    stream, report = run(complete_ms=(WARM + 5) * 1000, delivered_ms=(WARM + 5) * 1000)

    assert stream.alerts == []
    assert stream.watch.open_alerts == {}
    assert (report.n_judged_again, report.revised) == (0, {})
    assert [kind for _, kind, _ in run()[0].notified()] == ["retracted"]


def test_metrics_and_the_log_tell_of_revisions(caplog):
    stream = Stream(gap_mode="zero", max_gap_seconds=30.0)
    stream.warm()
    metrics = Metrics(CollectorRegistry(), ["w"])
    late = stream.send(stream.values(6), missing=of_first_host(3, 2))
    assert (
        metrics.registry.get_sample_value("barograph_alerts_revised_total", {"watch": "w", "kind": "amended"})
        == 0
    )

    decision = stream.take(late)
    metrics.batch_done(decision, [stream.watch.view()], (), duration_seconds=0.0, now=0.0)
    with caplog.at_level(logging.INFO):
        LogOutlet().deliver(decision.alerts)

    def shown(name, **labels):
        return metrics.registry.get_sample_value(name, {"watch": "w", **labels})

    assert shown("barograph_samples_total", result="revised") == 6
    assert shown("barograph_samples_total", result="accepted") == 0
    assert shown("barograph_windows_revised_total") == 3
    assert shown("barograph_alerts_revised_total", kind="retracted") == 1
    assert shown("barograph_episodes_resolved_total", reason="retracted") == 1
    assert shown("barograph_episodes_opened_total") == 0
    assert caplog.records[0].getMessage().startswith("episode retracted watch=w entity=web1 ")
    exposition = Exposition(metrics, 1000)
    exposition.render([stream.watch.view()])
    assert b'barograph_anomaly{watch="w",entity="web1"} 0.0' in exposition.text
    (score,) = [
        line
        for line in exposition.text.decode().splitlines()
        if line.startswith('barograph_score{watch="w",entity="web1"}')
    ]
    assert float(score.split()[-1]) < 1.0


# Changes of level


@pytest.mark.parametrize("restart_behind", [None, 0, 764, 779, 830])
@pytest.mark.parametrize(
    "late", [{(764, 1, 0)}, {(767, 0, 0)}, {(766, 0, 1), (770, 0, 0)}, {(820, 0, 0), (822, 1, 1)}]
)
def test_late_samples_change_no_level_that_was_found_nor_a_return(late, restart_behind):
    def run(missing):
        stream = Stream(seed=2)
        stream.warm()
        values = np.concatenate([stream.values(820, load=12.0), stream.values(60)])
        waiting = []
        for at, step in enumerate(values):
            if at == restart_behind:
                stream.restart()
            here = {(0, host, metric) for when, host, metric in missing if when == at}
            waiting += [(at + 4, point) for point in stream.send(step[None], missing=here)]
            stream.take([point for due, point in waiting if due == at])
        return stream

    stream, undisturbed = run(late), run(set())

    assert [kind for _, kind, _ in stream.notified()] == ["opened", "level changed"]
    assert stream.notified() == undisturbed.notified()
    np.testing.assert_allclose(
        stream.watch.scorer.detector.scaling.centre,
        undisturbed.watch.scorer.detector.scaling.centre,
        atol=0.5,
    )


@pytest.mark.parametrize("hold_seconds", [0.0, 3.0])
@pytest.mark.parametrize("late", [{(59, 0, 0)}, {(61, 0, 0)}, {(66, 0, 0), (69, 1, 1)}])
def test_late_samples_change_no_second_fault_that_was_found(late, hold_seconds):
    def run(missing):
        stream = Stream(
            seed=2, alert={"hold_seconds": hold_seconds, "close_seconds": 5.0, "rest_seconds": 5.0}
        )
        stream.warm()
        both = stream.values(30, load=12.0, queue_depth=30.0)
        values = np.concatenate([stream.values(60, load=12.0), both])
        waiting = []
        for at, step in enumerate(values):
            here = {(0, host, metric) for when, host, metric in missing if when == at}
            waiting += [(at + 4, point) for point in stream.send(step[None], missing=here)]
            stream.take([point for due, point in waiting if due == at])
        return stream

    stream, undisturbed = run(late), run(set())

    assert [kind for _, kind, _ in undisturbed.notified()] == ["opened", "another fault", "opened"]
    assert stream.notified() == undisturbed.notified()
    times = [(alert.since_ms, alert.opened_ms) for alert in stream.alerts]
    assert times == [(alert.since_ms, alert.opened_ms) for alert in undisturbed.alerts]


def test_steps_are_judged_again_around_the_level_of_their_time():
    def run(missing):
        stream = Stream(seed=2)
        stream.warm()
        stream.send(stream.values(820, load=12.0))
        late = stream.send(stream.values(10), missing=missing)  # the level goes back
        stream.take(late)
        return stream

    # The gap is in the other channel: the return is found in the same step.
    stream, undisturbed = run({(1, 0, 1), (5, 0, 1)}), run(set())

    assert stream.reports[-1].n_judged_again > 0
    newest = sorted(undisturbed.scores)[-8:]
    again = np.array([stream.scores[time_ms][0] for time_ms in newest])
    assert (again < 1.0).all()
    np.testing.assert_allclose(again, [undisturbed.scores[time_ms][0] for time_ms in newest], atol=0.2)


# The same in any order, and over a restart


class NoLearning(Stream):
    """A stream whose watch learns nothing more: only so can two orders be compared, by the same tails."""

    def build(self, watch):
        super().build(watch)
        watch.scorer.learn = lambda scored, frozen: None
        watch.scorer.freeze = lambda row: None  # a thawed tail is fitted anew
        watch.scorer.thaw = lambda row, keep: None


WARMED = Stream(seed=3)
WARMED.warm()
SPAN = 12


def warmed():
    stream = NoLearning(seed=4)
    state = {name: array.copy() for name, array in WARMED.watch.state().items()}
    stream.watch.entities.update(stream.table)
    stream.watch.load_state(state, {}, WARMED.watch.snapshots.about())
    stream.now = WARM
    return stream


def settle(stream, n_steps):
    """Close every step, and give what is known in the end."""
    stream.now = WARM + n_steps + 1
    stream.take([(int(number), (stream.now - 1) * 1000, 100.0) for number in stream.numbers.ravel()])
    scores = np.array([score for time_ms, score in sorted(stream.scores.items()) if time_ms > WARM * 1000])
    state = stream.watch.scorer.state()
    prefixes = ("n_seen", "last", "elev", "detector.gauss")
    shaped = {name: array for name, array in state.items() if name.startswith(prefixes)}
    return {"scores": scores, "ring": state["recent"], **shaped}


@settings(deadline=None, max_examples=25)
@given(data=st.data(), shift=st.sampled_from([0.0, 6.0, 25.0]))
def test_any_order_within_the_span_ends_with_the_same_values_and_scores(data, shift):
    n_steps = 16
    values = np.random.default_rng(data.draw(st.integers(0, 99))).normal(100, 1, (n_steps, 2, 2))
    values[4:9, 0, 0] += shift
    points = [
        (int(warmed_numbers[host, metric]), (WARM + step) * 1000, values[step, host, metric])
        for step in range(n_steps) for host in range(2) for metric in range(2)
    ]  # fmt: skip
    delays = data.draw(
        st.lists(st.integers(0, SPAN), min_size=len(points), max_size=len(points)), label="delays"
    )
    lost = data.draw(st.sets(st.integers(0, len(points) - 1), max_size=6), label="lost")  # gaps that stay
    restart_at = data.draw(st.integers(0, n_steps + SPAN), label="restart")

    def run(delays, restart_at=None):
        stream = warmed()
        for step in range(n_steps + SPAN + 1):
            stream.now = WARM + step + 1
            stream.take(
                [
                    point
                    for at, (point, delay) in enumerate(zip(points, delays, strict=True))
                    if at not in lost and point[1] // 1000 + delay == WARM + step
                ]
            )
            if step == restart_at:
                stream.restart()
        assert sum(report.n_late for report in stream.reports) == 0
        return settle(stream, n_steps + SPAN)

    expected = run([0] * len(points))
    for outcome in (run(delays), run(delays, restart_at)):
        for name, array in expected.items():
            np.testing.assert_array_equal(outcome[name], array, err_msg=name)


warmed_numbers = WARMED.numbers


@pytest.mark.parametrize("restart_behind", range(0, 12, 2))
def test_a_restart_from_a_checkpoint_in_between_corrects_the_same(restart_behind):
    def run(restart_behind):
        stream = Stream(gap_mode="zero", max_gap_seconds=30.0)
        stream.warm()
        late = stream.send(stream.values(6), missing=of_first_host(3, 2))
        fault = stream.values(6, queue_depth=15.0)
        fault[2, 0, 1] += 20.0
        more = stream.send(fault, missing={(2, 0, 1), (4, 1, 0)})
        queue = [[point] for point in (*late, *more)]
        for at, points in enumerate([*queue, *([[]] * 4)]):
            if at == restart_behind:
                stream.restart()
            stream.take(points)
        stream.send(stream.values(20))
        return stream

    undisturbed, restarted = run(None), run(restart_behind)

    assert restarted.alerts == undisturbed.alerts
    assert {"opened", "amended", "recovered"} <= {kind for _, kind, _ in undisturbed.notified()}
    assert list(restarted.scores) == list(undisturbed.scores)
    for time_ms, score in undisturbed.scores.items():
        np.testing.assert_array_equal(restarted.scores[time_ms], score)


def test_a_checkpoint_from_before_revisions_still_loads():
    stream = Stream()
    stream.warm()
    kept = capture([(stream.config, None, stream.watch)], source=SourceConfig(), position=Position(None, {}))
    about = {
        **kept.about,
        "watches": {
            "w": {key: value for key, value in kept.about["watches"]["w"].items() if key != "moments"}
        },
    }
    arrays = {
        name: array
        for name, array in kept.arrays.items()
        if "/moments/" not in name and "/grid/kept" not in name
    }

    watch, what = resume_watch(stream.config, None, None, type(kept)(arrays, about))
    stream.build(watch)
    stream.send(stream.values(3))
    decision = stream.take(
        [
            (stream.numbers[0, 0], (stream.now - 2) * 1000, 130.0),
            (stream.numbers[0, 0], (stream.now - 5) * 1000, 130.0),
        ]
    )

    assert what == "resumed"
    assert (decision.reports["w"].n_late, decision.reports["w"].n_revised) == (1, 1)
