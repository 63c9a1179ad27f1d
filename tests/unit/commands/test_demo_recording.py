from __future__ import annotations

import pytest

from monitor.commands.demo_recording import Episode, Fault, judge_episodes, load_recording
from monitor.errors import MonitorError

FAULT = Fault("cpu_hog", 100_000, 150_000)


def judged(*episodes, faults=(FAULT,)):
    return judge_episodes(faults, [Episode("web1", opened, resolved) for opened, resolved in episodes])


@pytest.mark.parametrize(
    ("opened_ms", "caught", "active"),
    [
        (99_999, False, False),
        (100_000, True, True),
        (150_000, True, True),
        (150_001, True, False),
        (210_000, True, False),
    ],
)
def test_a_fault_is_caught_by_an_episode_that_opens_between_its_start_and_60_s_after_its_end(
    opened_ms, caught, active
):
    outcome = judged((opened_ms, 220_000))

    assert (outcome.opened_ms[0] is not None, bool(outcome.n_caught_while_active)) == (caught, active)


def test_an_episode_beyond_the_span_is_false():
    assert len(judged((210_001, 220_000)).false_episodes) == 1


def test_an_episode_that_was_open_before_catches_nothing_but_is_not_false():
    outcome = judged((90_000, 120_000))

    assert outcome.opened_ms == (None,)
    assert outcome.false_episodes == ()


def test_an_episode_that_never_resolved_lasts():
    assert judged((90_000, None)).false_episodes == ()


def test_the_first_of_two_episodes_counts_and_the_second_is_not_false():
    outcome = judged((110_000, 120_000), (105_000, 108_000))

    assert outcome.delays_seconds == [5.0]
    assert outcome.false_episodes == ()


def test_an_episode_counts_for_one_fault():
    later = Fault("fork_burst", 200_000, 250_000)

    outcome = judged((205_000, 300_000), faults=(FAULT, later))

    assert sum(opened is not None for opened in outcome.opened_ms) == 1


def test_a_folder_that_is_no_recording_is_named(tmp_path):
    with pytest.raises(MonitorError, match="is no labelled recording"):
        load_recording(tmp_path)
