"""The product on arrays does what its commands do, to the last episode and score."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from benchmarks.card.product import PARTS, judge_product
from benchmarks.card.sets import Trial
from benchmarks.card.simulated import normal_life

N_TRAIN, N_STEPS, STEP_SECONDS = 400, 620, 300
CONFIG = """
data_dir = "{folder}/data"
[source]
kind = "replay"
[source.replay]
paths = ["{folder}/*.csv"]
time_unit = "s"
exclude = ["label", "split"]
{where}
[web]
listen = "127.0.0.1:0"
[history]
max_bytes = 0
[[watch]]
name = "judged"
by = ["entity"]
step_seconds = 300.0
lateness_seconds = 0.0
budget = "1/week per entity"
"""


@pytest.fixture(scope="module")
def trial():
    values = normal_life("daily", N_STEPS, 2, np.random.default_rng(5), n_channels=2)
    values[450:470, 0] += 80
    values[520:560, 1, 0] -= 60
    values[300:303, 1, 1] = np.nan
    train = np.broadcast_to((np.arange(N_STEPS) < N_TRAIN)[:, None], (N_STEPS, 2))
    return Trial(
        name="made",
        step_seconds=STEP_SECONDS,
        entities=("a", "b"),
        channels=("load", "queue"),
        values=values,
        label=np.zeros((N_STEPS, 2), bool),
        train=train.copy(),
        test=~train,
        blamed={},
        files=("a.csv", "b.csv"),
    )


@pytest.fixture(scope="module")
def judged(trial):
    return judge_product(trial, 0, parts=PARTS)


def barograph(*args):
    done = subprocess.run(
        [sys.executable, "-m", "monitor", *map(str, args)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_give_the_same_episodes_and_scores(trial, judged, tmp_path):
    for row, entity in enumerate(trial.entities):
        frame = pd.DataFrame({"timestamp": np.arange(N_STEPS) * STEP_SECONDS})
        frame[list(trial.channels)] = trial.values[:, row]
        frame["split"] = np.where(trial.train[:, row], "train", "test")
        frame.to_csv(tmp_path / f"{entity}.csv", index=False)
    config, on_test = tmp_path / "config.toml", tmp_path / "test.toml"
    config.write_text(CONFIG.format(folder=tmp_path, where=""))
    on_test.write_text(CONFIG.format(folder=tmp_path, where='where = { split = "test" }'))

    barograph("train", "--config", config, "--where", "split=train")
    barograph("run", "--exit", "--config", on_test)
    listed = barograph("episodes", "--config", on_test, "--all", "--json").splitlines()
    barograph("score", "--config", config, *sorted(tmp_path.glob("?.csv")), "-o", tmp_path / "scores.out.csv")

    opened = sorted((found["entity"], found["opened_ms"] // 300_000 - 1) for found in map(json.loads, listed))
    product = judged["product"]
    assert opened == [
        (entity, episode.start)
        for entity, episodes in zip(trial.entities, product.episodes, strict=True)
        for episode in episodes
    ]
    assert len(opened) >= 2
    scores = pd.read_csv(tmp_path / "scores.out.csv")
    for row, entity in enumerate(trial.entities):
        of_entity = scores[scores["entity"] == entity]["score"].fillna(0).to_numpy()
        assert np.allclose(
            of_entity, product.scores[: len(of_entity), row], rtol=0.02
        )  # two trainings: the order of sums differs


def test_a_part_judges_by_its_own_raw_scores(judged):
    assert set(judged) == {"product", "autoencoder", "rest"}
    products = judged["product"].scores[N_TRAIN + 40 :]
    for part in PARTS:
        scores = judged[part].scores[N_TRAIN + 40 :]
        assert (scores > 0).any()
        assert not np.allclose(scores, products)


def test_what_is_too_short_to_train_on_is_judged_by_a_fresh_daemon(trial):
    train = trial.train & (np.arange(N_STEPS) >= N_TRAIN - 60)[:, None]
    short = Trial(**{**vars(trial), "train": train})

    judged = judge_product(short, 0, parts=PARTS)

    assert list(judged) == ["product"]
    assert "not trained" in judged["product"].note
    assert (judged["product"].scores[N_TRAIN:] > 0).any()
