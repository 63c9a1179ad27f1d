"""Late samples count as if they had come in time. Steps are 10 s long where arithmetic is by hand."""

import numpy as np
import pytest
from grid_samples import STEP_SECONDS, at, close, series, together
from hypothesis import given
from hypothesis import strategies as st

from monitor.detection.grid import Grid
from monitor.detection.steps import LocatedSamples
from monitor.sample import Kind
from tests.unit.detection.test_grid_properties import (
    GAP_MODES,
    N_CHANNELS,
    N_ROWS,
    SAMPLES,
    STEP_MS,
    cut,
    located,
    modest,
)


def make_grid(*, revision_steps=10, gap_mode="skip", max_gap_steps=0, empty_steps=1000):
    return Grid(
        step_ms=STEP_SECONDS * 1000,
        lateness_ms=0,
        idle_ms=10**9,
        gap_mode=gap_mode,
        max_gap_steps=max_gap_steps,
        empty_steps=empty_steps,
        revision_steps=revision_steps,
    )


class Closed:
    """A grid, and the values of its closed steps as a reader knows them who takes in what is revised."""

    def __init__(self, grid, *, n_rows=1, n_channels=1):
        self.grid, self.n_rows, self.n_channels = grid, n_rows, n_channels
        self.steps = {}

    def take(self, samples):
        """Add samples, revise, close; give how many were dropped, and what was revised."""
        n_dropped = self.grid.add(samples)
        revised = self.grid.revise(n_rows=self.n_rows, n_channels=self.n_channels)
        if revised is not None:
            for t, values in enumerate(revised.values):
                known = self._room(revised.first_step + t)
                known[revised.rows] = values
        for block in close(self.grid, n_rows=self.n_rows, n_channels=self.n_channels):
            for t, values in enumerate(block.values):
                self.steps[block.first_step + t] = values.copy()
        return n_dropped, revised

    def _room(self, step):
        known = self.steps[step]
        more = ((0, self.n_rows - known.shape[0]), (0, self.n_channels - known.shape[1]))
        self.steps[step] = np.pad(known, more, constant_values=np.nan)
        return self.steps[step]

    def text(self, row=0, channel=0):
        values = [values[row, channel] for _, values in sorted(self.steps.items())]
        return " ".join("_" if np.isnan(value) else f"{value:g}" for value in values)


def test_a_late_sample_fills_the_gap_that_it_left():
    closed = Closed(make_grid())
    closed.take(series("1 _ 3 4"))
    assert closed.text() == "1 _ 3"

    n_dropped, revised = closed.take(at((15, 2)))

    assert closed.text() == "1 2 3"
    assert (n_dropped, revised.first_step, revised.rows.tolist(), revised.n_samples) == (0, 0, [0], 1)


@pytest.mark.parametrize(
    ("late", "expected"), [((14, 9), "1 5 3"), ((16, 9), "1 9 3"), ((15, 9), "1 9 3"), ((15, 2), "1 5 3")]
)
def test_the_latest_sample_stands_for_its_step_and_at_one_time_the_larger_one_whenever_it_came(
    late, expected
):
    closed = Closed(make_grid())
    closed.take(at((5, 1), (15, 5), (25, 3), (35, 4)))

    closed.take(at(late))

    assert closed.text() == expected


def test_a_late_count_changes_its_own_rate_and_the_next_one():
    closed = Closed(make_grid())
    closed.take(at((0, 100), (20, 140), (30, 150), (40, 160), kind=Kind.COUNTER))
    assert closed.text() == "_ _ 2 1"  # 40 more within 20 s; 10 more within 10 s

    closed.take(at((10, 110), kind=Kind.COUNTER))

    assert closed.text() == "_ 1 3 1"  # 10 within 10 s, 30 within 10 s


def test_a_late_count_changes_the_rate_of_a_step_that_is_still_open():
    closed = Closed(make_grid())
    closed.take(at((0, 100), (25, 130), kind=Kind.COUNTER))
    closed.take(at((15, 120), kind=Kind.COUNTER))

    closed.take(at((35, 150), kind=Kind.COUNTER))

    assert closed.text() == f"_ {20 / 15:g} 1"  # 10 more within the 10 s since the late count


def test_what_is_late_goes_on_from_what_was_late_before():
    closed = Closed(make_grid())
    for seconds, count in ((0, 100), (20, 140), (30, 150), (40, 160)):  # a block for each step
        closed.take(at((seconds, count), kind=Kind.COUNTER))
    closed.take(at((10, 110), kind=Kind.COUNTER))

    closed.take(at((25, 146), kind=Kind.COUNTER))

    assert closed.text() == "_ 1 2.4 0.8"  # 36 within 15 s, 4 within 5 s


def test_a_late_count_that_lies_behind_a_reset_is_the_new_count():
    closed = Closed(make_grid())
    closed.take(at((0, 100), (20, 60), (30, 70), kind=Kind.COUNTER))
    assert closed.text() == "_ _ 3"  # reset: 60 within 20 s

    closed.take(at((10, 20), kind=Kind.COUNTER))

    assert closed.text() == "_ 2 4"


def test_late_deltas_add_up_and_those_of_one_time_count_once():
    closed = Closed(make_grid())
    closed.take(at((1, 10), (2, 20), (11, 5), (21, 5), kind=Kind.DELTA))
    assert closed.text() == "3 0.5"

    closed.take(at((3, 30), (2, 20), kind=Kind.DELTA))

    assert closed.text() == "6 0.5"


def test_a_late_end_parts_what_lies_on_its_two_sides():
    closed = Closed(make_grid())
    closed.take(at((0, 100), (10, 110), (30, 150), (40, 160), kind=Kind.COUNTER))
    assert closed.text() == "_ 1 _ 2"

    n_dropped, revised = closed.take(at((20, np.nan), kind=Kind.COUNTER))

    assert closed.text() == "_ 1 _ _"
    assert (n_dropped, revised.n_samples) == (0, 0)  # the end of a series is no sample


@pytest.mark.parametrize(
    ("mode", "before", "behind"),
    [("hold", "1 1 1 4", "1 2 2 4"), ("zero", "1 0 0 4", "1 2 0 4"), ("interpolate", "1 2 3 4", "1 7 5.5 4")],
)
def test_gaps_are_filled_anew_from_a_late_value(mode, before, behind):
    closed = Closed(make_grid(gap_mode=mode, max_gap_steps=2))
    closed.take(series("1 _ _ 4 5 6 7 8 9"))
    assert closed.text().startswith(before)

    closed.take(at((15, {"interpolate": 7}.get(mode, 2))))

    assert closed.text().startswith(behind)


def test_what_is_later_than_the_span_is_counted_and_dropped():
    closed = Closed(make_grid(revision_steps=2))
    closed.take(series("1 2 3 4 5"))  # steps 0 to 3 are closed; the newest two are 2 and 3

    assert closed.take(at((19.9, 9))) == (1, None)
    n_dropped, _ = closed.take(at((19.9, 9), (20.5, 8)))

    assert n_dropped == 1
    assert closed.text() == "1 2 8 4"


def test_without_a_span_everything_late_is_dropped():
    closed = Closed(make_grid(revision_steps=0))
    closed.take(series("1 2 3"))

    assert closed.take(at((15, 9))) == (1, None)


def test_nothing_is_revised_across_a_skipped_silence_or_a_clock_that_was_set_back():
    silent = Closed(make_grid(empty_steps=3, revision_steps=50))
    silent.take(together(series("1 2 3"), at((300, 4), (310, 5))))
    assert silent.take(at((15, 9))) == (1, None)

    back = Closed(make_grid(revision_steps=50))
    back.take(series("1 2 3"))
    back.grid.restart_at(10_000)
    back.take(at((15, 4), (25, 5)))
    assert back.take(at((5, 9))) == (1, None)


def test_a_late_sample_may_be_the_first_of_its_series():
    closed = Closed(make_grid())
    closed.take(series("1 2 3"))
    closed.n_rows, closed.n_channels = 2, 2

    closed.take(at((5, 7), row=1, channel=1))

    assert (closed.text(0, 0), closed.text(1, 1), closed.text(1, 0)) == ("1 2", "7 _", "_ _")


def test_only_the_entities_that_a_late_sample_belongs_to_are_closed_again():
    closed = Closed(make_grid(), n_rows=3)
    closed.take(together(series("1 _ 3", row=0), series("4 5 6", row=1), series("7 8 9", row=2)))

    _, revised = closed.take(at((11, 2), row=0))

    assert revised.rows.tolist() == [0]
    assert [closed.text(row) for row in range(3)] == ["1 2", "4 5", "7 8"]


def test_memory_is_bounded_by_the_samples_that_are_kept(monkeypatch):
    monkeypatch.setattr("monitor.detection.late_samples._MAX_SAMPLES", 3)
    closed = Closed(make_grid(revision_steps=50))
    for step in range(8):
        closed.take(at((10 * step, step)))

    assert closed.take(at((31, 9)))[0] == 1  # of steps 0 to 6 the newest three are kept
    assert closed.take(at((41, 9)))[0] == 0


def test_a_checkpoint_without_kept_steps_still_loads_and_revises_what_closes_from_then_on():
    closed = Closed(make_grid())
    closed.take(series("1 2 3"))
    old = {name: array for name, array in closed.grid.state().items() if not name.startswith("kept")}

    other = Closed(make_grid())
    other.grid.load_state(old)

    assert other.take(at((15, 9))) == (1, None)
    other.take(at((35, 4), (45, 5)))
    assert other.take(at((36, 9)))[0] == 0
    assert other.text() == "3 9"


SPAN_STEPS = 8


def delayed_beyond_the_lateness(data, samples):
    """Reorder samples as if each had come with a delay of its own, within the revised span."""
    longest = (SPAN_STEPS - 2) * STEP_MS
    delays = data.draw(
        st.lists(st.integers(0, longest), min_size=len(samples), max_size=len(samples)), label="delays"
    )
    arrival = [time_ms + delay for (_, time_ms, _), delay in zip(samples, delays, strict=True)]
    return [samples[which] for which in np.argsort(arrival, kind="stable")]


def lived(batches, *, gap_mode, lateness_ms=0, restart_behind=None):
    """Give the closed steps as they are in the end; a restart behind some batch is possible."""

    def make():
        return Grid(
            step_ms=STEP_MS,
            lateness_ms=lateness_ms,
            idle_ms=10**9,
            gap_mode=gap_mode,
            max_gap_steps=2,
            empty_steps=10**6,
            revision_steps=SPAN_STEPS,
        )

    closed = Closed(make(), n_rows=N_ROWS, n_channels=N_CHANNELS)
    anchor = [
        (series, 1_699_999_970_000, 0) for series in range(6)
    ]  # so that the grid begins before every sample
    n_dropped = 0
    for number, batch in enumerate([anchor, *batches, [(0, 1_700_000_060_000, 1)]]):
        n_dropped += closed.take(located(batch))[0]
        if number == restart_behind:
            state = {name: array.copy() for name, array in closed.grid.state().items()}
            closed.grid = make()
            closed.grid.load_state(state)
    return closed, n_dropped


def assert_same_steps(closed, other):
    assert list(closed.steps) == list(other.steps)
    for number, values in closed.steps.items():
        np.testing.assert_array_equal(values, other.steps[number], err_msg=f"step {number}")


@modest
@given(data=st.data(), samples=SAMPLES, lateness_ms=st.sampled_from([0, 1500]), gap_mode=GAP_MODES)
def test_the_order_within_the_span_does_not_matter_in_the_end(data, samples, lateness_ms, gap_mode):
    in_order = sorted(samples, key=lambda sample: sample[1])

    expected, _ = lived([in_order], gap_mode=gap_mode, lateness_ms=lateness_ms)
    closed, n_dropped = lived(
        cut(data, delayed_beyond_the_lateness(data, samples)), gap_mode=gap_mode, lateness_ms=lateness_ms
    )

    assert n_dropped == 0
    assert_same_steps(closed, expected)
    for name, array in expected.grid.state().items():
        if not name.startswith("kept"):
            np.testing.assert_array_equal(closed.grid.state()[name], array, err_msg=name)


@modest
@given(data=st.data(), samples=SAMPLES, gap_mode=GAP_MODES)
def test_a_restart_in_between_revises_the_same(data, samples, gap_mode):
    batches = cut(data, delayed_beyond_the_lateness(data, samples))
    where = data.draw(st.integers(0, len(batches)), label="restart behind")

    expected, _ = lived(batches, gap_mode=gap_mode)
    closed, _ = lived(batches, gap_mode=gap_mode, restart_behind=where)

    assert_same_steps(closed, expected)
    for name, array in expected.grid.state().items():
        np.testing.assert_array_equal(closed.grid.state()[name], array, err_msg=name)


def test_a_late_sample_is_taken_by_a_grid_that_gave_its_arrays_away():
    grid = make_grid()
    grid.add(series("1 _ 3"))
    blocks = close(grid)
    grid.add(
        LocatedSamples(
            *(getattr(at((15, 2)), name) for name in ("row", "channel", "time_ms", "value", "kind"))
        )
    )

    grid.revise(n_rows=1, n_channels=1)

    assert np.isnan(blocks[0].values[1, 0, 0])  # the history and the outlets hold what they were given


def test_what_comes_late_for_an_entity_that_was_numbered_anew_is_taken_as_before():
    """Rows 0 and 2 keep samples of closed steps; row 1 has none and is let go of."""

    def run(*, lets_go):
        closed = Closed(make_grid(gap_mode="hold", max_gap_steps=3), n_rows=3)
        closed.take(together(series("1 _ 3 4"), series("10 _ _ 40", row=2)))
        row = 2
        if lets_go:
            assert closed.grid.waiting(3).tolist() == [True, False, True]
            closed.grid.keep_rows(np.array([0, 2]))
            closed.n_rows, row = 2, 1
            closed.steps = {step: values[[0, 2]] for step, values in closed.steps.items()}
        closed.take(together(at((15, 20), row=row), at((45, 5))))
        return closed.text(), closed.text(row)

    assert run(lets_go=True) == run(lets_go=False) == ("1 1 3 4", "10 20 20 40")


def test_late_samples_find_their_channel_after_another_model_has_put_it_elsewhere():
    grid = make_grid()
    live = Closed(grid, n_channels=2)
    live.take(together(series("10 20 _ 50 60", channel=0, kind=Kind.COUNTER), series("1 1 1 1 1", channel=1)))

    grid.rearrange_channels(np.array([1, 0]))
    _, revised = live.take(at((22, 30.0), channel=1, kind=Kind.COUNTER))

    assert revised.first_step == 0
    # 20 at 10 s, 30 at 22 s, 50 at 30 s
    np.testing.assert_allclose(revised.values[:4, 0, 1], [np.nan, 1.0, 10 / 12, 20 / 8])
    np.testing.assert_array_equal(revised.values[:4, 0, 0], [1, 1, 1, 1])
