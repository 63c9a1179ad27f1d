from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest

from models.bundle import Bundle
from models.fit_detector import fit_detector
from models.settings import ModelSettings
from monitor.config.explain import parse_config
from monitor.detection.swap import align_rows
from monitor.errors import ConfigError, MonitorError
from monitor.files.recorded import recorded_files
from monitor.offline.row_writer import open_writer
from monitor.offline.score_files import choose_watch, score_recorded
from monitor.sample import SeriesTable

START_S = 1_700_000_000


@pytest.fixture
def settings(tmp_path):
    rng = np.random.default_rng(0)
    for name, n_rows in (("web1", 200), ("web2", 50)):
        frame = pd.DataFrame(rng.normal(100, 1, (n_rows, 2)), columns=["a", "b"])
        frame.insert(0, "timestamp", START_S + np.arange(n_rows))
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    watch = {"name": "w", "by": ["entity"], "step_seconds": 1.0, "window_length": 8, "lateness_seconds": 0.0}

    def make(*watches):
        return parse_config(
            {
                "source": {"kind": "replay", "replay": {"paths": [str(tmp_path)], "time_unit": "s"}},
                "watch": [{**watch, **more} for more in watches or [{}]],
            },
            origin="test",
        )

    return make


def test_every_row_of_every_entity_gets_a_score_or_a_reason(settings):
    config, table, text = settings(), SeriesTable(), io.StringIO()
    recorded = recorded_files(config, table)

    with open_writer(None, text) as writer:
        n_rows = score_recorded(config.watch[0], None, recorded, table, writer)

    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert len(rows) == n_rows == 2 * 200
    assert list(rows[0]) == [
        "entity",
        "time_ms",
        "score",
        "verdict",
        "reason",
        "a.actual",
        "a.expected",
        "b.actual",
        "b.expected",
    ]
    for row in rows:
        assert (row["verdict"] == "not_judged") == (row["score"] == "") == (row["reason"] != "")
    of_web1 = [row for row in rows if row["entity"] == "web1"]
    assert [int(row["time_ms"]) for row in of_web1] == [(START_S + i) * 1000 for i in range(200)]
    assert [row["reason"] for row in of_web1[:108]] == ["warming"] * 108
    assert all(row["score"] for row in of_web1[108:])
    assert float(of_web1[150]["a.actual"]) == pytest.approx(100, abs=6)
    assert float(of_web1[150]["a.expected"]) == pytest.approx(100, abs=2)


@pytest.fixture
def scores(settings, tmp_path):
    """Score some files and give each entity's scores by the start of the step."""
    rng = np.random.default_rng(1)
    for number, name in enumerate(["web3", "web4", "other"]):
        # Each more uneven than the last; the last one has other channels, too, and begins later.
        columns = ["a", "b"] if name != "other" else ["b", "c", "d"]
        noise = rng.standard_t(3, (900, len(columns))) * (number + 1)
        frame = pd.DataFrame(100 + noise, columns=columns)
        frame.insert(0, "timestamp", START_S + 10 * (40 * number + np.arange(900)))
        frame.to_csv(tmp_path / f"{name}.csv", index=False)

    def score(chosen, champion=None):
        config, table, text = (
            settings({"budget": "1/hour", "step_seconds": 10.0}),
            SeriesTable(),
            io.StringIO(),
        )
        watch = config.watch[0]
        paths = [str(tmp_path / f"{name}.csv") for name in chosen]
        replay = config.source.replay.model_copy(update={"paths": paths})
        source = config.source.model_copy(update={"replay": replay})
        recorded = recorded_files(config.model_copy(update={"source": source}), table)
        fresh = align_rows(champion, champion.entities) if champion else None  # a scored detector has learned
        with open_writer(None, text) as writer:
            score_recorded(watch, fresh, recorded, table, writer)
        rows = [row for row in csv.DictReader(io.StringIO(text.getvalue())) if row["score"]]
        return {
            name: {row["time_ms"]: float(row["score"]) for row in rows if row["entity"] == name}
            for name in chosen
        }

    return score


@pytest.mark.parametrize("with_model", [False, True])
def test_an_entity_has_the_same_scores_alone_as_among_others(scores, with_model):
    champion = champion_of() if with_model else None

    among = scores(["other", "web4", "web3"], champion)

    for name in ("web4", "web3") if with_model else ("web4", "web3", "other"):
        alone = scores([name], champion)[name]
        assert len(alone) > 700
        assert max(alone.values()) > 0.2
        assert alone == pytest.approx(among[name])


def test_entities_that_the_model_knows_and_that_are_not_there_share_the_budget_all_the_same(scores):
    two, twenty = (scores(["web3"], champion_of(n_entities=n))["web3"] for n in (2, 20))

    # A budget that more share allows each less: the limit is higher.
    is_lower = [twenty[time_ms] < score for time_ms, score in two.items() if score > 0.01]
    assert len(is_lower) > 700
    assert np.mean(is_lower) > 0.9


def champion_of(n_entities=3):
    """Train on steps of noise; the first entity is web3, the others are not among the files."""
    history = np.random.default_rng(0).normal(100, 1, (400, 1, 2))
    fit = fit_detector(
        history,
        ModelSettings(window_length=8, hidden=4, latent=2, epochs=2),
        resolution=np.array([0.1, 0.1]),
        step_seconds=10.0,
        block_steps=10,
    )
    names = ("web3", *(f"absent{number}" for number in range(1, n_entities)))
    return Bundle(fit.detector.take(np.zeros(n_entities, np.int64)), ("a", "b"), names, {})


def test_parquet_holds_the_same_rows_as_csv(settings, tmp_path_factory):
    config, out = settings(), tmp_path_factory.mktemp("out")
    for file in (out / "s.csv", out / "s.parquet"):
        table = SeriesTable()
        with open_writer(file, io.StringIO()) as writer:
            score_recorded(config.watch[0], None, recorded_files(config, table), table, writer)

    from_csv = pd.read_csv(
        out / "s.csv", keep_default_na=False, na_values={"score": [""], "a.expected": [""]}
    )
    from_parquet = pd.read_parquet(out / "s.parquet")
    pd.testing.assert_series_equal(from_csv["score"], from_parquet["score"])
    assert from_csv["reason"].tolist() == from_parquet["reason"].tolist()


def test_the_watch_must_be_named_where_several_take_the_files(settings):
    config, table = settings({}, {"name": "other"}), SeriesTable()
    recorded_files(config, table)

    with pytest.raises(MonitorError, match=r"name one with --watch \(w, other\)"):
        choose_watch(config, table, "")
    assert choose_watch(config, table, "other").name == "other"
    with pytest.raises(ConfigError, match="no watch is named otter; there are w, other"):
        choose_watch(config, table, "otter")


def test_files_of_no_watch_are_refused(settings):
    config, table = settings({"metrics": ["x*"]}), SeriesTable()
    recorded_files(config, table)

    with pytest.raises(MonitorError, match="no series of these files belongs to any watch"):
        choose_watch(config, table, "")


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_scores_that_cannot_be_finished_leave_what_was_there_and_no_litter(settings, tmp_path_factory, name):
    config, table, out = settings(), SeriesTable(), tmp_path_factory.mktemp("out")
    (out / name).write_text("the scores of yesterday")

    def score_until_ctrl_c():
        with open_writer(out / name, io.StringIO()) as writer:
            score_recorded(config.watch[0], None, recorded_files(config, table), table, writer)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_until_ctrl_c()

    assert [(file.name, file.read_text()) for file in out.iterdir()] == [(name, "the scores of yesterday")]
