import numpy as np
import pytest
from backtests import START_MS, STEP_MS, config_of, runs_of, samples

from models.registry import Registry
from monitor.alerting.alert import Alert
from monitor.backtest import schedule
from monitor.backtest.inputs import SampleInput
from monitor.backtest.runs import Plan
from monitor.backtest.schedule import ReplayRetraining, due_times, without_incidents
from monitor.config.watch import RetrainConfig
from monitor.storage.step_history import History

HOUR_MS = 3_600_000
SCHEDULED = {"retrain": {"interval_seconds": 1000.0}}


def test_an_interval_counts_from_the_beginning_of_what_is_judged():
    assert list(due_times(RetrainConfig(interval_seconds=3600.0), 5, 3 * HOUR_MS)) == [
        HOUR_MS + 5,
        2 * HOUR_MS + 5,
    ]


def test_a_cron_expression_is_in_utc_and_in_event_time():
    assert list(due_times(RetrainConfig(cron="30 0 * * *"), 0, 25 * HOUR_MS)) == [
        HOUR_MS // 2,
        24 * HOUR_MS + HOUR_MS // 2,
    ]
    assert list(due_times(RetrainConfig(), 0, 25 * HOUR_MS)) == []


def test_episodes_are_gaps_in_what_is_learned_with_a_window_on_both_sides():
    settings = config_of().watch[0].settings()  # windows of 8 steps
    steps = np.broadcast_to(np.arange(100)[:, None], (100, 2))
    history = History(("a", "b"), ("c",), np.ones((100, 2, 1)), 0, 100 * STEP_MS, steps)
    alert = Alert("web", "a", 50 * STEP_MS, 51 * STEP_MS, 2.0, 3.0, False, (), 60 * STEP_MS, "recovered")

    learned = without_incidents(history, [alert], settings, 100 * STEP_MS)

    assert np.flatnonzero(np.isnan(learned.values[:, 0, 0])).tolist() == list(range(42, 68))
    assert not np.isnan(learned.values[:, 1]).any()
    assert not np.isnan(history.values).any()


def test_a_schedule_is_followed_and_what_passes_the_gate_judges_from_then_on():
    ((run,), _) = runs_of(Plan(in_detail=False), **SCHEDULED)

    from_ms = run.replayed.from_ms
    assert [training.at_ms for training in run.trainings] == [from_ms + 1_000_000, from_ms + 2_000_000]
    assert {training.outcome.result for training in run.trainings} <= {"promoted", "refused"}
    assert all(training.outcome.gate is not None for training in run.trainings)
    for training in run.trainings:
        assert training.serves == (training.outcome.result == "promoted")


def test_a_schedule_can_be_left_aside():
    ((run,), _) = runs_of(Plan(in_detail=False, retrains=False), **SCHEDULED)

    assert run.trainings == ()


def test_no_more_trainings_than_a_replay_can_bear_are_run(tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "MOST_TRAININGS", 2)
    config = config_of(retrain={"interval_seconds": 10.0}).watch[0]
    retraining = ReplayRetraining(
        config,
        SampleInput(config.settings(), *samples()),
        Registry(tmp_path),
        from_ms=START_MS,
        until_ms=START_MS + 100 * STEP_MS,
        trainer=lambda settings, history: pytest.fail("too short to train on"),
        cpu_clock=lambda: 0.0,
    )

    retraining.advance(None, [], START_MS + 15_000)
    assert len(retraining.trainings) == 1
    retraining.advance(None, [], START_MS + 50 * STEP_MS)

    assert [training.outcome.result for training in retraining.trainings] == ["skipped", "skipped"]
    assert retraining.is_cut
