"""Finding files to read: files, folders and patterns, each file once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from monitor.errors import SourceError

__all__ = ["FoundFiles", "find_files"]

# What a folder is searched for. A file that is named itself may be called anything.
_SUFFIXES = (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".prom", ".om", ".txt")
_ENDINGS = (*_SUFFIXES, *(f"{suffix}.gz" for suffix in _SUFFIXES if suffix != ".parquet"))
# Text may be anything, such as notes: in a folder it is not read, unless a pattern or a name leads to it.
_ONLY_NAMED = (".txt", ".txt.gz")


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Files to replay, each once, in a stable order; `in_folder` are those that only a folder led to."""

    files: tuple[Path, ...]
    in_folder: frozenset[Path]


def find_files(paths: Sequence[str]) -> FoundFiles:
    """Resolve files, folders and glob patterns to files, each once, in a stable order.

    Raises
    ------
    SourceError
        If a path leads to nothing that can be replayed.
    """
    is_named: dict[Path, bool] = {}  # whether a path names the file itself, or only its folder
    for path in paths:
        files = _replayable(path)
        if not files:
            expected = ", ".join(_SUFFIXES)
            raise SourceError(
                f"nothing to replay at {path}: expected {expected} files, all but Parquet also as .gz, or a "
                "folder of them"
            )
        for file, by_name in files.items():
            is_named[file] = by_name or is_named.get(file, False)
    if not is_named:
        raise SourceError("nothing to replay: set source.replay.paths, or name files on the command line")
    in_folder = frozenset(file for file, by_name in is_named.items() if not by_name)
    return FoundFiles(tuple(is_named), in_folder)


def _replayable(path: str) -> dict[Path, bool]:
    """Give the files that a path leads to, and whether it names each of them itself."""
    # A file of exactly this name takes precedence: its brackets are not meant as a pattern.
    names = [path] if os.path.exists(path) else sorted(glob(path, recursive=True))
    files: dict[Path, bool] = {}
    for match in map(Path, names):
        is_folder = match.is_dir()
        for file in sorted(match.rglob("*")) if is_folder else [match]:
            name = file.name.lower()
            if file.is_file() and name.endswith(_ENDINGS) and not (is_folder and name.endswith(_ONLY_NAMED)):
                files[file] = files.get(file, False) or not is_folder
    return files
