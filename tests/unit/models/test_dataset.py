import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dataset import WindowIndex, fill_gaps, gather_futures, gather_windows, index_windows, windows_of


def series(text):
    """Write one series as text, `_` for a gap; shape (T,)."""
    return np.array([np.nan if word == "_" else float(word) for word in text.split()], np.float32)


def single_entity(*channels):
    """Steps of one entity; one text for each channel; shape (T, 1, C)."""
    return np.stack([series(text) for text in channels], axis=1)[:, None, :]


def ends(index):
    return index.end.tolist()


def with_gaps(rng, shape, share):
    values = rng.normal(size=shape).astype(np.float32)
    values[rng.random(shape) < share] = np.nan
    return values


def test_each_window_shows_consecutive_steps_of_one_entity():
    steps = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)

    windows = windows_of(steps, 4)

    assert windows.shape == (4, 2, 4, 3)
    for start in range(4):
        for row in range(2):
            np.testing.assert_array_equal(windows[start, row], steps[start : start + 4, row])
    assert np.shares_memory(windows, steps)


def test_windows_are_found_by_their_newest_step():
    assert ends(index_windows(single_entity("0 1 2 3 4"), 3)) == [2, 3, 4]


def test_a_window_whose_newest_step_is_a_gap_is_not_judged():
    assert ends(index_windows(single_entity("0 1 2 _ 4 5"), 3)) == [2, 4, 5]


def test_a_window_with_less_than_half_of_its_cells_is_not_judged():
    # windows of four that end in a measured step: "_ 1 _ 3" has half, "_ _ _ 6" a quarter
    assert ends(index_windows(single_entity("_ 1 _ 3 _ _ 6"), 4)) == [3, 6]
    assert ends(index_windows(single_entity("_ 1 _ _ _ _ 6"), 4)) == []


def test_one_measured_channel_is_enough_for_the_newest_step():
    assert ends(index_windows(single_entity("0 1 2", "0 1 _"), 3)) == [2]


def test_a_channel_that_never_comes_is_not_held_against_a_window():
    assert ends(index_windows(single_entity("0 1 2", "_ _ _", "_ _ _"), 3)) == [2]


def test_a_history_shorter_than_a_window_has_none():
    assert len(index_windows(single_entity("0 1"), 3)) == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_windows_found_are_those_that_a_loop_over_all_of_them_finds(seed):
    steps = with_gaps(np.random.default_rng(seed), (40, 3, 2), 0.5)
    steps[:15, 1, 0] = np.nan

    expected = []
    for end in range(5, 40):
        for row in range(3):
            known = ~np.isnan(steps[end - 5 : end + 1, row])
            shown = known[:, known.any(axis=0)]
            if known[-1].any() and shown.mean() >= 0.5:
                expected.append((end, row))

    index = index_windows(steps, 6)
    assert list(zip(index.end.tolist(), index.row.tolist(), strict=True)) == expected
    assert 0 < len(expected) < 35 * 3


def test_gathered_windows_are_those_of_the_index_and_a_copy():
    steps = with_gaps(np.random.default_rng(1), (12, 3, 2), 0.2)
    index = WindowIndex(np.array([11, 4, 7]), np.array([2, 0, 1]))

    windows = gather_windows(steps, index, 5)

    for position, (end, row) in enumerate([(11, 2), (4, 0), (7, 1)]):
        np.testing.assert_array_equal(windows[position], steps[end - 4 : end + 1, row])
    assert not np.shares_memory(windows, steps)


def test_chosen_windows_keep_their_end_and_entity_together():
    index = WindowIndex(np.array([5, 6, 7]), np.array([0, 1, 2]))

    by_place, by_mask = index.take(np.array([2, 0])), index.take(np.array([True, False, True]))

    assert (ends(by_place), by_place.row.tolist()) == ([7, 5], [2, 0])
    assert (ends(by_mask), by_mask.row.tolist()) == ([5, 7], [0, 2])


@pytest.mark.parametrize(
    ("gappy", "filled"),
    [
        ("1 _ _ 4", "1 1 1 4"),  # the last value before the gap
        ("_ _ 3 4", "3 3 3 4"),  # none before it: the first one after
        ("_ 2 _ _", "2 2 2 2"),
        ("_ _ _ _", "0 0 0 0"),  # never measured: 0, the median
        ("1 2 3 4", "1 2 3 4"),
    ],
)
def test_a_gap_is_filled_from_before_else_from_after_else_with_zero(gappy, filled):
    np.testing.assert_array_equal(
        fill_gaps(series(gappy).reshape(1, -1, 1)), series(filled).reshape(1, -1, 1)
    )


def test_windows_and_channels_are_filled_each_from_itself():
    windows = np.stack(
        [np.stack([series("1 _"), series("_ 2")], axis=1), np.stack([series("_ _"), series("3 _")], axis=1)]
    )

    filled = fill_gaps(windows)

    assert filled[:, :, 0].tolist() == [[1, 1], [0, 0]]
    assert filled[:, :, 1].tolist() == [[2, 2], [3, 3]]


def test_filling_keeps_what_was_measured_and_leaves_its_input_alone():
    windows = with_gaps(np.random.default_rng(2), (20, 6, 3), 0.4)
    before = windows.copy()

    filled = fill_gaps(windows)

    np.testing.assert_array_equal(windows, before)
    known = ~np.isnan(windows)
    np.testing.assert_array_equal(filled[known], windows[known])
    assert not np.isnan(filled).any()
    assert filled.dtype == np.float32


@settings(deadline=None, max_examples=100)
@given(data=st.data(), n_steps=st.integers(1, 30), n_rows=st.integers(1, 3), window_length=st.integers(1, 12))
def test_every_measured_step_is_the_newest_of_at_most_one_window_and_lies_in_no_other_entitys(
    data, n_steps, n_rows, window_length
):
    window_length = min(window_length, n_steps)
    known = np.array(
        data.draw(st.lists(st.booleans(), min_size=n_steps * n_rows, max_size=n_steps * n_rows))
    ).reshape(n_steps, n_rows)
    number = np.arange(n_steps * n_rows, dtype=np.float32).reshape(n_steps, n_rows)  # tells step and entity
    steps = np.where(known, number, np.nan)[:, :, None].astype(np.float32)

    index = index_windows(steps, window_length)
    windows = gather_windows(steps, index, window_length)[:, :, 0]

    newest = windows[:, -1].tolist()
    assert len(set(newest)) == len(newest)
    whole = {
        int(number[t, row])
        for t in range(window_length - 1, n_steps)
        for row in range(n_rows)
        if known[t - window_length + 1 : t + 1, row].all()
    }
    assert whole <= {int(cell) for cell in newest}
    for cells in windows:
        position = np.flatnonzero(~np.isnan(cells))
        assert (
            cells[position] == cells[-1] - n_rows * (window_length - 1 - position)
        ).all()  # consecutive steps of one entity, each in its place


def test_the_future_of_a_window_ends_with_the_history_and_before_what_must_not_be_seen():
    steps = np.arange(12, dtype=np.float32).reshape(6, 2, 1)  # entity 0: 0 2 4 .., entity 1: 1 3 5 ..
    index = WindowIndex(np.array([1, 3, 1, 5]), np.array([0, 0, 1, 1]))

    futures = gather_futures(steps, index, 3, np.array([6, 3]))

    nan = np.nan
    expected = [[4, 6, 8], [8, 10, nan], [5, nan, nan], [nan, nan, nan]]
    np.testing.assert_array_equal(futures[:, :, 0], expected)
