"""What an earlier version wrote is read and continued with equal numbers: bundle, checkpoint and histories.

Equal to nine digits where this machine's PyTorch computes as that version's did, which the bundle's own check
shows; otherwise within the rounding of float32. Not to the bit: NumPy adds up in another order on another
processor.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict

import artefacts
import numpy as np
import pytest
import safetensors.numpy

from models.bundle import _smoke_windows as smoke_windows
from models.bundle import load_bundle
from models.raw_scores import raw_score_windows

_OF_FLOAT32 = 1e-4  # relative: what differs where another PyTorch or processor computes the network


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """Give a copy of what the earlier version left; the settings' paths are relative to its folder."""
    monkeypatch.chdir(artefacts.ARTEFACTS)
    return shutil.copytree(artefacts.ARTEFACTS / "data_dir", tmp_path / "data_dir")


@pytest.fixture(scope="module")
def expected():
    with np.load(artefacts.ARTEFACTS / "expected.npz") as arrays:
        return dict(arrays), json.loads((artefacts.ARTEFACTS / "expected.json").read_text())


@pytest.fixture(scope="module")
def tolerance():
    """Give the relative tolerance, by whether the network gives the numbers of the time it was saved."""
    for folder in (artefacts.ARTEFACTS / "data_dir" / "bundles").glob("*/*Z"):
        detector = load_bundle(folder).detector
        saved = safetensors.numpy.load((folder / "state.safetensors").read_bytes())["smoke.reads"]
        if not np.array_equal(
            raw_score_windows(
                detector.trained.network, smoke_windows(detector), detector.trained.error_scale
            ).raw_scores,
            saved,
        ):
            return _OF_FLOAT32
    return 1e-9


def assert_near(found, expected):
    """Compare what JSON holds, numbers to nine digits."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_near(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_near(one, other)
    else:
        is_number = isinstance(expected, float)
        assert found == (pytest.approx(expected, rel=1e-9, nan_ok=True) if is_number else expected)


def test_a_daemon_goes_on_from_an_earlier_versions_state_to_the_same_scores_and_alerts(
    data_dir, expected, tolerance
):
    arrays, alerts = artefacts.run(data_dir)

    of_scores = {name: array for name, array in expected[0].items() if not name.endswith(".history")}
    assert sorted(arrays) == sorted(of_scores)
    for name, array in of_scores.items():
        np.testing.assert_allclose(arrays[name], array, rtol=tolerance, atol=tolerance, err_msg=name)
    if tolerance < _OF_FLOAT32:
        assert_near(json.loads(json.dumps([asdict(alert) for alert in alerts])), expected[1]["alerts"])
        assert_near(json.loads(json.dumps(artefacts.episodes(data_dir))), expected[1]["episodes"])
    assert {alert.watch for alert in alerts} == {"hosts", "series", "fresh"}


def test_the_histories_of_an_earlier_version_are_read_as_they_were(data_dir, expected):
    histories = artefacts.histories(data_dir)

    of_histories = {name: array for name, array in expected[0].items() if name.endswith(".history")}
    assert sorted(histories) == sorted(of_histories)
    for name, array in of_histories.items():
        np.testing.assert_array_equal(histories[name], array, err_msg=name)
