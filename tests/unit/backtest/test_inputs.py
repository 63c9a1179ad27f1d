import numpy as np
import pytest
from backtests import FAULT_INCIDENT, START_MS, STEP_MS, config_of, samples

from monitor.backtest.inputs import SampleInput, StepInput, history_input, sample_input
from monitor.detection.view import WatchObserver
from monitor.storage.step_history import History, HistoryWriter, Retention

WATCH = config_of().watch[0]
SETTINGS = WATCH.settings()


def fed(recorded, begin_ms=0):
    """Let baselines judge an input; give the alerts, the number of samples, and the shares that were done."""
    parts = list(recorded.feed(recorded.build(None), begin_ms))
    alerts = [alert for part in parts for alert in part.alerts]
    return alerts, sum(part.n_samples for part in parts), [part.share for part in parts]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Store the closed steps of a replay as the daemon does; give the folder and the alerts of the replay."""
    folder = tmp_path_factory.mktemp("history") / "web"
    retention = Retention(segment_seconds=600.0, max_age_seconds=1e9, max_bytes=1 << 30)
    writer = HistoryWriter(
        folder,
        retention,
        shape=SETTINGS.history_shape,
        step_ms=STEP_MS,
        window_length=SETTINGS.window_length,
    )
    recorded = SampleInput(SETTINGS, *samples())
    watch = recorded.build(None)
    watch.observe(WatchObserver(on_closed=writer.add))
    alerts = [alert for part in recorded.feed(watch, 0) for alert in part.alerts]
    entities = watch.entities
    writer.write(entities.entities, entities.channels, watch.open_alerts.values())
    writer.mask(alerts, watch.open_alerts.values())
    return folder, alerts


def test_stored_steps_give_the_alerts_of_the_samples_that_they_are_from(stored):
    folder, alerts = stored

    from_steps, n_samples, shares = fed(history_input(WATCH, folder))

    # Samples tell to which event time they reach, and so does the last step: what is open stays open.
    assert sorted(map(str, from_steps)) == sorted(map(str, alerts))
    assert alerts
    assert n_samples == 4 * 500
    assert shares[-1] == 1.0


def test_what_may_be_learned_of_stored_steps_is_without_their_incidents(stored):
    recorded = history_input(WATCH, stored[0])

    learned = recorded.history_before(recorded.last_ms)

    fault = (FAULT_INCIDENT.start_ms + 5 * STEP_MS) // STEP_MS
    assert np.isnan(learned.values[learned.step_numbers(STEP_MS)[:, 0] == fault]).all()
    assert not np.isnan(recorded.steps.values[recorded.steps.step_numbers(STEP_MS)[:, 0] == fault]).any()


def test_a_gap_in_stored_steps_is_a_gap_in_time():
    numbers = np.array([100, 101, 102, 200, 201])
    recorded = history_of(numbers)
    watch = recorded.build(None)
    seen = []
    watch.observe(WatchObserver(on_closed=lambda block: seen.append((block.first_step, len(block.values)))))

    list(recorded.feed(watch, 101 * STEP_MS))

    assert seen == [(101, 2), (200, 2)]


def test_samples_begin_and_end_where_they_are_asked_to():
    recorded = SampleInput(SETTINGS, *samples())

    _, n_samples, shares = fed(recorded, START_MS + 490 * STEP_MS)

    assert (n_samples, shares[-1]) == (4 * 10, 1.0)
    assert (recorded.first_ms, recorded.last_ms) == (START_MS, START_MS + 499 * STEP_MS)
    assert recorded.history_before(START_MS) is None
    assert len(recorded.history_before(START_MS + 100 * STEP_MS).values) == 100


@pytest.mark.parametrize("kind", ["samples", "steps"])
def test_a_part_ends_at_each_stop_and_the_alerts_are_the_same(kind, stored):
    recorded = SampleInput(SETTINGS, *samples()) if kind == "samples" else history_input(WATCH, stored[0])
    stops = [START_MS + 333_000, START_MS + 410 * STEP_MS, START_MS + 410 * STEP_MS]

    parts = list(recorded.feed(recorded.build(None), 0, stops))

    ends = [part.now_ms for part in parts]
    for stop_ms in stops:
        assert any(stop_ms <= end < stop_ms + STEP_MS for end in ends)
    assert [alert for part in parts for alert in part.alerts] == fed(recorded)[0]


def test_a_watch_takes_only_its_series_and_says_so_where_there_are_none():
    columns, table = samples()

    some = sample_input(config_of(metrics=["requests"]).watch[0], columns, table)

    assert len(some.samples) == len(columns) / 2
    assert sample_input(WATCH, columns, table).samples is columns
    assert sample_input(config_of(metrics=["x"]).watch[0], columns, table) == (
        "watch web: none of its series is in these files"
    )


def test_a_history_of_other_settings_or_none_is_said_to_be_missing(stored, tmp_path):
    assert "has no steps that were stored under these settings" in history_input(WATCH, tmp_path / "none")
    other = config_of(step_seconds=20.0).watch[0]
    assert "has no steps that were stored under these settings" in history_input(other, stored[0])


def history_of(numbers):
    values = np.arange(len(numbers), dtype=float)[:, None, None]
    steps = History(
        ("web1",),
        ("requests",),
        values,
        int(numbers[0]) * STEP_MS,
        (int(numbers[-1]) + 1) * STEP_MS,
        numbers[:, None],
    )
    return StepInput(SETTINGS, steps, None)
