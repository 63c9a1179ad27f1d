"""The alert history: every episode, notified or withheld, in one SQLite file that others may read meanwhile.

An episode is one row, known by its identity; writing it again changes nothing. Rows are on the disk when
`record` returns (WAL, synced). A file that cannot be written delays no notification: episodes wait in
memory, a bounded number of them, for the next attempt. A file that is damaged, or of another format, is set
aside and a new one begun.
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

from monitor.alerting.alert import Alert, ChannelShare, EpisodeProgress, LevelChange
from monitor.clock import Clock
from monitor.errors import HistoryError

__all__ = ["FORMAT_VERSION", "AlertHistory", "LatestValues", "StoredEpisode", "read_episodes"]

log = logging.getLogger(__name__)

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
    levels TEXT NOT NULL DEFAULT '[]', latest TEXT
)
"""
_ADDED_COLUMNS = {  # a file of an earlier version lacks them
    "levels": "ALTER TABLE episodes ADD COLUMN levels TEXT NOT NULL DEFAULT '[]'",
    "latest": "ALTER TABLE episodes ADD COLUMN latest TEXT",
}
# An opening that is delivered again after its end changes nothing, nor does an earlier revision.
_UPSERT = """
INSERT INTO episodes (
    identity, watch, entity, since_ms, opened_ms, resolved_ms, reason, score, surprise_limit,
    provisional, revision, channels, told, kept_at, levels
) VALUES (
    :identity, :watch, :entity, :since_ms, :opened_ms, :resolved_ms, :reason, :score, :surprise_limit,
    :provisional, :revision, :channels, :told, :kept_at, :levels
)
ON CONFLICT (identity) DO UPDATE SET
    since_ms = excluded.since_ms, resolved_ms = excluded.resolved_ms, reason = excluded.reason,
    score = excluded.score, surprise_limit = excluded.surprise_limit, provisional = excluded.provisional,
    revision = excluded.revision, channels = excluded.channels, kept_at = excluded.kept_at,
    levels = excluded.levels, latest = NULL
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
SELECT * FROM episodes
WHERE (:watch = '' OR watch = :watch)
  AND (:since_ms IS NULL OR reason IS NULL OR coalesce(resolved_ms, opened_ms) >= :since_ms)
ORDER BY opened_ms DESC, identity DESC LIMIT :newest
"""


@dataclass(frozen=True, slots=True)
class LatestValues:
    """What an open episode shows at event time `time_ms`: None where it is not judged, or has no value."""

    time_ms: int
    score: float | None
    actual: Mapping[str, float | None]  # of the channels that the episode names


@dataclass(frozen=True, slots=True)
class StoredEpisode:
    """One row; times are event time in ms.

    `score` is the highest so far, `channels` are those of that score. `latest` is there while it is open,
    some seconds old. `reason` is None while the episode is open, `lost` where a daemon without its state
    never saw the end.
    `levels` are those that it ended with, where it ended as level changed. `notified`: it went to the
    outlets; else it is withheld: it was too old when it was detected.
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
    levels: tuple[LevelChange, ...] = ()
    latest: LatestValues | None = None

    def to_json(self) -> str:
        """Write it as a line of JSON, an unknown value as null. `told`: the name of `notified` before 0.2."""
        fields = asdict(self) | {"told": self.notified}
        for channel in fields["channels"]:
            for key in ("actual", "expected"):
                if math.isnan(channel[key]):
                    channel[key] = None
        return json.dumps(fields)


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
        self._waiting: list[tuple[Alert, bool]] = []  # to be written, and whether outlets are notified
        self._swept_at = -math.inf
        self._progress_at = -math.inf
        self._retry_at = -math.inf
        self._is_failing = False

    def record(self, alerts: Sequence[Alert], notified: bool) -> None:
        """Store episodes as they open and resolve; what cannot be written waits.

        Parameters
        ----------
        notified : bool
            Whether outlets are notified of them; else they are withheld.
        """
        self._waiting += [(alert, notified) for alert in alerts]
        del self._waiting[:-_MAX_WAITING]
        self.catch_up()

    def catch_up(self) -> None:
        """Write what waits; after a failure, not before a pause."""
        if self._waiting and self._clock.monotonic() >= self._retry_at and self._attempt(self._write):
            self._waiting.clear()

    @property
    def wants_progress(self) -> bool:
        """Whether it is time to write how far open episodes are."""
        return self._clock.monotonic() - self._progress_at >= _PROGRESS_SECONDS

    def update_open(self, progress: Sequence[EpisodeProgress]) -> None:
        """Write how far open episodes are; what cannot be written is left out: it is written anew soon."""

        def update(db: sqlite3.Connection) -> None:
            db.executemany(_UPDATE_OPEN, [_progress_row(of_episode) for of_episode in progress])

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
        known = {_text(identity) for identity in still_open}

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
        db.executemany(_UPSERT, [_row(alert, notified, now) for alert, notified in self._waiting])
        notified = [(_text(alert.identity),) for alert, was_notified in self._waiting if was_notified]
        db.executemany("UPDATE episodes SET told = 1 WHERE identity = ?", notified)
        if self._clock.monotonic() - self._swept_at >= _SWEEP_SECONDS:
            self._sweep(db, now)

    def _sweep(self, db: sqlite3.Connection, now: float) -> None:
        """Delete episodes that are over by the retention."""
        self._swept_at = self._clock.monotonic()
        db.execute(
            "DELETE FROM episodes WHERE reason IS NOT NULL AND kept_at < ?", (now - self._keep_seconds,)
        )
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
    if not file.is_file():
        raise HistoryError(
            f"{file}: no alert history yet; a daemon writes it with its first episode, into its data_dir"
        )
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            _check_format(db)
            limit = -1 if newest is None else newest  # SQLite: a negative limit is none
            rows = db.execute(_SELECT, {"watch": watch, "since_ms": since_ms, "newest": limit}).fetchall()
    except sqlite3.Error as error:
        raise HistoryError(f"{file}: the alert history cannot be read: {error}") from error
    return [_stored_episode(row) for row in reversed(rows)]


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
        "levels": json.dumps([asdict(level) for level in alert.levels]),
    }


def _progress_row(progress: EpisodeProgress) -> dict[str, object]:
    alert = progress.alert
    latest = {
        "time_ms": progress.time_ms,
        "score": _known(progress.score),
        "actual": {channel: _known(value) for channel, value in progress.actual.items()},
    }
    return {
        "identity": _text(alert.identity),
        "revision": alert.revision,
        "score": alert.score,
        "channels": json.dumps([asdict(channel) for channel in alert.channels]),
        "latest": json.dumps(latest),
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _stored_episode(row: sqlite3.Row) -> StoredEpisode:
    columns = row.keys()
    levels = json.loads(row["levels"]) if "levels" in columns else []
    latest = json.loads(row["latest"]) if "latest" in columns and row["latest"] else None
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
        levels=tuple(LevelChange(**level) for level in levels),
        latest=None if latest is None else LatestValues(**latest),
    )


def _text(value: str) -> str:
    """Replace what SQLite cannot store: a lone surrogate, as names of files may hold."""
    return value.encode("utf-8", "replace").decode()
