"""Where bundles live: `<root>/<watch>/<version>/`, and which of them serves: the file `champion`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from models.bundle import Bundle, load_bundle, save_bundle
from models.errors import BundleError

__all__ = ["Registry"]

_CHAMPION = "champion"


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
        try:
            return (self.folder / _CHAMPION).read_text().strip() or None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BundleError(f"cannot read {self.folder / _CHAMPION}: {error.strerror}") from error

    def save(self, bundle: Bundle, *, now: float) -> str:
        """Write a bundle under a new version named after the time `now` (seconds since the epoch, UTC)."""
        stem = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        taken = set(self.versions())
        version = next(name for name in [stem, *(f"{stem}-{n:03d}" for n in range(2, 1000))] if name not in taken)
        save_bundle(bundle, self.folder / version)
        return version

    def load(self, version: str) -> Bundle:
        """Read one version."""
        return load_bundle(self.folder / version)

    def promote(self, version: str) -> None:
        """Let a version serve from now on; the pointer is replaced in one move."""
        if version not in self.versions():
            raise BundleError(f"{self.folder} has no version {version}; it has {', '.join(self.versions()) or 'none'}")
        temporary = self.folder / f".{_CHAMPION}.new"
        try:
            with temporary.open("w") as file:
                file.write(version + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.folder / _CHAMPION)
        except OSError as error:
            raise BundleError(f"cannot write {self.folder / _CHAMPION}: {error.strerror}. The old champion stays.") from error
