from pathlib import Path

import numpy as np
import pytest
from stage_settings import history_retention

from monitor.config.watch import WatchConfig
from monitor.detection.steps import ClosedSteps
from monitor.errors import HistoryError
from monitor.offline.history_fill import SEGMENT_STEPS, HistoryFill
from monitor.prometheus.ranges import TimeRange
from monitor.sample import Columns, Kind, SeriesTable, labels_of
from monitor.storage.step_history import HistoryWriter, list_segments
from monitor.training.from_history import read_history

STEP_MS = 1000
SEGMENT_MS = SEGMENT_STEPS * STEP_MS
START_MS = 10 * SEGMENT_MS


def settings_of(**settings):
    defaults = {"name": "w", "step_seconds": STEP_MS / 1000, "window_length": 8, "lateness_seconds": 3.0}
    return WatchConfig.model_validate({**defaults, "stale_seconds": 20.0, **settings}).settings()


def fill_of(folder, *, queries=("q",), settings=None):
    return HistoryFill(settings or settings_of(), folder, history_retention(), queries)


class World:
    """Series of two hosts with a gauge and a counter, which do not all come in each step."""

    def __init__(self, n_seconds=3 * SEGMENT_STEPS, *, hosts=("a", "b")):
        self.table = SeriesTable()
        rng = np.random.default_rng(0)
        parts = []
        for host in hosts:
            labels = labels_of({"host": host})
            gauge = self.table.intern("load", labels)
            counter = self.table.intern("reqs_sum", labels, Kind.COUNTER)
            times = START_MS + np.flatnonzero(rng.random(n_seconds) < 0.9).astype(np.int64) * 1000 + 37
            parts.append((np.full(len(times), gauge, np.int32), times, rng.normal(size=len(times))))
            counts = np.cumsum(rng.integers(0, 50, len(times))).astype(float)
            parts.append((np.full(len(times), counter, np.int32), times, counts))
        series, times, value = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        order = np.argsort(times, kind="stable")
        self.columns = Columns(series[order], times[order], value[order])
        self.span = TimeRange(START_MS, START_MS + n_seconds * 1000)

    def between(self, from_ms, to_ms):
        first, last = np.searchsorted(self.columns.time_ms, [from_ms, to_ms])
        part = slice(int(first), int(last))
        return Columns(self.columns.series[part], self.columns.time_ms[part], self.columns.value[part])

    def feed(self, fill, chunk_ms, *, until_ms=None, wanted=None):
        """Plan, and add the samples in chunks of a length, as one call of the command does."""
        fill.plan(wanted or self.span)
        for span in fill.spans:
            for from_ms in range(span.from_ms, span.to_ms, chunk_ms):
                to_ms = min(from_ms + chunk_ms, span.to_ms)
                if until_ms is not None and to_ms > until_ms:
                    return  # killed
                fill.add(TimeRange(from_ms, to_ms), self.between(from_ms, to_ms), self.table)


def files_of(folder):
    return {segment.file.name: segment.file.read_bytes() for segment in list_segments(folder)}


def history_of(folder, settings=None):
    return read_history(folder, settings or settings_of(), channels=()).history


def test_steps_are_those_of_the_samples_and_counters_are_rates(tmp_path):
    world = World()

    world.feed(fill_of(tmp_path), 60_000)

    history = history_of(tmp_path)
    assert history.counters == {"reqs_sum"}
    loads = {}
    for number, time_ms, value in zip(
        world.columns.series, world.columns.time_ms, world.columns.value, strict=True
    ):
        if world.table[number].name == "load":
            loads[dict(world.table[number].labels)["host"], int(time_ms) // STEP_MS] = value
    column, steps = history.channels.index("load"), history.step_numbers(STEP_MS)
    found = {
        (entity, int(steps[t, row])): history.values[t, row, column]
        for row, entity in enumerate(history.entities)
        for t in np.flatnonzero(~np.isnan(history.values[:, row, column]))
    }
    assert found == loads
    rates = history.values[:, :, history.channels.index("reqs_sum")]
    assert 20 < np.nanmean(rates) < 30


@pytest.mark.parametrize("chunk_ms", [10_000, 33_333, 100_000, 10_000_000])
def test_how_samples_are_cut_into_chunks_changes_nothing(tmp_path, chunk_ms):
    world = World()
    world.feed(fill_of(tmp_path / "a"), 60_000)

    world.feed(fill_of(tmp_path / "b"), chunk_ms)

    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert len(files_of(tmp_path / "a")) == 3


@pytest.mark.parametrize("gap_mode", ["skip", "hold", "interpolate"])
@pytest.mark.parametrize("killed_after", [0.2, 1.0, 1.4, 2.9])
def test_a_killed_fill_resumes_to_the_same_history(tmp_path, killed_after, gap_mode):
    settings = settings_of(gap_mode=gap_mode, max_gap_seconds=0.0 if gap_mode == "skip" else 5.0)
    world = World()
    world.feed(fill_of(tmp_path / "whole", settings=settings), 60_000)

    until_ms = START_MS + round(killed_after * SEGMENT_MS)
    world.feed(fill_of(tmp_path / "killed", settings=settings), 10_000, until_ms=until_ms)
    world.feed(fill_of(tmp_path / "killed", settings=settings), 60_000)

    whole, resumed = history_of(tmp_path / "whole", settings), history_of(tmp_path / "killed", settings)
    np.testing.assert_array_equal(resumed.values, whole.values)
    assert (resumed.entities, resumed.channels) == (whole.entities, whole.channels)
    assert files_of(tmp_path / "killed").keys() == files_of(tmp_path / "whole").keys()


@pytest.mark.parametrize("n_states", [1, 2, 3])
def test_a_segment_that_was_written_before_its_state_is_written_again_alike(tmp_path, n_states, monkeypatch):
    world = World()
    world.feed(fill_of(tmp_path / "whole"), 60_000)
    saved = []
    save = HistoryFill._save

    def dies_instead(fill, state):
        if len(saved) == n_states:
            raise KeyboardInterrupt  # between a segment and its state
        saved.append(state)
        save(fill, state)

    monkeypatch.setattr(HistoryFill, "_save", dies_instead)
    with pytest.raises(KeyboardInterrupt):
        world.feed(fill_of(tmp_path / "killed"), 60_000)
    monkeypatch.undo()
    assert len(files_of(tmp_path / "killed")) == n_states
    world.feed(fill_of(tmp_path / "killed"), 60_000)

    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_a_second_call_goes_on_where_the_first_ended_without_a_break_in_counters(tmp_path):
    world = World()
    middle = START_MS + SEGMENT_MS + 100_000
    world.feed(fill_of(tmp_path / "whole"), 60_000)

    world.feed(fill_of(tmp_path / "two"), 60_000, wanted=TimeRange(START_MS, middle))
    second = fill_of(tmp_path / "two")
    second.plan(world.span)
    assert second.spans == (TimeRange(middle, world.span.to_ms),)
    world.feed(second, 60_000)

    np.testing.assert_array_equal(history_of(tmp_path / "two").values, history_of(tmp_path / "whole").values)


def daemon_history(folder, from_ms, to_ms):
    """Let a daemon write a history of one host in a stretch of time, whose loads are 1000."""
    settings = settings_of()
    writer = HistoryWriter(
        folder, history_retention(), shape=settings.history_shape, step_ms=STEP_MS, window_length=8
    )

    writer.add(
        ClosedSteps(from_ms // STEP_MS, STEP_MS, np.full(((to_ms - from_ms) // STEP_MS, 1, 1), 1000.0))
    )
    writer.write(["a"], ["load"], ())


def test_what_the_daemon_has_written_stays_and_only_what_lacks_is_filled(tmp_path):
    world = World()
    first, last = START_MS + SEGMENT_MS, START_MS + 2 * SEGMENT_MS
    daemon_history(tmp_path, first, last)
    before = files_of(tmp_path)
    fill = fill_of(tmp_path)

    world.feed(fill, 60_000)

    assert fill.spans == (TimeRange(START_MS, first), TimeRange(last, world.span.to_ms))
    assert before.items() <= files_of(tmp_path).items()
    history = history_of(tmp_path)
    loads = history.values[:, history.entities.index("a"), history.channels.index("load")]
    assert np.count_nonzero(loads == 1000.0) == SEGMENT_STEPS
    again = fill_of(tmp_path)
    again.plan(world.span)
    assert again.spans == ()


def test_holes_shorter_than_what_makes_an_entity_stale_are_no_holes(tmp_path):
    daemon_history(tmp_path, START_MS, START_MS + 50_000)
    daemon_history(tmp_path, START_MS + 70_000, START_MS + 100_000)
    fill = fill_of(tmp_path)

    fill.plan(TimeRange(START_MS, START_MS + 100_000))

    assert fill.spans == ()


def test_only_whole_steps_are_filled(tmp_path):
    fill = fill_of(tmp_path)

    fill.plan(TimeRange(1001, 5999))
    assert fill.spans == (TimeRange(2000, 5000),)
    fill.plan(TimeRange(1001, 1999))
    assert fill.spans == ()


def test_other_queries_are_refused_since_their_rows_would_replace_those_that_are_there(tmp_path):
    World().feed(fill_of(tmp_path), 60_000)

    with pytest.raises(HistoryError, match=r"was filled from other queries \(q\).*delete"):
        fill_of(tmp_path, queries=["q", "r"])


def test_other_settings_are_refused(tmp_path):
    World().feed(fill_of(tmp_path), 60_000)

    with pytest.raises(HistoryError, match="under other settings"):
        fill_of(tmp_path, settings=settings_of(step_seconds=2.0))


def test_a_damaged_state_names_its_file_and_the_way_out(tmp_path):
    (tmp_path / "backfill.state").write_bytes(b"{}\n")

    with pytest.raises(HistoryError, match=r"backfill.state.*Delete .* to begin anew"):
        fill_of(tmp_path)


def test_a_watch_that_nothing_matches_gets_no_folder(tmp_path):
    folder = tmp_path / "w"
    fill = fill_of(folder, settings=settings_of(metrics=["other"]))

    World().feed(fill, 60_000)

    assert not folder.exists()
    assert fill.n_samples == 0


def test_values_that_cannot_be_calculated_with_are_gaps(tmp_path):
    world = World()
    world.columns.value[::7] = np.inf
    world.columns.value[3::7] = np.nan

    world.feed(fill_of(tmp_path), 60_000)

    assert np.isfinite(history_of(tmp_path).values[~np.isnan(history_of(tmp_path).values)]).all()


def test_entities_that_are_gone_make_room_for_new_ones(tmp_path):
    table = SeriesTable()
    numbers = [table.intern("load", labels_of({"host": f"pod{number}"})) for number in range(30)]
    lifetime = 100
    series = np.repeat(numbers, lifetime).astype(np.int32)
    times = START_MS + np.arange(len(series), dtype=np.int64) * 1000
    world = World()
    world.table, world.columns = table, Columns(series, times, np.arange(len(series), dtype=float))
    world.span = TimeRange(START_MS, int(times[-1]) + 1000)
    settings = settings_of(max_series=10)
    fill = fill_of(tmp_path, settings=settings)

    world.feed(fill, 10_000)

    assert len(fill.entities.entities) <= 10
    assert fill.n_rows > 0.5 * len(series)
    assert len(history_of(Path(tmp_path), settings).entities) > 15
