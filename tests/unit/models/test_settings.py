import inspect
from dataclasses import fields, replace

import pytest

from models.network import Autoencoder
from models.settings import ModelSettings

SETTINGS = ModelSettings(
    window_length=8, cell="gru", hidden=5, latent=3, layers=2, dropout=0.25, layer_norm=True, epochs=7
)


def test_the_options_of_the_network_are_the_settings_of_the_same_names():
    assert SETTINGS.network_options() == {
        "cell": "gru",
        "hidden": 5,
        "latent": 3,
        "layers": 2,
        "dropout": 0.25,
        "layer_norm": True,
        "forecast_shape": None,
    }


@pytest.mark.parametrize("head", ["forecast", "joint"])
def test_a_head_that_forecasts_gives_the_network_horizon_and_window(head):
    assert replace(SETTINGS, head=head, horizon=5).network_options()["forecast_shape"] == (8, 5)


def test_the_network_takes_every_option_and_no_shape_of_it_is_left_at_its_default():
    parameters = list(inspect.signature(Autoencoder).parameters)

    assert parameters[0] == "n_channels"
    assert sorted(parameters[1:]) == sorted(SETTINGS.network_options())


def test_the_network_has_the_shape_that_the_settings_ask_for():
    network = Autoencoder(4, **SETTINGS.network_options())

    assert (network.encoder.input_size, network.encoder.hidden_size, network.encoder.num_layers) == (4, 5, 2)
    assert network.to_latent.out_features == 3
    assert network.latent_dropout.p == 0.25


def test_all_but_the_window_length_has_a_default():
    with pytest.raises(TypeError, match="window_length"):
        ModelSettings()
    assert ModelSettings(window_length=8).epochs == 40


def test_settings_cannot_be_changed_and_are_passed_by_name():
    with pytest.raises(AttributeError):
        SETTINGS.epochs = 1
    with pytest.raises(TypeError):
        ModelSettings(8)
    assert all(field.kw_only for field in fields(ModelSettings))
