from dataclasses import replace

import numpy as np
import pytest
from backtests import FAULT_INCIDENT, HOSTILE, N_STEPS, START_MS, STEP_MS, runs_of, trained_side

from models.bundle import Bundle
from monitor.backtest.runs import N_WORST, Plan
from monitor.errors import ConfigError, MonitorError


def test_the_first_half_is_learned_and_the_rest_is_judged():
    (run,) = trained_side().runs

    assert run.replayed.from_ms == START_MS + round((N_STEPS - 1) / 2 * STEP_MS)
    assert run.model == "trained on 41 min up to 2023-11-14T22:54:55Z"
    assert {page.entity for page in run.pages} >= {HOSTILE, "web1"}
    assert all(page.opened_ms > run.replayed.from_ms for page in run.pages)
    assert 0 < len(run.pictures) <= N_WORST


def test_a_champion_judges_what_it_has_not_seen():
    bundle = _bundle(to_ms=START_MS + 300 * STEP_MS)

    ((run,), _) = runs_of(Plan(champion_of=lambda watch: ("v1", bundle)))

    assert (run.model, run.caveats) == ("model v1", ())
    assert run.replayed.from_ms == START_MS + 300 * STEP_MS
    assert run.simple is not None


def test_a_champion_that_has_seen_everything_judges_it_again_and_says_so():
    bundle = _bundle(to_ms=START_MS + 10**9)

    ((run,), _) = runs_of(Plan(champion_of=lambda watch: ("v1", bundle)))

    assert run.replayed.from_ms == START_MS
    assert "may have seen all of this" in run.caveats[0]
    assert run.simple is None


def test_without_a_model_the_baselines_judge_and_the_report_says_so():
    ((run,), _) = runs_of(Plan(champion_of=lambda watch: None, in_detail=False))

    assert run.model == "baselines alone"
    assert "no model" in run.caveats[0]
    assert any(page.opened_ms >= FAULT_INCIDENT.start_ms for page in run.pages)
    assert (run.trials, run.simple, run.pictures) == ((), None, ())


def test_days_that_leave_nothing_to_judge_are_a_wrong_option():
    with pytest.raises(ConfigError, match="--train-days 1: the files hold only 83 min of watch web"):
        runs_of(Plan(train_days=1.0))


def test_files_of_no_watch_and_a_part_too_short_to_learn_are_errors_with_a_way_out():
    with pytest.raises(MonitorError, match=r"none of its series is in these files.*`metrics`, `match`"):
        runs_of(Plan(), metrics=["nothing_*"])
    with pytest.raises(MonitorError, match=r"nothing was judged: watch web: .*give longer ones"):
        runs_of(Plan(train_share=0.02))


def _bundle(to_ms):
    """Give a trained model that says up to when it has learned."""
    replayed = trained_side().runs[0].replayed
    entities = replayed.watch.entities
    detector = replayed.watch.scorer.detector
    bundle = Bundle(
        detector.take(np.arange(len(entities.entities))),
        tuple(entities.channels),
        tuple(entities.entities),
        {},
    )
    return replace(bundle, metadata={"to_ms": to_ms})
