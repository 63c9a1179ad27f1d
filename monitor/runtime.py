"""How this process computes: on one thread, keeping the memory it has."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["tune_process"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of glibc


def tune_process() -> None:
    """Set PyTorch to one thread, and the allocator to keep freed buffers.

    A second thread waits at barriers whenever a neighbour takes its core. An LSTM frees and
    takes large buffers in every step; giving them back to the kernel each time costs up to
    half of the run time.
    """
    import torch

    torch.set_num_threads(1)
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only; musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_M_TOP_PAD, 64 << 20)
