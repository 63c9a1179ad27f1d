"""Where bundles live: `<root>/<watch>/<version>/`, which of them serves (the file `champion`), and which did before (`previous`)."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.atomic_file import replace_file
from models.bundle import Bundle, load_bundle, save_bundle
from models.errors import BundleError

__all__ = ["Registry"]

_CHAMPION, _PREVIOUS, _TRAINING = "champion", "previous", ".training"


class Registry:
    """The bundles of one watch.

    Parameters
    ----------
    folder : Path
        `<data_dir>/bundles/<watch>`; made when the first bundle is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self) -> list[str]:
        """Name every version, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(entry.name for entry in self.folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))

    def champion(self) -> str | None:
        """Name the version that serves; None before the first training."""
        return self._pointer(_CHAMPION)

    def save(self, bundle: Bundle, *, now: float, attachments: Mapping[str, bytes] | None = None) -> str:
        """Write a bundle under a new version named after the time `now` (seconds since the epoch, UTC)."""
        stem = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        taken = set(self.versions())
        version = next(name for name in [stem, *(f"{stem}-{n:03d}" for n in range(2, 1000))] if name not in taken)
        save_bundle(bundle, self.folder / version, attachments=attachments)
        return version

    def load(self, version: str) -> Bundle:
        """Read one version."""
        return load_bundle(self.folder / version)

    def previous(self) -> str | None:
        """Name the version that served before the champion; None where there was none."""
        return self._pointer(_PREVIOUS)

    def promote(self, version: str) -> None:
        """Let a version serve from now on; each pointer is replaced in one move."""
        versions = self.versions()
        if version not in versions:
            raise BundleError(f"{self.folder} has no version {version}; it has {', '.join(versions) or 'none'}")
        champion = self.champion()
        if champion in versions and champion != version:
            self._point(_PREVIOUS, champion)
        self._point(_CHAMPION, version)

    def about(self, version: str) -> dict[str, Any]:
        """Read what a version says of itself, without loading the model."""
        try:
            about: dict[str, Any] = json.loads((self.folder / version / "bundle.json").read_bytes())
            if missing := {"channels", "entities", "made"} - set(about):
                raise ValueError(f"bundle.json says nothing of {', '.join(sorted(missing))}")
        except (OSError, ValueError, TypeError) as error:
            raise BundleError(f"{self.folder / version} cannot be read: {error}") from error
        return about

    def serving(self, on_refused: Callable[[str, BundleError], None]) -> tuple[str, Bundle] | None:
        """Load the champion; where it is refused, the version before it; None where neither can be had.

        Parameters
        ----------
        on_refused : callable
            Told each version that was refused, or the pointer that could not be read, and why.
        """
        for pointer in (_CHAMPION, _PREVIOUS):
            version = None
            try:
                version = self._pointer(pointer)
                if version is not None:
                    return version, self.load(version)
            except BundleError as error:
                on_refused(version or pointer, error)
        return None

    def keep_training(self, state: bytes) -> None:
        """Keep a training that is under way, so that it can be resumed."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.folder / _TRAINING, state)
        except OSError as error:
            raise BundleError(f"cannot write {self.folder / _TRAINING}: {error.strerror}") from error

    def interrupted(self) -> bytes:
        """Give the training that was interrupted."""
        try:
            return (self.folder / _TRAINING).read_bytes()
        except OSError as error:
            raise BundleError(f"{self.folder} has no interrupted training: train without --resume") from error

    def training_done(self) -> None:
        """Forget the training that was under way."""
        (self.folder / _TRAINING).unlink(missing_ok=True)

    def made_at(self) -> float | None:
        """Tell when the newest version was made, in seconds since the epoch, whether it serves or not; None where none says so."""
        for version in reversed(self.versions()):
            with contextlib.suppress(BundleError, KeyError, TypeError, ValueError):  # a damaged one says nothing: the one before it does
                return float(self.about(version)["made"]["at"])
        return None

    def prune(self, n_kept: int) -> list[str]:
        """Delete the oldest versions beyond `n_kept`, but neither the champion nor the one before it; name those that went.

        Raises
        ------
        BundleError
            If one cannot be deleted.
        """
        needed = {self.champion(), self.previous()}
        versions = self.versions()
        spare = [version for version in versions[: max(0, len(versions) - n_kept)] if version not in needed]
        for version in spare:
            leaving = self.folder / f".gone-{version}"
            try:
                (self.folder / version).rename(leaving)  # so that nobody loads half a bundle
                shutil.rmtree(leaving)
            except OSError as error:
                raise BundleError(f"cannot delete {self.folder / version}: {error.strerror}") from error
        return spare

    def rollback(self) -> str:
        """Let the version serve that served before the champion; doing it twice changes back."""
        previous = self.previous()
        if previous is None:
            raise BundleError(f"{self.folder} has no version to go back to: none served before {self.champion() or 'the first'}")
        self.promote(previous)
        return previous

    def _pointer(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text(errors="replace").strip() or None  # damaged, it names no version
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BundleError(f"cannot read {self.folder / name}: {error.strerror}") from error

    def _point(self, name: str, version: str) -> None:
        try:
            replace_file(self.folder / name, f"{version}\n".encode())
        except OSError as error:
            raise BundleError(f"cannot write {self.folder / name}: {error.strerror}. The old champion stays.") from error
