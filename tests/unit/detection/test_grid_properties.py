"""What holds for any samples in any order: nothing lost, nothing twice, no way back."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detection.grid import Grid
from monitor.detection.steps import LocatedSamples

STEP_MS = 1000
N_ROWS, N_CHANNELS = 2, 3
GAP_MODES = st.sampled_from(["skip", "hold", "zero", "interpolate"])
LATENESS_MS = st.sampled_from([0, 500, 1000, 2500])
# Series 0 to 5: two entities with three channels, a gauge, a counter and a delta (`Kind` in its order).
TIMES_MS = st.integers(0, 30_000).map(lambda offset: 1_700_000_000_000 + offset)
VALUES = st.integers(0, 9) | st.just(np.nan)  # NaN: the series ends
SAMPLES = st.lists(st.tuples(st.integers(0, 5), TIMES_MS, VALUES), min_size=1, max_size=40)

modest = settings(deadline=None, max_examples=60)


def located(samples):
    """Place samples given as `(series, time_ms, value)`."""
    series, times_ms, values = zip(*samples, strict=True) if samples else ((), (), ())
    series = np.array(series, np.int32)
    return LocatedSamples(
        series // N_CHANNELS,
        series % N_CHANNELS,
        np.array(times_ms, np.int64),
        np.array(values, np.float64),
        (series % N_CHANNELS).astype(np.int8),
    )


def run(batches, *, lateness_ms, gap_mode="skip", max_gap_steps=3):
    """Give the closed steps by number, and how many samples were late."""
    grid = Grid(
        step_ms=STEP_MS,
        lateness_ms=lateness_ms,
        idle_ms=10**9,
        gap_mode=gap_mode,
        max_gap_steps=max_gap_steps,
        empty_steps=10**6,
    )
    steps, n_late, now_ms = {}, 0, 0

    def keep(blocks):
        for block in blocks:
            for t, values in enumerate(block.values):
                assert block.first_step + t not in steps, "a step was closed twice"
                steps[block.first_step + t] = values

    for batch in batches:
        n_late += grid.add(located(batch))
        now_ms = max([now_ms, *(time_ms for _, time_ms, _ in batch)])
        keep(grid.close(now_ms, n_rows=N_ROWS, n_channels=N_CHANNELS))
    keep(grid.close(now_ms, n_rows=N_ROWS, n_channels=N_CHANNELS, finished=True))
    return steps, n_late


def from_the_first_sample_on(steps, samples):
    """Leave out the empty steps before the first sample: they depend on which came first."""
    first = min(time_ms for _, time_ms, _ in samples) // STEP_MS
    return {number: values for number, values in steps.items() if number >= first}


def assert_same(steps, other):
    assert list(steps) == list(other)
    for number, values in steps.items():
        np.testing.assert_array_equal(values, other[number], err_msg=f"step {number}")


def cut(data, samples):
    """Cut samples into batches, some of them empty."""
    places = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=len(samples)), label="cuts"))
    return [samples[start:end] for start, end in zip([0, *places], [*places, len(samples)], strict=True)]


def delayed(data, samples, lateness_ms):
    """Reorder samples as if each had come with a delay of its own, none longer than the lateness."""
    delays = data.draw(
        st.lists(st.integers(0, lateness_ms), min_size=len(samples), max_size=len(samples)), label="delays"
    )
    arrival = [time_ms + delay for (_, time_ms, _), delay in zip(samples, delays, strict=True)]
    return [samples[which] for which in np.argsort(arrival, kind="stable")]


@modest
@given(data=st.data(), samples=SAMPLES, lateness_ms=LATENESS_MS, gap_mode=GAP_MODES)
def test_order_within_the_lateness_and_the_cut_into_batches_do_not_matter(
    data, samples, lateness_ms, gap_mode
):
    in_order = sorted(samples, key=lambda sample: sample[1])

    expected, _ = run([in_order], lateness_ms=lateness_ms, gap_mode=gap_mode)
    steps, n_late = run(
        cut(data, delayed(data, samples, lateness_ms)), lateness_ms=lateness_ms, gap_mode=gap_mode
    )

    assert n_late == 0
    assert_same(from_the_first_sample_on(steps, samples), from_the_first_sample_on(expected, samples))


@modest
@given(
    data=st.data(),
    places=st.lists(
        st.tuples(st.sampled_from([0, 3]), st.integers(0, 30)), min_size=1, max_size=40, unique=True
    ),
    lateness_ms=LATENESS_MS,
)
def test_every_sample_that_is_on_time_stands_in_exactly_one_step(data, places, lateness_ms):
    # One sample for each series and step, all of different value: each comes out once, or is counted as late.
    offsets = data.draw(st.lists(st.integers(0, STEP_MS - 1), min_size=len(places), max_size=len(places)))
    samples = [
        (series, step * STEP_MS + offset, value)
        for value, ((series, step), offset) in enumerate(zip(places, offsets, strict=True))
    ]

    steps, n_late = run(cut(data, data.draw(st.permutations(samples))), lateness_ms=lateness_ms)

    found = sorted(
        (number, value) for number, values in steps.items() for value in values[~np.isnan(values)].tolist()
    )
    sent = sorted((step, float(value)) for value, (_, step) in enumerate(places))
    assert len(found) == len(samples) - n_late
    assert set(found) <= set(sent)
    assert len(set(found)) == len(found)


@modest
@given(
    data=st.data(),
    places=st.lists(st.tuples(st.just(2), TIMES_MS, st.integers(1, 9)), min_size=1, max_size=40),
    lateness_ms=LATENESS_MS,
)
def test_all_deltas_that_are_on_time_are_in_the_rates_once_for_each_time(data, places, lateness_ms):
    largest = {}
    for _, time_ms, value in places:
        largest[time_ms] = max(largest.get(time_ms, 0), value)

    in_order = sorted(places, key=lambda sample: sample[1])
    steps, n_late = run(cut(data, delayed(data, in_order, lateness_ms)), lateness_ms=lateness_ms)

    rates = np.array([values[0, 2] for values in steps.values()])
    assert n_late == 0
    assert np.nansum(rates) * STEP_MS / 1000 == sum(largest.values())  # small whole numbers: exact


@modest
@given(data=st.data(), samples=SAMPLES, lateness_ms=LATENESS_MS, gap_mode=GAP_MODES)
def test_samples_that_come_again_change_nothing(data, samples, lateness_ms, gap_mode):
    in_order = sorted(samples, key=lambda sample: sample[1])
    again = data.draw(st.lists(st.integers(0, len(samples) - 1), max_size=20), label="again")
    repeated = list(in_order)
    for which in again:  # each repetition comes somewhere behind the first
        repeated.insert(
            data.draw(st.integers(repeated.index(in_order[which]) + 1, len(repeated))), in_order[which]
        )

    expected, _ = run([[sample] for sample in in_order], lateness_ms=lateness_ms, gap_mode=gap_mode)
    steps, _ = run([[sample] for sample in repeated], lateness_ms=lateness_ms, gap_mode=gap_mode)

    assert_same(steps, expected)


@modest
@given(
    batches=st.lists(
        st.lists(st.tuples(st.just(0), st.integers(0, 30_000), st.integers(0, 9)), max_size=5), max_size=10
    ),
    times=st.lists(st.integers(0, 60_000), min_size=10, max_size=10),
    lateness_ms=LATENESS_MS,
)
def test_the_watermark_and_the_step_numbers_never_go_back(batches, times, lateness_ms):
    grid = Grid(
        step_ms=STEP_MS,
        lateness_ms=lateness_ms,
        idle_ms=3000,
        gap_mode="skip",
        max_gap_steps=0,
        empty_steps=4,
    )
    watermarks, numbers = [], []
    for batch, now_ms in zip(batches, times, strict=False):
        grid.add(located(batch))
        for block in grid.close(now_ms, n_rows=N_ROWS, n_channels=N_CHANNELS):
            numbers += range(block.first_step, block.first_step + len(block.values))
        if grid.watermark_ms is not None:
            watermarks.append(grid.watermark_ms)

    assert watermarks == sorted(watermarks)
    assert numbers == sorted(set(numbers))
