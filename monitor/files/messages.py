"""Files of JSON lines: dumped records of topics, in any wire format, or Barograph's own messages."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.decode.native import decode_native_columns, decode_native_samples, is_columnar
from monitor.decode.record import Record
from monitor.errors import SourceError
from monitor.files.captures import NoCaptureError, captured_lines
from monitor.files.decode_captures import decode_captured
from monitor.files.layout import Reading
from monitor.sample import Columns, concatenate

__all__ = ["read_messages"]


def read_messages(content: bytes, reading: Reading) -> Columns:
    """Read a file of JSON lines.

    Raises
    ------
    SourceError
        If a dump is torn: some lines are records, and a later line is none.
    """
    lines = content.splitlines()
    layout, file = reading.layout, str(reading.file)
    try:
        outcome = decode_captured(captured_lines(lines, file), layout.decoder_of, reading.table)
    except NoCaptureError as error:
        if error.n_before:
            raise SourceError(
                f"{file}: line {error.number} is no record, but the {error.n_before} before it are. "
                "The capture was truncated or changed there: remove that line, or capture again."
            ) from error
        return _read_own_messages(lines, reading)
    reading.tally.count_rejected(outcome.rejected)
    return outcome.columns


def _read_own_messages(lines: Sequence[bytes], reading: Reading) -> Columns:
    records = [Record(line) for line in lines if line.strip()]
    columnar = [record for record in records if is_columnar(record.value)]
    single = [record for record in records if not is_columnar(record.value)]
    decoded = (
        decode_native_columns(columnar, reading.table),
        decode_native_samples(single, reading.table, fields=reading.layout.sample_fields),
    )
    for part in decoded:
        reading.tally.count_rejected(part.rejected)
    return concatenate(part.columns for part in decoded)
