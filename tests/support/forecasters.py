"""Models whose forecast is known beforehand: every step changes a channel by as much."""

from __future__ import annotations

import numpy as np
import torch

from models.bundle import Bundle
from models.detector import Detector
from models.forecast import ForecastBand
from models.network import Autoencoder
from models.raw_scores import error_windows, fit_error_scale
from models.settings import ModelSettings
from models.trained import Trained

torch.set_num_threads(1)  # threads of networks this small wait for each other longer than they work

W, HORIZON = 8, 3


def forecaster(change, *, half_width=0.0, channel="load", entity="web1", entities=None):
    """Make a bundle of one channel, in steps of 1 s, that predicts `change` a step, in the channel's unit.

    All values are scaled by 1 around 100. The band is as wide at every step of the horizon.
    """
    settings = ModelSettings(window_length=W, hidden=4, latent=2, head="joint", horizon=HORIZON, device="cpu")
    torch.manual_seed(0)
    network = Autoencoder(1, **settings.network_options()).eval()
    with torch.no_grad():
        network.forecast_head.bias.copy_(change * torch.arange(1.0, HORIZON + 1))
    errors, _ = error_windows(network, np.random.default_rng(0).normal(size=(200, W, 1)).astype(np.float32))
    edge = np.full((HORIZON, 1), half_width)
    entities = entities or (entity,)
    detector = Detector(
        settings,
        n_rows=len(entities),
        resolution=np.full(1, 0.1),
        step_seconds=1.0,
        block_steps=10,
        trained=Trained(network, fit_error_scale(errors), None, ForecastBand(-edge, edge)),
    )
    detector.calibrate(
        np.arange(len(entities)), 100 + np.random.default_rng(1).normal(size=(150, len(entities), 1))
    )
    detector.scaling.centre[:], detector.scaling.scale[:] = 100.0, 1.0
    return Bundle(detector, (channel,), tuple(entities), {"steps": 150})
