"""Delimited text as tables: character set, delimiter, header, rows that do not fit, several tables in a file.

Every cell stays text here. `cells.py` and `times.py` know what it means.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.errors import SourceError
from monitor.files.layout import Reading

__all__ = ["TextTable", "read_text_tables", "table_from", "text_of"]

_DELIMITERS = (",", ";", "\t", "|")
_N_SNIFFED = 200  # lines that tell the delimiter
_BLOCK_BYTES = 1 << 24  # a row must fit into a block
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),  # PowerShell's `>` writes it
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of text: the names in its header, and a pyarrow array of strings for each column."""

    names: list[str]
    columns: list[Any]
    delimiter: str

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0


def text_of(content: bytes, reading: Reading) -> str:
    """Decode a file's text: UTF-8, or what its byte order mark says.

    Raises
    ------
    SourceError
        If it is no text; with the line and the byte.
    """
    for bom, charset in _BOMS:
        if content.startswith(bom):
            content = content[len(bom) :]
            if charset != "utf-8":
                reading.say(charset.upper())
            break
    else:
        charset = "utf-8"
    try:
        return content.decode(charset)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SourceError(
            f"cannot read {reading.file}: line {line}, byte {error.start}: no {charset.upper()} text. "
            "Save the file as UTF-8."
        ) from error


def read_text_tables(text: str, reading: Reading) -> list[TextTable]:
    """Read the tables of a text; a header that comes again, or another one, begins a new table.

    Rows with too many cells, and a last row that breaks off, are counted as `bad_row`.

    Raises
    ------
    SourceError
        If there is no table, or if its delimiter is not clear.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    start, named = _skip_preamble(text)
    set_delimiter = reading.layout.delimiter
    end_of_header = text.find("\n", start)
    header = text[start : end_of_header if end_of_header >= 0 else len(text)]
    if not header.strip():
        raise SourceError(f"cannot read {reading.file}: there is no text in it")
    delimiter = set_delimiter if set_delimiter != "auto" else named or _sniff(text[start:], reading)
    if delimiter != ",":
        reading.say(f'delimiter "{delimiter}"' if delimiter != "\t" else "delimiter tab")
    first = header.split(delimiter, 1)[0]
    sections = list(_sections(text[start:], first + delimiter if delimiter in header else header))
    if len(sections) > 1:
        reading.say(f"{len(sections)} tables")
    return [table_from(section, delimiter, reading) for section in sections]


def _skip_preamble(text: str) -> tuple[int, str]:
    """Find the header: behind empty lines, comments and Excel's `sep=`, which names the delimiter."""
    start, delimiter = 0, ""
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end].strip().strip('"')
        if line.lower().startswith("sep=") and len(line) <= 5:
            delimiter = line[4:] or "\t"
        elif line and not line.startswith("# "):
            break
        start = end + 1
    return start, delimiter


def _sniff(text: str, reading: Reading) -> str:
    """Find the delimiter by which most rows have as many cells as the header; `,` where none parts it."""
    lines = text[: _N_SNIFFED * 1000].split("\n")
    lines = lines[: max(1, min(_N_SNIFFED, len(lines) - 1))]  # the last may be cut
    ranked = []
    for delimiter in _DELIMITERS:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
        n_cells = len(rows[0])
        fitting = sum(len(row) == n_cells for row in rows) / len(rows)
        if n_cells > 1:
            ranked.append((fitting, n_cells, delimiter))
    ranked.sort(reverse=True)
    if len(ranked) > 1 and ranked[0][:2] == ranked[1][:2]:
        raise SourceError(
            f"{reading.file}: the columns may be parted by {ranked[0][2]!r} or by {ranked[1][2]!r}: both fit "
            "every row. Set source.replay.delimiter."
        )
    return ranked[0][2] if ranked else ","


def _sections(text: str, begin: str) -> Iterator[str]:
    """Part a text before each line that begins as the header does."""
    start = 0
    while True:
        following = text.find(f"\n{begin}", start)
        if following < 0:
            yield text[start:]
            return
        yield text[start : following + 1]
        start = following + 1


def table_from(text: str, delimiter: str, reading: Reading) -> TextTable:
    """Read one table: a header, and rows.

    Raises
    ------
    SourceError
        If the text is no table.
    """
    end = _end_of_record(text)
    names = next(csv.reader([text[:end].rstrip("\n")], delimiter=delimiter))
    return TextTable(names, rows_from(text[end:], len(names), delimiter, reading), delimiter)


def _end_of_record(text: str) -> int:
    """Find the end of the first record: a line break outside quotes."""
    end = text.find("\n")
    while end >= 0 and text.count('"', 0, end) % 2:
        end = text.find("\n", end + 1)
    return len(text) if end < 0 else end + 1


def rows_from(text: str, n_columns: int, delimiter: str, reading: Reading) -> list[Any]:
    """Read rows into columns of text; those that do not fit are filled up, or counted."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    names = [str(place) for place in range(n_columns)]
    if not text.strip():
        return [pa.array([], pa.string())] * n_columns
    short: list[list[str]] = []
    n_bad = 0
    if text.count('"') % 2:  # an open quote would swallow every row up to the next quote
        lines = text.splitlines(keepends=True)
        closed = [line for line in lines if line.count('"') % 2 == 0]
        n_bad = len(lines) - len(closed)
        text = "".join(closed)

    def on_misfit(row: Any) -> str:
        nonlocal n_bad
        cells = next(csv.reader([row.text], delimiter=delimiter), [])
        is_torn = not text.endswith("\n") and text.endswith(row.text)
        if row.actual_columns < n_columns and cells and not is_torn:
            short.append(cells + [""] * (n_columns - len(cells)))
        else:
            n_bad += 1
        return "skip"

    try:
        table = pacsv.read_csv(
            io.BytesIO(text.encode()),
            read_options=pacsv.ReadOptions(
                column_names=names, use_threads=False, block_size=max(_BLOCK_BYTES, len(text) // 64)
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=delimiter, newlines_in_values='"' in text, invalid_row_handler=on_misfit
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowException as error:
        raise SourceError(f"cannot read {reading.file}: {' '.join(str(error).split())}") from error
    reading.tally.count_bad("bad_row", n_bad)
    columns = [table.column(place) for place in range(n_columns)]
    return _with_rows(columns, short) if short else columns


def _with_rows(columns: Sequence[Any], rows: Sequence[Sequence[str]]) -> list[Any]:
    import pyarrow as pa

    return [
        pa.chunked_array([*column.chunks, pa.array([row[place] for row in rows], pa.string())])
        for place, column in enumerate(columns)
    ]
