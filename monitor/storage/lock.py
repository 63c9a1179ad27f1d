"""One holder at a time: a lock file that says who holds it, and that the kernel lets go of when its holder dies."""

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
    """A lock that is held until `release`, or until this process ends however it does."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let go; doing it twice does no harm. The file stays: to remove it would let two holders in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def hold(file: Path, *, what: str, way_out: str, now: float) -> Lock:
    """Take the lock, and write into its file who has it.

    Parameters
    ----------
    what, way_out : str
        What is locked, and what the user can do, for the error's text.
    now : float
        Seconds since the epoch: since when it is held.

    Raises
    ------
    LockedError
        If another process holds it; its text says which, on which host, since when.
    MonitorError
        If the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise MonitorError(f"cannot lock {file}: {error.strerror}. Choose a folder that can be written.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = _holder(descriptor)
        os.close(descriptor)
        if error.errno != errno.EWOULDBLOCK:
            raise MonitorError(f"cannot lock {file}: {error.strerror}. Choose a folder that can be locked.") from error
        raise LockedError(f"{what} is in use by {holder}. {way_out}") from error
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same, it only cannot say whose it is
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now}).encode() + b"\n", 0)
    return Lock(descriptor)


def _holder(descriptor: int) -> str:
    try:
        about = json.loads(os.pread(descriptor, 4096, 0))
        since = datetime.fromtimestamp(about["since"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        return f"process {about['pid']} on {about['host']} since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it has not yet written who it is
