"""The gate and what comes of a training; histories are arrays here, and trainings small."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from waves import history_of, waves

from models.errors import BundleError, TrainingError
from monitor.errors import LockedError
from monitor.testing import FakeClock
from monitor.training.challenge import retrain
from monitor.training.gate import needed_steps
from monitor.training.train import fit_watch, train_watch, training_lock

NAN = np.nan
NEEDED = 3 * (8 + 100)


def run(watch, registry, values, *, trainer=fit_watch, **options):
    history = None if values is None else history_of(values)
    return retrain(
        watch.settings(),
        clock=FakeClock(1_767_268_800.0),
        trainer=trainer,
        registry=registry,
        history=history,
        **options,
    )


def untouched(registry, champion):
    return registry.champion() == champion and registry.load(champion) is not None


# A training that goes well


def test_the_first_model_is_held_against_the_baselines(watch, registry):
    outcome = run(watch, registry, waves(600))

    assert outcome.gate.opponent == "baselines"
    assert (outcome.gate.error, outcome.gate.opponent_error) == (None, None)
    assert outcome.gate.n_faults == 200
    assert outcome.gate.n_judged >= 108
    assert (registry.champion() == outcome.version) == (outcome.result == "promoted")


def test_a_model_is_no_worse_than_itself(watch, registry, champion):
    def trainer(settings, history):
        return dataclasses.replace(fit_watch(settings, history), detector=registry.load(champion).detector)

    outcome = run(watch, registry, waves(600), trainer=trainer)

    gate = outcome.gate
    assert gate.opponent == champion
    assert (gate.error, gate.over_limit, gate.caught) == (
        gate.opponent_error,
        gate.opponent_over_limit,
        gate.opponent_caught,
    )
    assert outcome.result == "promoted"
    assert registry.champion() == outcome.version


def test_the_newest_quarter_is_held_out_and_the_bundle_says_what_decided(watch, registry, champion):
    seen = []

    def trainer(settings, history):
        seen.append(history.values)
        return fit_watch(settings, history)

    values = waves(800)
    outcome = run(watch, registry, values, trainer=trainer)

    np.testing.assert_array_equal(seen[0], values[:600])
    made = registry.about(outcome.version)["made"]
    assert (made["n_steps"], made["n_held_out"], made["to_ms"]) == (600, 200, 800_000)
    assert made["gate"]["opponent"] == champion
    assert outcome.gate.n_judged == 200


def test_of_a_short_history_a_window_and_100_steps_are_held_out(watch, registry, champion):
    outcome = run(watch, registry, waves(NEEDED))

    assert outcome.gate.n_judged == 108


def test_a_candidate_is_saved_and_does_not_serve(watch, registry, champion):
    fit = fit_watch(watch.settings(), history_of(waves(500)))
    outcome = run(watch, registry, waves(600), trainer=lambda settings, history: fit, promotes=False)

    assert outcome.result == "candidate"
    assert outcome.version in registry.versions()
    assert untouched(registry, champion)


def test_its_tails_know_the_held_out_steps(watch, registry, champion):
    fit = fit_watch(watch.settings(), history_of(waves(450)))
    before = fit.detector.tails.n_learned.copy()

    outcome = run(watch, registry, waves(600), trainer=lambda settings, history: fit)

    after = registry.load(outcome.version).detector.tails
    assert after.n_learned[0] >= before[0] + 150
    assert not after.frozen.any()
    np.testing.assert_array_equal(fit.detector.tails.n_learned, before)  # the gate works on copies


# Channels


def run_with_channels(watch, registry, values, channels, *, trainer=fit_watch):
    history = dataclasses.replace(history_of(values), channels=channels)
    return retrain(
        watch.settings(), clock=FakeClock(0.0), trainer=trainer, registry=registry, history=history
    )


def test_both_are_judged_by_the_channels_that_they_share_in_whatever_order(watch, registry, champion):
    values, detector = waves(600), fit_watch(watch.settings(), history_of(waves(450))).detector

    def in_order(settings, history):
        return dataclasses.replace(fit_watch(settings, history), detector=detector)

    same = run_with_channels(watch, registry, values, ("a", "b", "c"), trainer=in_order).gate
    registry.promote(champion)
    extra = np.random.default_rng(1).normal(size=(600, 1, 1))
    moved = np.concatenate([extra, values[:, :, [2, 0, 1]]], axis=2)
    gate = run_with_channels(watch, registry, moved, ("d", "c", "a", "b")).gate

    assert (gate.opponent, gate.n_judged) == (champion, 150)
    assert gate.opponent_error == pytest.approx(same.opponent_error, rel=1e-6)
    assert gate.opponent_over_limit == same.opponent_over_limit
    assert 0.0 < gate.error < math.inf  # of `d`, which the champion does not know, nothing is compared


def test_a_channel_that_was_never_seen_is_not_learned_and_the_rest_is_compared(watch, registry, champion):
    values = waves(900)
    values[: 900 * 3 // 4, :, 2] = NAN  # `c` comes in the held-out quarter

    outcome = run_with_channels(watch, registry, values, ("a", "b", "c"))

    assert outcome.gate.opponent == champion
    assert outcome.gate.n_judged == 225
    assert registry.about(outcome.version)["channels"] == ["a", "b"]


def test_a_history_that_shares_no_channel_with_the_champion_is_skipped(watch, registry, champion):
    outcome = run_with_channels(watch, registry, waves(600), ("x", "y", "z"))

    assert outcome.result == "skipped"
    assert outcome.reason == (
        "the history shows none of the champion's channels, so the two cannot be compared: "
        "run `barograph train` with files that hold the running channels"
    )
    assert untouched(registry, champion)


# A challenger that is worse


def with_model(settings, **changes):
    return dataclasses.replace(settings, model=dataclasses.replace(settings.model, **changes))


def scrambled(settings, history):
    """Give a fit whose network has learned nothing, calibrated as if it had."""
    return fit_watch(with_model(settings, epochs=1, learning_rate=1e-9), history)


def test_one_that_has_learned_nothing_is_refused(watch, registry, champion):
    outcome = run(watch, registry, waves(600), trainer=scrambled)

    assert outcome.result == "refused"
    assert "calibrated error" in outcome.reason
    assert outcome.version in registry.versions()  # to be looked at
    assert untouched(registry, champion)


def test_one_that_was_trained_on_garbage_is_refused(watch, registry, champion):
    def trainer(settings, history):
        garbage = np.random.default_rng(0).normal(0, 1e4, history.values.shape)
        return fit_watch(settings, dataclasses.replace(history, values=garbage))

    outcome = run(watch, registry, waves(600), trainer=trainer)

    assert outcome.result == "refused"
    assert untouched(registry, champion)


def with_spikes_in_the_held_out_part():
    values = waves(600)
    values[460::20] *= 3.0
    return values


def test_a_challenger_over_its_budget_is_refused_though_the_champion_is_over_it_as_well(
    watch, registry, champion
):
    fit = fit_watch(watch.settings(), history_of(waves(500)))

    outcome = run(watch, registry, with_spikes_in_the_held_out_part(), trainer=lambda settings, history: fit)

    gate = outcome.gate
    assert min(gate.over_limit, gate.opponent_over_limit) > gate.allowed_over_limit
    assert outcome.result == "refused"
    share = f"{gate.opponent_over_limit:.2%}"
    assert f"({champion}, with {share}, is over the budget too, and judges on)" in outcome.reason
    assert untouched(registry, champion)


def test_a_first_model_over_its_budget_does_not_serve_either(watch, registry):
    fit = fit_watch(watch.settings(), history_of(waves(500)))

    outcome = run(watch, registry, with_spikes_in_the_held_out_part(), trainer=lambda settings, history: fit)

    assert (outcome.gate.opponent, outcome.result) == ("baselines", "refused")
    assert "of its blocks are over the limit" in outcome.reason
    assert registry.champion() is None


# A training that goes wrong: a reason, and what serves is untouched


def test_a_watch_without_history_is_skipped(watch, registry, champion):
    outcome = run(watch, registry, None)

    assert (outcome.result, outcome.reason) == (
        "skipped",
        "the history has 0 steps without an incident, expected at least 324: wait 324 s",
    )
    assert untouched(registry, champion)


def test_too_little_history_says_how_long_to_wait(watch, registry, champion):
    outcome = run(watch, registry, waves(NEEDED - 24))

    assert (outcome.result, needed_steps(8)) == ("skipped", NEEDED)
    assert outcome.reason.endswith("expected at least 324: wait 24 s")
    assert untouched(registry, champion)


def test_a_history_with_holes_is_learned_from(watch, registry, champion):
    values = waves(900)
    values[np.random.default_rng(0).random(900) < 0.05] = NAN
    values[300:340] = NAN
    values[:, :, 2][500:520] = NAN

    outcome = run(watch, registry, values)

    assert outcome.result in ("promoted", "refused")
    assert outcome.gate.n_judged > 150


def test_a_held_out_part_of_nothing_but_holes_is_skipped(watch, registry, champion):
    values = waves(600)
    values[460:, :, :] = NAN
    values[460::12] = waves(140)[::12]

    outcome = run(watch, registry, values)

    assert outcome.result == "skipped"
    assert "held-out steps were judged" in outcome.reason
    assert untouched(registry, champion)


def test_a_history_of_nothing_but_holes_before_the_held_out_part_fails_with_its_reason(
    watch, registry, champion
):
    values = waves(600)
    values[50:450] = NAN

    outcome = run(watch, registry, values)

    assert outcome.result in ("failed", "skipped")
    assert untouched(registry, champion)


def test_a_loss_that_is_not_finite_fails(watch, registry, champion):
    outcome = run(watch, registry, waves(600), trainer=diverging)

    assert outcome.result == "failed"
    assert "became" in outcome.reason
    assert "nothing was changed" in outcome.reason
    assert untouched(registry, champion)


def diverging(settings, history):
    """Train at a rate at which weights leave the range of numbers."""
    return fit_watch(with_model(settings, learning_rate=1e38, max_grad_norm=1e38), history)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 3 GiB"),
    ],
)
def test_a_training_that_runs_out_of_memory_fails_with_the_way_out(watch, registry, champion, error):
    def trainer(settings, history):
        raise error

    outcome = run(watch, registry, waves(600), trainer=trainer)

    assert outcome.result == "failed"
    assert outcome.reason.startswith("out of memory: ")
    assert outcome.reason.endswith("Raise max_memory_bytes, or lower max_steps.")
    assert untouched(registry, champion)


def test_a_bug_is_not_taken_for_a_bad_training(watch, registry):
    def trainer(settings, history):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        run(watch, registry, waves(600), trainer=trainer)


def test_a_training_that_says_no_is_a_failure_with_its_words(watch, registry, champion):
    def trainer(settings, history):
        raise TrainingError("watch w: no")

    assert run(watch, registry, waves(600), trainer=trainer).reason == "watch w: no"
    assert untouched(registry, champion)


def test_a_full_disk_fails_the_training_and_leaves_no_half_bundle(watch, registry, champion, monkeypatch):
    def full(*arguments, **options):
        raise BundleError("cannot write the bundle: No space left on device. Nothing was changed.")

    monkeypatch.setattr("models.registry.save_bundle", full)

    outcome = run(watch, registry, waves(600))

    assert outcome.result == "failed"
    assert "No space left" in outcome.reason
    assert registry.versions() == [champion]


def test_two_trainers_of_one_watch_do_not_run_at_once(watch, registry, champion):
    lock = training_lock(watch.name, registry, 0.0)

    outcome = run(watch, registry, waves(600))

    assert outcome.result == "skipped"
    assert "watch w is being trained" in outcome.reason
    with pytest.raises(LockedError, match="Wait until that training is over"):
        train_watch(watch.settings(), history_of(waves(500)), registry, now=1.0)
    lock.release()
    assert untouched(registry, champion)


def test_a_damaged_champion_is_not_what_a_challenger_is_held_against(watch, registry, champion, caplog):
    newer = train_watch(watch.settings(), history_of(waves(500)), registry, now=9.0).version
    (registry.folder / newer / "weights.safetensors").write_bytes(b"half")

    outcome = run(watch, registry, waves(600))

    assert outcome.gate.opponent == champion
    assert f"model refused version={newer}" in caplog.text


def test_a_model_of_another_window_is_no_champion_to_be_held_against(watch, registry, champion):
    other = watch.model_copy(update={"window_length": 10})

    outcome = run(other, registry, waves(600))

    assert outcome.result == "failed"
    assert "window_length is 10, but its model was trained with 8" in outcome.reason


def test_what_is_written_down_is_json_that_anybody_reads(watch, registry, champion):
    outcome = run(watch, registry, waves(600))

    json.loads(outcome.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
