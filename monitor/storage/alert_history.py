"""The alert history: every episode, notified or withheld, in one SQLite file that others may read meanwhile.

An episode is one row, known by its identity; writing it again changes nothing. Rows are on the disk when
`record` returns (WAL, synced). A file that cannot be written delays no notification: episodes wait in
memory, a bounded number of them, for the next attempt. A file that is damaged, or of another format, is set
aside and a new one begun.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from monitor.alerting.alert import Alert, EpisodeProgress
from monitor.alerting.mutes import OperatorAction, OperatorRequest
from monitor.clock import Clock
from monitor.errors import HistoryError
from monitor.storage.action_rows import ACTIONS_TABLE, delete_actions, insert_actions, select_actions
from monitor.storage.episode_rows import (
    LatestValues,
    StoredEpisode,
    progress_row,
    row_of,
    stored_episode,
    text_of,
)

__all__ = ["FORMAT_VERSION", "AlertHistory", "LatestValues", "StoredEpisode", "read_actions", "read_episodes"]

log = logging.getLogger(__name__)

_T = TypeVar("_T")

FORMAT_VERSION = 1
_APPLICATION_ID = 0x4241524F  # "BARO": SQLite has a field for the program that owns a file
_MAX_WAITING = 10_000  # episodes that wait to be written: some 10 MB
_SWEEP_SECONDS = 60.0  # real time between two deletions by the retention
_RETRY_SECONDS = 10.0  # real time after a failure
_PROGRESS_SECONDS = 10.0  # real time between two writings of how far open episodes are
_LOCK_SECONDS = 0.2  # how long another program's lock is waited for: the loop stands still meanwhile
_SUFFIXES = ("", "-wal", "-shm")
# SQLite's errors for a file that is not, or no longer, what we wrote; others may pass by themselves.
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_TABLE = """
CREATE TABLE episodes (
    identity TEXT PRIMARY KEY, watch TEXT NOT NULL, entity TEXT NOT NULL,
    since_ms INTEGER NOT NULL, opened_ms INTEGER NOT NULL, resolved_ms INTEGER, reason TEXT,
    score REAL, surprise_limit REAL, provisional INTEGER NOT NULL, revision INTEGER NOT NULL,
    channels TEXT NOT NULL, told INTEGER NOT NULL, kept_at REAL NOT NULL,
    levels TEXT NOT NULL DEFAULT '[]', latest TEXT, muted INTEGER NOT NULL DEFAULT 0,
    note TEXT NOT NULL DEFAULT ''
)
"""
_ADDED_COLUMNS = {  # a file of an earlier version lacks them
    "levels": "ALTER TABLE episodes ADD COLUMN levels TEXT NOT NULL DEFAULT '[]'",
    "latest": "ALTER TABLE episodes ADD COLUMN latest TEXT",
    "muted": "ALTER TABLE episodes ADD COLUMN muted INTEGER NOT NULL DEFAULT 0",
    "note": "ALTER TABLE episodes ADD COLUMN note TEXT NOT NULL DEFAULT ''",
}
# An opening that is delivered again after its end changes nothing, nor does an earlier revision.
_UPSERT = """
INSERT INTO episodes (
    identity, watch, entity, since_ms, opened_ms, resolved_ms, reason, score, surprise_limit,
    provisional, revision, channels, told, kept_at, levels, muted, note
) VALUES (
    :identity, :watch, :entity, :since_ms, :opened_ms, :resolved_ms, :reason, :score, :surprise_limit,
    :provisional, :revision, :channels, :told, :kept_at, :levels, :muted, :note
)
ON CONFLICT (identity) DO UPDATE SET
    since_ms = excluded.since_ms, resolved_ms = excluded.resolved_ms, reason = excluded.reason,
    score = excluded.score, surprise_limit = excluded.surprise_limit, provisional = excluded.provisional,
    revision = excluded.revision, channels = excluded.channels, kept_at = excluded.kept_at,
    levels = excluded.levels, latest = NULL, muted = max(muted, excluded.muted), note = excluded.note
WHERE excluded.revision > revision
   OR (excluded.revision = revision AND (excluded.resolved_ms IS NOT NULL OR resolved_ms IS NULL))
"""
_UPDATE_OPEN = """
UPDATE episodes SET score = :score, channels = :channels, latest = :latest
WHERE identity = :identity AND reason IS NULL AND revision = :revision
"""
_DELETE_OLDEST = """
DELETE FROM episodes
WHERE identity IN (SELECT identity FROM episodes WHERE reason IS NOT NULL ORDER BY kept_at LIMIT ?)
"""
_SELECT = """
SELECT rowid AS number, * FROM episodes
WHERE (:watch = '' OR watch = :watch)
  AND (:since_ms IS NULL OR reason IS NULL OR coalesce(resolved_ms, opened_ms) >= :since_ms)
ORDER BY opened_ms DESC, identity DESC LIMIT :newest
"""


class _Waiting(NamedTuple):
    """An alert that is to be written, whether outlets are notified of it, and whether its entity is muted."""

    alert: Alert
    notified: bool
    muted: bool


class AlertHistory:
    """Stores episodes; belongs to the loop's thread.

    Parameters
    ----------
    keep_seconds : float
        Retention of an episode that is over, in real time.
    max_episodes : int
        Episodes that are kept at most; the oldest are deleted first.
    on_failure : callable
        Called each time that something could not be written or read.
    """

    def __init__(
        self,
        file: Path,
        *,
        keep_seconds: float,
        max_episodes: int,
        clock: Clock,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._file = file
        self._keep_seconds = keep_seconds
        self._max_episodes = max_episodes
        self._clock = clock
        self._on_failure = on_failure
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[_Waiting] = []
        self._waiting_actions: list[OperatorAction] = []
        self._swept_at = -math.inf
        self._progress_at = -math.inf
        self._retry_at = -math.inf
        self._is_failing = False

    def record(self, alerts: Sequence[Alert], notified: bool, *, muted: bool = False) -> None:
        """Store episodes as they open and resolve; what cannot be written waits.

        Parameters
        ----------
        notified : bool
            Whether outlets are notified of them; else they are withheld.
        muted : bool
            Whether their entities are muted. An episode that was muted once stays marked.
        """
        self._waiting += [_Waiting(alert, notified, muted) for alert in alerts]
        del self._waiting[:-_MAX_WAITING]
        self.catch_up()

    @property
    def has_waiting(self) -> bool:
        """Whether something could not be written yet."""
        return bool(self._waiting or self._waiting_actions)

    def record_action(self, action: OperatorAction) -> None:
        """Store what became of an operator's request; what cannot be written waits."""
        self._waiting_actions.append(action)
        del self._waiting_actions[:-_MAX_WAITING]
        self.catch_up()

    def catch_up(self) -> None:
        """Write what waits; after a failure, not before a pause."""
        if self.has_waiting and self._clock.monotonic() >= self._retry_at and self._attempt(self._write):
            self._waiting.clear()
            self._waiting_actions.clear()

    def mutes(self) -> list[OperatorRequest]:
        """Give the requests that have muted and unmuted entities, oldest first."""
        requests: list[OperatorRequest] = []

        def find(db: sqlite3.Connection) -> None:
            actions = select_actions(db)
            requests.extend(
                action.request for action in actions if action.done and action.request.kind != "accept"
            )

        if self._file.is_file():
            self._attempt(find)
        return requests

    @property
    def wants_progress(self) -> bool:
        """Whether it is time to write how far open episodes are."""
        return self._clock.monotonic() - self._progress_at >= _PROGRESS_SECONDS

    def update_open(self, progress: Sequence[EpisodeProgress]) -> None:
        """Write how far open episodes are; what cannot be written is left out: it is written anew soon."""

        def update(db: sqlite3.Connection) -> None:
            db.executemany(_UPDATE_OPEN, [progress_row(of_episode) for of_episode in progress])

        now = self._clock.monotonic()
        self._progress_at = now
        if progress and not self._waiting and now >= self._retry_at:
            self._attempt(update)

    def open_and_notified(self) -> list[str]:
        """Give the episodes, by identity, whose opening was notified and whose end was not."""
        identities: list[str] = []

        def find(db: sqlite3.Connection) -> None:
            rows = db.execute(
                "SELECT identity FROM episodes WHERE told AND (reason IS NULL OR reason = 'lost')"
            )
            identities.extend(row[0] for row in rows)

        if self._file.is_file():
            self._attempt(find)
        return identities

    def mark_lost(self, still_open: Iterable[str]) -> None:
        """Mark episodes as lost that are open here and not in the daemon: it will never see their end."""
        known = {text_of(identity) for identity in still_open}

        def mark(db: sqlite3.Connection) -> None:
            rows = db.execute("SELECT identity FROM episodes WHERE reason IS NULL").fetchall()
            lost = [row for row in rows if row[0] not in known]
            db.executemany("UPDATE episodes SET reason = 'lost' WHERE identity = ?", lost)

        if self._file.is_file():
            self._attempt(mark)

    def close(self) -> None:
        """Write what still waits, as far as that is possible, and close the file."""
        self._retry_at = -math.inf
        self.catch_up()
        self._disconnect()

    def _attempt(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        """Run one transaction; return whether it succeeded. A failure is counted, an outage logged once."""
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
            if not self._is_failing:
                self._is_failing = True
                log.error(
                    "alert history not kept file=%s error=%s; notifications are sent all the same",
                    self._file,
                    error,
                )
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
        rows = [
            row_of(waiting.alert, notified=waiting.notified, muted=waiting.muted, now=now)
            for waiting in self._waiting
        ]
        db.executemany(_UPSERT, rows)
        insert_actions(db, self._waiting_actions)
        notified = [(text_of(waiting.alert.identity),) for waiting in self._waiting if waiting.notified]
        db.executemany("UPDATE episodes SET told = 1 WHERE identity = ?", notified)
        if self._clock.monotonic() - self._swept_at >= _SWEEP_SECONDS:
            self._sweep(db, now)

    def _sweep(self, db: sqlite3.Connection, now: float) -> None:
        """Delete episodes that are over by the retention."""
        self._swept_at = self._clock.monotonic()
        db.execute(
            "DELETE FROM episodes WHERE reason IS NOT NULL AND kept_at < ?", (now - self._keep_seconds,)
        )
        delete_actions(db, before=now - self._keep_seconds)
        (n_kept,) = db.execute("SELECT count(*) FROM episodes").fetchone()
        if n_kept > self._max_episodes:
            db.execute(_DELETE_OLDEST, (n_kept - self._max_episodes,))

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        self._disconnect()
        damaged = self._file.with_name(f"{self._file.name}.damaged")
        for suffix in _SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self._file}{suffix}", f"{damaged}{suffix}")
        log.error(
            "alert history set aside file=%s as=%s error=%s; a new one begins", self._file, damaged, error
        )

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # it failed already
                self._connection.close()
            self._connection = None


def read_episodes(
    file: Path, *, watch: str = "", since_ms: int | None = None, newest: int | None = None
) -> list[StoredEpisode]:
    """Read episodes by the time of their opening, oldest first, also while a daemon writes.

    Parameters
    ----------
    since_ms : int, optional
        Only those that were still open at this event time, or opened later.
    newest : int, optional
        Only so many of the newest.

    Raises
    ------
    HistoryError
        If there is no alert history, or it cannot be read.
    """
    limit = -1 if newest is None else newest  # SQLite: a negative limit is none
    chosen = {"watch": watch, "since_ms": since_ms, "newest": limit}
    rows = _read(file, lambda db: db.execute(_SELECT, chosen).fetchall())
    return [stored_episode(row) for row in reversed(rows)]


def read_actions(file: Path) -> list[OperatorAction]:
    """Read what became of operators' requests, oldest first, also while a daemon writes.

    Raises
    ------
    HistoryError
        If there is no alert history, or it cannot be read.
    """
    return _read(file, select_actions)


def _read(file: Path, work: Callable[[sqlite3.Connection], list[_T]]) -> list[_T]:
    if not file.is_file():
        raise HistoryError(
            f"{file}: no alert history yet; a daemon writes it with its first episode, into its data_dir"
        )
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            _check_format(db)
            return work(db)
    except sqlite3.Error as error:
        raise HistoryError(f"{file}: the alert history cannot be read: {error}") from error


def _connect(file: Path) -> sqlite3.Connection:
    # One thread builds the daemon, another may run it.
    db = sqlite3.connect(file, timeout=_LOCK_SECONDS, check_same_thread=False)
    try:
        (n_tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if n_tables:
            _check_format(db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # also after a power cut it is known what was notified
        columns = {row[1] for row in db.execute("PRAGMA table_info(episodes)")}
        if n_tables:
            with db:
                for column in _ADDED_COLUMNS.keys() - columns:
                    db.execute(_ADDED_COLUMNS[column])
                db.execute(ACTIONS_TABLE)
        if not n_tables:
            with db:
                db.execute(_TABLE)
                db.execute(ACTIONS_TABLE)
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
