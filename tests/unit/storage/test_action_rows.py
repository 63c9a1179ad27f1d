"""What operators did, as rows."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from monitor.alerting.mutes import OperatorAction, OperatorRequest
from monitor.storage.action_rows import ACTIONS_TABLE, delete_actions, insert_actions, select_actions

MUTE = OperatorRequest(
    id="a", kind="mute", watch="w", entity="web1", who="anna", why="disk", asked_at=990.0, until=1060.0
)
ACCEPT = replace(MUTE, id="b", kind="accept", episode="w/web1/5", until=None, asked_at=980.0)
DONE = [OperatorAction(ACCEPT, False, "this episode is not open"), OperatorAction(MUTE, True, "muted")]


@pytest.fixture
def db():
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


def test_actions_come_back_as_they_were_oldest_first(db):
    db.execute(ACTIONS_TABLE)

    insert_actions(db, DONE[::-1])

    assert select_actions(db) == DONE


def test_what_was_stored_first_stays_when_a_request_is_taken_again(db):
    db.execute(ACTIONS_TABLE)

    insert_actions(db, DONE)
    insert_actions(db, [OperatorAction(MUTE, False, "this time has passed")])

    assert select_actions(db) == DONE


def test_old_actions_go_and_a_mute_that_lasts_stays(db):
    db.execute(ACTIONS_TABLE)
    insert_actions(db, DONE)

    delete_actions(db, before=1000.0)

    assert [action.request.id for action in select_actions(db)] == ["a"]


def test_a_file_of_an_earlier_version_has_no_actions(db):
    assert select_actions(db) == []
