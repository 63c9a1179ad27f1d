"""What operators asked for and what became of it, as rows of the alert history."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import asdict

from monitor.alerting.mutes import OperatorAction, OperatorRequest
from monitor.storage.episode_rows import text_of

__all__ = ["ACTIONS_TABLE", "delete_actions", "insert_actions", "select_actions"]

ACTIONS_TABLE = """
CREATE TABLE IF NOT EXISTS operator_actions (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, watch TEXT NOT NULL, entity TEXT NOT NULL,
    who TEXT NOT NULL, why TEXT NOT NULL, asked_at REAL NOT NULL, episode TEXT NOT NULL, until REAL,
    done INTEGER NOT NULL, result TEXT NOT NULL
)
"""
# A request that is taken again after a crash was done before: what was stored first stays.
_INSERT = """
INSERT OR IGNORE INTO operator_actions (
    id, kind, watch, entity, who, why, asked_at, episode, until, done, result
) VALUES (
    :id, :kind, :watch, :entity, :who, :why, :asked_at, :episode, :until, :done, :result
)
"""
_SELECT = """
SELECT id, kind, watch, entity, who, why, asked_at, episode, until, done, result
FROM operator_actions ORDER BY asked_at, id
"""


def insert_actions(db: sqlite3.Connection, actions: Iterable[OperatorAction]) -> None:
    """Write actions; those that are there already stay as they are."""
    rows = []
    for action in actions:
        row = asdict(action.request) | {"done": action.done, "result": action.result}
        texts = {name: text_of(value) for name, value in row.items() if isinstance(value, str)}
        rows.append(row | texts)
    db.executemany(_INSERT, rows)


def delete_actions(db: sqlite3.Connection, *, before: float) -> None:
    """Delete what was asked before a time, but not the mutes that end later."""
    db.execute("DELETE FROM operator_actions WHERE asked_at < ? AND coalesce(until, 0) < ?", (before, before))


def select_actions(db: sqlite3.Connection) -> list[OperatorAction]:
    """Read all actions, oldest first; a file of an earlier version has none."""
    is_there = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'operator_actions'").fetchone()
    if is_there is None:
        return []
    return [
        OperatorAction(
            OperatorRequest(
                id=row[0],
                kind=row[1],
                watch=row[2],
                entity=row[3],
                who=row[4],
                why=row[5],
                asked_at=row[6],
                episode=row[7],
                until=row[8],
            ),
            done=bool(row[9]),
            result=row[10],
        )
        for row in db.execute(_SELECT)
    ]
