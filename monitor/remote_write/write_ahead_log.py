"""Received requests on disk: appended before they are acknowledged, deleted once a checkpoint covers them.

The log is the queue between the web server and the loop. A request is on disk (fdatasync) before its sender
is answered, and the loop reads it from there. So what a restart has to read again is what it would have read
anyway: everything behind the offset in the checkpoint.

An offset is a number of bytes since the log was begun. It never goes back, also where files were deleted or a
write failed. A file, `<offset of its first byte>.log`, holds whole records:

    length of the body, CRC-32 of what follows, samples in it (3 x uint32), version (uint8), body

A file that a crash has cut is used up to its last whole record. What was cut was not acknowledged.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from models.atomic_file import sync
from monitor.errors import SourceError

__all__ = ["LogError", "LogFullError", "LogPiece", "LoggedRequest", "WriteAheadLog"]

log = logging.getLogger(__name__)

_LENGTHS = struct.Struct("<II")  # length of the body, CRC-32 of all that follows
_ABOUT = struct.Struct("<IB")  # number of samples, version
_SEGMENT_BYTES = 16 << 20  # a file is begun anew at this size: so much that is processed may stay on disk
# But a small log has so many files at least: otherwise it would be full of what is processed already.
_SEGMENTS_OF_LIMIT = 4


class LogError(SourceError):
    """A request cannot be written to disk now: its sender must send it again."""


class LogFullError(LogError):
    """The log has reached its limit: the daemon reads more slowly than it receives."""


class LoggedRequest(NamedTuple):
    """One request: a protobuf message of remote write, of `version` 1 or 2, as a snappy block."""

    body: bytes
    version: int
    n_samples: int


@dataclass(frozen=True, slots=True)
class LogPiece:
    """What was read: some requests, the offset behind each, where to read on, and the damaged places."""

    requests: tuple[LoggedRequest, ...]
    ends: tuple[int, ...]
    next_offset: int
    n_damaged: int = 0


@dataclass(slots=True)
class _Segment:
    start: int  # offset of its first byte
    file: Path
    n_bytes: int = 0  # of whole records on disk

    @property
    def end(self) -> int:
        return self.start + self.n_bytes

    def extend(self, n_bytes: int) -> None:
        self.n_bytes += n_bytes


class WriteAheadLog:
    """The log in one folder. One thread appends; another one reads and releases.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    max_bytes : int
        Appending beyond it fails.
    offset : int
        Where reading will continue: older files are deleted.

    Attributes
    ----------
    n_unread : int
        Samples behind the last request that was read.

    Raises
    ------
    SourceError
        If the folder cannot be used.
    """

    def __init__(self, folder: Path, *, max_bytes: int, offset: int = 0) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = min(_SEGMENT_BYTES, max_bytes // _SEGMENTS_OF_LIMIT)
        self._lock = threading.Lock()  # of the segments, their sizes, and which of them is written to
        self._segments: list[_Segment] = []
        self._written: _Segment | None = None
        self._descriptor = -1  # of the segment that is written to
        self._next_start = offset  # of the next segment, at least
        self.n_unread = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open(offset)
        except OSError as error:
            raise SourceError(
                f"the log of received requests {folder} cannot be read: {error.strerror}. Make it readable, "
                "or delete it: what is in it and not processed yet is lost then"
            ) from error

    @property
    def n_bytes(self) -> int:
        """How much is on disk, processed or not."""
        with self._lock:
            return sum(segment.n_bytes for segment in self._segments)

    def append(self, requests: Sequence[LoggedRequest]) -> list[int]:
        """Write requests, and give the offset behind each once they are on disk.

        Raises
        ------
        LogFullError
            If the log would be larger than it may be. Nothing was written.
        LogError
            If they cannot be written. Nothing of them will be read, unless the machine fails too.
        """
        records = [_encoded(request) for request in requests]
        data = b"".join(records)
        if self.n_bytes + len(data) > self._max_bytes:
            self.close()  # so that a checkpoint can free this file too
            raise LogFullError(
                f"{self._folder} has reached its limit of {self._max_bytes} bytes "
                "(source.prometheus.max_log_bytes): requests come faster than they are processed"
            )
        try:
            segment, descriptor = self._writable()
            _write_all(descriptor, data)
            os.fdatasync(descriptor)
        except OSError as error:
            self._abandon(len(data))
            raise LogError(f"cannot write to {self._folder}: {error.strerror}") from error
        begin = segment.end
        with self._lock:
            segment.extend(len(data))
            self.n_unread += sum(request.n_samples for request in requests)
        return [begin + size for size in itertools.accumulate(map(len, records))]

    def has_more(self, offset: int) -> bool:
        """Tell whether there is something to read at an offset or behind it."""
        with self._lock:
            return any(segment.end > max(offset, segment.start) for segment in self._segments)

    def read(self, offset: int, *, most_bytes: int, most_samples: int) -> LogPiece:
        """Read the requests from an offset on, up to a number of bytes or samples, but one at least.

        Behind a damaged record, or where a file is gone, reading continues in the next file.

        Raises
        ------
        SourceError
            If the disk cannot be read.
        """
        with self._lock:
            stretches = [
                (segment.file, max(offset - segment.start, 0), segment.n_bytes, segment.start)
                for segment in self._segments
                if segment.end > max(offset, segment.start)
            ]
        requests: list[LoggedRequest] = []
        ends: list[int] = []
        n_bytes = n_samples = n_damaged = 0
        for file, begin, end, start in stretches:
            with self._stream(file) as stream:
                stream.seek(begin)
                while (position := stream.tell()) < end and n_bytes < most_bytes and n_samples < most_samples:
                    request = _decoded(stream)
                    if request is None:
                        n_damaged += 1
                        log.error(
                            "log damaged file=%s position=%d: the rest of it is skipped", file, position
                        )
                        offset = start + end
                        break
                    requests.append(request)
                    n_bytes += len(request.body)
                    n_samples += request.n_samples
                    offset = start + stream.tell()
                    ends.append(offset)
            if n_bytes >= most_bytes or n_samples >= most_samples:
                break
        with self._lock:
            self.n_unread = max(0, self.n_unread - n_samples)
        return LogPiece(tuple(requests), tuple(ends), offset, n_damaged)

    @staticmethod
    @contextlib.contextmanager
    def _stream(file: Path) -> Iterator[BinaryIO]:
        """Open a file to read; one that somebody has deleted is empty."""
        try:
            with file.open("rb") as stream:
                yield stream
        except FileNotFoundError:
            yield io.BytesIO()
        except OSError as error:
            raise SourceError(
                f"cannot read {file}: {error.strerror}. A restart continues at the checkpoint"
            ) from error

    def release(self, offset: int) -> None:
        """Delete the files of which everything lies before an offset, but for the one that is written to.

        A file that cannot be deleted is tried again with the next call.
        """
        with self._lock:
            covered = [
                segment
                for segment in self._segments
                if segment.end <= offset and segment is not self._written
            ]
        for segment in covered:
            try:
                segment.file.unlink(missing_ok=True)
            except OSError as error:
                log.warning("cannot delete file=%s error=%s", segment.file, error.strerror)
                return
            with self._lock:
                self._segments.remove(segment)

    def close(self) -> None:
        """Close the file that is written to; what was appended can still be read. Another file follows it."""
        with self._lock:
            segment, self._written = self._written, None
        if segment is not None:
            self._next_start = max(self._next_start, segment.end)
            os.close(self._descriptor)

    def _open(self, offset: int) -> None:
        """Find the files and their whole records; delete the files that lie before an offset."""
        files = sorted(file for file in self._folder.glob("*.log") if file.stem.isdecimal())
        for file, following in itertools.zip_longest(files, files[1:]):
            start, size = int(file.stem), file.stat().st_size
            self._next_start = max(self._next_start, start + size)
            end = start + size if following is None else int(following.stem)
            if end <= offset or not size:
                file.unlink()
                continue
            n_bytes, n_samples = _scan(file, offset - start)
            self.n_unread += n_samples
            if n_bytes < size:
                log.warning(
                    "log cut file=%s bytes=%d: %s", file, size - n_bytes,
                    "its end was not written whole" if following is None else "damaged, or not written whole",
                )  # fmt: skip
            self._segments.append(_Segment(start, file, n_bytes))

    def _writable(self) -> tuple[_Segment, int]:
        """Give the segment to append to, and its descriptor."""
        if self._written is not None and self._written.n_bytes < self._segment_bytes:
            return self._written, self._descriptor
        self.close()
        segment = _Segment(self._next_start, self._folder / f"{self._next_start:020d}.log")
        self._descriptor = os.open(segment.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        with self._lock:
            self._segments.append(segment)
            self._written = segment
        sync(self._folder)
        return segment, self._descriptor

    def _abandon(self, n_bytes: int) -> None:
        """Begin another file after a write that failed.

        After a failed sync nobody knows what of a file is on disk (Rebello et al. 2020, "Can Applications
        Recover from fsync Failures?"), so nothing more is written to it, and no offset of it is used again.
        """
        segment = self._written
        if segment is None:
            return
        self._next_start = segment.end + n_bytes
        with contextlib.suppress(OSError):  # whole records that stay are read after a crash: they come twice
            os.ftruncate(self._descriptor, segment.n_bytes)
        self.close()


def _encoded(request: LoggedRequest) -> bytes:
    rest = _ABOUT.pack(request.n_samples, request.version) + request.body
    return _LENGTHS.pack(len(request.body), zlib.crc32(rest)) + rest


def _decoded(stream: BinaryIO) -> LoggedRequest | None:
    """Read the record that begins here; None where it is damaged or cut."""
    head = stream.read(_LENGTHS.size)
    if len(head) < _LENGTHS.size:
        return None
    n_bytes, checksum = _LENGTHS.unpack(head)
    rest = stream.read(_ABOUT.size + n_bytes)
    if len(rest) < _ABOUT.size + n_bytes or zlib.crc32(rest) != checksum:
        return None
    n_samples, version = _ABOUT.unpack_from(rest)
    return LoggedRequest(rest[_ABOUT.size :], version, n_samples)


def _scan(file: Path, begin: int) -> tuple[int, int]:
    """Give the size of a file's whole records, and how many samples they have from a position on."""
    n_bytes = n_samples = 0
    with file.open("rb") as stream:
        while (request := _decoded(stream)) is not None:
            if n_bytes >= begin:
                n_samples += request.n_samples
            n_bytes = stream.tell()
    return n_bytes, n_samples


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
