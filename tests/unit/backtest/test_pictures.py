from types import SimpleNamespace

import numpy as np

from monitor.backtest.pictures import PictureProbe
from monitor.detection.scored_step import ScoredStep


def step(time_ms, score, actual=1.0):
    n = len(score)
    return ScoredStep(
        time_ms,
        reason=np.zeros(n, np.int8),
        surprise=np.array(score),
        score=np.array(score),
        channel_error=np.zeros((n, 1)),
        elevated_since_ms=np.zeros((n, 1), np.int64),
        actual=np.full((n, 1), actual),
        expected=np.full((n, 1), 1.0),
    )


def run(scores, n_worst=5, window_length=2):
    """Let a probe see the scores (T, n); an episode is open while a score is 1 or more."""
    probe = PictureProbe(n_worst, window_length)
    opened = np.zeros(scores.shape[1], np.int64)
    entities = SimpleNamespace(entities=[f"e{row}" for row in range(scores.shape[1])], channels=["c"])
    for number, score in enumerate(scores):
        is_open = score >= 1
        before = scores[number - 1] >= 1 if number else np.zeros_like(is_open)
        opened = np.where(is_open & ~before, number, opened)
        watch = SimpleNamespace(book=SimpleNamespace(is_open=is_open, opened_ms=opened), entities=entities)
        probe.observe(step(number, score.tolist()), watch)
    return probe.finish(watch)


def test_a_picture_begins_before_its_episode_and_ends_after_it():
    scores = np.zeros((40, 1))
    scores[20:23, 0] = [2, 5, 3]

    (picture,) = run(scores)

    assert (picture.entity, picture.opened_ms, picture.peak) == ("e0", 20, 5.0)
    assert picture.time_ms.tolist() == list(range(14, 29))  # three windows of two steps around it
    assert picture.actual.shape == picture.expected.shape == (15, 1)


def test_only_the_worst_episodes_are_held_the_worst_first():
    scores = np.zeros((60, 3))
    for row, height in enumerate((2, 9, 4)):
        scores[10 + 10 * row, row] = height

    assert [picture.peak for picture in run(scores, n_worst=2)] == [9.0, 4.0]


def test_a_long_episode_takes_bounded_memory_and_does_not_lose_its_peak():
    scores = np.full((10_000, 1), 1.5)
    scores[7_777, 0] = 50.0

    (picture,) = run(scores)

    assert len(picture.time_ms) <= 1201
    assert picture.peak == 50.0
    assert picture.time_ms[-1] > 9_900


def test_an_episode_without_a_judged_score_has_no_height():
    scores = np.zeros((10, 1))
    scores[5:, 0] = 1.0
    (picture,) = run(scores)

    picture.score[:] = np.nan

    assert picture.peak == 0.0
