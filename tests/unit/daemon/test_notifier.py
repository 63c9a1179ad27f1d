"""The order in which alerts go to the alert history, the outlets and a checkpoint."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import AlertAgeFilter, Summary
from monitor.daemon.notifier import Notifier
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Decision, Pipeline
from monitor.sources.position import Position

POSITION = Position(5000)
OPENED = Alert("w", "web1", 1000, 2000, 1.5, 3.0, False, ())
RESOLVED = replace(OPENED, resolved_ms=9000, reason="recovered")
OTHER = replace(OPENED, entity="web2")


class Diary:
    """Is outlet, alert history and checkpoints at once, and writes down what each is given."""

    def __init__(self):
        self.lines = []

    def deliver(self, alerts):
        self.lines.append(("deliver", [alert.resolved_ms for alert in alerts]))

    def send_summary(self, summary):
        self.lines.append(("summary", summary.n_episodes))

    def record(self, alerts, notified, *, muted=False):
        assert not (muted and notified)
        if muted:
            self.lines.append(("mute", [alert.resolved_ms for alert in alerts]))
            return
        self.lines.append(("record" if notified else "withhold", [alert.resolved_ms for alert in alerts]))

    def update_open(self, progress):
        self.lines.append(("update", [of_episode.alert.score for of_episode in progress]))

    def save(self, position, undelivered=()):
        self.lines.append(("save", [alert.resolved_ms for alert in undelivered]))


@pytest.fixture
def diary():
    return Diary()


def notifier(diary, *, max_age_ms=None, **options):
    age_filter = AlertAgeFilter({} if max_age_ms is None else {"w": max_age_ms})
    return Notifier([diary], diary, age_filter, alert_history=diary, **options)


def test_alerts_are_stored_then_delivered_then_part_of_a_checkpoint(diary):
    notifier(diary).notify([OPENED, OTHER], POSITION)

    assert diary.lines == [("record", [None, None]), ("deliver", [None, None]), ("save", [])]


def test_an_end_follows_its_opening_only_behind_a_checkpoint(diary):
    notifier(diary).notify([OPENED, RESOLVED], POSITION)

    assert diary.lines == [
        ("record", [None]),
        ("deliver", [None]),
        ("save", [9000]),
        ("record", [9000]),
        ("deliver", [9000]),
        ("save", []),
    ]


def test_a_summary_alone_is_followed_by_a_checkpoint(diary):
    notifier(diary).notify((), POSITION, Summary(3, ("w/web1",), 0, 1))

    assert diary.lines == [("summary", 3), ("save", [])]


def test_nothing_to_notify_costs_no_checkpoint(diary):
    notifier(diary).notify((), POSITION)

    assert diary.lines == []


def test_what_an_earlier_run_had_not_delivered_is_delivered_once(diary):
    again = notifier(diary, undelivered=[RESOLVED])

    again.notify_undelivered(POSITION)
    again.notify_undelivered(POSITION)

    assert diary.lines == [("record", [9000]), ("deliver", [9000]), ("save", [])]


def test_a_withheld_alert_is_stored_and_not_given_to_notify(diary, quiet_watch, table):
    pipeline = Pipeline([build_watch(quiet_watch().settings(), None)], table, max_future_ms=0)

    filtered = notifier(diary, max_age_ms=1000).filter(Decision((OPENED,), {}, {}), pipeline, now_ms=60_000)

    assert (filtered.notified, filtered.withheld) == ((), (OPENED,))
    assert diary.lines == [("withhold", [None])]


def test_open_episodes_are_written_down_when_the_history_wants_it_and_at_the_end(
    diary, quiet_watch, noise, table
):
    watch = build_watch(quiet_watch().settings(), None)
    Pipeline([watch], table, max_future_ms=0).process(noise(200), 200_000)
    Pipeline([watch], table, max_future_ms=0).process(noise(30, start_step=200, shift=50.0), 230_000)

    for diary.wants_progress in (False, True):
        notifier(diary).update_open([watch.view()])

    assert diary.lines == [("update", [alert.score for alert in watch.open_alerts.values()])]
    assert len(watch.open_alerts) == 1
    diary.wants_progress = False
    notifier(diary).update_open([watch.view()], at_end=True)
    assert len(diary.lines) == 2


def test_without_an_alert_history_outlets_are_notified_all_the_same(diary):
    Notifier([diary], diary, AlertAgeFilter({})).notify([OPENED], POSITION)

    assert diary.lines == [("deliver", [None]), ("save", [])]


def test_alerts_of_a_muted_entity_are_stored_as_such_and_not_shown_as_open(diary, quiet_watch, noise, table):
    watch = build_watch(quiet_watch().settings(), None)
    pipeline = Pipeline([watch], table, max_future_ms=0)
    pipeline.process(noise(200), 200_000)
    opened = pipeline.process(noise(30, start_step=200, shift=50.0), 230_000)
    identity = opened.alerts[0].identity
    muting = notifier(diary)
    shown = set(muting.withheld)

    muting.mute({("w", "web1")}, [watch])
    silenced = set(muting.withheld)
    filtered = muting.filter(opened, pipeline, now_ms=230_000)
    muting.mute(frozenset(), [watch])
    released = muting.filter(Decision((), {}, {}), pipeline, now_ms=231_000)

    assert (shown, silenced) == (set(), {identity})
    assert (filtered.notified, filtered.muted) == ((), opened.alerts)
    assert diary.lines == [("mute", [None])]
    assert [alert.identity for alert in released.notified] == [identity]
    assert muting.withheld == set()
