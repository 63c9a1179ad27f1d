"""Alerts as rows of the alert history."""

from __future__ import annotations

import sqlite3

from monitor.alerting.alert import Alert, ChannelShare
from monitor.storage.episode_rows import row_of, stored_episode, text_of

ALERT = Alert(
    "w", "web1", 1000, 2000, 1.5, 3.0, True, (ChannelShare("load", 1.0, 5.0, 2.0, 0),), note="anna: release"
)


def test_a_row_holds_what_an_alert_says_and_comes_back_so():
    row = row_of(ALERT, notified=False, muted=True, now=7.0)
    db = sqlite3.connect(":memory:")
    db.row_factory = sqlite3.Row
    columns = ", ".join(f":{name} AS {name}" for name in row)
    (found,) = db.execute(f"SELECT 17 AS number, {columns}", row)
    episode = stored_episode(found)
    db.close()

    assert (episode.identity, episode.number, episode.note) == ("w/web1/2000", 17, "anna: release")
    assert (episode.notified, episode.muted, episode.channels) == (False, True, ALERT.channels)


def test_a_row_of_an_earlier_version_lacks_what_is_new():
    row = row_of(ALERT, notified=True, muted=True, now=7.0)
    db = sqlite3.connect(":memory:")
    db.row_factory = sqlite3.Row
    old = {name: value for name, value in row.items() if name not in ("levels", "muted", "note")}
    columns = ", ".join(f":{name} AS {name}" for name in old)
    (found,) = db.execute(f"SELECT 1 AS number, {columns}", old)
    episode = stored_episode(found)
    db.close()

    assert (episode.levels, episode.latest, episode.muted, episode.note) == ((), None, False, "")


def test_a_lone_surrogate_is_replaced():
    assert text_of("web\udcff") == "web?"
