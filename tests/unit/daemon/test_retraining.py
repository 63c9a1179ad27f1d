"""What the loop does for its models between two steps: histories, swaps, and outcomes of trainings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from gates import PASSED

from monitor.daemon.retraining import report_training
from monitor.storage.step_history import list_segments
from monitor.training.from_history import read_history
from monitor.training.gate import TrainingOutcome, refusals


def test_the_first_model_of_a_watch_takes_over_from_the_baselines(house, caplog):
    caplog.set_level("INFO")
    house.begin()
    house.watch.entities.adopt(["web1"], ["a", "b"])
    house.live(house.quiet(120))

    version = house.promote(1)

    assert any(house.live(house.quiet(2)))
    assert house.served.version == version
    assert f"model swapped watch=w version={version} before=baselines" in caplog.text


def test_a_model_that_does_not_fit_is_refused_once_and_the_old_one_serves_on(house, caplog):
    first = house.promote(1)
    house.begin()
    house.promote(9, channels=("c", "d"))

    assert not any(house.live(house.quiet(10)))

    assert house.served.version == first
    assert house.count("barograph_model_load_failures_total") == 1
    assert "the model knows none of the running channels (a, b), only c, d" in caplog.text


def test_a_model_that_names_the_channels_in_another_order_takes_over_and_the_history_goes_on(house, caplog):
    caplog.set_level("INFO")
    house.promote(1)
    house.begin()
    first = house.quiet(3, seed=4)
    house.live(first)
    version = house.promote(2, channels=("c", "b"))
    second = house.quiet(2, seed=5)

    assert house.live(second[:1]) == [True]
    in_order = np.concatenate([np.full((1, 1, 1), np.nan), second[1:, :, 1:]], axis=2)
    house.live(in_order)
    house.retraining.finish()

    assert house.served.version == version
    assert f"channels left out watch=w version={version} channels=a: the model does not know" in caplog.text
    assert f"channels awaited watch=w version={version} channels=c: the model knows them" in caplog.text
    settings = house.config.settings()
    kept = read_history(house.folder, settings, channels=("b", "c")).history
    assert kept.channels == ("b", "c")
    np.testing.assert_array_equal(kept.values[:, 0, 0], [*first[:, 0, 1], *second[:, 0, 1]])
    assert np.isnan(kept.values[:, 0, 1]).all()


def test_the_loop_keeps_its_steps_and_leaves_out_an_episode(house):
    house.promote(1)
    house.begin()
    values = house.quiet(60)
    values[20:30, 0, 0] += 30.0
    house.live(values)
    house.retraining.finish()

    segments = list_segments(house.folder)
    assert (segments[0].first_ms, segments[-1].last_ms) == (400_000, 459_000)
    assert '"web1"' in (house.folder / "spans.json").read_text()
    assert house.count("barograph_history_bytes") > 0


def test_a_history_that_cannot_be_written_is_counted_each_time_and_logged_once_and_scoring_goes_on(
    house, caplog
):
    caplog.set_level("INFO")
    house.promote(1)
    house.begin()
    house.folder.parent.mkdir(parents=True)
    house.folder.write_text("a file in its place")

    house.live(house.quiet(20))

    assert house.count("barograph_history_failures_total") == 4  # segments of five steps
    assert caplog.text.count("history not kept watch=w") == 1
    assert house.watch.last_scored.judged.all()

    house.folder.unlink()
    house.live(house.quiet(5))
    assert "history kept again watch=w" in caplog.text


def test_an_outcome_is_counted_and_logged_and_what_is_not_kept_is_deleted(house, caplog):
    versions = [house.promote(seed) for seed in (1, 2, 3)]
    outcome = TrainingOutcome(watch="w", result="failed", reason="no reason", seconds=1.5)

    report_training(outcome, house.registry, house.metrics, keep_versions=2, now=1000.0)

    assert "training failed watch=w version=None seconds=1.5 reason=no reason" in caplog.text
    assert house.count("barograph_training_runs_total", result="failed") == 1
    assert house.count("barograph_training_last_success_timestamp_seconds") is None
    assert house.registry.versions() == versions[1:]


@pytest.mark.parametrize(("opponent_over_limit", "level"), [(0.01, "INFO"), (0.02, "WARNING")])
def test_a_refusal_that_leaves_a_champion_over_its_budget_is_a_warning(
    house, caplog, opponent_over_limit, level
):
    caplog.set_level("INFO")
    gate = dataclasses.replace(PASSED, over_limit=0.125, opponent_over_limit=opponent_over_limit)
    outcome = TrainingOutcome(watch="w", result="refused", reason=refusals(gate)[0], gate=gate)

    report_training(outcome, house.registry, house.metrics, keep_versions=2, now=1000.0)

    assert [record.levelname for record in caplog.records] == [level]
    assert "reason=12.50% of its blocks are over the limit, 1.00% are allowed" in caplog.text
