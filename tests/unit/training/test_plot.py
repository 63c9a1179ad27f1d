from __future__ import annotations

import numpy as np

from models.training import Epoch
from monitor.training.plot import training_plot


class Result:
    """What a plot reads of a training."""

    def __init__(self, losses, gradient_norms):
        self.epochs = [Epoch(number, loss, loss, 1.0) for number, loss in enumerate(losses)]
        self.best_epoch = len(losses) - 1
        self.gradient_norms = np.array(gradient_norms)


def test_a_training_is_drawn_as_a_png():
    assert training_plot("w", Result([1.0, 0.5], [0.1, 0.2])).startswith(b"\x89PNG\r\n")


def test_a_loss_of_zero_can_be_drawn():
    assert training_plot("w", Result([0.0], [0.0, 0.0])).startswith(b"\x89PNG\r\n")
