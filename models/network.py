"""The LSTM autoencoder: a window in, its reconstruction out, and the steps that follow it.

The encoder reads the window oldest step first; its last state is reduced to the latent `z`. The
decoder starts from a state computed from `z`, gets `z` as input at every step, and emits the window
newest step first. There is no teacher forcing: the decoder never sees the window.

The forecast head, where there is one, is linear on the encoder's last state. It corrects a linear forecast
of each channel from its own window, which is fitted before (`fit_linear_forecast`): so the training begins
where a linear model ends.

Shapes: B batch, W window length, C channels, H hidden, Z latent, F horizon.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.dataset import fill_gaps
from models.errors import TrainingError
from models.settings import Cell, Device

__all__ = ["Autoencoder", "choose_device", "gradient_norms_per_step", "masked_huber"]

_CELLS: dict[str, type[nn.LSTM | nn.GRU | nn.RNN]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_State = Tensor | tuple[Tensor, Tensor]  # (layers, B, H); an LSTM carries two


class Autoencoder(nn.Module):
    """Reduces a window to a few numbers and rebuilds it from them.

    Input weights start Xavier uniform, recurrent ones orthogonal, biases at zero but for the
    LSTM's forget gate at one, so that gradients reach the oldest steps from the start
    (Jozefowicz et al., 2015, "An Empirical Exploration of Recurrent Network Architectures").

    Parameters
    ----------
    forecast_shape : tuple of int, optional
        W and F: the forecast head predicts F steps from W. None: there is no forecast head.
    """

    def __init__(
        self,
        n_channels: int,
        *,
        hidden: int,
        latent: int,
        cell: Cell = "lstm",
        layers: int = 1,
        dropout: float = 0.0,
        layer_norm: bool = False,
        forecast_shape: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.horizon = forecast_shape[1] if forecast_shape else 0
        self.layers = layers
        between_layers = dropout if layers > 1 else 0.0  # there is none after the last layer
        self.encoder = _CELLS[cell](
            n_channels, hidden, num_layers=layers, dropout=between_layers, batch_first=True
        )
        self.encoder_norm = nn.LayerNorm(hidden) if layer_norm else nn.Identity()
        self.to_latent = nn.Linear(hidden, latent)
        self.latent_dropout = nn.Dropout(dropout)
        n_states = 2 if cell == "lstm" else 1
        self.to_state = nn.Linear(latent, n_states * layers * hidden)
        self.decoder = _CELLS[cell](
            latent, hidden, num_layers=layers, dropout=between_layers, batch_first=True
        )
        self.decoder_norm = nn.LayerNorm(hidden) if layer_norm else nn.Identity()
        self.output = nn.Linear(hidden, n_channels)
        self._initialise()
        if forecast_shape:  # last: the weights above are the same with it and without
            self.forecast_head = nn.Linear(hidden, self.horizon * n_channels)
            nn.init.zeros_(self.forecast_head.weight)
            nn.init.zeros_(self.forecast_head.bias)
            self.linear = nn.Parameter(torch.zeros(n_channels, *forecast_shape))

    def forward(self, windows: Tensor, *, tbptt_steps: int = 0) -> Tensor:
        """Reconstruct windows.

        Parameters
        ----------
        windows : Tensor, shape (B, W, C)
            Scaled, gaps filled.
        tbptt_steps : int
            Truncated backpropagation through time: the state is detached every so many steps,
            so that no gradient flows back further. 0: never.

        Returns
        -------
        Tensor, shape (B, W, C)
        """
        latent = self.encode(windows, tbptt_steps=tbptt_steps)  # (B, W, C) -> (B, Z)
        return self.decode(latent, windows.shape[1], tbptt_steps=tbptt_steps)  # (B, Z) -> (B, W, C)

    def encode(self, windows: Tensor, *, tbptt_steps: int = 0) -> Tensor:
        """Encode windows (B, W, C) as latents (B, Z)."""
        return self._to_latent(self._last_state(windows, tbptt_steps))

    def forecast(self, windows: Tensor) -> Tensor:
        """Predict the F steps that follow windows (B, W, C): (B, F, C), oldest first."""
        return self._to_forecast(self._last_state(windows, 0), windows)

    def reconstruct_and_forecast(
        self, windows: Tensor, *, tbptt_steps: int = 0, by_forecast_alone: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Give what `forward` and `forecast` give, (B, W, C) and (B, F, C), and encode only once.

        Parameters
        ----------
        by_forecast_alone : bool
            No gradient of the reconstruction reaches the encoder: it learns by the forecast, and
            the decoder learns to rebuild windows from what the forecast needs.
        """
        state = self._last_state(windows, tbptt_steps)
        latent = self._to_latent(state.detach() if by_forecast_alone else state)
        output = self.decode(latent, windows.shape[1], tbptt_steps=tbptt_steps)
        return output, self._to_forecast(state, windows)

    def _last_state(self, windows: Tensor, tbptt_steps: int) -> Tensor:
        """Give the encoder's last state (B, H), normalised where that is asked for."""
        state: _State | None = None
        for chunk in _chunks(windows, tbptt_steps or windows.shape[1]):
            _, state = self.encoder(chunk, None if state is None else _detached(state))
        last = state[0] if isinstance(state, tuple) else state
        assert last is not None
        normed: Tensor = self.encoder_norm(last[-1])  # (layers, B, H) -> (B, H)
        return normed

    def _to_latent(self, state: Tensor) -> Tensor:
        """Reduce states (B, H) to latents (B, Z)."""
        dropped: Tensor = self.latent_dropout(torch.tanh(self.to_latent(state)))
        return dropped

    def _to_forecast(self, state: Tensor, windows: Tensor) -> Tensor:
        """Predict the next steps (B, F, C) from states (B, H) and windows (B, W, C)."""
        newest = windows[:, -1:]
        linear = torch.einsum("bwc,cwf->bfc", windows - newest, self.linear)
        correction = self.forecast_head(state).view(len(windows), self.horizon, windows.shape[2])
        forecast: Tensor = newest + linear + correction
        return forecast

    def decode(self, latent: Tensor, window_length: int, *, tbptt_steps: int = 0) -> Tensor:
        """Rebuild windows (B, W, C) from latents (B, Z); the newest step is emitted first."""
        state = self._first_state(latent)
        emitted = []
        chunk_length = tbptt_steps or window_length
        for start in range(0, window_length, chunk_length):
            n_steps = min(chunk_length, window_length - start)
            steps, state = self.decoder(
                latent.unsqueeze(1).expand(-1, n_steps, -1), _detached(state) if start else state
            )
            emitted.append(self.output(self.decoder_norm(steps)))  # (B, n_steps, H) -> (B, n_steps, C)
        return torch.cat(emitted, dim=1).flip(1)

    def _first_state(self, latent: Tensor) -> _State:
        """Compute the decoder's first state, each part (layers, B, H), from latents (B, Z)."""
        flat = torch.tanh(self.to_state(latent))  # (B, n_states * layers * H)
        parts = flat.view(len(latent), -1, self.layers, self.decoder.hidden_size).permute(1, 2, 0, 3)
        hidden = parts[0].contiguous()
        return (hidden, parts[1].contiguous()) if self.cell == "lstm" else hidden

    def _initialise(self) -> None:
        for part in (self.encoder, self.decoder):
            for name, weight in part.named_parameters():
                if name.startswith("weight_ih"):
                    for gate in weight.data.chunk(weight.shape[0] // part.hidden_size):
                        nn.init.xavier_uniform_(gate)
                elif name.startswith("weight_hh"):
                    for gate in weight.data.chunk(weight.shape[0] // part.hidden_size):
                        nn.init.orthogonal_(gate)
                else:
                    nn.init.zeros_(weight)
                    if self.cell == "lstm" and name.startswith(
                        "bias_ih"
                    ):  # gates: input, forget, cell, output
                        nn.init.ones_(weight.data[part.hidden_size : 2 * part.hidden_size])
        for linear in (self.to_latent, self.to_state, self.output):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)


def masked_huber(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Give the mean Huber loss over the cells that were measured; all (B, W, C).

    Its quadratic part ends at 1 scaled unit: beyond it a cell's gradient is constant, so that a
    single spike does not outweigh the rest of the window.
    """
    losses = nn.functional.huber_loss(output, target, reduction="none", delta=1.0) * known
    return losses.sum() / known.sum().clamp(min=1.0)


def gradient_norms_per_step(
    network: Autoencoder, windows: NDArray[np.float32], *, tbptt_steps: int = 0
) -> NDArray[np.float64]:
    """Give the root mean square over windows of the loss's gradient with respect to each input step.

    If gradients vanish, the norms fall by orders of magnitude from the newest step to the
    oldest; if they explode, the norms grow.

    Parameters
    ----------
    windows : ndarray, shape (B, W, C)
        Scaled; NaN is a gap.

    Returns
    -------
    ndarray, shape (W,)
        Oldest step first.
    """
    known = torch.from_numpy(~np.isnan(windows)).float()
    target = torch.from_numpy(fill_gaps(windows))
    seen = target.clone().requires_grad_(True)
    loss = masked_huber(network(seen, tbptt_steps=tbptt_steps), target, known)
    (gradient,) = torch.autograd.grad(loss, seen, allow_unused=True)
    if gradient is None:
        return np.zeros(windows.shape[1])
    per_step = gradient.norm(dim=2).double()  # (B, W, C) -> (B, W)
    return np.asarray(per_step.square().mean(dim=0).sqrt().numpy())


def choose_device(device: Device) -> torch.device:
    """Resolve `auto` to CUDA if there is a usable GPU, else to the CPU; refuse CUDA without a GPU."""
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            'model.device is "cuda", but PyTorch finds no usable GPU here. Use "auto" or "cpu".'
        )
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def _chunks(windows: Tensor, length: int) -> tuple[Tensor, ...]:
    """Cut windows (B, W, C) along time; if a chunk is shorter, it is the oldest one."""
    n_first = windows.shape[1] % length
    return torch.split(
        windows, [n_first, *[length] * (windows.shape[1] // length)] if n_first else length, dim=1
    )


def _detached(state: _State) -> _State:
    return (state[0].detach(), state[1].detach()) if isinstance(state, tuple) else state.detach()
