"""The result of one batch under construction: samples and rejections in lists, made into columns at the end.

Decoders that read a record at a time share what is here; those that read in arrays (`native.py`'s columnar
batches, `remote_write.py`) use `Rejections` alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from monitor.decode.fields import number_from
from monitor.decode.record import Decoded, Record, RejectedError, Rejection
from monitor.sample import Columns, Kind, Labels, SeriesTable

__all__ = ["FieldNumbers", "Gathered", "Rejections", "gather"]

_PLAIN_TYPES = frozenset({int, float, bool, type(None)})  # numpy turns these into numbers without help


class Rejections:
    """What could not be read, as one entry for each record and reason.

    A hostile record may have a million faults: its entries must not take more memory than the record.
    """

    def __init__(self) -> None:
        self._details: dict[tuple[int, str], str] = {}  # by record and reason, in order of first occurrence
        self._counts: Counter[tuple[int, str]] = Counter()

    def add(self, index: int, error: RejectedError) -> None:
        """Count a rejection of the record at `index`; the first detail of a reason is kept."""
        key = (index, error.reason)
        self._details.setdefault(key, error.detail)
        self._counts[key] += 1

    def __iter__(self) -> Iterator[Rejection]:
        for (index, reason), detail in self._details.items():
            yield Rejection(index, reason, detail, self._counts[index, reason])


class FieldNumbers(dict[str, int]):
    """The numbers of series that differ only in the field that they are read from, by that field.

    A new field is given its series on first use: `name_of` makes the series' name from the field, and may
    raise `RejectedError`; `kind_of` gives its kind by that name, None where the name's suffix decides.
    """

    def __init__(
        self,
        table: SeriesTable,
        name_of: Callable[[str], str],
        labels: Labels,
        kind_of: Callable[[str], Kind | None],
    ) -> None:
        super().__init__()
        self._table = table
        self._name_of = name_of
        self._labels = labels
        self._kind_of = kind_of

    def __missing__(self, field: str) -> int:
        name = self._name_of(field)
        number = self[field] = self._table.intern(name, self._labels, self._kind_of(name))
        return number


class Gathered:
    """The samples and rejections of one batch so far.

    Values are numbers, booleans (1 and 0) or None (a gap), never text; infinities become gaps.
    """

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._times_ms: list[int] = []
        self._values: list[float | None] = []
        self._rejections = Rejections()

    def add(self, number: int, time_ms: int, value: float | None) -> None:
        """Add one sample of the series with this number."""
        self._numbers.append(number)
        self._times_ms.append(time_ms)
        self._values.append(value)

    def extend(self, numbers: Collection[int], time_ms: int, values: Collection[float | None]) -> None:
        """Add samples of several series at one time."""
        self._numbers += numbers
        self._times_ms += [time_ms] * len(numbers)
        self._values += values

    def extend_fields(
        self, index: int, series: FieldNumbers, time_ms: int, fields: Mapping[str, object]
    ) -> None:
        """Add the numbers among the fields that a JSON object has for one time.

        Text is skipped; a list or an object is a rejection of the record at `index`, and the other fields are
        kept.
        """
        if _PLAIN_TYPES.issuperset(map(type, fields.values())):
            self.extend(list(map(series.__getitem__, fields)), time_ms, fields.values())  # type: ignore[arg-type]
            return
        for field, raw_value in fields.items():
            try:
                value = number_from(raw_value)
                if value is not None:
                    self.add(series[field], time_ms, value)
            except RejectedError as error:
                self.reject(index, error)

    def reject(self, index: int, error: RejectedError) -> None:
        """Count what could not be read of the record at `index`."""
        self._rejections.add(index, error)

    def decoded(self) -> Decoded:
        """Give everything as columns."""
        value = np.array(self._values, np.float64)  # None becomes NaN
        value[np.isinf(value)] = np.nan
        columns = Columns(np.array(self._numbers, np.int32), np.array(self._times_ms, np.int64), value)
        return Decoded(columns, tuple(self._rejections))


def gather(records: Sequence[Record], read: Callable[[int, Record, Gathered], None]) -> Decoded:
    """Read records one by one.

    Parameters
    ----------
    read : callable
        Gets a record's index in the batch, the record, and the batch to add its samples to. It raises
        `RejectedError` before it adds anything, or calls `reject` for the parts that are bad.
    """
    gathered = Gathered()
    for index, record in enumerate(records):
        try:
            read(index, record, gathered)
        except RejectedError as error:
            gathered.reject(index, error)
    return gathered.decoded()
