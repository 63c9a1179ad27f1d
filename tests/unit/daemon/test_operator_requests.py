"""What operators ask of the running daemon; the watch's steps are 1 s, and the baselines judge alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from full_disk import full_disk
from maturity import mature

from monitor.alerting.mutes import OperatorRequest
from monitor.daemon.operator_requests import OperatorRequests
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.storage.alert_history import AlertHistory, read_actions, read_episodes
from monitor.storage.request_folder import RequestFolder
from monitor.testing import FakeClock

MUTE = OperatorRequest(
    id="a", kind="mute", watch="w", entity="web1", who="anna", why="disk", asked_at=900.0, until=1060.0
)


class Desk:
    """The daemon's side of requests, with a watch and an alert history; the clock shows 1000 s."""

    def __init__(self, config, table, folder):
        self.clock = FakeClock(1000.0)
        self.file = folder / "episodes.sqlite"
        self.history = AlertHistory(self.file, keep_seconds=1e6, max_episodes=100, clock=self.clock)
        (folder / "requests").mkdir(exist_ok=True)
        self.folder = RequestFolder(folder / "requests")
        self.watch = build_watch(config.settings(), None)
        self.pipeline = Pipeline([self.watch], table, max_future_ms=0)
        self.requests = self.start()

    def start(self):
        return OperatorRequests(self.folder, [self.watch], self.history, self.clock)

    def feed(self, columns):
        alerts = self.pipeline.process(columns, int(columns.time_ms.max())).alerts
        self.history.record(alerts, True)

    def ask(self, request):
        self.folder.submit(request)
        return self.requests.take()

    def results(self):
        return [(action.done, action.result) for action in read_actions(self.file)]


@pytest.fixture
def desk(quiet_watch, table, tmp_path):
    made = Desk(quiet_watch(metric=[{"name": "b", "valid_max": 200.0}]), table, tmp_path)
    yield made
    made.history.close()


@pytest.fixture
def with_episode(desk, noise):
    desk.feed(noise(300))
    mature(desk.watch.scorer.detector)
    desk.feed(noise(20, start_step=300, shift=30.0, seed=1))
    return desk


def acceptance(desk, **more):
    (alert,) = desk.watch.open_alerts.values()
    return replace(MUTE, kind="accept", until=None, episode=alert.identity, **more)


def test_an_accepted_episode_ends_with_who_and_why_and_is_not_raised_again(with_episode, noise):
    (alert,) = with_episode.ask(acceptance(with_episode, why="release"))
    with_episode.feed(noise(100, start_step=320, shift=30.0, seed=2))

    assert (alert.reason, alert.note) == ("accepted by operator", "anna: release")
    assert [level.channel for level in alert.levels] == ["a"]
    assert with_episode.watch.open_alerts == {}
    assert with_episode.results() == [
        (True, "the episode has ended, and what the entity shows now is normal")
    ]


def test_an_episode_that_is_not_open_is_not_accepted(desk):
    assert desk.ask(replace(MUTE, kind="accept", until=None, episode="w/web1/5")) == []
    assert desk.results() == [(False, "this episode is not open")]


def test_a_value_outside_its_valid_range_is_not_accepted(with_episode, noise):
    broken = noise(3, start_step=320, shift=30.0, seed=2)
    broken.value[-2] = 500.0  # of `b`, which may have 200; the step of the newest sample is not closed yet
    with_episode.feed(broken)

    alerts = with_episode.ask(acceptance(with_episode))

    assert alerts == []
    ((done, result),) = with_episode.results()
    assert not done
    assert result.startswith("a value lies outside valid_min or valid_max of its metric")


def test_a_mute_holds_until_its_time_and_its_open_episode_is_marked(with_episode):
    with_episode.ask(MUTE)
    during = with_episode.requests.muted()
    with_episode.clock.advance(60.0)

    assert during == {("w", "web1")}
    assert with_episode.requests.muted() == set()
    assert with_episode.results() == [(True, "muted until 1970-01-01T00:17:40Z")]
    (episode,) = read_episodes(with_episode.file)
    assert (episode.muted, episode.notified, episode.reason) == (True, True, None)


def test_a_mute_survives_a_restart_and_an_unmute_does_too(desk):
    desk.ask(MUTE)
    restarted = desk.start()
    muted = restarted.muted()
    desk.ask(replace(MUTE, id="b", kind="unmute", until=None, asked_at=950.0))

    assert muted == {("w", "web1")}
    assert desk.requests.muted() == desk.start().muted() == set()
    assert [result for _, result in desk.results()] == [
        "muted until 1970-01-01T00:17:40Z; the watch has seen no such entity yet",
        "not muted any more",
    ]


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"until": 999.0}, "this time has passed"),
        ({"watch": "v"}, "there is no watch v"),
        ({"kind": "unmute", "until": None}, "it was not muted"),
    ],
)
def test_what_cannot_be_done_says_why(desk, changes, result):
    desk.ask(replace(MUTE, **changes))

    assert desk.results() == [(False, result)]
    assert desk.requests.muted() == set()


def test_a_request_is_removed_once_it_is_saved_and_done_once(desk, tmp_path):
    desk.ask(MUTE)
    again = desk.requests.take()
    before = desk.folder.pending()
    desk.requests.finish()

    assert (again, before, desk.folder.pending()) == ([], [MUTE], [])
    assert len(desk.results()) == 1


def test_a_request_stays_while_the_history_cannot_be_written(desk):
    desk.folder.submit(MUTE)
    with full_disk(0):
        desk.requests.take()
        desk.requests.finish()

    assert desk.folder.pending() == [MUTE]
    assert desk.requests.muted() == {("w", "web1")}
