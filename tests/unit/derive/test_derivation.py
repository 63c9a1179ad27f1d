"""Closed steps of series to closed steps of channels."""

import numpy as np
import pytest
from derive_rules import rule, series

from monitor.derive.derivation import Derivation
from monitor.derive.inputs import DerivedInputs
from monitor.sample import Kind

NAN = np.nan


def derivation(rules, *placed, channels, revision_steps=4):
    """Derive by rules from series placed as (row, name, labels); give it and its inputs."""
    inputs = DerivedInputs(rules, channels)
    for row, name, labels in placed:
        of = series(name, **labels)
        parts = [(part, channels.index(part.channel)) for part in inputs.parts_of(of)]
        inputs.add_series(row, of, parts, Kind.COUNTER)
    return Derivation(inputs, step_ms=1000, revision_steps=revision_steps), inputs


def steps(*rows):
    """Give steps (T, 1, K) of one entity."""
    return np.array(rows, float)[:, None]


@pytest.mark.parametrize(
    ("kind", "expected"), [("sum", [6.0, 3.0, NAN]), ("max", [5.0, 3.0, NAN]), ("avg", [3.0, 3.0, NAN])]
)
def test_what_is_there_is_put_together_and_of_nothing_comes_nothing(kind, expected):
    rules = (rule(name="a", kind=kind, of="a"),)
    derives, _ = derivation(rules, (0, "a", {"pod": "p"}), (0, "a", {"pod": "q"}), channels=["cpu", "a"])

    derived = derives.apply(0, steps([7, 1, 5], [8, NAN, 3], [9, NAN, NAN]))

    np.testing.assert_array_equal(derived[:, 0, 0], [7, 8, 9])
    np.testing.assert_array_equal(derived[:, 0, 1], expected)


def test_rows_and_groups_are_kept_apart():
    rules = (rule(name="a", of="a", by=("code",)),)
    placed = [
        (0, "a", {"code": "5", "pod": "p"}),
        (0, "a", {"code": "2", "pod": "p"}),
        (1, "a", {"code": "5"}),
    ]
    derives, _ = derivation(rules, *placed, channels=['a{code="2"}', 'a{code="5"}'])

    derived = derives.apply(0, np.array([[[1.0, 2.0], [4.0, 8.0]]]))

    np.testing.assert_array_equal(derived[0], [[2, 1], [NAN, 4]])


def test_a_quantile_is_of_the_buckets_of_all_series_added_up():
    rules = (rule(name="p50", kind="quantile", of="h", quantile=0.5),)
    placed = [(0, "h", {"le": le, "pod": pod}) for pod in "pq" for le in ("+Inf", "1", "2.0")]
    derives, _ = derivation(rules, *placed, channels=["p50"])

    derived = derives.apply(0, steps([10, 2, 8, 10, 2, 8]))

    assert derived[0, 0, 0] == pytest.approx(1 + (10 - 4) / (16 - 4))


RATIO = (rule(name="r_ratio", kind="ratio", of="n", match={"code": "5"}, over="n"),)
SIDES = [(0, "n", {"code": "2"}), (0, "n", {"code": "5"}), (1, "n", {"code": "2"}), (1, "n", {"code": "5"})]


def traffic(n_steps, seed=0):
    """Give steps (T, 2, 2) of two entities' requests by code."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.poisson(1000, (n_steps, 2)), rng.poisson(10, (n_steps, 2))], axis=2).astype(float)


def test_a_ratio_is_of_the_sums_and_is_known_once_its_traffic_is():
    derives, _ = derivation(RATIO, *SIDES, channels=["r_ratio"])
    values = np.full((101, 2, 2), [990.0, 10.0])
    values[100, 0] = [4.0, 1.0]

    derived = derives.apply(0, values)[:, :, 0]

    assert np.isnan(derived[:100]).all()
    np.testing.assert_allclose(derived[100], [(1 + 10) / (5 + 1000), 0.01])


def test_blocks_of_any_length_give_the_same():
    values = traffic(140)
    at_once, _ = derivation(RATIO, *SIDES, channels=["r_ratio"])
    one_by_one, _ = derivation(RATIO, *SIDES, channels=["r_ratio"])

    whole = at_once.apply(0, values)
    parts = np.concatenate([one_by_one.apply(t, values[t : t + 1]) for t in range(140)])

    np.testing.assert_array_equal(parts, whole)


def test_late_samples_give_what_they_would_have_given_in_time():
    values, came = traffic(140), traffic(140)
    came[133, 1] = NAN
    in_time, _ = derivation(RATIO, *SIDES, channels=["r_ratio"], revision_steps=8)
    late, _ = derivation(RATIO, *SIDES, channels=["r_ratio"], revision_steps=8)
    whole = np.concatenate([in_time.apply(t, values[t : t + 1]) for t in range(140)])
    for t in range(138):
        late.apply(t, came[t : t + 1])

    again = late.apply_again(132, np.array([1]), values[132:138, [1]])
    after = np.concatenate([late.apply(t, values[t : t + 1]) for t in (138, 139)])

    np.testing.assert_array_equal(again[:, 0], whole[132:138, 1])
    np.testing.assert_array_equal(after, whole[138:])
    np.testing.assert_array_equal(  # and once more, from what was kept anew
        late.apply_again(135, np.array([1]), values[135:140, [1]])[:, 0], whole[135:, 1]
    )


def test_it_goes_on_from_its_state():
    values = traffic(140)
    first, _ = derivation(RATIO, *SIDES, channels=["r_ratio"])
    second, _ = derivation(RATIO, *SIDES, channels=["r_ratio"])
    for t in range(120):
        first.apply(t, values[t : t + 1])

    second.load_state({name: array.copy() for name, array in first.state().items()})

    np.testing.assert_array_equal(second.apply(120, values[120:130]), first.apply(120, values[120:130]))
    np.testing.assert_array_equal(
        second.apply_again(118, np.array([0]), values[118:130, [0]]),
        first.apply_again(118, np.array([0]), values[118:130, [0]]),
    )


def test_rows_are_numbered_anew():
    values = traffic(121)
    derives, inputs = derivation(RATIO, *SIDES, channels=["r_ratio"])
    derives.apply(0, values[:120])
    expected = derivation(RATIO, *SIDES, channels=["r_ratio"])[0].apply(0, values)[120, 1, 0]

    inputs.keep_rows(np.array([1]))
    derives.keep_rows(np.array([1]))

    assert derives.apply(120, values[120:, [1]])[0, 0, 0] == expected
