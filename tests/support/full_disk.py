"""A disk that is full: what that does to a write in progress."""

from __future__ import annotations

import resource
import signal
from contextlib import contextmanager


@contextmanager
def full_disk(n_bytes):
    """Give each file room for so many bytes; a write beyond them fails with OSError."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
