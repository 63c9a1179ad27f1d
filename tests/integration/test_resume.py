"""A daemon that is stopped or killed goes on where it was, and judges as one that was never disturbed."""

from __future__ import annotations

import threading
import urllib.request

import numpy as np
import pandas as pd
import pytest
from maturity import mature_from_the_start

from monitor.config.explain import parse_config
from monitor.daemon.build import build_daemon
from monitor.detection.view import WatchObserver
from monitor.storage.alert_history import read_episodes
from monitor.storage.data_dir import DataDir
from monitor.testing import FakeClock

START_MS = 1_700_000_000_000
N_STEPS = 900


class Kept:
    def __init__(self):
        self.alerts = []

    def deliver(self, alerts):
        self.alerts += alerts


class KilledError(Exception):
    pass


@pytest.fixture(autouse=True)
def _mature(monkeypatch):
    mature_from_the_start(monkeypatch)


@pytest.fixture
def config(tmp_path):
    rng = np.random.default_rng(0)
    values = 100 + rng.normal(0, 1, (N_STEPS, 3))
    values[500:530, 0] += 30  # a fault, in the midst of which the daemon dies
    values[700:730, 1] -= 30
    frame = pd.DataFrame(values, columns=["a", "b", "requests_total"])
    frame["requests_total"] = frame["requests_total"].cumsum()
    frame.insert(0, "timestamp", START_MS + 1000 * np.arange(N_STEPS))
    file = tmp_path / "web1.csv"
    frame.to_csv(file, index=False)

    def make(name, **changes):
        return parse_config(
            {
                "data_dir": str(tmp_path / name),
                "checkpoint_seconds": 1e-9,  # behind every batch
                "source": {"kind": "replay", "replay": {"paths": [str(file)]}},
                "web": {"listen": "127.0.0.1:0"},
                "watch": [
                    {
                        "name": "w",
                        "by": ["entity"],
                        "step_seconds": 1.0,
                        "window_length": 8,
                        "lateness_seconds": 2.0,
                        "budget": "1/day",
                        "alert": {"close_seconds": 5.0, "rest_seconds": 5.0},
                        **changes,
                    }
                ],
            },
            origin="test",
        )

    return make


def run(config, monkeypatch, *, batches_until_kill=None, batch_samples=90):
    """Run a daemon to the end of its replay, or until it is killed; give its scores and its alerts."""
    monkeypatch.setattr("monitor.sources.replay._BATCH_SAMPLES", batch_samples)
    clock, kept, scores = FakeClock(1000.0), Kept(), {}
    daemon = build_daemon(config, outlets=[kept], clock=clock)
    (watch,) = daemon.loop.pipeline.watches
    watch.observe(
        WatchObserver(on_scored=lambda scored: scores.__setitem__(scored.time_ms, scored.score.copy()))
    )
    poll, n_polls = daemon.loop.source.poll, 0

    def poll_or_die(timeout_seconds):
        nonlocal n_polls
        n_polls += 1
        if n_polls == batches_until_kill:
            raise KilledError
        clock.advance(1.0)
        return poll(timeout_seconds)

    monkeypatch.setattr(daemon.loop.source, "poll", poll_or_die)
    try:
        daemon.run(threading.Event(), exit_at_end=True)
    except KilledError:
        pass
    finally:
        daemon.close()
    return scores, kept.alerts


@pytest.mark.parametrize("batches_until_kill", [3, 17, 18, 24])
def test_a_killed_daemon_goes_on_with_the_scores_and_alerts_of_an_undisturbed_one(
    config, monkeypatch, batches_until_kill
):
    whole, whole_alerts = run(config("whole"), monkeypatch)
    before, alerts_before = run(config("cut"), monkeypatch, batches_until_kill=batches_until_kill)
    after, alerts_after = run(config("cut"), monkeypatch)

    assert len(whole_alerts) == 4  # two faults, each opened and resolved
    assert alerts_before + alerts_after == whole_alerts
    assert not set(before) & set(after)
    assert sorted([*before, *after]) == sorted(whole)
    for time_ms, score in {**before, **after}.items():
        np.testing.assert_array_equal(score, whole[time_ms])


def test_a_replay_that_had_ended_starts_over(config, monkeypatch):
    first, _ = run(config("again"), monkeypatch)
    second, _ = run(config("again"), monkeypatch)

    assert sorted(first) == sorted(second)


def test_a_damaged_checkpoint_is_refused_and_everything_warms_up_again(config, monkeypatch, caplog, tmp_path):
    run(config("cut"), monkeypatch, batches_until_kill=10)
    state = tmp_path / "cut" / "checkpoint" / "state"
    state.write_bytes(state.read_bytes()[:-5])

    scores, _ = run(config("cut"), monkeypatch)

    assert "checkpoint refused" in caplog.text
    assert min(scores) <= START_MS + 2000


def test_a_state_that_no_longer_fits_the_settings_is_refused_and_the_watch_warms_up_again(
    config, monkeypatch, caplog
):
    run(config("cut"), monkeypatch, batches_until_kill=10)

    scores, _ = run(config("cut", model={"memory_windows": 32}), monkeypatch)

    assert (
        "checkpoint refused watch=w error=the state of watch w does not fit it: neighbour.kept has shape"
        in caplog.text
    )
    assert min(scores) > START_MS + 200_000  # the replay goes on where it was
    in_order = [bool(np.isnan(scores[time_ms][0])) for time_ms in sorted(scores)]
    assert in_order[:100] == [True] * 100
    assert not any(in_order[-100:])


def test_a_checkpoint_that_cannot_be_written_costs_no_alert(config, monkeypatch, caplog, tmp_path):
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "checkpoint").write_text("a file where the folder should be")

    _, alerts = run(config("cut"), monkeypatch)

    assert len(alerts) == 4
    assert "checkpoint failed error=cannot write the checkpoint" in caplog.text


def test_a_killed_daemon_shows_its_open_episode_before_it_has_read_anything(config, monkeypatch):
    _, alerts = run(config("cut"), monkeypatch, batches_until_kill=18)  # in the midst of the first fault
    successor = build_daemon(config("cut"), outlets=[], clock=FakeClock(2000.0))
    try:
        with urllib.request.urlopen(f"http://{successor.address}/metrics", timeout=5) as answer:
            shown = answer.read().decode()
    finally:
        successor.close()

    assert [alert.resolved_ms for alert in alerts] == [None]
    assert 'barograph_anomaly{watch="w",entity="web1"} 1.0' in shown
    assert 'barograph_episode_share{watch="w",entity="web1",channel="a"} ' in shown


def episodes(config):
    found = read_episodes(DataDir(config.data_dir).episodes_file)
    return [
        (one.identity, one.resolved_ms, one.reason, one.score, one.channels, one.notified) for one in found
    ]


@pytest.mark.parametrize("batches_until_kill", [17, 18, 24])
def test_a_killed_daemon_has_the_alert_history_of_an_undisturbed_one(config, monkeypatch, batches_until_kill):
    _, alerts = run(config("whole"), monkeypatch)
    run(config("cut"), monkeypatch, batches_until_kill=batches_until_kill)
    run(config("cut"), monkeypatch)

    notified = [
        (one.identity, one.resolved_ms, one.reason, one.score, one.channels, True)
        for one in alerts
        if one.resolved_ms
    ]
    assert episodes(config("whole")) == episodes(config("cut")) == notified
    assert len(notified) == 2


def test_an_alert_history_that_is_damaged_costs_no_alert(config, monkeypatch, caplog, tmp_path):
    run(config("cut"), monkeypatch, batches_until_kill=18)
    (tmp_path / "cut" / "episodes.sqlite").write_bytes(b"no database at all" * 1000)

    _, alerts = run(config("cut"), monkeypatch)

    assert [alert.reason for alert in alerts] == ["recovered", None, "recovered"]
    assert "alert history set aside" in caplog.text
    assert len(episodes(config("cut"))) == 2
