import numpy as np
import pytest

from models.row_arrays import RowArrays, rearranged, row_array


class Rows(RowArrays):
    n_seen = row_array(np.int64)
    since = row_array(np.int64, fill=-1)
    level = row_array(np.float64, "channels", fill=np.nan)
    bins = row_array(np.float32, "channels", 2)


def rows_with(n_seen, level):
    return Rows.of(
        n_seen=np.array(n_seen),
        since=np.array(n_seen) * 10,
        level=np.array(level, float),
        bins=np.repeat(np.array(level, np.float32)[..., None], 2, axis=2),
    )


TWO_ROWS = ([1, 2], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def equal(rows, n_seen, level):
    expected = rows_with(n_seen, level).state()
    return all(np.array_equal(array, expected[name], equal_nan=True) for name, array in rows.state().items())


def test_new_rows_hold_each_arrays_fill_in_its_dtype_and_shape():
    rows = Rows(2, channels=3)

    assert rows.n_seen.tolist() == [0, 0]
    assert rows.since.tolist() == [-1, -1]
    assert rows.level.shape == (2, 3)
    assert np.isnan(rows.level).all()
    assert rows.bins.shape == (2, 3, 2)
    assert {name: array.dtype.name for name, array in rows.state().items()} == {
        "n_seen": "int64",
        "since": "int64",
        "level": "float64",
        "bins": "float32",
    }


def test_growing_keeps_what_is_there_and_fills_the_rest():
    rows = rows_with(*TWO_ROWS)

    rows.grow(3)

    assert rows.n_rows == 3
    assert rows.n_seen.tolist() == [1, 2, 0]
    assert rows.since.tolist() == [10, 20, -1]
    np.testing.assert_array_equal(rows.level, [[1, 2, 3], [4, 5, 6], [np.nan] * 3])
    assert rows.bins[2].tolist() == [[0, 0]] * 3


def test_a_named_axis_is_widened_in_every_array_that_has_it():
    rows = rows_with(*TWO_ROWS)

    rows.grow(2, channels=4)

    np.testing.assert_array_equal(rows.level, [[1, 2, 3, np.nan], [4, 5, 6, np.nan]])
    assert rows.bins.shape == (2, 4, 2)
    assert rows.bins[:, 3].tolist() == [[0, 0], [0, 0]]
    assert rows.n_seen.tolist() == [1, 2]


def test_growing_to_the_present_size_leaves_the_very_arrays():
    rows = rows_with(*TWO_ROWS)
    before = rows.state()

    rows.grow(2)
    rows.grow(2, channels=3)

    assert all(array is before[name] for name, array in rows.state().items())


@pytest.mark.parametrize("sizes", [{"n_rows": 1}, {"n_rows": 2, "channels": 2}])
def test_growing_takes_nothing_away(sizes):
    rows = rows_with(*TWO_ROWS)

    with pytest.raises(ValueError, match="negative"):
        rows.grow(**sizes)


def test_taken_rows_are_copies_in_the_order_asked_for():
    rows = rows_with(*TWO_ROWS)

    taken = rows.take(np.array([1, 0, 1]))

    assert equal(taken, [2, 1, 2], [[4, 5, 6], [1, 2, 3], [4, 5, 6]])
    taken.level[:] = 0.0
    assert equal(rows, *TWO_ROWS)


def test_taking_minus_one_gives_a_row_that_holds_the_fill():
    taken = rows_with(*TWO_ROWS).take(np.array([-1, 1]))

    assert taken.n_seen.tolist() == [0, 2]
    assert taken.since.tolist() == [-1, 20]
    np.testing.assert_array_equal(taken.level, [[np.nan] * 3, [4, 5, 6]])


def test_kept_rows_are_numbered_anew_and_rows_beyond_the_last_are_ignored():
    rows = rows_with(*TWO_ROWS)

    rows.keep_rows(np.array([1, 5, 0]))

    assert equal(rows, [2, 1], [[4, 5, 6], [1, 2, 3]])


def test_put_writes_all_rows_of_another_object_into_the_given_rows():
    rows = rows_with([1, 2, 3], [[1.0], [2.0], [3.0]])

    rows.put(np.array([2, 0]), rows_with([8, 9], [[8.0], [9.0]]))

    assert equal(rows, [9, 2, 8], [[9], [2], [8]])


def test_state_is_the_arrays_themselves_and_loading_copies_them():
    rows, other = rows_with(*TWO_ROWS), Rows(0, channels=0)
    state = rows.state()

    other.load_state(state | {"of_something_else": np.zeros(1)})

    assert state["level"] is rows.level
    assert equal(other, *TWO_ROWS)
    rows.level[:] = 0.0
    assert equal(other, *TWO_ROWS)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"since": None}, "since is missing"),
        ({"since": np.array([0.5, 1.0])}, "since has dtype float64, expected int64"),
        ({"since": np.array([1, 2, 3])}, r"since has shape \(3,\), expected \(2,\)"),
        ({"level": np.zeros(2)}, r"level has shape \(2,\), expected \(2, 'channels'\)"),
        ({"bins": np.zeros((2, 4, 2), np.float32)}, r"bins has shape \(2, 4, 2\), expected \(2, 3, 2\)"),
        ({"bins": np.zeros((2, 3, 5), np.float32)}, r"bins has shape \(2, 3, 5\), expected \(2, 3, 2\)"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_whole_and_the_array_is_named(damage, message):
    rows = rows_with([7], [[7.0]])
    state = rows_with(*TWO_ROWS).state() | damage

    with pytest.raises(ValueError, match=message):
        rows.load_state({name: array for name, array in state.items() if array is not None})

    assert equal(rows, [7], [[7]])


def test_an_empty_array_of_another_dtype_loads_as_the_declared_one():
    rows = Rows(1, channels=1)
    empty = {name: array.astype(float) for name, array in Rows(0, channels=0).state().items()}

    rows.load_state(empty)

    assert rows.n_rows == 0
    assert rows.since.dtype == np.int64


def test_a_subclass_adds_to_what_its_base_declared():
    class More(Rows):
        extra = row_array(np.bool_)

    assert list(More(1, channels=1).state()) == ["n_seen", "since", "level", "bins", "extra"]
    assert list(Rows(1, channels=1).state()) == ["n_seen", "since", "level", "bins"]


def test_an_array_cannot_be_read_before_it_is_built():
    assert not hasattr(Rows, "level")


def test_an_axis_with_another_name_is_refused():
    with pytest.raises(AssertionError, match="channels"):
        Rows(1, chanels=3)
    with pytest.raises(AssertionError, match="channels"):
        Rows(1, channels=3).grow(1, chanels=4)


def test_a_named_axis_is_put_into_another_order_and_what_is_new_or_beyond_holds_the_fill():
    rows = rows_with(*TWO_ROWS)
    level = rows.level

    rows.rearrange("channels", np.array([2, -1, 0, 7]))

    np.testing.assert_array_equal(rows.level, [[3, np.nan, 1, np.nan], [6, np.nan, 4, np.nan]])
    assert rows.bins[:, :, 1].tolist() == [[3, 0, 1, 0], [6, 0, 4, 0]]
    assert (rows.n_seen.tolist(), rows.bins.dtype) == ([1, 2], np.float32)
    np.testing.assert_array_equal(level, TWO_ROWS[1])  # whoever refers to the old array keeps it


def test_an_axis_of_nothing_can_be_put_into_an_order_too():
    assert rearranged(np.empty((2, 0)), np.array([0, -1]), axis=1, fill=5.0).tolist() == [[5, 5], [5, 5]]
