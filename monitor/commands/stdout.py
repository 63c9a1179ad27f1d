"""stdout as commands write to it: what cannot be written is one line on stderr, not a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from monitor.errors import MonitorError

__all__ = ["checked_stdout"]


@contextmanager
def checked_stdout() -> Iterator[None]:
    """Let writes to stdout fail with a `MonitorError`; at the end all of them have been made.

    Raises
    ------
    MonitorError
        If stdout cannot be written to, as where a disk is full.
    """
    stream = sys.stdout
    checked: Any = _Checked(stream)
    try:
        with redirect_stdout(checked):
            try:
                yield
            finally:
                checked.flush()
    except _StdoutError:
        # What is buffered would fail again when the interpreter ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        raise


class _StdoutError(MonitorError):
    """Writing to stdout has failed."""


class _Checked:
    """A stream, text or binary, that says what is wrong where it cannot be written to."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: Any) -> int:
        with _failing_clearly():
            return int(self._stream.write(data))

    def writelines(self, lines: Iterable[Any]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with _failing_clearly():
            self._stream.flush()

    @property
    def buffer(self) -> _Checked:
        return _Checked(self._stream.buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _failing_clearly() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader has seen enough, as `head` has
    except OSError as error:
        raise _StdoutError(
            f"cannot write to stdout: {error.strerror or error}. What is there is not complete: "
            "make room, or send it elsewhere, and run the command again."
        ) from error
