"""The bundles of a watch, `<root>/<watch>/<version>/`: which one serves, and which one served before.

The files `champion` and `previous` in the watch's folder hold the names of these two versions.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
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
        `<data_dir>/bundles/<watch>`; created when the first bundle is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self) -> list[str]:
        """Name every version, oldest first."""
        if not self.folder.is_dir():
            return []
        folders = [entry.name for entry in self.folder.iterdir() if entry.is_dir()]
        return sorted(name for name in folders if not name.startswith("."))

    def champion(self) -> str | None:
        """Name the version that serves; None before the first training."""
        return self._pointer(_CHAMPION)

    def save(self, bundle: Bundle, *, now: float, attachments: Mapping[str, bytes] | None = None) -> str:
        """Write a bundle as a new version, named by the time `now` (seconds since the epoch, UTC)."""
        stem = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        existing = set(self.versions())
        names = [stem, *(f"{stem}-{number:03d}" for number in range(2, 1000))]
        version = next(name for name in names if name not in existing)
        save_bundle(bundle, self.folder / version, attachments=attachments)
        return version

    def load(self, version: str) -> Bundle:
        """Load a version."""
        return load_bundle(self.folder / version)

    def previous(self) -> str | None:
        """Name the version that served before the champion; None if there was none."""
        return self._pointer(_PREVIOUS)

    def promote(self, version: str) -> None:
        """Make a version the champion; each pointer file is replaced atomically."""
        versions = self.versions()
        if version not in versions:
            raise BundleError(
                f"{self.folder} has no version {version}; it has {', '.join(versions) or 'none'}"
            )
        champion = self.champion()
        if champion in versions and champion != version:
            self._point(_PREVIOUS, champion)
        self._point(_CHAMPION, version)

    def about(self, version: str) -> dict[str, Any]:
        """Read a version's `bundle.json`, without loading the model."""
        try:
            about: dict[str, Any] = json.loads((self.folder / version / "bundle.json").read_bytes())
            if missing := {"channels", "entities", "made"} - set(about):
                raise ValueError(f"bundle.json lacks {', '.join(sorted(missing))}")
        except (OSError, ValueError, TypeError) as error:
            raise BundleError(f"{self.folder / version} cannot be read: {error}") from error
        return about

    def serving(self, on_refused: Callable[[str, BundleError], None]) -> tuple[str, Bundle] | None:
        """Load the champion; if it is refused, the version before it; None if neither can be loaded.

        Parameters
        ----------
        on_refused : callable
            Called with each version that was refused, or the pointer that cannot be read, and the error.
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
        """Save the state of a running training, so that it can be resumed."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.folder / _TRAINING, state)
        except OSError as error:
            raise BundleError(f"cannot write {self.folder / _TRAINING}: {error.strerror}") from error

    def interrupted(self) -> bytes:
        """Read the state of the interrupted training."""
        try:
            return (self.folder / _TRAINING).read_bytes()
        except OSError as error:
            raise BundleError(f"{self.folder} has no interrupted training: train without --resume") from error

    def training_done(self) -> None:
        """Delete the state of the training: it has finished."""
        (self.folder / _TRAINING).unlink(missing_ok=True)

    def made_at(self) -> float | None:
        """Give when the newest version was trained, in seconds since the epoch; None if that is not known."""
        for version in reversed(self.versions()):
            # If its file is damaged, the version before it counts.
            with suppress(BundleError, KeyError, TypeError, ValueError):
                return float(self.about(version)["made"]["at"])
        return None

    def prune(self, n_kept: int) -> list[str]:
        """Delete the oldest versions beyond `n_kept`, except champion and previous; name the deleted ones.

        Raises
        ------
        BundleError
            If a version cannot be deleted.
        """
        needed = {self.champion(), self.previous()}
        versions = self.versions()
        spare = [version for version in versions[: max(0, len(versions) - n_kept)] if version not in needed]
        for version in spare:
            leaving = self.folder / f".gone-{version}"
            try:
                (self.folder / version).rename(leaving)  # first of all, so that nobody loads half a bundle
                shutil.rmtree(leaving)
            except OSError as error:
                raise BundleError(f"cannot delete {self.folder / version}: {error.strerror}") from error
        return spare

    def rollback(self) -> str:
        """Make the previous version the champion; a second rollback undoes the first."""
        previous = self.previous()
        if previous is None:
            champion = self.champion() or "the first"
            raise BundleError(f"{self.folder} has no version to roll back to: none served before {champion}")
        self.promote(previous)
        return previous

    def _pointer(self, name: str) -> str | None:
        try:
            text = (self.folder / name).read_text(encoding="utf-8", errors="replace")
            return text.strip() or None  # a damaged file names no version
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BundleError(f"cannot read {self.folder / name}: {error.strerror}") from error

    def _point(self, name: str, version: str) -> None:
        try:
            replace_file(self.folder / name, f"{version}\n".encode())
        except OSError as error:
            raise BundleError(
                f"cannot write {self.folder / name}: {error.strerror}. The old champion stays."
            ) from error
