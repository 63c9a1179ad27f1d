"""A lock file with one holder at a time; it names the holder, and the kernel releases it when that dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from monitor.errors import LockedError, MonitorError

__all__ = ["Lock", "hold"]


class Lock:
    """A lock that is held until `release`, or until this process ends in any way."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Release the lock; a second call does nothing. The file stays: else two could hold the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def hold(file: Path, *, what: str, way_out: str, now: float) -> Lock:
    """Lock a file, and write into it who holds it.

    Parameters
    ----------
    what, way_out : str
        What is locked, and what the user can do, for the error's text.
    now : float
        Seconds since the epoch, for the file's text: held since then.

    Raises
    ------
    LockedError
        If another process holds it; the text says which, on which host, since when.
    MonitorError
        If the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise MonitorError(
            f"cannot lock {file}: {error.strerror}. Choose a folder that can be written."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = _holder(descriptor)
        os.close(descriptor)
        if error.errno != errno.EWOULDBLOCK:
            raise MonitorError(
                f"cannot lock {file}: {error.strerror}. Choose a folder that can be locked."
            ) from error
        raise LockedError(f"{what} is in use by {holder}. {way_out}") from error
    holder_text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now})
    with contextlib.suppress(
        OSError
    ):  # a full disk: it is locked all the same, only without its holder's name
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{holder_text}\n".encode(), 0)
    return Lock(descriptor)


def _holder(descriptor: int) -> str:
    try:
        about = json.loads(os.pread(descriptor, 4096, 0))
        since = datetime.fromtimestamp(about["since"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        return f"process {about['pid']} on {about['host']} since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it has not yet written who it is
