import itertools

import numpy as np
from backtests import FAULT_INCIDENT, HOSTILE, N_STEPS, START_MS, STEP_MS, config_of, samples

from monitor.backtest.replay import replay_watch


class _Times:
    def __init__(self):
        self.time_ms = []

    def observe(self, scored, watch):
        self.time_ms.append(scored.time_ms)


def replay(from_ms, probes=(), settings=None, **more):
    columns, table = samples()
    clock = itertools.count()
    settings = settings or config_of().watch[0].settings()
    return replay_watch(
        settings,
        None,
        columns,
        table,
        from_ms=from_ms,
        probes=probes,
        cpu_clock=lambda: float(next(clock)),
        **more,
    )


def test_episodes_open_resolve_and_are_given_as_first_notified():
    replayed = replay(START_MS)

    in_fault = [alert for alert in replayed.alerts if alert.opened_ms >= FAULT_INCIDENT.start_ms]
    assert {alert.entity for alert in in_fault} == {HOSTILE, "web1"}
    for alert in in_fault[:2]:
        opened = replayed.as_opened[alert.identity]
        assert opened.resolved_ms is None
        assert alert.resolved_ms is not None
        assert alert.score >= opened.score


def test_nothing_before_the_beginning_is_reported_or_shown_to_probes():
    probe = _Times()

    replayed = replay(START_MS + 440 * STEP_MS, [probe])

    assert probe.time_ms == [START_MS + n * STEP_MS for n in range(441, 501)]
    assert all(alert.opened_ms > START_MS + 440 * STEP_MS for alert in replayed.alerts)
    assert (replayed.n_steps, replayed.n_judged) == (60, 120)


def test_the_time_of_probes_is_not_the_watchs():
    without = replay(START_MS).cost.cpu_seconds
    probe = _Times()

    cost = replay(START_MS, [probe]).cost

    # A tick for each call of the clock: two for a batch, two for each step that probes see.
    assert cost.cpu_seconds <= without + len(probe.time_ms)
    assert cost.n_samples == N_STEPS * 4
    assert cost.state_bytes > 0


def test_progress_ends_at_all_of_the_samples():
    shares = []

    replay(START_MS, progress=shares.append)

    assert shares[-1] == 1.0
    assert shares == sorted(shares)


def test_a_replay_finds_the_same_however_often_it_is_run():
    first, second = replay(START_MS), replay(START_MS)

    assert first.alerts == second.alerts
    assert np.array_equal(first.watch.scorer.limits(), second.watch.scorer.limits())
