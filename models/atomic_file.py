"""Replaces a file in one move: a reader sees the old content or the new one, also after a crash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["replace_file", "replacing", "sync"]


def replace_file(file: Path, content: bytes) -> None:
    """Replace a file, or make it; its folder must exist.

    Raises
    ------
    OSError
        If it cannot be written. The old file stays then, and no temporary one is left.
    """
    with replacing(file) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give the path of a temporary file to write; it replaces the file when the block ends without an error.

    The content is on disk before the name points to it, and the name is on disk when the block is left.
    The temporary file, `.<name>.new`, lies in the same folder: a rename across file systems is not atomic.

    Raises
    ------
    OSError
        If the temporary file cannot be synced or moved. The old file stays then.
    """
    temporary = file.with_name(f".{file.name}.new")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(file)
    finally:
        with suppress(OSError):  # moved, or never made
            temporary.unlink()
    sync(file.parent)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
