"""Backpropagation through time over windows: one-cycle rate, clipping, early stopping on later data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.dataset import WindowIndex, fill_gaps, gather_futures, gather_windows, index_windows
from models.errors import TrainingError
from models.forecast import fit_linear_forecast
from models.network import Autoencoder, choose_device, gradient_norms_per_step, masked_huber
from models.settings import ModelSettings
from models.training_checkpoint import TrainingProgress, fingerprint, pack, unpack

__all__ = ["Epoch", "TrainingResult", "first_held_out", "split_by_time", "train_autoencoder"]

_BLOCK = 512  # windows in one evaluation: their working set stays in the cache
N_WINDOWS_NEEDED = 64  # one batch
_LINEAR_WINDOWS = 20_000  # that the linear part of the forecast is fitted on, at most


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training windows; `grad_norm` is the mean global norm before clipping."""

    number: int
    loss: float
    validation_loss: float
    grad_norm: float


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The best network by validation loss, on the CPU, and how its training went."""

    network: Autoencoder
    epochs: list[Epoch]
    best_epoch: int
    n_windows: int
    seconds: float
    gradient_norms: NDArray[np.float64]  # (W,): of the loss at each input step of held-out windows

    @property
    def validation_loss(self) -> float:
        """Mean Huber loss over the held-out windows, in squared scaled units for small errors.

        With a forecast head it is the sum of the losses of reconstruction and forecast.
        """
        return self.epochs[self.best_epoch].validation_loss


def first_held_out(steps: NDArray[np.float32], validation_share: float) -> NDArray[np.int64]:
    """Give the first step (n,) of the newest part of each entity's own span, of steps (T, n, C)."""
    known = ~np.isnan(steps).all(axis=2)  # (T, n)
    span = len(steps) - np.argmax(known, axis=0)
    return np.asarray(len(steps) - np.maximum(1, np.round(span * validation_share)), np.int64)


def split_by_time(
    index: WindowIndex, held_out_from: NDArray[np.int64], window_length: int
) -> tuple[WindowIndex, WindowIndex]:
    """Split windows into older ones to train on and newer ones to validate on.

    No step of an entity is in both: its validation windows begin after its newest training
    window.
    """
    older = index.take(index.end < held_out_from[index.row])
    newer = index.take(index.end >= held_out_from[index.row] + window_length - 1)
    return older, newer


def train_autoencoder(  # noqa: PLR0915 - one straight story
    steps: NDArray[np.float32],
    settings: ModelSettings,
    *,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    resume: bytes | None = None,
    on_state: Callable[[bytes], None] | None = None,
) -> TrainingResult:
    """Train one network for all entities of a watch.

    A training that was interrupted and resumed gives the same network, to the bit.

    Parameters
    ----------
    steps : ndarray, shape (T, n, C)
        Scaled history of the n entities, each ending at the last step; NaN is a gap. Assumed
        free of incidents: what is in it is learned as normal.
    on_epoch : callable
        Called with each epoch when it ends, to show progress.
    resume : bytes, optional
        The state that `on_state` was last called with: continue after that epoch.
    on_state : callable, optional
        Called with the state of the training after each epoch.

    Raises
    ------
    TrainingError
        If there are too few windows, the loss stops being finite, or `resume` is of another
        training.
    """
    device = choose_device(settings.device)
    held_out_from = first_held_out(steps, settings.validation_share)
    training, validation = split_by_time(
        index_windows(steps, settings.window_length), held_out_from, settings.window_length
    )
    if len(training) < N_WINDOWS_NEEDED or len(validation) == 0:
        raise TrainingError(
            f"cannot train on {len(training)} windows and validate on {len(validation)}: it needs "
            f"{N_WINDOWS_NEEDED} and 1. Give a longer history ({len(steps)} steps here) or a shorter "
            f"window ({settings.window_length} steps)."
        )
    started = time.perf_counter()
    torch.manual_seed(settings.seed)
    network = Autoencoder(steps.shape[2], **settings.network_options()).to(device)
    if settings.forecasts:
        linear = _linear_forecast(steps, training, settings, held_out_from)
        network.linear.data.copy_(torch.from_numpy(linear))
    batches_per_epoch = math.ceil(min(len(training), settings.windows_per_epoch) / settings.batch_size)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=settings.learning_rate, total_steps=settings.epochs * batches_per_epoch
    )
    rng = np.random.default_rng(settings.seed)
    fixed = rng.permutation(len(validation))[: settings.windows_per_epoch]  # the same ones every epoch
    validation = validation.take(np.sort(fixed))
    tbptt_steps = settings.tbptt_steps if settings.tbptt_steps < settings.window_length else 0

    epochs: list[Epoch] = []
    best_epoch, best_weights = 0, _copied(network)
    of = fingerprint(steps, settings) if resume or on_state else ""
    if resume is not None:
        progress = unpack(resume, of, network, optimizer, schedule)
        epochs = [
            Epoch(int(epoch["number"]), epoch["loss"], epoch["validation_loss"], epoch["grad_norm"])
            for epoch in progress.epochs
        ]
        best_epoch, best_weights = progress.best_epoch, progress.best_weights
    for number in range(len(epochs), settings.epochs):
        if epochs and number - 1 - best_epoch >= settings.patience:
            break
        rng = np.random.default_rng([settings.seed, number])  # new for each epoch: resuming needs no state
        torch.manual_seed(int(rng.integers(2**62)))
        chosen = rng.permutation(len(training))[: settings.windows_per_epoch]
        losses, norms = [], []
        for start in range(0, len(chosen), settings.batch_size):
            batch = training.take(chosen[start : start + settings.batch_size])
            loss = _loss(network, steps, batch, settings, until=held_out_from, tbptt_steps=tbptt_steps)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), settings.max_grad_norm)
            if not math.isfinite(loss.item()) or not math.isfinite(norm.item()):
                raise TrainingError(
                    f"the loss became {loss.item()} with gradient norm {norm.item()} in epoch {number + 1}: "
                    f"training stopped, nothing was changed. Lower learning_rate "
                    f"({settings.learning_rate:g}) or max_grad_norm ({settings.max_grad_norm:g})."
                )
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            norms.append(norm.item())
        validation_loss = _loss_on(network, steps, validation, settings)
        epoch = Epoch(number, float(np.mean(losses)), validation_loss, float(np.mean(norms)))
        if not math.isfinite(epoch.validation_loss):
            raise TrainingError(
                f"the held-out loss became {epoch.validation_loss} in epoch {number + 1}: training stopped, "
                f"nothing was changed. Lower learning_rate ({settings.learning_rate:g})."
            )
        epochs.append(epoch)
        on_epoch(epoch)
        if epoch.validation_loss < epochs[best_epoch].validation_loss or number == 0:
            best_epoch, best_weights = number, _copied(network)
        if on_state is not None:
            progress = TrainingProgress([asdict(epoch) for epoch in epochs], best_epoch, best_weights)
            on_state(pack(of, progress, network, optimizer, schedule))
    network.load_state_dict(best_weights)
    network.cpu().eval()
    sample = validation.take(np.arange(min(len(validation), _BLOCK)))
    windows_of_sample = gather_windows(steps, sample, settings.window_length)
    norms_per_step = gradient_norms_per_step(network, windows_of_sample, tbptt_steps=tbptt_steps)
    seconds = time.perf_counter() - started
    return TrainingResult(network, epochs, best_epoch, len(training), seconds, norms_per_step)


def _copied(network: Autoencoder) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _linear_forecast(
    steps: NDArray[np.float32], index: WindowIndex, settings: ModelSettings, until: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Fit the forecast that the training begins with, (C, W, F), on windows spread over the history."""
    spread = np.linspace(0, len(index) - 1, min(len(index), _LINEAR_WINDOWS)).astype(np.int64)
    sample = index.take(spread)
    windows = fill_gaps(gather_windows(steps, sample, settings.window_length))
    return fit_linear_forecast(windows, gather_futures(steps, sample, settings.horizon, until))


def _loss(
    network: Autoencoder,
    steps: NDArray[np.float32],
    index: WindowIndex,
    settings: ModelSettings,
    *,
    until: NDArray[np.int64],
    tbptt_steps: int = 0,
) -> torch.Tensor:
    """Give the loss on windows: of their reconstruction, and with a forecast head of the next steps too.

    `until` (n,) is the first step of each entity that must not be predicted.
    """
    device = network.output.weight.device
    windows, known = _tensors(gather_windows(steps, index, settings.window_length), device)
    if not settings.forecasts:
        return masked_huber(network(windows, tbptt_steps=tbptt_steps), windows, known)
    output, forecast = network.reconstruct_and_forecast(
        windows, tbptt_steps=tbptt_steps, by_forecast_alone=settings.head == "forecast"
    )
    futures, known_futures = _tensors(gather_futures(steps, index, settings.horizon, until), device)
    return masked_huber(output, windows, known) + masked_huber(forecast, futures, known_futures)


def _tensors(values: NDArray[np.float32], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Give windows (B, W, C) with their gaps filled, and 1 where they were measured, else 0."""
    known = ~np.isnan(values)
    return torch.from_numpy(fill_gaps(values)).to(device), torch.from_numpy(known).to(device, torch.float32)


def _loss_on(
    network: Autoencoder, steps: NDArray[np.float32], index: WindowIndex, settings: ModelSettings
) -> float:
    total, n_windows = 0.0, 0
    everything = np.full(steps.shape[1], len(steps))
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(index), _BLOCK):
            batch = index.take(np.arange(start, min(start + _BLOCK, len(index))))
            total += _loss(network, steps, batch, settings, until=everything).item() * len(batch)
            n_windows += len(batch)
    network.train()
    return total / n_windows
