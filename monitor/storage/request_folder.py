"""Requests of operators on their way to the daemon: one file each in a folder of the data directory.

A command writes them, and the daemon takes them between two batches. A file is removed once what it asks for
is done and saved, so a crash repeats a request and loses none.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

from models.atomic_file import replace_file
from monitor.alerting.mutes import OperatorRequest
from monitor.errors import MonitorError

__all__ = ["RequestFolder"]

log = logging.getLogger(__name__)

_MAX_BYTES = 100_000  # of a request: a name may be long, and nothing else is


class RequestFolder:
    """The requests that wait in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        """Make the folder, as the daemon's user: only so can the daemon remove what others put there.

        Raises
        ------
        MonitorError
            If it cannot be made.
        """
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise MonitorError(
                f"cannot make {self._folder}: {error.strerror}. Set data_dir to a writable folder."
            ) from error

    def submit(self, request: OperatorRequest) -> None:
        """Write a request for the daemon.

        Raises
        ------
        MonitorError
            If it cannot be written.
        """
        try:
            replace_file(self._folder / f"{request.id}.json", json.dumps(asdict(request)).encode())
        except FileNotFoundError as error:
            raise MonitorError(
                f"{self._folder}: no such folder. A daemon makes it when it starts: is data_dir the daemon's?"
            ) from error
        except OSError as error:
            raise MonitorError(
                f"cannot write into {self._folder}: {error.strerror}. Use the daemon's own user, or root."
            ) from error

    def pending(self) -> list[OperatorRequest]:
        """Give the requests that wait, oldest first. What is no request is logged and removed."""
        try:
            files = [file for file in self._folder.iterdir() if file.suffix == ".json"]
        except FileNotFoundError:
            return []
        except OSError as error:
            log.error("requests not read folder=%s error=%s", self._folder, error)
            return []
        requests = []
        for file in files:
            if file.name.startswith("."):
                continue  # not complete yet
            request = self._read(file)
            if request is not None:
                requests.append(request)
        return sorted(requests, key=lambda request: (request.asked_at, request.id))

    def remove(self, request: OperatorRequest) -> None:
        """Remove a request that is done."""
        self._unlink(self._folder / f"{request.id}.json")

    def _read(self, file: Path) -> OperatorRequest | None:
        try:
            if file.stat().st_size > _MAX_BYTES:
                raise ValueError("it is too long")
            request = _request_of(json.loads(file.read_bytes()))
            if f"{request.id}.json" != file.name:
                raise ValueError("its name is not its id")
        except OSError as error:
            log.error("request not read file=%s error=%s", file, error)
        except (TypeError, ValueError) as error:
            log.error("request not understood file=%s error=%s; it is removed", file, error)
            self._unlink(file)
        else:
            return request
        return None

    def _unlink(self, file: Path) -> None:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            log.error("request not removed file=%s error=%s; it is taken again", file, error)


def _request_of(fields: object) -> OperatorRequest:
    """Build a request from what a file holds.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    if not isinstance(fields, dict):
        raise TypeError("it is no table of fields")
    for name, value in fields.items():
        expected = (int, float) if name in ("asked_at", "until") else str
        if not isinstance(value, expected) and not (name == "until" and value is None):
            raise TypeError(f"{name} is {value!r}")
    request = OperatorRequest(**fields)
    if request.kind not in ("accept", "mute", "unmute"):
        raise ValueError(f"kind {request.kind!r} is unknown")
    if request.kind == "mute" and request.until is None:
        raise ValueError("a mute has no end")
    return request
