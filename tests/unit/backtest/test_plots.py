import numpy as np
import pytest

from monitor.backtest.plots import bars_of, chart_of, time_ticks

MINUTE = 60_000
DAY = 86_400_000


def chart(values, **more):
    time_ms = np.arange(len(values)) * MINUTE
    return chart_of("c", "about c", time_ms, [("actual", np.array(values, float))], text_of=str, **more)


def test_a_curve_reaches_from_edge_to_edge_and_from_low_to_high():
    (curve,) = chart([0, 10]).curves

    (piece,) = curve.pieces
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in piece.split())
    assert (x0, x1) == (0.0, 1000.0)
    assert 90 < y0 < 100
    assert 0 < y1 < 10


def test_a_gap_ends_a_piece():
    (curve,) = chart([1, 2, np.nan, 3, 4]).curves

    assert [len(piece.split()) for piece in curve.pieces] == [2, 2]


@pytest.mark.parametrize("values", [[5, 5, 5], [0, 0], [np.nan, np.nan], [1e9, 1e9]])
def test_a_constant_curve_and_one_of_gaps_have_an_axis_too(values):
    drawn = chart(values)

    assert all(0 <= row.place <= 100 for row in drawn.rows)
    assert 1 <= len(drawn.rows) <= 7


def test_values_on_the_axis_are_round():
    assert [float(row.text) for row in chart([0, 9.7]).rows] == [0.0, 5.0]


def test_bars_are_cut_at_the_edges_and_left_out_beyond_them():
    bars = bars_of([(-50, 50, "a"), (90, 500, "b"), (200, 300, "c")], 0, 100, "own")

    assert [(bar.start, bar.width, bar.title) for bar in bars] == [(0.0, 50.0, "a"), (90.0, 10.0, "b")]


@pytest.mark.parametrize(
    ("length_ms", "texts"),
    [
        (4 * MINUTE, ["00:00", "00:01", "00:02", "00:03", "00:04"]),
        (20_000, ["00:00:00", "00:00:05", "00:00:10", "00:00:15", "00:00:20"]),
        (DAY, ["Jan 1", "06:00", "12:00", "18:00", "Jan 2"]),
        (28 * DAY, ["Jan 1", "Jan 8", "Jan 15", "Jan 22", "Jan 29"]),
    ],
)
def test_times_on_the_axis_are_round(length_ms, texts):
    assert [tick.text for tick in time_ticks(0, length_ms, most=4)] == texts
