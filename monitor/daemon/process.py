"""How this process computes: on one thread, keeping the memory it has, and standing back where it only helps."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import sys
from pathlib import Path

__all__ = ["lower_priority", "tune_process"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of glibc
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tune_process() -> None:
    """Set PyTorch to one thread, and the allocator to keep freed buffers; load what would be loaded in the midst of work.

    A second thread waits at barriers whenever a neighbour takes its core. An LSTM frees and
    takes large buffers in every step; giving them back to the kernel each time costs up to
    half of the run time.
    """
    import torch

    torch.set_num_threads(1)
    importlib.import_module("numpy.ma")  # numpy does with the first np.unique: file descriptors may have run out by then
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only; musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_M_TOP_PAD, 64 << 20)


def lower_priority(max_memory_bytes: int = 0) -> None:
    """Make this process give way to the daemon that started it: lowest priority, first to go when memory is short.

    Each is best effort: what the system refuses is left as it is.

    Parameters
    ----------
    max_memory_bytes : int
        Data that this process may have; 0 for as much as there is.
    """
    os.nice(19)
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")  # of 1000: long before the daemon
    with contextlib.suppress(AttributeError):  # a C library without prctl
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # a daemon that is killed leaves no training behind
    if max_memory_bytes:
        with contextlib.suppress(ValueError, OSError):
            # Data, not address space: PyTorch maps gigabytes that it never touches.
            resource.setrlimit(resource.RLIMIT_DATA, (max_memory_bytes, max_memory_bytes))
