"""Where everything lies in the data directory.

lock                       who holds the directory
bundles/<watch>/           versions of the watch's model, and which of them serves
history/<watch>/           closed steps, and what must not be learned of them
training/<watch>.json      the outcome of the last training
checkpoint/state           what survives a restart
episodes.sqlite            the alert history
requests/                  what operators ask of the running daemon
remote_write/              received requests, until a checkpoint covers them
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.errors import MonitorError

if TYPE_CHECKING:
    from models.registry import Registry

__all__ = ["DataDir"]


class DataDir:
    """The daemon's data directory; only `prepare` makes anything.

    Parameters
    ----------
    folder : path
        The setting `data_dir`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def lock_file(self) -> Path:
        """The file that the daemon locks while it runs."""
        return self.folder / "lock"

    @property
    def checkpoint_file(self) -> Path:
        """The state of all watches, and the source's position."""
        return self.folder / "checkpoint" / "state"

    @property
    def episodes_file(self) -> Path:
        """The alert history."""
        return self.folder / "episodes.sqlite"

    @property
    def requests_folder(self) -> Path:
        """Where commands put what an operator asks of the running daemon."""
        return self.folder / "requests"

    @property
    def remote_write_folder(self) -> Path:
        """Where requests of remote write are logged before they are acknowledged."""
        return self.folder / "remote_write"

    def registry(self, watch: str) -> Registry:
        """Give the versions of a watch's model."""
        from models.registry import Registry  # noqa: PLC0415 - it loads PyTorch, which takes seconds

        return Registry(self.folder / "bundles" / watch)

    def history_folder(self, watch: str) -> Path:
        """Give the folder of a watch's history of closed steps."""
        return self.folder / "history" / watch

    def result_file(self, watch: str) -> Path:
        """Give the file into which a watch's training writes its outcome."""
        return self.folder / "training" / f"{watch}.json"

    def prepare(self) -> None:
        """Make the data directory, and check that it can be written.

        Raises
        ------
        MonitorError
            If it cannot.
        """
        probe = self.folder / f".probe-{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise MonitorError(
                f"data_dir {self.folder} cannot be used: {error.strerror}. Set data_dir to a writable folder."
            ) from error
