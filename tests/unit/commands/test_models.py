from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle
from models.detector import Detector
from models.network import Autoencoder
from models.raw_scores import error_windows, fit_error_scale
from models.registry import Registry
from models.settings import ModelSettings
from models.trained import Trained

ROOT = Path(__file__).parents[3]


def bundle(seed):
    rng = np.random.default_rng(seed)
    settings = ModelSettings(window_length=8, hidden=4, latent=2)
    network = Autoencoder(1, hidden=4, latent=2).eval()
    errors, _ = error_windows(network, rng.normal(0, 1, (32, 8, 1)).astype(np.float32))
    trained = Trained(network, fit_error_scale(errors), None)
    detector = Detector(
        settings, n_rows=1, resolution=np.ones(1), step_seconds=1.0, block_steps=10, trained=trained
    )
    return Bundle(
        detector,
        ("value",),
        ("web1",),
        {"n_steps": 100 * (seed + 1), "validation_loss": 0.5, "explained_ratio": 0.25},
    )


@pytest.fixture
def models(tmp_path):
    (tmp_path / "config.toml").write_text('data_dir = "d"\n[[watch]]\nname = "w"\nwindow_length = 8\n')
    registry = Registry(tmp_path / "d" / "bundles" / "w")
    for seed in range(2):
        registry.promote(registry.save(bundle(seed), now=float(seed)))

    def run(*arguments):
        command = [sys.executable, "-m", "monitor", "models", *arguments]
        environment = {**os.environ, "COLUMNS": "160", "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )

    run.registry = registry
    return run


FIRST, SECOND = "19700101T000000Z", "19700101T000001Z"


def test_list_shows_every_version_and_which_serves(models):
    shown = models("list")

    assert shown.returncode == 0
    assert (
        next(line for line in shown.stdout.splitlines() if FIRST in line).split("│")[3].strip() == "previous"
    )
    assert (
        next(line for line in shown.stdout.splitlines() if SECOND in line).split("│")[3].strip() == "champion"
    )


def test_show_gives_the_champion_s_own_words(models):
    assert json.loads(models("show").stdout)["made"]["n_steps"] == 200
    assert json.loads(models("show", FIRST).stdout)["made"]["n_steps"] == 100


def test_rollback_goes_back_and_promote_forward_again(models):
    assert f"{FIRST} serves" in models("rollback").stdout
    assert models.registry.champion() == FIRST
    assert f"{SECOND} serves" in models("promote", SECOND).stdout
    assert models.registry.champion() == SECOND


def test_verify_refuses_a_damaged_bundle_and_promote_does_not_take_it(models):
    assert "good; 1 entities, 1 channels" in models("verify").stdout
    weights = models.registry.folder / FIRST / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    for command in ("verify", "promote"):
        refused = models(command, FIRST)
        assert refused.returncode == 1
        assert "differs from its checksum" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert models.registry.champion() == SECOND


def test_list_shows_the_other_versions_beside_a_damaged_one(models):
    (models.registry.folder / SECOND / "bundle.json").write_text("{}")

    shown = models("list")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert (
        next(line for line in shown.stdout.splitlines() if FIRST in line).split("│")[3].strip() == "previous"
    )
    assert (
        next(line for line in shown.stdout.splitlines() if SECOND in line).split("│")[3].strip()
        == "damaged champion"
    )
