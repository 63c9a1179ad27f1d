from __future__ import annotations

import math
from typing import NamedTuple

import pytest

from monitor.decode.record import Record
from monitor.sample import SeriesTable, is_stale


class Read(NamedTuple):
    """What a decoder made of payloads.

    Samples are `(series, time_ms, value)`, the value None for a gap; `rejected` counts by reason.
    """

    samples: list
    rejected: dict
    table: SeriesTable

    @property
    def series(self):
        return [str(self.table[number]) for number in range(len(self.table))]

    @property
    def kinds(self):
        return {
            self.table[number].name: self.table[number].kind.name.lower() for number in range(len(self.table))
        }


@pytest.fixture
def read():
    """Decode payloads, text or bytes; `time_ms` is what their records are stamped with."""

    def decode(decoder, *payloads, time_ms=-1, **options):
        table = SeriesTable()
        records = [
            Record(payload.encode() if isinstance(payload, str) else payload, time_ms) for payload in payloads
        ]
        decoded = decoder(records, table, **options)
        columns = decoded.columns
        rows = zip(
            columns.series.tolist(),
            columns.time_ms.tolist(),
            columns.value.tolist(),
            is_stale(columns.value),
            strict=True,
        )
        samples = [
            (str(table[series]), time_ms, "stale" if stale else None if math.isnan(value) else value)
            for series, time_ms, value, stale in rows
        ]
        return Read(samples, decoded.rejected, table)

    return decode
