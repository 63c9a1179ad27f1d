"""Units of a column."""

import math

import pytest

from monitor.files.units import factor_of, unit_family


@pytest.mark.parametrize(
    ("units", "base", "unit", "factor"),
    [
        ({"GiB", "MiB"}, "bytes", "GiB", 2**30),
        ({"kB", "B"}, "bytes", "kB", 1000),
        ({"ms", "s"}, "seconds", "ms", 0.001),
        ({"mins", "hours"}, "seconds", "hours", 3600),
        ({"Mb/s"}, "bits/s", "Mb/s", 1e6),
        ({"K", "Mil"}, "units of 1", "Mil", 1e6),
        ({"%"}, "%", "%", 1),
        ({"rpm"}, "rpm", "rpm", 1),
    ],
)
def test_units_of_a_dimension_have_factors_to_its_base(units, base, unit, factor):
    family = unit_family(units)

    assert family.base == base
    assert factor_of(unit, family, 1.0) == pytest.approx(factor)


def test_units_that_do_not_belong_together_have_no_factor():
    assert unit_family({"GiB", "ms"}) is None
    assert factor_of("GiB", None, 1.0) is None


def test_a_bare_number_beside_bytes_cannot_be_read_unless_it_is_0_or_a_gap():
    family = unit_family({"MiB"})

    assert factor_of("", family, 5.0) is None
    assert factor_of("", family, 0.0) == factor_of("", family, math.nan) == 1.0
    assert factor_of("", unit_family({"K"}), 950.0) == 1.0
