"""The state of a training, as bytes: weights, optimizer and schedule after the last complete epoch.

Random numbers need no state: an epoch draws its own from the seed and its number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray

from models.errors import TrainingError
from models.settings import ModelSettings

__all__ = ["TrainingProgress", "fingerprint", "pack", "unpack"]


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a training has come: its epochs as dictionaries, the best epoch so far, and its weights."""

    epochs: list[dict[str, float]]
    best_epoch: int
    best_weights: dict[str, torch.Tensor]


def fingerprint(steps: NDArray[np.float32], settings: ModelSettings) -> str:
    """Give a hash of data and settings: a training is only resumed with the same ones."""
    digest = hashlib.sha256(json.dumps([asdict(settings), steps.shape]).encode())
    digest.update(np.ascontiguousarray(steps).tobytes())
    return digest.hexdigest()


def pack(
    of: str,
    progress: TrainingProgress,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> bytes:
    """Serialise a training; `of` is its fingerprint."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in progress.best_weights.items()}
    state = optimizer.state_dict()
    for number, of_parameter in state["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in of_parameter.items()}
    schedule_state = {
        name: value
        for name, value in schedule.state_dict().items()
        if isinstance(value, int | float | list | bool | str)
    }
    about = {
        "of": of,
        "epochs": progress.epochs,
        "best_epoch": progress.best_epoch,
        "param_groups": state["param_groups"],
        "schedule": schedule_state,
    }
    return safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        {"about": json.dumps(about)},
    )


def unpack(
    packed: bytes,
    of: str,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> TrainingProgress:
    """Restore network, optimizer and schedule from bytes that `pack` gave.

    Raises
    ------
    TrainingError
        If the fingerprint is another one, or the bytes are damaged.
    """
    try:
        about = _about(packed)
        if about["of"] != of:
            raise TrainingError(
                "the interrupted training had other data or other settings: train without --resume"
            )
        tensors = safetensors.torch.load(packed)
        network.load_state_dict(_named(tensors, "network."))
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _named(tensors, "optimizer.").items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": about["param_groups"]})
        schedule.load_state_dict(about["schedule"])
        return TrainingProgress(about["epochs"], about["best_epoch"], _named(tensors, "best."))
    except (KeyError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise TrainingError(
            f"the interrupted training cannot be read: {error}. Train without --resume."
        ) from error


def _about(packed: bytes) -> dict[str, Any]:
    length = int.from_bytes(packed[:8], "little")
    about: dict[str, Any] = json.loads(json.loads(packed[8 : 8 + length])["__metadata__"]["about"])
    return about


def _named(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
