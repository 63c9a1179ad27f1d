"""Closed steps that late samples have changed, judged again; steps are 1 s, windows 8 steps."""

import numpy as np
import pytest
from scoring import noise

from monitor.detection.build import build_watch
from monitor.detection.judge import Judge
from monitor.detection.metric_rules import MetricRules
from monitor.detection.rejudge import Rejudge
from monitor.detection.report import WatchReport
from monitor.detection.steps import ClosedSteps, Reclosed
from monitor.detection.view import WatchObserver

N_STEPS = 300


class Judged:
    """Steps of two entities, judged for the first time."""

    def __init__(self, settings, values):
        watch = build_watch(settings, None)
        watch.entities.adopt(["web1", "web2"], ["load", "queue_depth"])
        self.values = values
        self.rescored = []
        self.observers = [
            WatchObserver(on_rescored=lambda rows, step: self.rescored.append((rows.tolist(), step)))
        ]
        self.scorer = watch.scorer
        self.judge = Judge(
            "w",
            watch.entities,
            watch.scorer,
            watch.book,
            MetricRules(()),
            snapshots=watch.snapshots,
            observers=self.observers,
        )
        self.alerts = self.judge.process(ClosedSteps(0, 1000, values), WatchReport())

    def again(self, first_step, values, *, rows=(0,), notified_until_ms=0):
        """Let values (T, m, 2) from a step on come late; give the alerts by that, and the report."""
        rejudge = Rejudge(self.judge, self.scorer, self.observers, notified_until_ms=notified_until_ms)
        report = WatchReport()
        reclosed = Reclosed(first_step, np.array(rows), values, 3)
        return rejudge.process(reclosed, report, n_rows=2, n_channels=2), report


@pytest.fixture
def judged(quiet_watch):
    def make(values=None, **changes):
        settings = quiet_watch(**{"revision_seconds": 20.0, **changes}).settings()
        return Judged(settings, noise(N_STEPS, 2, seed=3) if values is None else values)

    return make


def test_steps_that_are_as_they_were_are_not_judged_again(judged):
    first = judged()

    alerts, report = first.again(N_STEPS - 5, first.values[-5:, :1])

    assert (alerts, report.n_revised, report.n_judged_again, first.rescored) == ([], 3, 0, [])


def test_only_the_entities_that_differ_are_judged_again_from_the_first_changed_step_on(judged):
    first = judged()
    late = first.values[-5:].copy()
    late[2:, 1, 0] += 0.5

    _, report = first.again(N_STEPS - 5, late, rows=(0, 1))

    assert report.n_judged_again == 3
    assert [(rows, step.time_ms // 1000) for rows, step in first.rescored] == [
        ([1], 298),
        ([1], 299),
        ([1], 300),
    ]


def test_a_fault_that_comes_late_opens_and_freezes_its_entity(judged):
    first = judged()
    late = first.values[-5:, :1].copy()
    late[1:, 0, 0] += 40.0

    alerts, report = first.again(N_STEPS - 5, late)

    assert [(alert.entity, alert.resolved_ms) for alert in alerts] == [("web1", None)]
    assert report.revised == {"opened": 1}
    assert list(first.judge.open_alerts) == [0]
    assert first.judge.book.frozen.tolist() == [True, False]
    assert first.scorer.detector.tails.is_frozen(0)
    assert first.judge.last_scored.score[0] > 1.0


def test_a_fault_that_was_none_is_retracted_and_its_entity_thawed(judged):
    quiet = noise(N_STEPS, 2, seed=3)
    values = quiet.copy()
    values[-4:, 0, 0] += 40.0
    first = judged(values)
    assert [alert.entity for alert in first.alerts] == ["web1"]

    alerts, report = first.again(N_STEPS - 4, quiet[-4:, :1])

    assert [(alert.identity, alert.reason) for alert in alerts] == [(first.alerts[0].identity, "retracted")]
    assert report.revised == {"retracted": 1}
    assert first.judge.open_alerts == {}
    assert not first.scorer.detector.tails.is_frozen(0)


def test_what_an_earlier_run_has_reported_is_corrected_and_not_reported(judged):
    first = judged()
    late = first.values[-5:, :1].copy()
    late[1:, 0, 0] += 40.0

    alerts, report = first.again(N_STEPS - 5, late, notified_until_ms=N_STEPS * 1000)

    assert (alerts, report.n_judged_again, report.revised, first.rescored) == ([], 0, {}, [])
    assert list(first.judge.open_alerts) == [0]


def test_an_entity_that_was_not_judged_yet_is_not_judged_again(judged):
    values = noise(N_STEPS, 2, seed=3)
    values[:-50, 1] = np.nan
    first = judged(values)
    late = values[-5:, 1:].copy()
    late += 1.0

    _, report = first.again(N_STEPS - 5, late, rows=(1,))

    assert (report.n_revised, report.n_judged_again) == (3, 0)
