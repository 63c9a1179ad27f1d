r"""InfluxDB's line protocol, which Telegraf sends by default; a message may have several lines.

    cpu,cpu=cpu0,host=web1 usage_idle=97.1,processes=42i,ok=true,note="text" 1700000000000000000

A sample is named after the measurement, `_`, and the field; its labels are the tags, all as sent. Integers
end in `i` or `u`, booleans are 1 and 0, text is skipped. A line without a time has its record's. A malformed
line is rejected alone. The format has no counters: the fields of Telegraf's inputs that are counters are
known by their names.

Escapes are read as InfluxDB and Telegraf write them: a backslash escapes only a comma, a space or an equals
sign directly after it; any other backslash stands for itself. Quoted text may contain line breaks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from monitor.decode.batch import FieldNumbers, Gathered, gather
from monitor.decode.fields import (
    TimeUnit,
    labels_from,
    lines_from,
    name_from,
    record_time_ms,
    shown,
    time_ms_from,
)
from monitor.decode.record import DEFAULT_LIMITS, Decoded, Limits, Record, RejectedError
from monitor.decode.telegraf_kinds import telegraf_kind
from monitor.sample import SeriesTable

__all__ = ["decode_influx"]

# These are written for hostile lines. Runs are possessive and no text can be split in two ways, so that a
# line that does not match fails in time proportional to its length. Every repetition of a group is bounded,
# because the engine stores a state for each round.
_PIECE = r"(?:[^,= \n\\]++|\\++[,= ]?+)"  # of a tag or field; the last of several backslashes may escape
_TAG_PART = rf"{_PIECE}{{0,5000}}"
_MEASUREMENT = r"(?:[^, \n\\]++|\\++[, ]?+){1,5000}"
_NUMBER = r"[-+]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?[0-9]++)?"
_NOT_FINITE = r"[-+]?(?i:nan|infinity|inf)"
_WORDS = {
    word: float(word[0] in "tT")
    for word in ("true", "True", "TRUE", "t", "T", "false", "False", "FALSE", "f", "F")
}
_TEXT = r'"[^"\\]*+(?:\\(?s:.)[^"\\]*+){0,100000}"'
_KEY = rf"{_PIECE}{{1,5000}}"
_WORD = rf"{_NOT_FINITE}|{'|'.join(_WORDS)}"
_SETTING = rf"{_KEY}=(?:{_NUMBER}[iu]?|{_WORD}|{_TEXT})"
_TAGS = rf"(?:,{_TAG_PART}={_TAG_PART}){{0,1000}}"
_LINE = re.compile(
    rf"(?!#)({_MEASUREMENT}{_TAGS}) ++({_SETTING}(?:,{_SETTING}){{0,9999}})"
    r"(?: ++(-?[0-9]{1,20}))? *+\r?(?:\n|\Z)"
)
_FIELD = re.compile(rf"({_KEY})=(?:({_NUMBER})[iu]?|({_WORD})|{_TEXT})")
_BLANK = re.compile(r"[ \r\n]*+")
_HEAD = re.compile(_MEASUREMENT)
_TAG = re.compile(rf",({_TAG_PART})=({_TAG_PART})")
_ESCAPED = re.compile(r"\\([,= ])")
_ESCAPED_IN_MEASUREMENT = re.compile(r"\\([, ])")


def decode_influx(
    records: Sequence[Record],
    table: SeriesTable,
    limits: Limits = DEFAULT_LIMITS,
    *,
    precision: TimeUnit = "ns",
) -> Decoded:
    """Read line protocol; times are in `precision`."""
    known: dict[str, FieldNumbers] = {}  # by measurement and tags as this batch writes them

    def read(index: int, record: Record, gathered: Gathered) -> None:
        for text in lines_from(record.value, limits):
            for line in [text] if isinstance(text, RejectedError) else _lines(text):
                try:
                    read_line(line, record, gathered)
                except RejectedError as error:
                    gathered.reject(index, error)

    def read_line(line: re.Match[str] | RejectedError, record: Record, gathered: Gathered) -> None:
        if isinstance(line, RejectedError):
            raise line
        head, fields, time = line.groups()
        time_ms = record_time_ms(record) if time is None else time_ms_from(int(time), precision)
        series = known.get(head)
        if series is None:
            series = known[head] = _series_of(head, table, limits)
        keys, numbers, words = zip(*_FIELD.findall(fields), strict=True)
        if all(numbers):
            gathered.extend(list(map(series.__getitem__, keys)), time_ms, list(map(float, numbers)))
            return
        for key, number, word in zip(keys, numbers, words, strict=True):
            if number or word:
                gathered.add(series[key], time_ms, float(number) if number else _WORDS.get(word, math.nan))

    return gather(records, read)


def _lines(text: str) -> Iterator[re.Match[str] | RejectedError]:
    """Give the lines of a text without empty ones and comments; an error for each malformed line."""
    position = 0
    while position < len(text):
        if text[position] in " \r\n":
            position = _BLANK.match(text, position).end()  # type: ignore[union-attr]  # it matches everywhere
            continue
        line = _LINE.match(text, position)
        if line is not None:
            position = line.end()
            yield line
            continue
        end = text.find("\n", position)
        bad = text[position:end] if end >= 0 else text[position:]
        position += len(bad) + 1
        if bad.strip() and not bad.lstrip().startswith("#"):
            yield RejectedError("invalid_line", f"{shown(bad)} is no line protocol")


def _series_of(head: str, table: SeriesTable, limits: Limits) -> FieldNumbers:
    match = _HEAD.match(head)
    assert match is not None  # the whole line matched before
    measurement = _ESCAPED_IN_MEASUREMENT.sub(r"\1", match[0])
    tags = ((_plain(name), _plain(value)) for name, value in _TAG.findall(head, match.end()))
    labels = labels_from(tags, limits)
    return FieldNumbers(
        table, lambda field: name_from(f"{measurement}_{_plain(field)}", limits), labels, telegraf_kind
    )


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text
