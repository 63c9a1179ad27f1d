"""What is chosen before training: the network's shape, how it is trained, which companions stand beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Cell", "Device", "ModelSettings"]

Cell = Literal["lstm", "gru", "rnn"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The choices of one watch's model; a bundle carries them, so that it scores as it was trained."""

    window_length: int  # steps in a window, W
    cell: Cell = "lstm"
    hidden: int = 64  # units of the recurrent state, H
    latent: int = 16  # numbers that a window is squeezed into, Z
    layers: int = 1  # of the encoder and of the decoder
    dropout: float = 0.0  # share of the latent, and of what passes between layers, that is zeroed in training
    layer_norm: bool = False  # normalise what leaves the encoder and the decoder
    epochs: int = 40  # passes over the training windows, at most
    windows_per_epoch: int = 4096  # windows drawn for one epoch, where there are more
    batch_size: int = 64
    learning_rate: float = 5e-3  # peak of the one-cycle schedule
    max_grad_norm: float = 1.0  # the gradient's global norm is scaled down to this
    tbptt_steps: int = 0  # longest way back of a gradient, in steps; 0: the whole window
    patience: int = 8  # epochs without a better validation loss before training stops
    validation_share: float = (
        0.25  # newest part of the history, kept from training: it stops it and calibrates
    )
    memory_windows: int = 64  # earlier windows that the neighbour companion keeps for each entity
    device: Device = "auto"
    seed: int = 0

    def network_options(self) -> dict[str, Any]:
        """Give what shapes the network, as `Autoencoder` takes it."""
        return {
            name: getattr(self, name)
            for name in ("hidden", "latent", "cell", "layers", "dropout", "layer_norm")
        }
