"""Every contender is strictly causal, finite, and sees what is gross; parameters are the same everywhere."""

import numpy as np
import pytest

from benchmarks.card import contenders, learned
from benchmarks.card.field import FIELD

N_TRAIN, N_STEPS, STEP_SECONDS = 400, 700, 3600  # hourly: a day is 24 rows


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    monkeypatch.setattr(learned, "_N_BATCHES", 40)


def rows(n_channels, seed=0):
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(N_STEPS) * 2 * np.pi / 24)[:, None, None]
    return (wave + rng.normal(0, 0.2, (N_STEPS, 2, n_channels))).astype(np.float32)


def scored(name, values):
    contender = FIELD[name].build(0, STEP_SECONDS)
    contender.fit(values[:N_TRAIN])
    return contender.score(values)


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("name", FIELD)
def test_a_raw_score_depends_on_no_later_row(name, n_channels):
    values = rows(n_channels)
    changed = values.copy()
    changed[600:] = 5.0

    before, after = scored(name, values), scored(name, changed)

    assert before.shape == (N_STEPS, 2)
    assert np.isfinite(before[100:]).all()
    assert np.nanmin(before) >= 0
    assert np.allclose(before[:600], after[:600], rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("name", [name for name in FIELD if name != "random"])
def test_a_gross_change_raises_the_raw_score(name):
    values = rows(2)
    values[600:, 0] += 6.0

    raw = scored(name, values)

    assert np.nanmax(raw[600:650, 0]) > np.nanquantile(raw[450:600, 0], 0.99)


@pytest.mark.parametrize("name", [name for name in FIELD if FIELD[name].is_random])
def test_the_same_seed_gives_the_same_raw_scores(name):
    values = rows(1)

    assert np.allclose(scored(name, values), scored(name, values), equal_nan=True)


def test_a_parabola_is_forecast_without_error():
    place = np.arange(N_STEPS, dtype=np.float64)
    values = (0.00001 * place**2 - 0.003 * place + 1).astype(np.float32)[:, None, None]

    raw = scored("polynomial", values)

    assert np.nanmax(raw) < 0.01


def test_seasonal_naive_compares_with_the_same_hour_of_the_day_before():
    values = np.tile(np.arange(24.0, dtype=np.float32), 30)[:N_STEPS, None, None] / 10

    raw = contenders.SeasonalNaive(STEP_SECONDS).score(values)

    assert np.isnan(raw[:24]).all()
    assert (raw[24:] == 0).all()
