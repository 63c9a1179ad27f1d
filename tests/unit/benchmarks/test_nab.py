"""The NAB score agrees with the benchmark's own code, and with rules that can be computed by hand."""

import gzip
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.card.nab import PROFILES, NabFile, nab_score, sweep, swept_rows
from benchmarks.card.sets import load_set, segments

DATA = Path(os.environ.get("BAROGRAPH_LABELLED_DATA", Path(__file__).parents[4] / "shared" / "data"))

FILES = {"a.csv": NabFile(1000, ((400, 499),)), "b.csv": NabFile(1000, ())}


def sigmoid(place):
    return 2 / (1 + math.exp(5 * place)) - 1


def test_silence_is_0_and_the_first_row_of_each_window_is_100():
    assert set(nab_score(FILES, {}).values()) == {0.0}
    assert list(nab_score(FILES, {"a.csv": [400]}).values()) == pytest.approx([100.0] * 3)


def test_a_late_row_in_a_window_is_worth_less():
    found = nab_score(FILES, {"a.csv": [450, 475]})  # the better row counts, once

    value = sigmoid(-0.5) / sigmoid(-1)
    assert found["standard"] == pytest.approx(100 * (value + 1) / 2)
    assert found["reward_low_FN_rate"] == pytest.approx(100 * (value + 2) / 3)


def test_a_false_row_costs_less_right_behind_a_window_than_before_it():
    before = nab_score(FILES, {"a.csv": [400], "b.csv": [500]})
    behind = nab_score(FILES, {"a.csv": [400, 510]})

    assert before["standard"] == pytest.approx(100 - 100 * 0.11 / 2)
    assert before["reward_low_FP_rate"] == pytest.approx(100 - 100 * 0.22 / 2)
    assert behind["standard"] == pytest.approx(100 + 100 * 0.11 * sigmoid(11 / 99) / 2)


def test_probation_counts_for_nothing():
    assert set(nab_score(FILES, {"b.csv": [0, 149]}).values()) == {0.0}
    assert nab_score(FILES, {"b.csv": [150]})["standard"] < 0


def test_the_sweep_marks_a_row_and_rests_for_three_per_cent_of_the_file():
    score = np.zeros(1000)
    score[200:260] = 2.0

    assert swept_rows(score, 1.0) == [200, 230]
    assert swept_rows(score, 2.5) == []


def test_the_sweep_finds_the_level_that_leaves_false_rows_out():
    score = np.zeros(1000)
    score[400], score[200] = 2.0, 1.0

    level, best = sweep(FILES, {"a.csv": score, "b.csv": np.zeros(1000)})

    assert 1.0 < level <= 2.0
    assert best["standard"] == pytest.approx(100.0)


@pytest.mark.skipif(not (DATA / "nab" / "scoring").is_dir(), reason="the labelled sets are not here")
def test_all_published_cases_agree():
    (trial,) = load_set(DATA, "nab")
    files = {}
    for row, name in enumerate(trial.files):
        n_rows = int((trial.train | trial.test)[:, row].sum())
        windows = segments(trial.label[:n_rows, row], gap=0)
        files[name] = NabFile(n_rows, tuple((first, end - 1) for first, end in windows))
    expected = json.loads((DATA / "nab" / "scoring" / "expected.json").read_text())
    rows = json.loads(gzip.decompress((DATA / "nab" / "scoring" / "alert_rows.json.gz").read_bytes()))

    found = {detector: nab_score(files, rows[detector]) for detector in expected}

    assert len(expected) * len(PROFILES) == 36
    for detector, scores in expected.items():
        for profile in PROFILES:
            assert found[detector][profile] == pytest.approx(scores[profile]["score"], abs=0.001), detector
