"""Work is planned once, done once, and measured the same whoever does it."""

import functools
import json

import numpy as np
import pytest

from benchmarks.card import work
from benchmarks.card.measures import Episode
from benchmarks.card.product import Judged
from benchmarks.card.sets import LARGE_SETS, Trial
from benchmarks.card.work import Unit, do_units, plan, plan_scenarios, run_unit, state_of


def trial(name="made"):
    label = np.zeros((300, 1), bool)
    label[200:210] = True
    train = np.arange(300)[:, None] < 100
    return Trial(
        name=name, step_seconds=300, entities=("e",), channels=("value",), values=np.zeros((300, 1, 1)),
        label=label, train=train, test=~train, blamed={}, files=("cat/e.csv",),
    )  # fmt: skip


def judged_at(*rows):
    scores = np.zeros((300, 1))
    scores[list(rows)] = 2.0
    return Judged([[Episode(row, row + 5) for row in rows]], scores, 1.0, 0.002)


def test_what_does_not_change_with_the_seed_is_done_once():
    units = plan(["asd"], ["gaussian", "product", "random"], 3)

    assert [(unit.contender, unit.seed) for unit in units] == [
        ("product", 0), ("product", 1), ("product", 2), ("gaussian", 0), ("random", 0), ("random", 1),
        ("random", 2),
    ]  # fmt: skip
    assert [unit.parts for unit in units[:3]] == [("autoencoder", "rest"), ("autoencoder",), ("autoencoder",)]


def test_large_sets_have_one_seed_and_nothing_slow():
    units = plan(LARGE_SETS, ["product", "half_space", "random"], 3)

    assert {(unit.contender, unit.seed) for unit in units} == {("product", 0), ("random", 0)}
    assert all(unit.parts == () for unit in units)


def test_scenarios_have_every_life_fresh_and_trained():
    names = [unit.contender for unit in plan_scenarios(["asd", *LARGE_SETS], 3, quick=False)]

    assert sum(name.startswith("life-") for name in names) == 10
    assert [name for name in names if name.startswith("unlabelled-")] == ["unlabelled-asd"]
    assert names.count("relations-product") == names.count("second-product") == 3
    assert names.count("relations-gaussian") == 1


def test_a_quick_run_trains_for_one_life_alone():
    units = plan_scenarios(["asd"], 1, quick=True)

    assert [unit.contender for unit in units] == ["life-daily-trained", "life-daily-fresh", "relations-pca"]


def test_a_unit_leaves_a_file_for_each_part_and_is_not_done_again(tmp_path, monkeypatch):
    calls = []

    def judge(trial, name, seed, *, parts):
        calls.append((name, seed))
        return {part: judged_at(205) for part in (name, *parts)}

    monkeypatch.setattr(work, "judge_trial", judge)
    units = [Unit("made", "product", 0), Unit("made", "gaussian", 0)]
    done = []
    for _ in range(2):
        do_units(units, lambda name: [trial(name)], tmp_path, n_jobs=1, on_done=done.append)

    assert calls == [("product", 0), ("gaussian", 0)]
    assert len(done) == 4
    assert {path.name for path in tmp_path.iterdir()} == {
        "made-product-0.json", "made-autoencoder-0.json", "made-rest-0.json", "made-gaussian-0.json",
    }  # fmt: skip


def test_a_unit_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "judge_trial", lambda *args, **options: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        run_unit(Unit("made", "gaussian", 0), lambda name: [trial(name)], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_results_are_measured_and_valid_json(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "judge_trial", lambda *args, **options: {"gaussian": judged_at(120, 205)})

    run_unit(Unit("made", "gaussian", 0), lambda name: [trial(name)], tmp_path)

    result = json.loads((tmp_path / "made-gaussian-0.json").read_text(), parse_constant=pytest.fail)
    assert (result["segments"], result["episodes"], result["false_episodes"]) == (1, 2, 1)
    assert result["top_channel_right"] is None
    assert result["microseconds_a_row"] == pytest.approx(10.0)
    assert "nab" not in result


def test_on_nab_the_benchmarks_score_is_given_too(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "judge_trial", lambda *args, **options: {"gaussian": judged_at(200)})

    run_unit(Unit("nab", "gaussian", 0), lambda name: [trial(name)], tmp_path)

    found = json.loads((tmp_path / "nab-gaussian-0.json").read_text())["nab"]
    assert found["own_limit"]["standard"] == pytest.approx(100.0)
    assert found["swept"]["standard"] == pytest.approx(100.0)


def test_results_are_kept_apart_by_code_and_data(tmp_path):
    for name in ("models/a.py", "monitor/sub/b.py", "benchmarks/card/report.py", "benchmarks/card/nab.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1")
    before = state_of(tmp_path, None, quick=True)

    assert state_of(tmp_path, tmp_path, quick=True) != before
    assert state_of(tmp_path, None, quick=False) != before
    (tmp_path / "benchmarks/card/report.py").write_text("x = 2")
    assert state_of(tmp_path, None, quick=True) == before
    (tmp_path / "monitor/sub/b.py").write_text("x = 2")
    assert state_of(tmp_path, None, quick=True) != before


def test_processes_side_by_side_do_the_same_work(tmp_path):
    units = [Unit("simulated", name, 0) for name in ("gaussian", "random")]
    load = functools.partial(work.load_from, None, quick=True)
    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder, n_jobs in ((alone, 1), (together, 2)):
        folder.mkdir()
        do_units(units, load, folder, n_jobs=n_jobs)

    for path in alone.iterdir():
        first, second = (json.loads((folder / path.name).read_text()) for folder in (alone, together))
        assert first["rows"] == second["rows"]
