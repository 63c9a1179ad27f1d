"""The newest steps scored a second time, with windows of 8 steps."""

import numpy as np
from scoring import STEP_MS, assert_bit_equal, noise, run, scorer

from monitor.detection.rescorer import Rescorer
from monitor.detection.steps import ClosedSteps, Reclosed


def with_snapshots(judge, values, *, first_step=0):
    """Score steps; give them, and the snapshot of each."""
    scored = run(judge, values, first_step=first_step)
    return scored, [step.snapshot for step in scored if step.snapshot is not None]


def second_time(judge, rows, snapshots, values):
    """Judge the newest steps again."""
    first_step = len(values) - len(snapshots)
    judge_again = Rescorer(judge, np.array(rows), snapshots)
    return list(judge_again.score(ClosedSteps(first_step, STEP_MS, values[first_step:][:, rows])))


def test_what_is_judged_again_unchanged_has_the_very_same_scores_whatever_was_learned_since():
    judge, values = scorer(3, revision_steps=1), noise(190, 3, seed=5)
    values[170:175, 1] += 6.0
    values[150:153, 2] = np.nan
    scored, snapshots = with_snapshots(judge, values)

    # The neighbours' memory was thinned out at step 128 and will be at 256.
    again = second_time(judge, [1, 2], snapshots[-45:], values)

    assert_bit_equal(again, [step.take(np.array([1, 2])) for step in scored[-45:]])


def test_what_came_late_is_judged_as_if_it_had_come_in_time_given_the_same_tails_and_memories():
    def judged(values, learns_until):
        judge = scorer(revision_steps=1)
        first, snapshots = with_snapshots(judge, values[:learns_until])
        judge.learn = lambda step, frozen: None
        then, more = with_snapshots(judge, values[learns_until:], first_step=learns_until)
        return judge, first + then, snapshots + more

    in_time = noise(150, seed=7)
    in_time[142] = 60.0
    in_time[145, 0, 1] = np.nan
    late = in_time.copy()
    late[142], late[144] = 50.0, np.nan
    judge, _, snapshots = judged(late, 140)

    first_changed, rows = judge.patch(Reclosed(140, np.array([0]), in_time[140:], 2), n_rows=1, n_channels=2)
    again = second_time(judge, [0], snapshots[-8:], in_time)

    other, expected, _ = judged(in_time, 140)
    assert (first_changed, rows.tolist()) == (142, [0])
    assert_bit_equal(again, expected[-8:])
    for name in ("recent", "n_seen", "last_seen"):
        np.testing.assert_array_equal(judge.state()[name], other.state()[name], err_msg=name)


def test_nothing_is_learned_by_judging_again():
    judge, values = scorer(2, revision_steps=1), noise(150, 2, seed=6)
    _, snapshots = with_snapshots(judge, values)
    before = {name: array.copy() for name, array in judge.state().items()}

    second_time(judge, [0, 1], snapshots[-10:], values + 5.0)

    for name, array in judge.state().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
