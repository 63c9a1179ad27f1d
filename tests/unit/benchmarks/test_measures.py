"""What the card measures, on labels and scores that can be counted by hand."""

import math

import numpy as np
import pytest

from benchmarks.card.measures import Episode, average_precision, entity_measures, set_measures, vus_pr
from benchmarks.card.sets import Trial


def trial_of(label, *, n_train=0, blamed=()):
    label = np.array(label, bool)[:, None]
    train = np.arange(len(label))[:, None] < n_train
    return Trial(
        name="made",
        step_seconds=3600,
        entities=("e",),
        channels=("a", "b"),
        values=np.zeros((len(label), 1, 2)),
        label=label,
        train=train,
        test=~train,
        blamed={"e": list(blamed)} if blamed else {},
        files=("e.csv",),
    )


def label_of(n, *spans):
    label = np.zeros(n, bool)
    for first, end in spans:
        label[first:end] = True
    return label


def test_average_precision_is_the_mean_precision_at_each_labelled_row():
    label = np.array([False, True, False, True])

    assert average_precision(label, np.array([0.9, 0.8, 0.1, 0.7])) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert average_precision(label, np.array([0.0, 2.0, 1.0, 3.0])) == 1.0
    assert math.isnan(average_precision(np.zeros(4, bool), np.arange(4.0)))


def test_the_volume_of_a_perfect_score_without_buffer_is_1():
    label = label_of(2000, (500, 600), (1200, 1300))

    assert vus_pr(label, label.astype(float), buffer_rows=0) == pytest.approx(1.0)


def test_the_volume_of_noise_is_about_the_labelled_share():
    label = label_of(5000, (1000, 1500))
    noise = np.random.default_rng(0).random(5000)

    assert vus_pr(label, noise) == pytest.approx(0.1, abs=0.03)


def test_a_score_a_few_rows_late_loses_less_volume_than_area():
    label = label_of(5000, *((first, first + 20) for first in range(500, 5000, 500)))
    late = np.roll(label, 6).astype(float) + np.random.default_rng(0).random(5000) * 1e-3

    assert vus_pr(label, late) > vus_pr(label, late, buffer_rows=0) + 0.02


def test_a_missed_segment_lowers_the_volume_by_its_existence():
    label = label_of(1000, (200, 210), (600, 610))
    half = label_of(1000, (200, 210)).astype(float)

    # Half of the rows and of the segments are found at the highest level; the others only with all rows.
    assert vus_pr(label, half, buffer_rows=0) == pytest.approx(0.5 * 0.5 + 0.75 * 0.02)


def test_episodes_are_true_where_they_overlap_a_segment():
    trial = trial_of(label_of(400, (150, 160), (165, 170), (300, 310)), n_train=100)
    episodes = [Episode(120, 130), Episode(158, 162), Episode(168, 180), Episode(305, 306)]

    found = entity_measures(trial, 0, episodes, np.zeros(400))

    assert (found["segments"], found["caught"]) == (2, 2)  # segments five rows apart are one
    assert (found["episodes"], found["true_episodes"]) == (4, 3)
    assert found["delays"] == [8 * 3600, 5 * 3600]
    assert found["weeks"] == pytest.approx(300 / 168)


def test_an_episode_that_ends_as_a_segment_begins_has_missed_it():
    trial = trial_of(label_of(400, (150, 160)))

    assert entity_measures(trial, 0, [Episode(140, 150)], np.zeros(400))["caught"] == 0
    assert entity_measures(trial, 0, [Episode(140, 151)], np.zeros(400))["delays"] == [0]


def test_the_first_channel_is_right_where_experts_blame_it():
    blamed = [(150, 160, frozenset({"b"})), (300, 310, frozenset({"b"})), (350, 360, frozenset({"b"}))]
    trial = trial_of(label_of(400, (150, 160), (300, 310), (350, 360)), blamed=blamed)
    episodes = [Episode(152, 155, "b"), Episode(302, 305, "a")]

    found = entity_measures(trial, 0, episodes, np.zeros(400))

    assert (found["named"], found["named_right"]) == (2, 1)


def test_a_set_pools_events_and_averages_areas():
    a = entity_measures(
        trial_of(label_of(400, (150, 160))), 0, [Episode(150, 151), Episode(10, 12)], np.arange(400.0)
    )
    b = entity_measures(trial_of(label_of(400, (390, 400))), 0, [], np.arange(400.0))

    found = set_measures([a, b])

    assert found["event_recall"] == 0.5
    assert found["episode_precision"] == 0.5
    assert found["false_over_budget"] == pytest.approx(1 / (800 / 168))
    assert found["ap"] == pytest.approx((a["ap"] + 1.0) / 2)
    assert math.isnan(found["top_channel_right"])


def volume_by_loops(label, score, buffer_rows):
    """Follow the definition row by row and level by level, as its authors' code does."""
    n = len(label)
    ones = [t for t in range(n) if label[t]]
    runs = [[ones[0], ones[0]]]
    for t in ones[1:]:
        if t == runs[-1][1] + 1:
            runs[-1][1] = t
        else:
            runs.append([t, t])
    areas = []
    for width in range(buffer_rows + 1):
        soft = label.astype(float)
        for first, last in runs:
            for t in range(last, min(last + width // 2, n)):
                soft[t] += math.sqrt(1 - (t - last) / width)
            for t in range(max(first - width // 2, 0), first):
                soft[t] += math.sqrt(1 - (first - t) / width)
        soft = np.minimum(soft, 1)
        merged = [[max(runs[0][0] - width // 2, 0), runs[0][1] + width // 2]]
        for first, last in runs[1:]:
            if merged[-1][1] < first - width // 2:
                merged.append([first - width // 2, last + width // 2])
            else:
                merged[-1][1] = last + width // 2
        area, recall_before = 0.0, 0.0
        ranked = np.sort(score)[::-1]
        for place in np.linspace(0, n - 1, 250).astype(int):
            marked = score >= ranked[place]
            true = (soft * marked).sum()
            touched = np.mean([(soft * marked)[first : last + 1].sum() > 0 for first, last in merged])
            recall = min(true / ((label.sum() + soft.sum()) / 2), 1) * touched
            area += (recall - recall_before) * true / marked.sum()
            recall_before = recall
        areas.append(area)
    return np.mean(areas)


@pytest.mark.parametrize("seed", range(4))
def test_the_volume_agrees_with_its_definition(seed):
    rng = np.random.default_rng(seed)
    label = label_of(600, (0, 4), (100, 120), (128, 131), (400, 430), (590, 600))
    score = np.round(rng.random(600) + 0.5 * np.roll(label, seed), 2)  # rounded: some scores are equal

    assert vus_pr(label, score) == pytest.approx(volume_by_loops(label, score, 20))
