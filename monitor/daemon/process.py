"""Settings of this process: one thread, an allocator that keeps memory, a low priority for trainings."""

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

_M_TRIM_THRESHOLD = -1  # malloc.h of glibc
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tune_process() -> None:
    """Set PyTorch to one thread and the allocator to keep freed buffers; load a module that numpy loads late.

    A second thread waits at barriers whenever another process takes its core. An LSTM allocates and frees
    large buffers in every step; returning them to the kernel each time costs up to half of the run time.
    """
    import torch

    torch.set_num_threads(1)
    # The first np.unique would load it: by then the process may have no file descriptor left.
    importlib.import_module("numpy.ma")
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only; musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_M_TOP_PAD, 64 << 20)


def lower_priority(max_memory_bytes: int = 0) -> None:
    """Lower this process's priority below the daemon's: the processor last, ended first when memory is short.

    Each setting is best effort: one that the system refuses is left as it is.

    Parameters
    ----------
    max_memory_bytes : int
        Limit of this process's data; 0 for none.
    """
    os.nice(19)
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with contextlib.suppress(OSError):
        # Of 1000: long before the daemon.
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    with contextlib.suppress(AttributeError):  # a C library without prctl
        # A daemon that is killed leaves no training running.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if max_memory_bytes:
        with contextlib.suppress(ValueError, OSError):
            # Data, not address space: PyTorch maps gigabytes that it never touches.
            resource.setrlimit(resource.RLIMIT_DATA, (max_memory_bytes, max_memory_bytes))
