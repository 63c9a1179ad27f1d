"""Accepting and muting from the command line, without a daemon; daemon/test_operator_requests.py has that."""

from __future__ import annotations

import os
import pwd

import pytest
from command_line import WATCH, barograph

from monitor.alerting.alert import Alert
from monitor.alerting.mutes import OperatorAction, OperatorRequest
from monitor.commands.operator_requests import answer_to, chosen_episode, operator
from monitor.errors import MonitorError
from monitor.storage.alert_history import AlertHistory, read_episodes
from monitor.storage.request_folder import RequestFolder
from monitor.testing import FakeClock

MUTE = OperatorRequest(
    id="a", kind="mute", watch="host", entity="web1", who="anna", why="disk", asked_at=990.0, until=2e9
)


@pytest.fixture
def stored(tmp_path):
    history = AlertHistory(
        tmp_path / "episodes.sqlite", keep_seconds=1e9, max_episodes=100, clock=FakeClock(1000.0)
    )
    ended = Alert("host", "web1", 0, 1000, 2.5, 3.0, False, (), 2000, "recovered")
    history.record([ended, Alert("host", "a/b", 0, 3000, 2.5, 3.0, False, ())], True)
    yield read_episodes(tmp_path / "episodes.sqlite")
    history.close()


@pytest.mark.parametrize("name", ["2", "host/a/b/3000", "host/a/b"])
def test_an_open_episode_is_found_by_number_identity_or_entity(stored, name):
    assert chosen_episode(stored, name).identity == "host/a/b/3000"


@pytest.mark.parametrize("name", ["1", "host/web1", "host/web1/1000", "7"])
def test_an_episode_that_is_not_open_is_answered_with_those_that_are(stored, name):
    with pytest.raises(MonitorError) as error:
        chosen_episode(stored, name)

    assert str(error.value) == f"no open episode is {name}; open are: 2 (host/a/b)"


def test_the_answer_is_waited_for(tmp_path):
    clock = FakeClock(1000.0)

    def actions():
        return [OperatorAction(MUTE, True, "muted")] if clock.monotonic() > 0.5 else []

    assert answer_to(MUTE, RequestFolder(tmp_path), actions, clock) == "muted"
    assert 0.5 < clock.monotonic() < 1.0
    assert RequestFolder(tmp_path).pending() == [MUTE]


def test_a_refusal_ends_with_its_reason(tmp_path):
    refused = [OperatorAction(MUTE, False, "this time has passed")]

    with pytest.raises(MonitorError, match="mute host/web1: this time has passed"):
        answer_to(MUTE, RequestFolder(tmp_path), lambda: refused, FakeClock())


def test_without_a_daemon_the_request_waits_and_the_command_says_so(tmp_path):
    with pytest.raises(MonitorError, match="not taken within 10 s: no daemon runs with this data_dir"):
        answer_to(MUTE, RequestFolder(tmp_path), list, FakeClock())

    assert RequestFolder(tmp_path).pending() == [MUTE]


def test_who_asks_is_the_user_of_the_system_also_behind_sudo(monkeypatch):
    name = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.delenv("SUDO_USER", raising=False)
    alone = operator()
    monkeypatch.setenv("SUDO_USER", "anna")

    assert (alone, operator()) == (name, f"anna (as {name})")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("mute", "host/web1", "--for", "soon"), 2, "--for: found 'soon', expected a duration"),
        (("mute", "host/web1"), 2, "--for: found nothing, expected how long to mute, as in --for 2h"),
        (("mute", "web1", "--for", "2h"), 2, "found 'web1', expected WATCH/ENTITY, as in host/web1"),
        (("unmute", "hots/web1"), 2, "config.toml: no watch is named hots; there are host"),
        (
            ("mute", "host/web1", "--for", "2h"),
            1,
            "barograph: data/requests: no such folder. A daemon",
        ),
        (("accept", "17"), 1, "barograph: data/episodes.sqlite: no alert history yet"),
        (("mute",), 0, "nothing is muted"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, code, error):
    (tmp_path / "config.toml").write_text(WATCH.format("host"))
    (tmp_path / "data").mkdir()

    ended = barograph(*arguments, cwd=tmp_path)

    assert ended.returncode == code
    assert ended.stderr.startswith(error)
    assert len(ended.stderr.splitlines()) == 1
