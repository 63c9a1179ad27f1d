"""Units in cells, as Grafana's formatted tables have them: which may stand in a column together, and factors.

A column is read in its family's base unit: `1.5 GiB` as bytes, `3.2 ms` as seconds. Per cent stay per cent.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

__all__ = ["UnitFamily", "factor_of", "unit_family"]


@dataclass(frozen=True, slots=True)
class UnitFamily:
    """Units of one dimension, with their factors; `takes_bare`: a number without a unit is in the base."""

    base: str
    factors: Mapping[str, float]
    takes_bare: bool = False


_POWERS_10 = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_POWERS_2 = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}


def _scaled(*units: str, binary: bool = False) -> dict[str, float]:
    powers = {**_POWERS_10, **_POWERS_2} if binary else _POWERS_10
    return {f"{prefix}{unit}": factor for unit in units for prefix, factor in powers.items()}


_TIME = {
    "ns": 1e-9, "µs": 1e-6, "μs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "secs": 1.0,
    "seconds": 1.0, "min": 60.0, "mins": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0, "week": 604800.0, "weeks": 604800.0,
}  # fmt: skip
_SHORT = {
    "K": 1e3, "k": 1e3, "Mil": 1e6, "Bil": 1e9, "Tri": 1e12, "Quadr": 1e15, "M": 1e6, "G": 1e9, "T": 1e12,
}  # fmt: skip
_FAMILIES = (
    UnitFamily("%", {"%": 1.0}, takes_bare=True),
    UnitFamily("seconds", _TIME),
    UnitFamily("bytes", _scaled("B", binary=True) | {"KB": 1e3, "bytes": 1.0}),
    UnitFamily("bits", _scaled("b", "bit", binary=True)),
    UnitFamily("bytes/s", _scaled("B/s", binary=True) | {"KB/s": 1e3}),
    UnitFamily("bits/s", _scaled("b/s", "bps", "bit/s", binary=True)),
    UnitFamily("Hz", _scaled("Hz")),
    UnitFamily("W", _scaled("W") | {"mW": 1e-3}),
    UnitFamily("units of 1", _SHORT, takes_bare=True),
)


def unit_family(units: Collection[str]) -> UnitFamily | None:
    """Find the dimension that all units of a column belong to.

    A column that has a single unit which is not known here keeps its numbers: they are alike. None where
    there is no unit, and for units that do not belong together.
    """
    if not units:
        return None
    for family in _FAMILIES:
        if all(unit in family.factors for unit in units):
            return family
    if len(units) == 1:
        (unit,) = units
        return UnitFamily(unit, {unit: 1.0}, takes_bare=True)
    return None


def factor_of(unit: str, family: UnitFamily | None, number: float | None) -> float | None:
    """Give the factor from a cell's unit to the column's base; None where the cell cannot be read.

    A bare 0 is 0 in every unit; gaps and infinities have none.
    """
    if family is None:
        return None if unit else 1.0
    if unit:
        return family.factors.get(unit)
    is_same_in_all = number is not None and (number == 0 or not math.isfinite(number))
    return 1.0 if family.takes_bare or is_same_in_all else None
