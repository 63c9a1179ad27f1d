"""Times in files, as event times in ms: numbers since the epoch, ISO texts, or texts of a given pattern.

Nothing is guessed from a single value: a unit is taken only if the whole column agrees, and a text in a
local order of day and month is an error that names the pattern to set.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.files.layout import Reading

__all__ = ["UNITS", "Times", "read_times"]

UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}  # per second
# Times of these years, 1990 to 2100, in s, ms, us and ns: the four ranges do not overlap.
_FIRST_SECOND, _LAST_SECOND = 631_152_000, 4_102_444_800
_MAX_MS = 253_402_300_800_000  # the year 10000
_FEW_RATIO = 0.01  # of a column's times that may be in another unit: damaged rows, not another unit
_FEW_ROWS = 10  # from so many on a single row is no more than that

_NUMBER = r"^[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?$"
_ZONE = r":[0-9]{2}([.][0-9]+)?(Z|z|[+-][0-9]{2}(:?[0-9]{2})?)$"
# What tools write beside strict ISO: other separators, a fraction behind a comma, a spelled UTC.
_TO_ISO = (
    (r"^([0-9]{4})/([0-9]{2})/([0-9]{2})", r"\1-\2-\3"),
    (r"^([0-9]{4}-[0-9]{2}-[0-9]{2}),? +", r"\1T"),
    (r"(:[0-9]{2}),([0-9]+)", r"\1.\2"),
    (r" *([+-][0-9]{2}:?[0-9]{2})( [A-Z]{3,4})?$", r"\1"),
    (r" *(UTC|GMT|Z|z)$", "Z"),
)
_DATE_PATTERNS = (
    (r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y",)),
    (r"\d{1,2}/\d{1,2}/\d{4}", ("%d/%m/%Y", "%m/%d/%Y")),
    (r"\d{1,2}-\d{1,2}-\d{4}", ("%d-%m-%Y", "%m-%d-%Y")),
    (r"[A-Z][a-z]{2} \d{1,2}, \d{4}", ("%b %d, %Y",)),
    (r"\d{1,2} [A-Z][a-z]{2} \d{4}", ("%d %b %Y",)),
)


@dataclass(frozen=True, slots=True)
class Times:
    """Event times in ms of the rows that have one (m,), and which rows these are (n,)."""

    time_ms: NDArray[np.int64]
    good: NDArray[np.bool_]


def read_times(column: Any, reading: Reading, *, unit: str = "", what: str = "times") -> Times:
    """Read a column of times; rows without one are counted as `bad_time`.

    Parameters
    ----------
    column : pyarrow Array or ChunkedArray, shape (n,)
        Numbers, texts, dates or timestamps.
    unit : str
        The unit that the file's format defines; without it the setting `time_unit` decides.
    what : str
        What the log calls them.

    Raises
    ------
    SourceError
        If no time can be read, or if the unit is to be detected and the column does not agree on one.
    """
    import pyarrow as pa

    unit = unit or reading.layout.time_unit
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        times = _from_timestamps(column, reading)
    elif unit in UNITS:
        times = _from_numbers(_numbers(column), unit, reading)
    elif unit == "auto":
        numbers = _numbers(column)
        is_numeric = not _holds_texts(column, numbers)
        times = _from_numbers(numbers, unit, reading) if is_numeric else _from_texts(column, "iso", reading)
    else:
        times = _from_texts(column, unit, reading)
    _check(times, column, unit, reading, what)
    return times


def _check(times: Times, column: Any, unit: str, reading: Reading, what: str) -> None:
    n_missing = len(times.good) - int(times.good.sum())
    if n_missing == len(times.good) and n_missing:
        first = _first(column)
        if unit == "auto":
            raise SourceError(
                f"{reading.file}: the {what} cannot be recognised (the first is {first}): expected s, ms, "
                "us or ns since the epoch between 1990 and 2100, or ISO. Set source.replay.time_unit to "
                f"s, ms, us, ns, iso or {_patterns_for(first)}."
            )
        raise SourceError(
            f'{reading.file}: no time can be read as "{unit}" (the first is {first}). '
            "Set source.replay.time_unit to s, ms, us, ns, iso, or a pattern such as "
            '"%d.%m.%Y %H:%M:%S".'
        )
    reading.tally.count_bad("bad_time", n_missing)


def _holds_texts(column: Any, numbers: NDArray[Any]) -> bool:
    """Tell whether most of a column's cells are no numbers."""
    is_number = np.isfinite(numbers.astype(np.float64))
    n_filled = int(_filled(column).sum())
    return int(is_number.sum()) * 2 < n_filled


def _numbers(column: Any) -> NDArray[Any]:
    """Give a column's numbers, as integers where all are, and NaN where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numeric = column
    if _is_text(column):
        texts = pc.utf8_trim_whitespace(column)
        numeric = pc.if_else(pc.match_substring_regex(texts, _NUMBER), texts, None)
        if numeric.null_count == 0:
            with suppress(pa.ArrowInvalid):  # exact: a float64 does not hold today's nanoseconds
                numeric = numeric.cast(pa.int64())
    if numeric.null_count or not pa.types.is_integer(numeric.type):
        numeric = numeric.cast(pa.float64(), safe=False)
    return np.asarray(numeric.to_numpy(zero_copy_only=False))


def _from_numbers(numbers: NDArray[Any], unit: str, reading: Reading) -> Times:
    known = np.isfinite(numbers.astype(np.float64))
    if unit == "auto":
        unit, known = _unit_of(numbers, known, reading)
        reading.say(f"times in {unit} since the epoch")
    per_second = UNITS[unit]
    good = known & (np.abs(np.where(known, numbers, 0).astype(np.float64)) < _MAX_MS / 1000 * per_second)
    chosen = numbers[good]
    if chosen.dtype.kind in "iu" and per_second > 1000:
        per_ms = per_second // 1000
        time_ms = (chosen.astype(np.int64) + per_ms // 2) // per_ms
    elif chosen.dtype.kind in "iu":
        time_ms = chosen.astype(np.int64) * (1000 // per_second)
    else:
        time_ms = np.round(chosen * (1000.0 / per_second)).astype(np.int64)
    return Times(time_ms, np.asarray(good))


def _unit_of(
    numbers: NDArray[Any], known: NDArray[np.bool_], reading: Reading
) -> tuple[str, NDArray[np.bool_]]:
    """Find the unit in which a column's times lie between 1990 and 2100; damaged rows are left out."""
    seconds = np.where(known, numbers, 0).astype(np.float64)
    fits = {
        unit: known & (seconds >= _FIRST_SECOND * per_second) & (seconds < _LAST_SECOND * per_second)
        for unit, per_second in UNITS.items()
    }
    counts = {unit: int(rows.sum()) for unit, rows in fits.items() if rows.any()}
    if not counts:
        return "s", np.zeros(len(numbers), bool)
    unit = max(counts, key=lambda name: counts[name])
    n_known = int(known.sum())
    n_others = sum(counts.values()) - counts[unit]
    has_few_others = n_others <= n_known * _FEW_RATIO or (n_others == 1 and n_known >= _FEW_ROWS)
    if not has_few_others or counts[unit] * 2 < n_known:
        stray = numbers[np.flatnonzero(known & ~fits[unit])[0]]
        raise SourceError(
            f"{reading.file}: the times are not all in one unit: {counts[unit]} of {n_known} look like "
            f"{unit}, but {stray} does not. Set source.replay.time_unit to one of these, or split "
            "the file."
        )
    return unit, np.asarray(fits[unit])


def _from_texts(column: Any, unit: str, reading: Reading) -> Times:
    """Read ISO texts, or texts of a strptime pattern; those without a zone in the configured one."""
    import pandas as pd
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(column if _is_text(column) else column.cast("string"))
    if unit == "iso":
        for pattern, replacement in _TO_ISO:
            texts = pc.replace_substring_regex(texts, pattern, replacement)
        has_zone = np.asarray(pc.fill_null(pc.match_substring_regex(texts, _ZONE), False)).astype(bool)
        format_name = "ISO8601"
    else:
        has_zone = np.full(len(texts), "%z" in unit)
        format_name = unit
    cells = pd.Series(texts.to_pandas()).astype(object)
    instants = np.full(len(cells), np.datetime64("NaT"), "datetime64[ms]")
    if has_zone.any():
        parsed = pd.to_datetime(cells[has_zone], format=format_name, utc=True, errors="coerce")
        instants[has_zone] = parsed.dt.tz_convert(None).to_numpy("datetime64[ms]")
    if not has_zone.all():
        local = pd.to_datetime(cells[~has_zone], format=format_name, errors="coerce")
        instants[~has_zone] = _in_zone(local, reading).to_numpy("datetime64[ms]")
    good = ~np.isnat(instants)
    if good.any():
        reading.say("ISO times" if unit == "iso" else f'times as "{unit}"')
    return Times(instants[good].astype(np.int64), good)


def _from_timestamps(column: Any, reading: Reading) -> Times:
    """Read the timestamps of Parquet: those without a zone are local times."""
    import pandas as pd

    stamps = pd.Series(column.to_pandas())
    if not pd.api.types.is_datetime64_any_dtype(stamps):  # dates
        stamps = pd.to_datetime(stamps)
    instants = _in_zone(stamps, reading) if stamps.dt.tz is None else stamps.dt.tz_convert(None)
    values = instants.to_numpy("datetime64[ms]")
    good = ~np.isnat(values)
    return Times(values[good].astype(np.int64), good)


def _in_zone(local: Any, reading: Reading) -> Any:
    """Take local times as times of the configured zone; those that a clock change makes unclear are NaT.

    An hour that comes twice in autumn, or never in spring, has no sure place: its rows are counted, not put
    where they may be wrong.
    """
    zone = reading.layout.time_zone
    known = local.notna()
    if known.any():
        reading.say(f"local times in {zone} (source.replay.time_zone)")
    fixed = local.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    lost = known & fixed.isna()
    n_lost = int(lost.sum())
    if n_lost:
        n_missing = int((lost & local.dt.tz_localize(zone, ambiguous=True, nonexistent="NaT").isna()).sum())
        which = [
            text
            for count, text in (
                (n_missing, "that a clock change skips"),
                (n_lost - n_missing, "that comes twice"),
            )
            if count
        ]
        reading.tally.warnings.append(
            f"{reading.file}: {n_lost} local times lie in an hour {' or '.join(which)} in {zone} (the first "
            f"is {local[lost].iloc[0]}): they are left out and counted as bad_time. Export in UTC, or set "
            "source.replay.time_zone"
        )
    return fixed.dt.tz_convert(None)


def _is_text(column: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _filled(column: Any) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    filled = pc.is_valid(column)
    if _is_text(column):
        filled = pc.and_(filled, pc.not_equal(pc.fill_null(pc.utf8_trim_whitespace(column), ""), ""))
    return np.asarray(filled).astype(bool)


def _first(column: Any) -> str:
    """Show the first time of a column as it is written."""
    value = column[0].as_py() if len(column) else None
    return repr("" if value is None else str(value))


def _patterns_for(shown: str) -> str:
    """Name patterns that fit a text, for a message."""
    text = shown.strip("'\"")
    for date, patterns in _DATE_PATTERNS:
        match = re.match(date, text)
        if match:
            return " or ".join(f'"{pattern}{_clock_pattern(text[match.end() :])}"' for pattern in patterns)
    return 'a pattern such as "%d.%m.%Y %H:%M:%S"'


def _clock_pattern(rest: str) -> str:
    """Name the pattern of a time of day."""
    match = re.fullmatch(r"([,T ]* ?@? ?)(\d{1,2}:\d{2})(:\d{2})?([.]\d+)?( ?[AaPp][Mm])?", rest)
    if match is None:
        return ""
    separator, _, seconds, fraction, half = match.groups()
    hour = "%I" if half else "%H"
    tail = half.replace(half.strip(), "%p") if half else ""
    return f"{separator}{hour}:%M{':%S' if seconds else ''}{'.%f' if fraction else ''}{tail}"
