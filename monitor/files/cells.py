"""Numbers as people's tools write them: decimal commas, thousands, units, and words for a gap.

A mark is read as decimal or thousands only where the file itself proves which it is. `1,234` on its own
proves nothing, and is an error that names the setting.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.files.layout import Reading, few
from monitor.files.units import factor_of, unit_family

__all__ = ["Numbers", "holds_numbers", "read_numbers", "read_value"]

_MINUS = "\u2212"  # the sign of typesetting
_SPACES = " \u00a0\u2009\u202f"  # plain, no-break, thin and narrow no-break
_GROUP_MARKS = f".,'\u2019_{_SPACES}"
_WORDS = {
    **dict.fromkeys(
        ("", "nan", "null", "none", "nil", "na", "n/a", "<na>", "#n/a", "-", "--", "\u2013", "\u2014",
         "undefined",
         "no data", "\\n", "(null)"), math.nan,
    ),
    "true": 1.0, "false": 0.0,
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity", "∞", "+∞"), math.inf),
    **dict.fromkeys(("-inf", "-infinity", "-∞", f"{_MINUS}∞"), -math.inf),
}  # fmt: skip
_CELL = re.compile(
    rf"([+\-{_MINUS}]?)[$€£¥]?([0-9][0-9{_GROUP_MARKS}]*|[.,][0-9]+)([eE][+-]?[0-9]+)?[{_SPACES}]*"
    rf"([^0-9{_SPACES}.,][^0-9]*)?"
)
_GROUPS = re.compile(rf"[0-9]{{1,3}}(?:([{_GROUP_MARKS}])[0-9]{{3}})(?:\1[0-9]{{3}})*")


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column's numbers (n,), NaN where there is none; and how many cells hold something else."""

    value: NDArray[np.float64]
    n_texts: int

    @property
    def is_metric(self) -> bool:
        """Whether it holds numbers with occasional text, not text with occasional numbers."""
        return self.n_texts == 0 or self.n_texts < int(np.count_nonzero(~np.isnan(self.value)))


@dataclass(slots=True)
class _Cells:
    """The distinct texts of a column, and which of them each row has; `fast` where they are plain numbers."""

    name: str
    texts: list[str]
    codes: NDArray[np.int64]
    fast: NDArray[np.float64] | None


def read_numbers(
    names: Sequence[str], columns: Sequence[Any], reading: Reading, *, delimiter: str = ""
) -> list[Numbers]:
    """Read columns of a table as numbers; marks are decided for all of them together.

    Parameters
    ----------
    columns : sequence of pyarrow Array or ChunkedArray
        Of any type; texts are parsed, and what is neither number nor text gives no number.
    delimiter : str
        Of the file that they come from: where it is a semicolon, a decimal comma is likely.

    Raises
    ------
    SourceError
        If a mark may be either decimal or thousands, or if columns contradict each other.
    """
    typed = [_typed(column) for column in columns]
    cells = [
        _cells_of(name, column)
        for name, column, known in zip(names, columns, typed, strict=True)
        if known is None
    ]
    decimal = _decimal_of(cells, reading, delimiter)
    texts = iter(cells)
    return [known or _read(next(texts), decimal, reading) for known in typed]


def holds_numbers(column: Any) -> bool:
    """Tell whether most of a column's distinct texts are numbers."""
    cells = _cells_of("", column)
    proofs = [_proof_of(text) for text in cells.texts if text.lower() not in _WORDS]
    return cells.fast is not None or sum(proof is not None for proof in proofs) * 2 >= len(proofs)


def read_value(raw: object) -> float | None:
    """Read a value of JSON: a number, or text of one with a decimal point; NaN for a gap, None for text."""
    if isinstance(raw, int | float):
        return float(raw)
    if raw is None:
        return math.nan
    if not isinstance(raw, str):
        return None
    word = _WORDS.get(raw.strip().lower())
    if word is not None:
        return word
    try:
        return float(raw) if raw.isascii() and "_" not in raw else None
    except ValueError:
        return None


def _typed(column: Any) -> Numbers | None:
    """Give the numbers of a column whose type says what it is; None for text."""
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return None
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return Numbers(np.full(len(column), np.nan), len(column) - column.null_count)  # dates and the like
    return Numbers(_to_numpy(column.cast(pa.float64(), safe=False)), 0)


def _cells_of(name: str, column: Any) -> _Cells:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    texts = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    try:
        numbers = pc.if_else(pc.equal(texts, ""), None, texts).cast(pa.float64())
        has_points = pc.any(pc.match_substring(texts, ".")).as_py()
        if not has_points:
            return _Cells(name, [], np.empty(0, np.int64), _to_numpy(numbers))
        fast = _to_numpy(numbers)
    except pa.ArrowInvalid:
        fast = None
    encoded = texts.dictionary_encode()
    return _Cells(name, encoded.dictionary.to_pylist(), _to_numpy(encoded.indices).astype(np.int64), fast)


def _decimal_of(cells: Sequence[_Cells], reading: Reading, delimiter: str) -> str:
    """Decide the decimal mark of a file: as set, or as its numbers prove."""
    layout = reading.layout
    if layout.decimal != "auto":
        reading.say(f'decimal mark "{layout.decimal}" as set')
        return layout.decimal
    if layout.thousands in (".", ","):
        return "," if layout.thousands == "." else "."
    if all(column.fast is not None for column in cells) and delimiter in ("", ","):
        return "."  # what everybody writes where a comma parts the columns
    shown: dict[str, tuple[str, str]] = {}  # the first cell of each kind of evidence, and its column
    n_whole = 0
    for column in cells:
        proofs = [(text, _proof_of(text)) for text in column.texts if text.lower() not in _WORDS]
        if sum(proof is not None for _, proof in proofs) * 2 < len(proofs):
            continue  # a column of text
        for text, proof in proofs:
            n_whole += proof == "" and len(text) <= 3
            if proof is not None:
                shown.setdefault(proof, (text, column.name))
    if "," in shown and "." in shown:
        (comma, in_comma), (point, in_point) = shown[","], shown["."]
        raise SourceError(
            f'{reading.file} mixes decimal marks: {comma!r} in column "{in_comma}", {point!r} in column '
            f'"{in_point}". Set source.replay.decimal to "." or ","; cells with the other are then counted.'
        )
    if "," in shown:
        reading.say(f'decimal mark "," as in {shown[","][0]}')
        return ","
    if "." in shown:
        if "?," in shown:
            reading.say(f'decimal mark "." as in {shown["."][0]}, so {shown["?,"][0]} has thousands')
        return "."
    is_unclear = "?," in shown or ("?." in shown and delimiter == ";" and n_whole > 0)
    if is_unclear:
        text, name = shown["?,"] if "?," in shown else shown["?."]
        mark = "," if "?," in shown else "."
        raise SourceError(
            f'{reading.file}: {text!r} in column "{name}" may be a decimal number or thousands, and '
            f'nothing in the file says which. Set source.replay.decimal to "{mark}" if the mark is decimal, '
            f'or to "{"." if mark == "," else ","}" if it separates thousands.'
        )
    return "."


def _proof_of(text: str) -> str | None:
    match = _CELL.fullmatch(text)
    return None if match is None else _proof(match[2].strip(_SPACES), has_exponent=match[3] is not None)


def _proof(digits: str, *, has_exponent: bool) -> str | None:
    """Tell which decimal mark a number proves: "." or ","; "?." or "?," where the mark may be either.

    Empty for a number without either mark; None for what is no number, such as an address.
    """
    n_points, n_commas = digits.count("."), digits.count(",")
    if not n_points and not n_commas:
        return ""
    if n_points and n_commas:
        decimal = "." if digits.rindex(".") > digits.rindex(",") else ","
        return decimal if _GROUPS.fullmatch(digits.partition(decimal)[0]) else None
    mark, other = (".", ",") if n_points else (",", ".")
    if n_points + n_commas > 1:
        return other if _GROUPS.fullmatch(digits) else None  # thousands
    whole, _, fraction = digits.partition(mark)
    is_group = _GROUPS.fullmatch(digits) and whole[0] != "0" and not has_exponent
    return f"?{mark}" if is_group and fraction.isdecimal() else mark


def _read(cells: _Cells, decimal: str, reading: Reading) -> Numbers:
    has_marks = decimal == "," and bool(cells.texts)
    if cells.fast is not None and not has_marks:
        return Numbers(cells.fast, 0)
    parsed = [_parse(text, decimal, reading.layout.thousands) for text in cells.texts]
    units = {unit for _, unit in parsed if unit}
    family = unit_family(units)
    values = np.full(len(parsed), np.nan)
    is_text = np.zeros(len(parsed), bool)
    for place, (number, unit) in enumerate(parsed):
        factor = factor_of(unit, family, number)
        if number is None or factor is None:
            is_text[place] = True
        else:
            values[place] = number * factor
    column = Numbers(values[cells.codes], int(is_text[cells.codes].sum()))
    if units and column.is_metric:
        base = family.base if family else next(iter(units))
        reading.say(f'column "{cells.name}" with units ({", ".join(few(sorted(units)))}) in {base}')
    return column


def _parse(text: str, decimal: str, thousands: str) -> tuple[float | None, str]:
    """Read a cell as a number and its unit; None where it is no number."""
    word = _WORDS.get(text.lower())
    if word is not None:
        return word, ""
    match = _CELL.fullmatch(text)
    if match is None:
        return None, ""
    sign, digits, exponent, unit = match.groups()
    whole, _, fraction = digits.strip(_SPACES).partition(decimal)
    if not whole.isdecimal() and whole:
        group = _GROUPS.fullmatch(whole)
        allowed = _SPACES if thousands == " " else thousands
        if group is None or not (thousands == "auto" or group[1] in allowed):
            return None, ""
        whole = whole.replace(group[1], "")
    if fraction and not fraction.isdecimal():
        return None, ""
    number = float(f"{whole or '0'}.{fraction or '0'}{exponent or ''}")
    return (-number if sign in ("-", _MINUS) and sign else number), (unit or "").strip()


def _to_numpy(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        return np.asarray(column.to_numpy())
    return np.asarray(column.to_numpy(zero_copy_only=False))
