"""A daemon that was down for long withholds old alerts; killed meanwhile, it opens none twice and loses none.

One sample a second of three metrics. Four faults: one while the daemon is up; two that are over when it is
back, 470 s behind; and one that ends 54 s before that moment. What ended more than 100 s ago (and 4.5 s,
which its steps take to close) is old.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter

import numpy as np
import pytest
from maturity import mature_from_the_start

from monitor.config.explain import parse_config
from monitor.daemon import build
from monitor.daemon.build import build_daemon
from monitor.sample import Columns, labels_of
from monitor.sources.source import Batch
from monitor.storage.alert_history import read_episodes
from monitor.storage.data_dir import DataDir
from monitor.testing import FakeClock, ListSource

START_MS = 1_700_000_000_000
N_STEPS = 900
FAULTS = (300, 500, 650, 830)  # each of 20 steps
BACK_AT = 900  # the source's time from the moment on when the daemon is back
DOWN_FROM = 342


class KilledError(Exception):
    pass


class Kept:
    """Keeps what it is told, and dies before or behind the nth time."""

    def __init__(self):
        self.alerts, self.summaries = [], []

    def deliver(self, alerts):
        self.alerts += alerts

    def send_summary(self, summary):
        self.summaries.append(summary)


def batches(table, *, down_seconds=0, batch_steps=30):
    """Give the stream: each batch at its own time until the daemon is down, all others when it is back."""
    values = 100 + np.random.default_rng(0).normal(0, 1, (N_STEPS, 3))
    for fault in FAULTS:
        values[fault : fault + 20, 0] += 30
    numbers = np.array(
        [table.intern(name, labels_of({"host": "web1"})) for name in ("a", "b", "c")], np.int32
    )
    for first in range(0, N_STEPS, batch_steps):
        steps = np.arange(first, min(first + batch_steps, N_STEPS))
        columns = Columns(
            np.tile(numbers, len(steps)), START_MS + 1000 * np.repeat(steps, 3), values[steps].ravel()
        )
        now_s = steps[-1] if steps[-1] < DOWN_FROM and not down_seconds else BACK_AT + down_seconds
        yield Batch(columns, START_MS + 1000 * int(now_s), complete_ms=START_MS + 1000 * int(steps[-1]))


@pytest.fixture(autouse=True)
def _mature(monkeypatch):
    mature_from_the_start(monkeypatch)


@pytest.fixture
def live(tmp_path, monkeypatch):
    """Run a daemon over the stream until it ends, or is killed at the nth pass of a point; state: `name`."""

    def make(name, *, point="", nth=0, down_seconds=0, max_alert_age_seconds=100.0):
        config = parse_config(
            {
                "data_dir": str(tmp_path / name),
                "checkpoint_seconds": 5.0,
                "web": {"listen": "127.0.0.1:0"},
                "history": {"max_bytes": 0},
                "alerts": {"max_alert_age_seconds": max_alert_age_seconds},
                "watch": [
                    {
                        "name": "w",
                        "step_seconds": 1.0,
                        "window_length": 8,
                        "lateness_seconds": 2.0,
                        "budget": "1/day",
                        "alert": {"close_seconds": 5.0, "rest_seconds": 5.0},
                    }
                ],
            },
            origin="test",
        )  # fmt: skip
        monkeypatch.setattr(
            build,
            "build_source",
            lambda config, table, clock, *, resumed: ListSource(
                list(batches(table, down_seconds=down_seconds)), resumed=resumed
            ),
        )
        clock, outlet, passed = FakeClock(1000.0), Kept(), Counter()
        daemon = build_daemon(config, outlets=[outlet], clock=clock)

        def around(holder, attribute, name):
            call = getattr(holder, attribute)

            def wrapped(*arguments):
                pass_by(f"{name}.before")
                result = call(*arguments)
                pass_by(f"{name}.after")
                return result

            monkeypatch.setattr(holder, attribute, wrapped)

        def pass_by(where):
            if where == "poll.before":
                clock.advance(1.0)
            passed[where] += 1
            if where == point and passed[where] == nth:
                raise KilledError

        for holder, attribute, where in (
            (outlet, "deliver", "outlets"), (outlet, "send_summary", "summary"),
            (daemon.loop.checkpoints, "save", "checkpoint"),
            (daemon.loop.source, "commit", "commit"), (daemon.loop.source, "poll", "poll"),
            (daemon.loop.notifier._alert_history, "record", "history"),
        ):  # fmt: skip
            around(holder, attribute, where)
        try:
            daemon.run(threading.Event(), exit_at_end=True)
        except KilledError:
            pass
        finally:
            daemon.close()
        return outlet, passed, config

    return make


def notified(outlet):
    """Give what was told, in seconds since the start: opened, and resolved or None."""
    return [
        (
            one.opened_ms // 1000 - START_MS // 1000,
            one.resolved_ms and one.resolved_ms // 1000 - START_MS // 1000,
        )
        for one in outlet.alerts
    ]


def facts(config):
    found = read_episodes(DataDir(config.data_dir).episodes_file)
    return [
        (one.opened_ms // 1000 - START_MS // 1000, one.resolved_ms, one.reason, one.notified) for one in found
    ]


def test_what_is_over_goes_to_the_history_and_one_summary_and_what_is_not_is_told(live):
    outlet, _, config = live("whole")

    opened = [at for at, resolved in notified(outlet) if resolved is None]
    assert [at - fault for at, fault in zip(opened, (300, 830), strict=True)] == [
        1,
        1,
    ]  # a step's end is its time
    assert sorted(Counter(at for at, _ in notified(outlet)).values()) == [2, 2]
    (summary,) = outlet.summaries
    assert (summary.n_episodes, summary.entities) == (2, ("w/web1",))
    assert (summary.first_opened_ms - START_MS) // 1000 == 501
    assert 670 < (summary.last_resolved_ms - START_MS) // 1000 < 690
    assert [(at, notifies) for at, _, _, notifies in facts(config)] == [
        (301, True),
        (501, False),
        (651, False),
        (831, True),
    ]


def test_a_log_line_sums_it_up(live, caplog):
    from monitor.outlets.log import LogOutlet

    outlet, _, _ = live("whole")

    with caplog.at_level(logging.INFO):
        LogOutlet().send_summary(outlet.summaries[0])

    assert (
        "caught up episodes=2 entities=1 opened_from=2023-11-14T22:21:41Z resolved_until=2023-11-14T22:2"
        in caplog.text
    )
    assert "first=[w/web1]: these episodes were over before they were found" in caplog.text


def test_without_a_greatest_age_all_is_told(live):
    outlet, _, config = live("all", max_alert_age_seconds=0)

    assert sorted(Counter(at for at, _ in notified(outlet))) == [301, 501, 651, 831]
    assert outlet.summaries == []
    assert all(notifies for *_, notifies in facts(config))


POINTS = [
    f"{name}.{side}"
    for name in ("history", "outlets", "summary", "checkpoint", "commit")
    for side in ("before", "after")
]


@pytest.fixture(scope="module")
def undisturbed():
    """Remember the undisturbed run: it is the same for all."""
    return {}


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_it_loses_no_alert_and_ends_none_that_it_has_not_begun(live, undisturbed, point):
    if not undisturbed:
        undisturbed["outlet"], undisturbed["passed"], _ = live("whole")
    n_passed = undisturbed["passed"][point]
    assert n_passed > 0

    for nth in {1, (n_passed + 1) // 2, n_passed}:
        down_seconds = 3600 * (nth % 2)  # back at once, or after an hour
        name = f"{point} {nth}"
        before, _, _ = live(name, point=point, nth=nth)
        after, _, config = live(name, down_seconds=down_seconds)

        everything = notified(before) + notified(after)
        openings = {at for at, resolved in everything if resolved is None}
        ends = {at for at, resolved in everything if resolved is not None}
        kept = facts(config)
        assert openings == ends, name  # none is begun that does not end, none ends that was not begun
        assert openings in ({301, 831}, {301}, {831}, set()) if down_seconds else openings == {301, 831}, name
        assert {at for at, *_ in kept} == {301, 501, 651, 831}, name
        assert {at for at, *_, notifies in kept if notifies} == openings, name
        assert all(reason == "recovered" for _, _, reason, _ in kept), name
        if not down_seconds:
            whole = undisturbed["outlet"].summaries
            assert before.summaries + after.summaries in (whole, whole * 2), name


def test_a_held_back_episode_shows_no_anomaly_until_it_is_told(live, monkeypatch):
    shown = {}
    render = build.Exposition.render

    def render_and_note(exposition, views, withheld):
        render(exposition, views, withheld)
        lines = dict(
            line.rsplit(" ", 1) for line in exposition.text.decode().splitlines() if not line.startswith("#")
        )
        episode = views[0].open_alerts.get(0)
        key = None if episode is None else (episode.opened_ms - START_MS) // 1000
        state = [
            lines.get(f'barograph_{name}{{watch="w",entity="web1"}}') for name in ("anomaly", "episode_score")
        ]
        shown.setdefault(key, []).append(
            (
                *state,
                lines['barograph_episodes_open{watch="w"}'],
                lines['barograph_episodes_withheld_total{watch="w"}'],
            )
        )

    monkeypatch.setattr(build.Exposition, "render", render_and_note)
    live("whole")

    assert {(anomaly, is_open) for anomaly, _, is_open, _ in shown[301]} == {("1.0", "1.0")}
    assert set(shown[501]) == {("0.0", None, "0.0", "0.0")}
    assert set(shown[651]) == {("0.0", None, "0.0", "1.0")}
    assert {(anomaly, is_open, age_filter) for anomaly, _, is_open, age_filter in shown[831]} == {
        ("1.0", "1.0", "2.0")
    }
