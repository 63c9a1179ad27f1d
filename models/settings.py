"""What is chosen before training: the network's shape, how it is trained, the baselines' memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Cell", "Device", "Head", "ModelSettings"]

Cell = Literal["lstm", "gru", "rnn"]
Device = Literal["auto", "cpu", "cuda"]
Head = Literal["reconstruct", "forecast", "joint"]


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The settings of one watch's model; its bundle holds them, so that it scores as it was trained."""

    window_length: int  # steps in a window, W
    cell: Cell = "lstm"
    hidden: int = 64  # units of the recurrent state, H
    latent: int = 16  # numbers that a window is encoded into, Z
    layers: int = 1  # of the encoder and of the decoder
    dropout: float = 0.0  # share of the latent, and of values between layers, zeroed in training
    layer_norm: bool = False  # normalise the outputs of encoder and decoder
    head: Head = "reconstruct"  # what the encoder is trained for; all but "reconstruct" can forecast
    horizon: int = 12  # steps ahead that the forecast head predicts at once
    epochs: int = 40  # passes over the training windows, at most
    windows_per_epoch: int = 4096  # windows drawn for one epoch, if there are more
    batch_size: int = 64
    learning_rate: float = 5e-3  # peak of the one-cycle schedule
    max_grad_norm: float = 1.0  # the gradient's global norm is scaled down to this
    tbptt_steps: int = 0  # steps that gradients flow back at most; 0: the whole window
    patience: int = 8  # epochs without a better validation loss before training stops
    validation_share: float = 0.25  # newest part of the history, not trained on: for stopping and calibration
    memory_windows: int = 64  # earlier windows of each entity that the neighbour baseline keeps
    device: Device = "auto"
    seed: int = 0

    @property
    def forecasts(self) -> bool:
        """True where the network has a forecast head."""
        return self.head != "reconstruct"

    def network_options(self) -> dict[str, Any]:
        """Give the settings that shape the network, as keyword arguments of `Autoencoder`."""
        return {
            "hidden": self.hidden,
            "latent": self.latent,
            "cell": self.cell,
            "layers": self.layers,
            "dropout": self.dropout,
            "layer_norm": self.layer_norm,
            "forecast_shape": (self.window_length, self.horizon) if self.forecasts else None,
        }
