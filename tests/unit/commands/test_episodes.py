from __future__ import annotations

import json

import pytest
from command_line import WATCH, barograph

from monitor.alerting.alert import Alert, ChannelShare
from monitor.storage.alert_history import AlertHistory
from monitor.testing import FakeClock


@pytest.fixture
def with_episodes(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("host") + WATCH.format("web"))
    (tmp_path / "data").mkdir()
    history = AlertHistory(
        tmp_path / "data" / "episodes.sqlite", keep_seconds=1e9, max_episodes=1000, clock=FakeClock()
    )
    history.record(
        [
            Alert(
                "host",
                "db1",
                0,
                1_700_000_000_000,
                2.5,
                3.0,
                False,
                (ChannelShare("load", 1.0, 8.0, 2.0, 0),),
            )
        ],
        True,
    )
    ended = [
        Alert("web", f"web{at}", 0, at * 1000, 1.5, 3.0, False, (), at * 1000 + 60_000, "recovered")
        for at in range(60)
    ]
    history.record(ended, False)
    yield tmp_path
    history.close()  # until then it is open, as a daemon has it


def test_episodes_are_listed_beside_a_running_daemon(with_episodes):
    listed = barograph("episodes", cwd=with_episodes)

    assert listed.returncode == 0
    assert listed.stderr == "the newest 50; --all shows all of them\n"
    assert "2023-11-14T22:13:20Z" in listed.stdout
    assert "load is 8, usually 2" in listed.stdout
    assert "60 s" in listed.stdout


def test_episodes_are_chosen_by_watch_and_time_and_written_as_json(with_episodes):
    of_host = barograph("episodes", "--watch", "host", "--json", cwd=with_episodes)
    late = barograph(
        "episodes", "--watch", "web", "--since", "1970-01-01T00:01:58Z", "--all", "--json", cwd=with_episodes
    )

    (episode,) = (json.loads(line) for line in of_host.stdout.splitlines())
    assert (episode["identity"], episode["reason"], episode["notified"]) == (
        "host/db1/1700000000000",
        None,
        True,
    )
    assert episode["told"] == episode["notified"]
    assert [json.loads(line)["entity"] for line in late.stdout.splitlines()] == ["web58", "web59"]


def test_episodes_of_a_watch_that_is_none_and_of_no_daemon_end_in_one_line(with_episodes):
    of_none = barograph("episodes", "--watch", "hots", cwd=with_episodes)
    (with_episodes / "config.toml").write_text('data_dir = "elsewhere"' + WATCH.format("host"))
    of_no_daemon = barograph("episodes", cwd=with_episodes)

    assert (of_none.returncode, of_none.stderr) == (
        2,
        "config.toml: no watch is named hots; there are host, web\n",
    )
    assert of_no_daemon.returncode == 1
    assert of_no_daemon.stderr.startswith("barograph: elsewhere/episodes.sqlite: no alert history yet")
