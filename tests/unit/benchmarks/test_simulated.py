"""Simulated series are what they say: without faults, or with faults that keep each channel in its range."""

import numpy as np
import pytest

from benchmarks.card.simulated import (
    DAY,
    HOUR,
    KINDS_OF_LIFE,
    RELATIONS,
    labelled_trial,
    level_changes,
    life_trial,
    normal_life,
    relation_faults,
)


@pytest.mark.parametrize("kind", KINDS_OF_LIFE)
def test_life_has_no_label_and_follows_from_its_seed(kind):
    trial = life_trial(kind, n_train=DAY, n_test=2 * DAY, n_entities=3, seed=1)
    again = life_trial(kind, n_train=DAY, n_test=2 * DAY, n_entities=3, seed=1)
    other = life_trial(kind, n_train=DAY, n_test=2 * DAY, n_entities=3, seed=2)

    assert trial.values.shape == (3 * DAY, 3, 1)
    assert np.isfinite(trial.values).all()
    assert not trial.label.any()
    assert np.array_equal(trial.values, again.values)
    assert not np.array_equal(trial.values, other.values)


def test_kinds_of_life_differ_as_they_say():
    values = {
        kind: normal_life(kind, 14 * DAY, 1, np.random.default_rng(0))[:, 0, 0] for kind in KINDS_OF_LIFE
    }

    def by_day(kind):
        return values[kind].reshape(14, DAY).mean(axis=1)

    assert np.corrcoef(values["daily"][:-DAY], values["daily"][DAY:])[0, 1] > 0.9
    assert by_day("weekly")[[5, 6, 12, 13]].max() < by_day("weekly")[[0, 1, 2, 3, 4]].min()
    assert np.quantile(values["bursty"], 0.999) > 3 * np.median(values["bursty"])
    assert 0.9 < (values["sparse"] == 0).mean() < 0.99
    assert np.unique(values["levels"].round(-1)).size <= 12


def test_broken_relations_keep_every_channel_in_its_training_range():
    trial, incidents = relation_faults(n_train=7 * DAY, n_test=6 * DAY, n_entities=3, seed=0)
    train = trial.values[: 7 * DAY]

    assert {incident.kind for incident in incidents} == set(RELATIONS)
    for incident in incidents:
        span = trial.values[incident.start : incident.end, incident.row]
        assert (span >= train[:, incident.row].min(axis=0)).all()
        assert (span <= train[:, incident.row].max(axis=0)).all()
        assert trial.label[incident.start : incident.end, incident.row].all()


def test_a_broken_sign_turns_a_correlation_around():
    trial, incidents = relation_faults(n_train=7 * DAY, n_test=9 * DAY, n_entities=3, seed=0)

    def correlations(values):
        return np.corrcoef(values[:, 0], values[:, 1])[0, 1]

    signs = [incident for incident in incidents if incident.kind == "sign"]
    found = [correlations(trial.values[i.start : i.end, i.row]) for i in signs]
    assert correlations(trial.values[: 7 * DAY, 0]) > 0.95
    assert max(found) < 0


def test_a_second_fault_lies_within_a_change_of_level():
    trial, incidents = level_changes(n_train=7 * DAY, n_test=23 * DAY, n_entities=2, seed=0)
    changes = [incident for incident in incidents if incident.kind == "change"]
    seconds = [incident for incident in incidents if incident.kind != "change"]

    assert {incident.kind for incident in seconds} == {"second other", "second same"}
    assert len(seconds) == len(changes)
    for change, second in zip(changes, seconds, strict=True):
        assert change.start < second.start < second.end < change.end
        assert second.row == change.row
        before = trial.values[change.start - HOUR : change.start, change.row, 0].mean()
        behind = trial.values[change.start : change.start + HOUR, change.row, 0].mean()
        assert abs(behind - before) > 40


def test_the_labelled_trial_has_faults_in_its_test_rows_alone():
    trial = labelled_trial(seed=0)

    assert not trial.label[trial.train].any()
    assert trial.label[trial.test].any()
