"""A bundle: one trained model on disk, complete, checksummed, never pickled.

weights.safetensors   the network's weights
state.safetensors     error scale, PCA, forecast band, and per entity scaling, tails and memories
bundle.json           settings, channels in order, entities in row order, step, metadata
MANIFEST.sha256       checksum of each, as `sha256sum -c` reads it
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
import safetensors.torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from models.atomic_file import sync
from models.baselines import WindowPca
from models.detector import Detector
from models.errors import BundleError
from models.forecast import ForecastBand
from models.network import Autoencoder
from models.raw_scores import ErrorScale, raw_score_windows
from models.settings import ModelSettings
from models.trained import Trained

__all__ = ["FORMAT_VERSION", "Bundle", "load_bundle", "save_bundle"]

FORMAT_VERSION = 1
_FILES = ("weights.safetensors", "state.safetensors", "bundle.json")
_MANIFEST = "MANIFEST.sha256"
_WHAT_TO_DO = "Train again or roll back to another version."


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model with its inputs and its metadata.

    `channels` and `entities` are in the order of the detector's channels and rows. `metadata`
    has no fixed form and is for people: when it was trained, from which data, how good it is.
    """

    detector: Detector
    channels: tuple[str, ...]
    entities: tuple[str, ...]
    metadata: Mapping[str, object]


def save_bundle(bundle: Bundle, folder: Path, *, attachments: Mapping[str, bytes] | None = None) -> None:
    """Write a bundle as one unit: all of it, or nothing.

    Parameters
    ----------
    attachments : mapping, optional
        Further files for people, by name: a plot of the training. They are not part of the
        model, and not checked when it is loaded.

    Raises
    ------
    BundleError
        If the folder exists, or cannot be written.
    """
    detector = bundle.detector
    if detector.trained is None:
        raise BundleError("a detector without a network is not saved: it calibrates itself when it starts")
    if folder.exists():
        raise BundleError(f"{folder} exists: a bundle is never overwritten")
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        _write_files(bundle, detector.trained, temporary)
        for name, content in (attachments or {}).items():
            (temporary / name).write_bytes(content)
        for file in [*temporary.iterdir(), temporary]:
            sync(file)
        temporary.rename(folder)
        sync(folder.parent)
    except OSError as error:
        raise BundleError(
            f"cannot write the bundle {folder}: {error.strerror or error}. Nothing was changed."
        ) from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle back; it scores bit-equal to the one that was saved.

    Raises
    ------
    BundleError
        If a file is missing or differs from its checksum, the format is another one, or the
        parts do not fit together.
    """
    _verify(folder)
    try:
        about = json.loads((folder / "bundle.json").read_bytes())
        if about["format_version"] != FORMAT_VERSION:
            raise BundleError(
                f"{folder} has format {about['format_version']}, this program reads {FORMAT_VERSION}. "
                f"Train again."
            )
        if len(set(about["channels"])) != len(about["channels"]):
            raise BundleError(f"{folder} lists a channel twice: its inputs are ambiguous. Train again.")
        arrays = safetensors.numpy.load((folder / "state.safetensors").read_bytes())
        settings = ModelSettings(**about["settings"])
        network = Autoencoder(len(about["channels"]), **settings.network_options())
        network.load_state_dict(
            safetensors.torch.load((folder / "weights.safetensors").read_bytes()), strict=True
        )
        detector = Detector(
            settings,
            n_rows=len(about["entities"]),
            resolution=arrays["resolution"],
            step_seconds=about["step_seconds"],
            block_steps=about["block_steps"],
            trained=Trained(network.eval(), _error_scale(arrays), _pca(arrays), _band(arrays)),
        )
        detector.load_state(arrays)
        _smoke(folder, detector, arrays)
        bundle = Bundle(detector, tuple(about["channels"]), tuple(about["entities"]), dict(about["made"]))
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
        raise BundleError(f"{folder} cannot be read as a bundle: {error}. {_WHAT_TO_DO}") from error
    if not all(bool(weight.isfinite().all()) for weight in network.state_dict().values()):
        raise BundleError(f"{folder} has weights that are not finite. {_WHAT_TO_DO}")
    return bundle


def _write_files(bundle: Bundle, trained: Trained, folder: Path) -> None:
    detector = bundle.detector
    scale = trained.error_scale
    arrays: dict[str, NDArray[np.generic]] = {
        "resolution": detector.resolution,
        "smoke.reads": raw_score_windows(trained.network, _smoke_windows(detector), scale).raw_scores,
        "error_scale.window": scale.window,
        "error_scale.tail": scale.tail,
        "error_scale.mean": scale.mean,
        "error_scale.precision": scale.precision,
        **detector.state(),
    }
    if trained.pca is not None:
        arrays |= {
            "pca.mean": trained.pca.mean,
            "pca.components": trained.pca.components,
            "pca.error_scale": trained.pca.error_scale,
        }
    if trained.forecast_band is not None:
        arrays |= {"forecast.low": trained.forecast_band.low, "forecast.high": trained.forecast_band.high}
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    (folder / "state.safetensors").write_bytes(safetensors.numpy.save(contiguous))
    weights = {name: tensor.contiguous() for name, tensor in trained.network.state_dict().items()}
    (folder / "weights.safetensors").write_bytes(safetensors.torch.save(weights))
    about = {
        "format_version": FORMAT_VERSION,
        "channels": bundle.channels,
        "entities": bundle.entities,
        "step_seconds": detector.step_seconds,
        "block_steps": detector.block_steps,
        "settings": asdict(detector.settings),
        "made": bundle.metadata,
    }
    (folder / "bundle.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    manifest = "".join(f"{_checksum(folder / name)}  {name}\n" for name in _FILES)
    (folder / _MANIFEST).write_text(manifest, encoding="utf-8")


def _verify(folder: Path) -> None:
    try:
        text = (folder / _MANIFEST).read_text(encoding="utf-8")
        lines = [line.split("  ", 1) for line in text.splitlines()]
        manifest = {name: checksum for checksum, name in lines}
        for name in _FILES:
            if manifest.get(name) != _checksum(folder / name):
                raise BundleError(
                    f"{folder / name} differs from its checksum: the bundle is damaged. {_WHAT_TO_DO}"
                )
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder} is not a complete bundle: {error}. {_WHAT_TO_DO}") from error


def _smoke(folder: Path, detector: Detector, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Score the windows that were scored when the bundle was saved; refuse it if they score differently."""
    assert detector.trained is not None
    raw_scores = raw_score_windows(
        detector.trained.network, _smoke_windows(detector), detector.trained.error_scale
    ).raw_scores
    if not np.allclose(raw_scores, arrays["smoke.reads"], rtol=1e-3, atol=1e-6):
        raise BundleError(
            f"{folder} scores differently than when it was saved: this build of PyTorch computes "
            f"otherwise. Train again."
        )


def _smoke_windows(detector: Detector) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, (4, detector.settings.window_length, len(detector.resolution))).astype(np.float32)


def _error_scale(arrays: Mapping[str, NDArray[np.float64]]) -> ErrorScale:
    return ErrorScale(*(arrays[f"error_scale.{name}"] for name in ("window", "tail", "mean", "precision")))


def _pca(arrays: Mapping[str, NDArray[np.float64]]) -> WindowPca | None:
    if "pca.mean" not in arrays:
        return None
    return WindowPca(arrays["pca.mean"], arrays["pca.components"], arrays["pca.error_scale"])


def _band(arrays: Mapping[str, NDArray[np.float64]]) -> ForecastBand | None:
    if "forecast.low" not in arrays:
        return None
    return ForecastBand(arrays["forecast.low"], arrays["forecast.high"])


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
