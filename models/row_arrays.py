"""Arrays that share their first axis, one row per entity: declared once, grown, cut and stored together.

    class Spread(RowArrays):
        n_seen = row_array(np.int64)
        scale = row_array(np.float64, "channels", fill=1.0)

    spread = Spread(2, channels=3)  # spread.scale is an ndarray of shape (2, 3)
    spread.grow(5, channels=4)      # old values stay, new cells hold the fill

Each array is a plain attribute, so reading it costs nothing extra. A subclass may write into an
array or replace it by one of the same shape. The name in `state()` is the attribute's name.

This is the only module that gets and sets attributes by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowArrays", "rearranged", "row_array"]

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class _Declaration:
    dtype: np.dtype[Any]
    axes: tuple[str | int, ...]  # behind the row axis
    fill: float

    def shape(self, n_rows: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return (n_rows, *(axis if isinstance(axis, int) else sizes[axis] for axis in self.axes))


def row_array(dtype: type[_Scalar], *axes: str | int, fill: float = 0) -> NDArray[_Scalar]:
    """Declare an array in the body of a `RowArrays` class; instances hold the array itself.

    Parameters
    ----------
    axes : str or int
        The axes behind the row axis: the name of a size that each instance chooses, or a constant size.
    fill : float
        What a row holds that nothing is known of yet.
    """
    return cast("NDArray[_Scalar]", _Declaration(np.dtype(dtype), axes, fill))


def rearranged(
    array: NDArray[_Scalar], order: NDArray[np.int64], *, axis: int, fill: float
) -> NDArray[_Scalar]:
    """Copy an array with one axis in another order.

    Parameters
    ----------
    order : ndarray, shape (m,)
        The present number of each new place; -1, and numbers beyond the last, give the fill.
    """
    is_known = (order >= 0) & (order < array.shape[axis])
    shape = (*array.shape[:axis], len(order), *array.shape[axis + 1 :])
    changed = np.full(shape, fill, array.dtype)
    before = (slice(None),) * axis
    changed[(*before, is_known)] = array[(*before, order[is_known])]
    return changed


class RowArrays:
    """Base of a class that holds one row per entity in each of its declared arrays.

    A subclass whose constructor takes other arguments overrides `_blank` as well.

    Parameters
    ----------
    sizes : int
        The size of each named axis.
    """

    _declared: ClassVar[dict[str, _Declaration]] = {}
    _axes: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = {name: value for name, value in vars(cls).items() if isinstance(value, _Declaration)}
        cls._declared = {**cls._declared, **own}
        cls._axes = frozenset(
            axis for item in cls._declared.values() for axis in item.axes if isinstance(axis, str)
        )
        for name in own:  # an instance has the array; without it, access must fail
            delattr(cls, name)

    def __init__(self, n_rows: int, **sizes: int) -> None:
        assert sizes.keys() == self._axes, f"sizes {sorted(sizes)}, expected {sorted(self._axes)}"
        for name, declared in self._declared.items():
            setattr(self, name, np.full(declared.shape(n_rows, sizes), declared.fill, declared.dtype))

    @classmethod
    def of(cls, **arrays: NDArray[Any]) -> Self:
        """Build from the arrays themselves, not copies; for classes without a constructor of their own."""
        assert arrays.keys() == cls._declared.keys(), (
            f"arrays {sorted(arrays)}, expected {sorted(cls._declared)}"
        )
        rows = cls(0, **dict.fromkeys(cls._axes, 0))
        for name, array in arrays.items():
            setattr(rows, name, array)
        return rows

    @property
    def n_rows(self) -> int:
        """Entities that there is room for."""
        return len(getattr(self, next(iter(self._declared))))

    def grow(self, n_rows: int, **sizes: int) -> None:
        """Make room for more rows, and for more along named axes; the new cells hold the fill.

        Raises
        ------
        ValueError
            If it is less room than there is.
        """
        assert sizes.keys() <= self._axes, f"sizes {sorted(sizes)}, expected some of {sorted(self._axes)}"
        if n_rows == self.n_rows and not sizes:
            return
        sizes = self._sizes() | sizes
        for name, declared in self._declared.items():
            array: NDArray[Any] = getattr(self, name)
            shape = declared.shape(n_rows, sizes)
            if shape != array.shape:
                margins = [(0, size - present) for size, present in zip(shape, array.shape, strict=True)]
                setattr(self, name, np.pad(array, margins, constant_values=declared.fill))

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Copy these rows, in their order, into a new object; -1 gives a row that holds the fill."""
        other = self._blank(len(rows))
        known = np.flatnonzero(rows >= 0)
        other.put(known, self, rows[known])
        return other

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these rows and number them anew, in this order; rows beyond the last are ignored."""
        rows = rows[rows < self.n_rows]
        for name in self._declared:
            setattr(self, name, getattr(self, name)[rows])

    def rearrange(self, axis: str, order: NDArray[np.int64]) -> None:
        """Put a named axis into another order, as `rearranged` does; every array that has it is replaced."""
        for name, declared in self._declared.items():
            for place, named in enumerate(declared.axes, start=1):
                if named == axis:
                    array = rearranged(getattr(self, name), order, axis=place, fill=declared.fill)
                    setattr(self, name, array)

    def put(self, rows: NDArray[np.int64], other: Self, of_rows: NDArray[np.int64] | None = None) -> None:
        """Write rows of `other` into these rows: all of them in their order, or `of_rows`."""
        for name in self._declared:
            array = getattr(other, name)
            getattr(self, name)[rows] = array if of_rows is None else array[of_rows]

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give the arrays by name; the arrays themselves, not copies."""
        return {name: getattr(self, name) for name in self._declared}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Copy arrays that `state` gave; other names are ignored. Rows and named sizes follow the arrays.

        Raises
        ------
        ValueError
            If an array is missing, of another kind of numbers, or of a shape that does not fit its
            declaration or the arrays before it; nothing is changed then.
        """
        sizes: dict[str | int, int] = {}
        loaded = {}
        for name, declared in self._declared.items():
            if name not in arrays:
                raise ValueError(f"{name} is missing")
            array = arrays[name]
            # An empty array has no number of a wrong kind: older versions stored some as float64.
            if array.size and array.dtype.kind != declared.dtype.kind:
                raise ValueError(f"{name} has dtype {array.dtype}, expected {declared.dtype}")
            axes = ("row", *declared.axes)
            expected = tuple(
                axis if isinstance(axis, int) else sizes.setdefault(axis, size)
                for axis, size in zip(axes, array.shape, strict=False)
            )
            if len(axes) != array.ndim or expected != array.shape:
                fitting = tuple(sizes.get(axis, axis) for axis in axes)
                raise ValueError(f"{name} has shape {array.shape}, expected {fitting}")
            loaded[name] = array.astype(declared.dtype)
        for name, array in loaded.items():
            setattr(self, name, array)

    def _blank(self, n_rows: int) -> Self:
        """Build an object of this one's sizes whose rows all hold the fill."""
        return type(self)(n_rows, **self._sizes())

    def _sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for name, declared in self._declared.items():
            named = zip(declared.axes, getattr(self, name).shape[1:], strict=True)
            sizes |= {axis: size for axis, size in named if isinstance(axis, str)}
        return sizes
