from __future__ import annotations

import numpy as np
import pytest

from models.errors import TrainingError
from models.registry import Registry
from monitor.sample import Kind, concatenate
from monitor.testing import samples
from monitor.training.train import collect_history, fit_watch, train_watch


def test_every_entity_ends_at_the_last_step_however_old_its_file(quiet_watch, table):
    old = samples("1 2 3", table, host="old")
    new = samples("7 8 9 10 11", table, host="new", start_ms=86_400_000)

    history = collect_history(quiet_watch().settings(), concatenate([old, new]), table)

    assert history.entities == ("old", "new")
    np.testing.assert_array_equal(history.values[:, :, 0].T, [[np.nan, np.nan, 1, 2, 3], [7, 8, 9, 10, 11]])


def test_every_step_keeps_its_time_where_an_entity_is_moved(quiet_watch, table):
    old = samples("1 2 3", table, host="old", step_seconds=1, start_ms=50_000)
    new = samples("7 8 9 10 11", table, host="new", step_seconds=1, start_ms=86_400_000)

    settings = quiet_watch().settings()
    history = collect_history(settings, concatenate([old, new]), table)

    steps = history.step_numbers(settings.step_ms) * settings.step_ms // 1000
    np.testing.assert_array_equal(steps[2:, 0], [50, 51, 52])
    np.testing.assert_array_equal(steps[:, 1], 86_400 + np.arange(5))
    assert (np.diff(steps, axis=0) == 1).all()


def test_gaps_inside_an_entity_stay(quiet_watch, table):
    history = collect_history(quiet_watch().settings(), samples("1 _ 3", table, host="a"), table)

    np.testing.assert_array_equal(history.values[:, 0, 0], [1, np.nan, 3])


def test_a_watch_without_series_in_the_files_has_no_history(quiet_watch, table):
    assert (
        collect_history(quiet_watch(metrics=["other"]).settings(), samples("1 2", table, host="a"), table)
        is None
    )


def test_training_saves_and_promotes_a_version_that_knows_its_channels(quiet_watch, table, noise, tmp_path):
    settings = quiet_watch(model={"hidden": 4, "latent": 2, "epochs": 2}).settings()
    registry = Registry(tmp_path / "w")

    trained = train_watch(settings, collect_history(settings, noise(400), table), registry, now=0.0)

    assert registry.champion() == trained.version == "19700101T000000Z"
    bundle = registry.load(trained.version)
    assert bundle.channels == ("a", "b")
    assert bundle.entities == ("web1",)
    assert bundle.metadata["n_steps"] == 400


def test_too_short_a_history_names_the_watch_and_changes_nothing(quiet_watch, table, noise, tmp_path):
    settings = quiet_watch().settings()
    registry = Registry(tmp_path / "w")

    with pytest.raises(TrainingError, match=r"watch w: the history has 50 steps of 1 s; it needs 116"):
        train_watch(settings, collect_history(settings, noise(50), table), registry, now=0.0)

    assert registry.champion() is None
    assert registry.versions() == []


def test_what_cannot_be_reckoned_with_is_left_out_of_a_history(quiet_watch, table):
    values = samples("1 2 3 4", table, host="a")
    values.value[[1, 2]] = [1e308, np.inf]

    history = collect_history(quiet_watch().settings(), values, table)

    np.testing.assert_array_equal(history.values[:, 0, 0], [1, np.nan, np.nan, 4])


def test_where_each_series_is_an_entity_a_constant_one_is_scaled_by_its_own_unit(
    quiet_watch, table, tmp_path
):
    settings = quiet_watch(by="series", model={"hidden": 4, "latent": 2, "epochs": 1}).settings()
    names = ("memory_used_bytes", "latency_seconds", "requests_total")
    columns = concatenate(samples(" ".join(["7"] * 200), table, name=name) for name in names)

    trained = train_watch(
        settings, collect_history(settings, columns, table), Registry(tmp_path / "w"), now=0.0
    )

    # 64 KiB, 10 ms and one event a second are more than a hundredth of 7, 7 and 0 but for the second
    assert trained.history.entities == names
    assert trained.fit.detector.scaling.scale.tolist() == [[65536.0], [pytest.approx(0.07)], [1.0]]


def test_a_counter_without_the_ending_of_one_is_scaled_as_one_event(quiet_watch, table):
    settings = quiet_watch(by="series", model={"hidden": 4, "latent": 2, "epochs": 1}).settings()
    table.intern("http.server.requests", (), Kind.DELTA)
    columns = samples(" ".join(["0"] * 200), table, name="http.server.requests")

    fit = fit_watch(settings, collect_history(settings, columns, table))

    assert fit.detector.scaling.scale.tolist() == [[1.0]]  # in a step of 1 s; an unknown level: 0.1
