"""Where in the grid the series of derived channels lie."""

import json

import numpy as np
from derive_rules import rule, series

from monitor.derive.inputs import DerivedInputs
from monitor.sample import Kind

RULES = (rule(name="a_total", of="a_total"), rule(name="b_ratio", kind="ratio", of="x", over="a_total"))


def place(inputs, row, name, channels=(0,), kind=Kind.COUNTER, **labels):
    of = series(name, **labels)
    parts = inputs.parts_of(of)
    return inputs.add_series(row, of, list(zip(parts, channels, strict=False)), kind)


def test_plain_channels_have_columns_and_derived_ones_have_none():
    inputs = DerivedInputs(RULES, ["cpu", "a_total", 'b_ratio{code="5"}', "mem"])

    assert (inputs.column_of, inputs.n_columns) == ([0, -1, -1, 1], 2)
    assert inputs.channel_of(np.array([1, 0])).tolist() == [3, 0]


def test_series_share_columns_between_rows_and_not_within_one():
    inputs = DerivedInputs(RULES, ["cpu", "a_total"])

    columns = [
        place(inputs, row, "a_total", pod=pod) for row, pod in ((0, "p"), (0, "q"), (1, "r"), (0, "p"))
    ]

    assert columns == [1, 2, 1, 1]
    assert inputs.n_columns == 3
    assert [inputs.is_full(row) for row in (0, 1, None)] == [True, False, False]


def test_the_cell_of_a_forgotten_series_is_used_again():
    inputs = DerivedInputs(RULES, ["a_total"])
    first = place(inputs, 0, "a_total", pod="p")
    place(inputs, 0, "a_total", pod="q")

    assert inputs.forget(0, first)
    assert not inputs.forget(0, 99)
    assert inputs.terms().column.tolist() == [1]
    assert place(inputs, 0, "a_total", pod="new") == first


def test_terms_are_in_the_order_of_channel_row_and_role():
    inputs = DerivedInputs(RULES, ["a_total", "b_ratio"])
    place(inputs, 1, "a_total", channels=(0, 1))
    place(inputs, 0, "x", channels=(1,))
    place(inputs, 0, "a_total", channels=(0, 1))

    terms = inputs.terms()

    assert list(zip(terms.channel.tolist(), terms.row.tolist(), terms.role.tolist(), strict=True)) == [
        (0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1),
    ]  # fmt: skip
    assert terms.of_rows(np.array([1, 0])).row.tolist() == [0, 1, 0, 1, 1]
    assert inputs.rates().channel.tolist() == [0, 0]  # a ratio of counters is no rate
    assert set(inputs.derived_cells()) == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_rows_are_dropped_and_numbered_anew():
    inputs = DerivedInputs(RULES, ["a_total"])
    for row in range(3):
        place(inputs, row, "a_total", pod=str(row))

    inputs.keep_rows(np.array([2, 0]))

    assert inputs.terms().row.tolist() == [0, 1]
    assert place(inputs, 0, "a_total", pod="2") == 0  # the cell that it had


def test_another_model_brings_another_order_and_every_series_gets_its_cell_again():
    inputs = DerivedInputs(RULES, ["cpu", "a_total"])
    column = place(inputs, 0, "a_total", channels=(1,), pod="p")

    inputs.adopt(["a_total", "cpu", "mem"], np.array([1, 0, -1]))

    assert inputs.column_of == [-1, 0, 2]
    assert len(inputs.terms()) == 0
    assert place(inputs, 0, "a_total", channels=(0,), pod="p") == column


def test_a_state_goes_through_json():
    inputs = DerivedInputs(
        (*RULES, rule(name="p50", kind="quantile", of="h_bucket")), ["cpu", "a_total", "p50"]
    )
    place(inputs, 0, "a_total", channels=(1,), pod="p")
    place(inputs, 2, "h_bucket", channels=(2,), le="+Inf")
    other = DerivedInputs(inputs.rules)

    other.load_state(json.loads(json.dumps(inputs.state(), allow_nan=False)))

    assert other.n_columns == inputs.n_columns
    for name in ("row", "column", "rule", "channel", "role", "bound", "is_count"):
        np.testing.assert_array_equal(getattr(other.terms(), name), getattr(inputs.terms(), name))
