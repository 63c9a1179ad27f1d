"""The checkpoint file: all state that survives a restart, in one file with a format version and a checksum.

    {"format_version": 2, "sha256": ..., "about": {...}} and a newline
    <safetensors: every array, by name>

A checkpoint that is missing, damaged or of another format costs warm-up, never correctness.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from models.atomic_file import replace_file
from monitor.errors import MonitorError

__all__ = ["FORMAT_VERSION", "Checkpoint", "CheckpointError", "load_checkpoint", "save_checkpoint"]

FORMAT_VERSION = 2


class CheckpointError(MonitorError):
    """A checkpoint cannot be read or written: the daemon continues without it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Arrays by name, and everything else as JSON."""

    arrays: Mapping[str, NDArray[np.generic]]
    about: Mapping[str, Any]


def save_checkpoint(checkpoint: Checkpoint, file: Path) -> int:
    """Replace the checkpoint file in one move, and give its size in bytes; the old one stays if that fails.

    Raises
    ------
    CheckpointError
        If it cannot be written.
    """
    body = safetensors.numpy.save(
        {name: np.ascontiguousarray(array) for name, array in checkpoint.arrays.items()}
    )
    head = {
        "format_version": FORMAT_VERSION,
        "sha256": _checksum(body, checkpoint.about),
        "about": checkpoint.about,
    }
    content = json.dumps(head).encode() + b"\n" + body
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, content)
    except OSError as error:
        raise CheckpointError(
            f"cannot write the checkpoint {file}: {error.strerror}. The previous one stays."
        ) from error
    return len(content)


def load_checkpoint(file: Path) -> Checkpoint | None:
    """Read a checkpoint back; None where there is none.

    Raises
    ------
    CheckpointError
        If it is damaged, or of another format.
    """
    try:
        head_line, newline, body = file.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {file}: {error.strerror}") from error
    try:
        head = json.loads(head_line)
        if head["format_version"] != FORMAT_VERSION:
            raise CheckpointError(
                f"the checkpoint {file} has format {head['format_version']}, "
                f"this program reads {FORMAT_VERSION}"
            )
        if not newline or head["sha256"] != _checksum(body, head["about"]):
            raise CheckpointError(f"the checkpoint {file} differs from its checksum: it is damaged")
        return Checkpoint(safetensors.numpy.load(body), head["about"])
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"the checkpoint {file} cannot be read: {error}") from error


def _checksum(body: bytes, about: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    digest.update(body)
    return digest.hexdigest()
