"""The alert history: what is told is kept, whatever is done to its file."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from full_disk import full_disk

from monitor.alerting.alert import Alert, ChannelShare, EpisodeProgress, LevelChange
from monitor.alerting.mutes import OperatorAction, OperatorRequest
from monitor.errors import HistoryError
from monitor.storage.alert_history import AlertHistory, read_actions, read_episodes
from monitor.testing import FakeClock

ROOT = Path(__file__).parents[3]
NAN = float("nan")
OPENED = Alert(
    "w",
    "web1",
    1000,
    2000,
    1.5,
    3.0,
    True,
    (ChannelShare("load", 0.75, 5.0, NAN, 0), ChannelShare("rps", 0.25, 1.0, 2.0, 1500)),
)
RESOLVED = replace(OPENED, score=2.5, resolved_ms=9000, reason="recovered")
OTHER = replace(OPENED, watch="v", entity="db1", since_ms=20_000, opened_ms=21_000)


class Kept:
    """An alert history, its clock, and how often it has failed."""

    def __init__(self, file, *, keep_seconds=1000.0, max_episodes=100):
        self.file, self.clock, self.n_failures = file, FakeClock(5000.0), 0
        self.history = AlertHistory(
            file,
            keep_seconds=keep_seconds,
            max_episodes=max_episodes,
            clock=self.clock,
            on_failure=self._count,
        )

    def _count(self):
        self.n_failures += 1

    def all(self, **options):
        return read_episodes(self.file, **options)

    def facts(self):
        return [
            (one.entity, one.opened_ms, one.resolved_ms, one.reason, one.score, one.notified)
            for one in self.all()
        ]


@pytest.fixture
def kept(tmp_path):
    made = []

    def make(**options):
        made.append(Kept(tmp_path / "episodes.sqlite", **options))
        return made[-1]

    yield make
    for one in made:
        one.history.close()


def test_an_episode_comes_back_as_it_was_told(kept):
    one = kept()

    one.history.record([OPENED], True)

    (back,) = one.all()
    assert (back.identity, back.watch, back.entity, back.since_ms, back.opened_ms) == (
        "w/web1/2000",
        "w",
        "web1",
        1000,
        2000,
    )
    assert (back.score, back.limit, back.provisional, back.resolved_ms, back.reason, back.notified) == (
        1.5,
        3.0,
        True,
        None,
        None,
        True,
    )
    assert repr(back.channels) == repr(OPENED.channels)  # NaN is not equal to itself


def test_the_levels_of_an_end_come_back(kept):
    one = kept()
    levels = (LevelChange("load", 1.0, 5.0),)

    one.history.record([OPENED], True)
    one.history.record([replace(RESOLVED, reason="level changed", levels=levels)], True)

    (back,) = one.all()
    assert (back.reason, back.levels) == ("level changed", levels)
    assert json.loads(back.to_json())["levels"] == [{"channel": "load", "before": 1.0, "after": 5.0}]


def test_a_file_of_an_earlier_version_is_read_and_continued(kept):
    one = kept()
    one.history.record([OTHER], True)
    one.history.close()
    with sqlite3.connect(one.file) as db:
        for column in ("levels", "latest", "muted", "note"):
            db.execute(f"ALTER TABLE episodes DROP COLUMN {column}")
        db.execute("DROP TABLE operator_actions")
    db.close()
    before = [episode.levels for episode in one.all()]
    actions = read_actions(one.file)
    other = kept()

    other.history.record([replace(RESOLVED, levels=(LevelChange("load", 1.0, 5.0),))], True)

    assert (before, actions) == ([()], [])
    assert [len(episode.levels) for episode in other.all()] == [1, 0]
    assert other.n_failures == 0


def test_an_open_episode_shows_its_highest_score_and_its_newest_values(kept):
    history = kept()
    history.history.record([OPENED, RESOLVED, OTHER], True)
    peak = replace(OTHER, score=9.5, channels=OTHER.channels[:1])
    ended = EpisodeProgress(replace(OPENED, score=7.0), 60_000, 7.0, {})

    history.history.update_open([EpisodeProgress(peak, 60_000, NAN, {"load": 4.0, "rps": NAN}), ended])

    over, still_open = history.all()
    assert (over.score, over.latest) == (2.5, None)
    assert (still_open.score, [share.channel for share in still_open.channels]) == (9.5, ["load"])
    assert (still_open.latest.time_ms, still_open.latest.score) == (60_000, None)
    assert still_open.latest.actual == {"load": 4.0, "rps": None}
    assert json.loads(still_open.to_json())["latest"]["actual"] == {"load": 4.0, "rps": None}


def test_the_newest_values_go_with_the_episodes_end(kept):
    history = kept()
    history.history.record([OPENED], True)
    history.history.update_open([EpisodeProgress(OPENED, 3000, 1.2, {"load": 4.0})])
    history.history.record([RESOLVED], True)

    (over,) = history.all()
    assert (over.reason, over.latest) == ("recovered", None)


def test_what_is_open_is_written_every_ten_seconds_and_not_while_the_file_fails(kept):
    history = kept()
    history.history.record([OPENED], True)
    wanted = [history.history.wants_progress]
    history.history.update_open([])
    wanted.append(history.history.wants_progress)
    history.clock.advance(10.0)
    wanted.append(history.history.wants_progress)

    with full_disk(os.path.getsize(f"{history.file}-wal")):
        history.history.record([OTHER], True)
        n_failures = history.n_failures
        history.history.update_open([EpisodeProgress(OPENED, 3000, 1.2, {})])

    assert wanted == [True, False, True]
    assert history.n_failures == n_failures  # nothing was tried


def test_an_end_completes_its_opening(kept):
    one = kept()

    one.history.record([OPENED], True)
    one.history.record([RESOLVED], True)

    assert one.facts() == [("web1", 2000, 9000, "recovered", 2.5, True)]


@pytest.mark.parametrize("again", [[OPENED], [RESOLVED], [OPENED, RESOLVED], [RESOLVED, OPENED]])
def test_what_is_delivered_twice_changes_nothing(kept, again):
    one = kept()
    one.history.record([OPENED, RESOLVED], True)
    before = repr(one.all())

    one.history.record(again, True)

    assert repr(one.all()) == before


def test_what_late_data_corrects_stands_as_corrected_whatever_is_delivered_again(kept):
    one = kept()
    amended = replace(OPENED, score=4.0, revision=1, amends=True)
    retracted = replace(OPENED, resolved_ms=9500, reason="retracted", revision=2)

    one.history.record([OPENED, amended], True)
    one.history.record([OPENED], True)
    (as_amended,) = one.all()
    one.history.record([retracted, amended], True)
    (as_retracted,) = one.all()

    assert (as_amended.score, as_amended.revision, as_amended.reason) == (4.0, 1, None)
    assert (as_retracted.resolved_ms, as_retracted.revision, as_retracted.reason) == (9500, 2, "retracted")


def test_what_was_held_back_is_told_later_and_stays_told(kept):
    one = kept()

    one.history.record([OPENED], False)
    held = one.facts()
    one.history.record([OPENED], True)
    one.history.record([RESOLVED], False)

    assert held == [("web1", 2000, None, None, 1.5, False)]
    assert one.facts() == [("web1", 2000, 9000, "recovered", 2.5, True)]


def test_what_is_recorded_outlives_sigkill(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.unit.storage.test_alert_history import Kept, OPENED, RESOLVED\n"
        "kept = Kept(Path(sys.argv[1]))\n"
        "kept.history.record([OPENED], True); kept.history.record([RESOLVED], True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "episodes.sqlite"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")},
        timeout=60,
        check=False,
    )

    assert ended.returncode == -signal.SIGKILL
    assert Kept(tmp_path / "episodes.sqlite").facts() == [("web1", 2000, 9000, "recovered", 2.5, True)]


def test_it_is_read_while_it_is_written(kept):
    one = kept()
    one.history.record([OPENED], True)
    reader = sqlite3.connect(f"file:{one.file}?mode=ro", uri=True)
    reader.execute("BEGIN")
    seen = reader.execute("SELECT count(*) FROM episodes").fetchone()  # and its transaction stays open

    one.history.record([OTHER], True)

    assert (seen, one.n_failures) == ((1,), 0)
    assert len(one.all()) == 2
    reader.close()


def test_episodes_are_found_by_watch_and_time_the_newest_last(kept):
    one = kept()
    one.history.record([OTHER, RESOLVED], True)

    assert [found.entity for found in one.all()] == ["web1", "db1"]
    assert [found.entity for found in one.all(watch="v")] == ["db1"]
    assert [found.entity for found in one.all(newest=1)] == ["db1"]
    assert [found.entity for found in one.all(since_ms=9000)] == ["web1", "db1"]  # it ended then
    assert [found.entity for found in one.all(since_ms=9001)] == ["db1"]
    assert [found.entity for found in one.all(since_ms=99_000)] == ["db1"]  # it is still open


# What is kept, and for how long


def test_what_is_over_goes_by_age_and_what_is_open_stays(kept):
    one = kept(keep_seconds=1000.0)
    one.history.record([RESOLVED, OTHER], True)

    one.clock.advance(1001.0)
    one.history.record([replace(OTHER, entity="db2")], True)

    assert sorted(found.entity for found in one.all()) == ["db1", "db2"]


def test_beyond_their_number_the_oldest_go(kept):
    one = kept(max_episodes=3)
    for number in range(5):
        one.history.record([replace(RESOLVED, entity=f"web{number}")], True)
        one.clock.advance(61.0)  # it looks once a minute

    one.history.record([replace(RESOLVED, entity="web5")], True)

    assert sorted(found.entity for found in one.all()) == ["web3", "web4", "web5"]


def test_what_a_daemon_forgot_is_marked_as_lost_until_it_comes_again(kept):
    one = kept()
    one.history.record([OPENED, OTHER, replace(RESOLVED, entity="web9")], True)

    one.history.mark_lost(["v/db1/21000"])

    reasons = {found.entity: found.reason for found in one.all()}
    assert reasons == {"web1": "lost", "db1": None, "web9": "recovered"}
    one.history.record([OPENED], True)  # it is found again, behind an older checkpoint
    assert {found.entity: found.reason for found in one.all()}["web1"] is None


# Faults


def test_a_full_disk_is_counted_told_once_and_made_up_for(kept, caplog):
    one = kept()
    one.history.record([OPENED], True)

    with full_disk(0):
        for _ in range(3):
            one.history.record([OTHER], True)
            one.clock.advance(11.0)
    one.history.catch_up()

    assert one.n_failures == 3
    assert [line for line in caplog.messages if "alert history not kept" in line] == [caplog.messages[0]]
    assert caplog.records[0].levelname == "ERROR"
    assert len(one.all()) == 2


def test_behind_a_failure_it_waits_before_it_tries_again(kept):
    one = kept()
    one.history.record([OPENED], True)
    locking = sqlite3.connect(one.file)
    locking.execute("BEGIN IMMEDIATE")

    one.history.record([OTHER], True)
    one.history.record([replace(OTHER, entity="db2")], True)
    one.history.catch_up()

    assert one.n_failures == 1  # another program writes, and holds up the loop once
    locking.rollback()
    locking.close()
    one.clock.advance(10.0)
    one.history.catch_up()
    assert (one.n_failures, len(one.all())) == (1, 3)


def another_format(file):
    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 99")
    db.close()


def another_program(file):
    file.unlink()
    db = sqlite3.connect(file)
    db.execute("CREATE TABLE episodes (title TEXT)")
    db.commit()
    db.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b"no database at all" * 1000),
        lambda file: file.write_bytes(file.read_bytes()[:5000]),
        lambda file: file.write_bytes(file.read_bytes()[:100] + os.urandom(8000)),
        another_format,
        another_program,
    ],
    ids=["no database", "cut off", "overwritten", "another format", "another program's"],
)
def test_a_file_that_is_damaged_is_set_aside_and_a_new_one_begun(kept, damage, caplog):
    before = kept()
    before.history.record([OPENED], True)
    before.history.close()
    damage(before.file)
    damaged = before.file.read_bytes()

    one = kept()
    one.history.mark_lost([])
    one.history.record([OTHER], True)

    assert one.n_failures == 1
    assert [found.entity for found in one.all()] == ["db1"]
    assert one.file.with_name("episodes.sqlite.damaged").read_bytes() == damaged
    assert "alert history set aside" in caplog.text


def test_a_folder_in_its_place_costs_nothing_but_the_history(kept, caplog):
    one = kept()
    one.file.mkdir()

    one.history.record([OPENED], True)

    assert one.n_failures == 1
    assert "unable to open database file; notifications are sent all the same" in caplog.text


def test_a_name_that_is_no_text_is_kept_readable(kept):
    one = kept()

    one.history.record([replace(OPENED, entity="web\udcff1")], True)

    assert (one.n_failures, [found.entity for found in one.all()]) == (0, ["web?1"])


def test_reading_where_nothing_is_says_so(tmp_path):
    with pytest.raises(HistoryError, match="no alert history yet; a daemon writes it with its first episode"):
        read_episodes(tmp_path / "episodes.sqlite")


def test_reading_what_is_no_history_is_one_line(tmp_path):
    (tmp_path / "episodes.sqlite").write_bytes(b"no database at all" * 1000)

    with pytest.raises(HistoryError, match="the alert history cannot be read: file is not a database"):
        read_episodes(tmp_path / "episodes.sqlite")


def test_as_json_what_is_unknown_is_null(kept):
    one = kept()
    one.history.record([OPENED], True)

    (line,) = (found.to_json() for found in one.all())

    assert json.loads(line)["channels"][0] == {
        "channel": "load",
        "share": 0.75,
        "actual": 5.0,
        "expected": None,
        "since_ms": 0,
        "at_ms": 0,
        "of_season": False,
    }


# Operators

MUTE = OperatorRequest(
    id="a", kind="mute", watch="w", entity="web1", who="anna", why="disk", asked_at=4990.0, until=1e6
)
ACCEPT = replace(MUTE, id="b", kind="accept", until=None, asked_at=4000.0)


def test_what_operators_did_is_kept_and_an_earlier_runs_mutes_are_found(kept):
    one = kept()
    refused = OperatorAction(replace(MUTE, id="c", asked_at=4995.0), False, "this time has passed")
    actions = [OperatorAction(ACCEPT, True, "ended"), OperatorAction(MUTE, True, "muted"), refused]

    before = kept().history.mutes()
    for action in actions:
        one.history.record_action(action)

    assert before == []
    assert read_actions(one.file) == actions
    assert kept().history.mutes() == [MUTE]


def test_an_episode_that_was_muted_once_stays_marked_and_a_note_comes_back(kept):
    one = kept()
    one.history.record([OPENED], True)
    one.history.record([OPENED], False, muted=True)
    one.history.record([replace(RESOLVED, reason="accepted by operator", note="anna: release")], True)

    (episode,) = one.all()
    assert (episode.muted, episode.notified, episode.note) == (True, True, "anna: release")
    assert episode.number == 1


def test_an_action_that_cannot_be_written_waits(kept):
    one = kept()
    one.history.record([OPENED], True)

    with full_disk(os.path.getsize(f"{one.file}-wal")):
        one.history.record_action(OperatorAction(MUTE, True, "muted"))
        waited = one.history.has_waiting
    one.clock.advance(11.0)
    one.history.catch_up()

    assert (waited, one.history.has_waiting) == (True, False)
    assert [action.request.id for action in read_actions(one.file)] == ["a"]


def test_old_actions_go_with_the_retention(kept):
    one = kept(keep_seconds=500.0)
    one.history.record_action(OperatorAction(ACCEPT, True, "ended"))
    one.clock.advance(61.0)
    one.history.record_action(OperatorAction(MUTE, True, "muted"))

    assert [action.request.id for action in read_actions(one.file)] == ["a"]
