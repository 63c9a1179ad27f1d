"""What the newest steps were judged by: kept, replaced, numbered anew, stored and loaded."""

import numpy as np

from monitor.alerting.alert import Alert
from monitor.detection.snapshots import Snapshot, Snapshots


def episode(opened_ms, resolved_ms=None, **more):
    fields = {
        "watch": "w",
        "entity": "web1",
        "since_ms": opened_ms,
        "score": 2.0,
        "limit": 3.0,
        "provisional": False,
    }
    reason = None if resolved_ms is None else "recovered"
    return Alert(
        **{
            **fields,
            "opened_ms": opened_ms,
            "channels": (),
            "resolved_ms": resolved_ms,
            "reason": reason,
            **more,
        }
    )


def snapshot(time_ms, n_rows, open_alerts=None):
    return Snapshot(
        time_ms,
        {"limits": np.arange(n_rows) + time_ms},
        {"phase": np.zeros(n_rows, np.int8)},
        open_alerts or {},
    )


def test_snapshots_come_back_as_they_were_stored():
    snapshots = Snapshots(3)
    for number in range(5):
        snapshots.append(snapshot(number * 1000, 1 + number % 2, {0: episode(100)}))
    snapshots.ended(episode(2000, 3000))

    other = Snapshots(3)
    other.load(snapshots.state(), snapshots.about())

    assert len(other) == 3
    for was, now in zip(snapshots.newest(3), other.newest(3), strict=True):
        assert (now.time_ms, now.open_alerts) == (was.time_ms, was.open_alerts)
        np.testing.assert_array_equal(now.scorer["limits"][: len(was.scorer["limits"])], was.scorer["limits"])
    assert other.over == [episode(2000, 3000)]


def test_an_alert_that_has_ended_is_dropped_when_no_step_of_it_can_be_judged_again():
    snapshots = Snapshots(2)
    snapshots.append(snapshot(1000, 1, {0: episode(500)}))
    snapshots.ended(episode(500, 1000))
    snapshots.append(snapshot(2000, 1))
    snapshots.append(snapshot(3000, 1))

    snapshots.ended(episode(2500, 3000))

    assert snapshots.over == [episode(2500, 3000)]


def test_the_rows_that_stay_are_numbered_anew():
    snapshots = Snapshots(2)
    snapshots.append(snapshot(1000, 2, {1: episode(100)}))
    snapshots.append(snapshot(2000, 4, {1: episode(100), 3: episode(200)}))

    snapshots.keep_rows(np.array([1, 3]))

    first, second = snapshots.newest(2)
    assert (first.scorer["limits"].tolist(), second.scorer["limits"].tolist()) == ([1001], [2001, 2003])
    assert (first.open_alerts, second.open_alerts) == ({0: episode(100)}, {0: episode(100), 1: episode(200)})


def test_only_the_newest_snapshots_are_held():
    snapshots = Snapshots(2)
    for number in range(4):
        snapshots.append(snapshot(number, 1))

    assert [held.time_ms for held in snapshots.newest(5)] == [2, 3]
    assert [held.time_ms for held in snapshots.newest(1)] == [3]


def test_ended_alerts_are_replaced_by_their_identity():
    snapshots = Snapshots(2)
    for opened_ms in (100, 200):
        snapshots.ended(episode(opened_ms, 300))

    snapshots.replace_over({episode(100).identity}, [episode(100, 400)])

    assert snapshots.over == [episode(200, 300), episode(100, 400)]


def test_some_rows_of_a_snapshot_are_replaced_with_or_without_their_episodes():
    snapshots = Snapshots(2)
    snapshots.append(snapshot(1000, 3, {0: episode(100), 2: episode(200)}))
    corrected = Snapshot(
        0, {"limits": np.array([7, 8])}, {"phase": np.array([1, 2], np.int8)}, {0: episode(300)}
    )

    snapshots.replace_rows(1, np.array([0, 2]), corrected, with_episodes=np.array([True, False]))

    (changed,) = snapshots.newest(1)
    assert (changed.time_ms, changed.scorer["limits"].tolist()) == (1000, [7, 1001, 8])
    assert changed.book["phase"].tolist() == [1, 0, 0]
    assert changed.open_alerts == {2: episode(200), 0: episode(300)}
