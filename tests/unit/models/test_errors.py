import numpy as np
import pytest

from models import errors
from models.bundle import load_bundle
from models.errors import BundleError, ModelError, TrainingError
from models.network import choose_device
from models.settings import ModelSettings
from models.training import train_autoencoder

CONSTANT = np.zeros((20, 1, 1), np.float32)


@pytest.mark.parametrize("error", [TrainingError, BundleError])
def test_whoever_catches_a_model_error_catches_every_one(error):
    assert issubclass(error, ModelError)
    assert not issubclass(error, OSError | ValueError)


def test_each_reaction_has_a_class_of_its_own():
    assert not issubclass(TrainingError, BundleError)
    assert not issubclass(BundleError, TrainingError)
    assert sorted(errors.__all__) == ["BundleError", "ModelError", "TrainingError"]


def test_the_text_is_a_line_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refused = [
        (lambda: load_bundle(tmp_path / "none"), BundleError, "Train again"),
        (lambda: choose_device("cuda"), TrainingError, 'Use "auto" or "cpu"'),
        (
            lambda: train_autoencoder(CONSTANT, ModelSettings(window_length=8)),
            TrainingError,
            "longer history",
        ),
    ]
    for call, error, advice in refused:
        with pytest.raises(error, match=advice) as caught:
            call()
        assert "\n" not in str(caught.value)
