"""The alert history: every episode, told or not, in one SQLite file that others may read while the daemon writes.

An episode is one row, known by its identity; writing it again changes nothing. What is written is on the disk when
`record` returns (WAL, synced). A file that cannot be written costs alerts nothing: they wait in memory, a bounded number
of them, for the next time; one that is damaged, or of another format, is set aside and a new one begun.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monitor.alerting.alert import Alert, ChannelShare
from monitor.clock import Clock
from monitor.errors import HistoryError

__all__ = ["FORMAT_VERSION", "AlertHistory", "StoredEpisode", "read_episodes"]

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
_APPLICATION_ID = 0x4241524F  # "BARO": SQLite's own place for saying whose file it is
_MAX_WAITING = 10_000  # episodes that wait for a disk: some 10 MB
_SWEEP_SECONDS = 60.0  # real time between two looks for what is too old, or too much
_RETRY_SECONDS = 10.0  # real time behind a failure
_LOCK_SECONDS = 0.2  # a writer of another program is waited for so long: the loop stands still meanwhile
_SUFFIXES = ("", "-wal", "-shm")
# What SQLite says of a file that is not, or no longer, what we wrote; anything else may pass.
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_TABLE = """
CREATE TABLE episodes (
    identity TEXT PRIMARY KEY, watch TEXT NOT NULL, entity TEXT NOT NULL,
    since_ms INTEGER NOT NULL, opened_ms INTEGER NOT NULL, resolved_ms INTEGER, reason TEXT,
    score REAL, surprise_limit REAL, provisional INTEGER NOT NULL, revision INTEGER NOT NULL,
    channels TEXT NOT NULL, told INTEGER NOT NULL, kept_at REAL NOT NULL
)
"""
# An opening that comes again behind its end is no news, nor is what an earlier revision said.
_UPSERT = """
INSERT INTO episodes VALUES (
    :identity, :watch, :entity, :since_ms, :opened_ms, :resolved_ms, :reason, :score, :surprise_limit, :provisional, :revision, :channels,
    :told, :kept_at
)
ON CONFLICT (identity) DO UPDATE SET
    since_ms = excluded.since_ms, resolved_ms = excluded.resolved_ms, reason = excluded.reason, score = excluded.score,
    surprise_limit = excluded.surprise_limit, provisional = excluded.provisional, revision = excluded.revision,
    channels = excluded.channels, kept_at = excluded.kept_at
WHERE excluded.revision > revision OR (excluded.revision = revision AND (excluded.resolved_ms IS NOT NULL OR resolved_ms IS NULL))
"""
_DELETE_OLDEST = """
DELETE FROM episodes WHERE identity IN (SELECT identity FROM episodes WHERE reason IS NOT NULL ORDER BY kept_at LIMIT ?)
"""
_SELECT = """
SELECT * FROM episodes
WHERE (:watch = '' OR watch = :watch) AND (:since_ms IS NULL OR reason IS NULL OR coalesce(resolved_ms, opened_ms) >= :since_ms)
ORDER BY opened_ms DESC, identity DESC LIMIT :newest
"""


@dataclass(frozen=True, slots=True)
class StoredEpisode:
    """One row: times are event time in ms; `reason` is None while it is open, `lost` where a daemon forgot it.

    `notified`: it went to the outlets; else it was over too long ago when it was found, or is not told yet.
    """

    identity: str
    watch: str
    entity: str
    since_ms: int
    opened_ms: int
    resolved_ms: int | None
    reason: str | None
    score: float
    limit: float | None
    provisional: bool
    revision: int
    channels: tuple[ChannelShare, ...]
    notified: bool

    def to_json(self) -> str:
        """Write it as one line of JSON; what is unknown is null. `told` is `notified` under its name before 0.2."""
        fields = asdict(self) | {"told": self.notified}
        for channel in fields["channels"]:
            channel |= {key: None for key in ("actual", "expected") if math.isnan(channel[key])}
        return json.dumps(fields)


class AlertHistory:
    """Keeps episodes; belongs to the loop's thread.

    Parameters
    ----------
    keep_seconds : float
        Real time for which an episode that is over is kept.
    max_episodes : int
        At most so many; the oldest go first.
    on_failure : callable
        Told each time that something could not be written or read.
    """

    def __init__(
        self, file: Path, *, keep_seconds: float, max_episodes: int, clock: Clock, on_failure: Callable[[], None] = lambda: None
    ) -> None:
        self._file = file
        self._keep_seconds = keep_seconds
        self._max_episodes = max_episodes
        self._clock = clock
        self._on_failure = on_failure
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[tuple[Alert, bool]] = []  # to be written, with whether it was told
        self._swept_at = self._retry_at = -float("inf")
        self._is_failing = False

    def record(self, alerts: Sequence[Alert], notified: bool) -> None:
        """Keep what opens and what ends; what cannot be written waits."""
        self._waiting += [(alert, notified) for alert in alerts]
        del self._waiting[:-_MAX_WAITING]
        self.catch_up()

    def catch_up(self) -> None:
        """Write what waits; behind a failure not at once again."""
        if self._waiting and self._clock.monotonic() >= self._retry_at and self._attempt(self._write):
            self._waiting.clear()

    def open_and_notified(self) -> list[str]:
        """Give the episodes, by identity, whose opening was told and whose end was not."""
        found: list[str] = []

        def find(db: sqlite3.Connection) -> None:
            found.extend(row[0] for row in db.execute("SELECT identity FROM episodes WHERE told AND (reason IS NULL OR reason = 'lost')"))

        if self._file.is_file():
            self._attempt(find)
        return found

    def settle(self, still_open: Iterable[str]) -> None:
        """Mark as lost what stands as open, and is not: a daemon that begins anew never sees its end."""
        known = {_text(identity) for identity in still_open}

        def mark(db: sqlite3.Connection) -> None:
            lost = [row for row in db.execute("SELECT identity FROM episodes WHERE reason IS NULL") if row[0] not in known]
            db.executemany("UPDATE episodes SET reason = 'lost' WHERE identity = ?", lost)

        if self._file.is_file():
            self._attempt(mark)

    def close(self) -> None:
        """Write what still waits, as far as that is possible, and let go of the file."""
        self._retry_at = -float("inf")
        self.catch_up()
        self._disconnect()

    def _attempt(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        """Do something as one transaction, and tell whether it is done; a failure is counted, told once, and costs nothing else."""
        try:
            try:
                self._transact(work)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._on_failure()
                self._set_aside(error)
                self._transact(work)
        except (sqlite3.Error, OSError) as error:
            self._on_failure()
            self._disconnect()
            self._retry_at = self._clock.monotonic() + _RETRY_SECONDS
            if not self._is_failing:  # once an outage; the metric counts on
                self._is_failing = True
                log.error("alert history not kept file=%s error=%s; alerts go out all the same", self._file, error)
            return False
        if self._is_failing:
            self._is_failing = False
            log.info("alert history kept again file=%s", self._file)
        return True

    def _transact(self, work: Callable[[sqlite3.Connection], None]) -> None:
        if self._connection is None:
            self._connection = _connect(self._file)
        with self._connection:  # commits, or rolls back
            work(self._connection)

    def _write(self, db: sqlite3.Connection) -> None:
        now = self._clock.now()
        db.executemany(_UPSERT, [_row(alert, notified, now) for alert, notified in self._waiting])
        notified = [(_text(alert.identity),) for alert, was_notified in self._waiting if was_notified]
        db.executemany("UPDATE episodes SET told = 1 WHERE identity = ?", notified)
        if self._clock.monotonic() - self._swept_at >= _SWEEP_SECONDS:
            self._sweep(db, now)

    def _sweep(self, db: sqlite3.Connection, now: float) -> None:
        """Delete what is over and too old, or too much."""
        self._swept_at = self._clock.monotonic()
        db.execute("DELETE FROM episodes WHERE reason IS NOT NULL AND kept_at < ?", (now - self._keep_seconds,))
        (n_kept,) = db.execute("SELECT count(*) FROM episodes").fetchone()
        if n_kept > self._max_episodes:
            db.execute(_DELETE_OLDEST, (n_kept - self._max_episodes,))

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        self._disconnect()
        kept = self._file.with_name(f"{self._file.name}.damaged")
        for suffix in _SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self._file}{suffix}", f"{kept}{suffix}")
        log.error("alert history set aside file=%s as=%s error=%s; a new one begins", self._file, kept, error)

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # it failed already
                self._connection.close()
            self._connection = None


def read_episodes(file: Path, *, watch: str = "", since_ms: int | None = None, newest: int | None = None) -> list[StoredEpisode]:
    """Read episodes by the time of their opening, oldest first, also while a daemon writes.

    Parameters
    ----------
    since_ms : int, optional
        Only those that were still open at this event time, or opened later.
    newest : int, optional
        At most so many, the newest.

    Raises
    ------
    HistoryError
        If there is no alert history, or it cannot be read.
    """
    if not file.is_file():
        raise HistoryError(f"{file}: no alert history yet; a daemon writes it with its first episode, into its data_dir")
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            _check_format(db)
            rows = db.execute(_SELECT, {"watch": watch, "since_ms": since_ms, "newest": -1 if newest is None else newest}).fetchall()
    except sqlite3.Error as error:
        raise HistoryError(f"{file}: the alert history cannot be read: {error}") from error
    return [_kept(row) for row in reversed(rows)]


def _connect(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, timeout=_LOCK_SECONDS, check_same_thread=False)  # one thread builds the daemon, another may run it
    try:
        (n_tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if n_tables:
            _check_format(db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # what was told is known after a power cut too
        if not n_tables:
            with db:
                db.execute(_TABLE)
                db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    except BaseException:
        db.close()
        raise
    return db


class _FormatError(sqlite3.DatabaseError):
    """A database that is not ours, or of another version."""


def _check_format(db: sqlite3.Connection) -> None:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION_ID:
        raise _FormatError("it is another program's database")
    if version != FORMAT_VERSION:
        raise _FormatError(f"it has format {version}, this program knows {FORMAT_VERSION}")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return isinstance(error, _FormatError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


def _row(alert: Alert, notified: bool, now: float) -> dict[str, object]:
    return {
        "identity": _text(alert.identity),
        "watch": _text(alert.watch),
        "entity": _text(alert.entity),
        "since_ms": alert.since_ms,
        "opened_ms": alert.opened_ms,
        "resolved_ms": alert.resolved_ms,
        "reason": alert.reason,
        "score": alert.score,
        "surprise_limit": alert.limit,
        "provisional": alert.provisional,
        "revision": alert.revision,
        "channels": json.dumps([asdict(channel) for channel in alert.channels]),
        "told": notified,
        "kept_at": now,
    }


def _kept(row: Mapping[str, Any]) -> StoredEpisode:
    return StoredEpisode(
        identity=row["identity"],
        watch=row["watch"],
        entity=row["entity"],
        since_ms=row["since_ms"],
        opened_ms=row["opened_ms"],
        resolved_ms=row["resolved_ms"],
        reason=row["reason"],
        score=row["score"],
        limit=row["surprise_limit"],
        provisional=bool(row["provisional"]),
        revision=row["revision"],
        channels=tuple(ChannelShare(**channel) for channel in json.loads(row["channels"])),
        notified=bool(row["told"]),
    )


def _text(value: str) -> str:
    """Write what SQLite can keep: a lone surrogate, as names of files may hold, is none."""
    return value.encode("utf-8", "replace").decode()
