"""What follows from a watch's settings."""

import pytest


def test_seconds_are_those_of_the_steps(quiet_watch):
    assert quiet_watch(step_seconds=0.25).settings().step_seconds == 0.25


@pytest.mark.parametrize(("stale_seconds", "expected"), [(10.0, 8 + 10 + 1), (10.5, 8 + 11 + 1)])
def test_a_silence_is_closed_step_by_step_until_all_windows_are_empty_and_all_series_stale(
    quiet_watch, stale_seconds, expected
):
    assert quiet_watch(stale_seconds=stale_seconds).settings().empty_steps == expected


def test_what_is_read_again_covers_a_window_a_filled_gap_and_the_lateness_on_both_sides(quiet_watch):
    settings = quiet_watch(lateness_seconds=3.0, gap_mode="hold", max_gap_seconds=5.0).settings()

    assert settings.rewind_ms == (8 + 2 * 5 + 2) * 1000 + 2 * 3000
