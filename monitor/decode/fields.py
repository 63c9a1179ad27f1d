"""What the fields of a record may hold: times, names, labels and values, each checked and converted.

Details of a rejection are for people and are cut short: a payload may hold anything, and must not be copied
whole into a message.
"""

from __future__ import annotations

import calendar
import math
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Literal

import orjson

from monitor.decode.record import MAX_TIME_MS, MIN_TIME_MS, Limits, Record, RejectedError
from monitor.sample import Labels

__all__ = [
    "TimeUnit",
    "any_time_ms",
    "check_size",
    "identity",
    "json_object",
    "json_of",
    "labels_from",
    "lines_from",
    "name_from",
    "number_from",
    "number_from_text",
    "record_time_ms",
    "rfc3339_ms",
    "shown",
    "text_from",
    "time_ms_from",
]

TimeUnit = Literal["auto", "s", "ms", "us", "ns"]

_SHOWN_CHARACTERS = 40  # of a value in a message
# Without a unit the size of the number decides: a time in seconds is about 1e9, in ms 1e12, in us 1e15, in ns
# 1e18. Each limit is March 1973 in its own unit, and the year 5138 in the next coarser one.
_MS_FROM, _US_FROM, _NS_FROM = 10**11, 10**14, 10**17
_US_PER_UNIT = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_MAX_TIME = MAX_TIME_MS * 1_000_000  # in the finest unit
_NUMBER = (int, float)  # a tuple: a union would be built for each value
_LONGEST_TIME = 64  # characters; RFC 3339 with nanoseconds has 35
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9})[0-9]{0,9})?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))?"
)


def shown(value: object) -> str:
    """Write a value as a message may show it: short, and only the type of lists and objects."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, bytes | str):
        text = repr(value[:_SHOWN_CHARACTERS])
        return f"{text}..." if len(value) > _SHOWN_CHARACTERS else text
    text = str(value).lower() if isinstance(value, bool) else "null" if value is None else repr(value)
    return text[:_SHOWN_CHARACTERS]


# Payloads


def text_from(raw: bytes) -> str:
    """Decode UTF-8; `invalid_utf8` otherwise, also for a surrogate on its own."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise RejectedError("invalid_utf8", f"byte {error.start}: {error.reason}") from error


def lines_from(payload: bytes, limits: Limits) -> Iterator[str | RejectedError]:
    """Give the text of a payload of lines: whole if it is UTF-8, otherwise line by line, bad lines as errors.

    A decoder can then split the text as it likes, and one bad byte costs one line only.
    """
    check_size(payload, limits)
    try:
        yield payload.decode()
    except UnicodeDecodeError:
        for line in payload.split(b"\n"):
            try:
                yield text_from(line)
            except RejectedError as error:
                yield error


def check_size(payload: bytes, limits: Limits) -> None:
    """Reject a payload that exceeds the limit as `too_large`."""
    if len(payload) > limits.max_record_bytes:
        raise RejectedError(
            "too_large",
            f"{len(payload)} bytes, at most {limits.max_record_bytes} are read (decode.max_record_bytes)",
        )


def json_of(payload: bytes, limits: Limits) -> Any:
    """Parse JSON; `too_large` or `invalid_json` otherwise. Of equal keys in an object the last counts."""
    if len(payload) > limits.max_record_bytes:
        check_size(payload, limits)
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise RejectedError("invalid_json", str(error)[:120]) from error


def json_object(payload: bytes, limits: Limits) -> dict[str, Any]:
    """Parse a JSON object; `wrong_schema` where it is something else."""
    message = json_of(payload, limits)
    if not isinstance(message, dict):
        raise RejectedError("wrong_schema", f"{shown(message)}, expected an object")
    return message


# Times


def time_ms_from(time: object, unit: TimeUnit = "auto") -> int:
    """Give an event time in ms, floored; `bad_time` unless it is between 1970 and the year 9999.

    A fraction is rounded to the microsecond, the precision that a double has for today's time in seconds, and
    then floored: 0.863 s are 863 ms, although the nearest double is a little less.
    """
    if not isinstance(time, _NUMBER) or isinstance(time, bool):
        raise RejectedError("bad_time", f"{shown(time)}, expected a number")
    if not 0 <= time <= _MAX_TIME:  # NaN is not
        raise RejectedError("bad_time", f"{shown(time)} is no time between the years 1970 and 9999")
    if unit == "auto":
        unit = "s" if time < _MS_FROM else "ms" if time < _US_FROM else "us" if time < _NS_FROM else "ns"
    if isinstance(time, float):
        time_ms = round(time * _US_PER_UNIT[unit]) // 1000
    elif unit == "s":
        time_ms = time * 1000
    elif unit == "ms":
        time_ms = time
    elif unit == "us":
        time_ms = time // 1000
    else:
        time_ms = time // 1_000_000
    if not MIN_TIME_MS <= time_ms <= MAX_TIME_MS:
        raise RejectedError("bad_time", f"{shown(time)} {unit} is no time between the years 1970 and 9999")
    return time_ms


@lru_cache(maxsize=1024)  # in a stream the same few times come again and again
def _rfc3339_ms(text: str) -> int | None:
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hours, offset_minutes = match.group(7, 8, 9, 10)
    is_date = year > 0 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]
    is_time = hour < 24 and minute < 60 and second <= 60  # 60 is a leap second
    if not (is_date and is_time):
        return None
    offset = (int(offset_hours) * 60 + int(offset_minutes)) * (-1 if sign == "-" else 1) if sign else 0
    seconds = calendar.timegm((year, month, day, hour, minute, second)) - offset * 60
    return seconds * 1000 + (int(fraction.ljust(3, "0")[:3]) if fraction else 0)


def rfc3339_ms(time: object) -> int:
    """Read a time such as `2026-01-31T12:00:00.25Z` as ms, as UTC if it has no zone; otherwise `bad_time`."""
    time_ms = _rfc3339_ms(time) if isinstance(time, str) and len(time) <= _LONGEST_TIME else None
    if time_ms is None or not MIN_TIME_MS <= time_ms <= MAX_TIME_MS:
        raise RejectedError(
            "bad_time",
            f"{shown(time)}, expected a time as 2026-01-31T12:00:00Z, between the years 1970 and 9999",
        )
    return time_ms


def any_time_ms(time: object, unit: TimeUnit = "auto") -> int:
    """Read an event time as ms: a number, a number as text, or text of RFC 3339; otherwise `bad_time`."""
    if not isinstance(time, str):
        return time_ms_from(time, unit)
    if _INTEGER.fullmatch(time):
        return time_ms_from(int(time), unit)
    number = number_from_text(time)
    return rfc3339_ms(time) if number is None else time_ms_from(number, unit)


def record_time_ms(record: Record) -> int:
    """Give the timestamp of a record in ms; `bad_time` if it has none."""
    if record.time_ms < 0:
        raise RejectedError("bad_time", "no time in the message, and the record has none either")
    return time_ms_from(record.time_ms, "ms")


# Names, labels, values


def name_from(name: object, limits: Limits) -> str:
    """Check the name of a metric: `wrong_schema` if it is missing or no text, `label_too_long`."""
    if not isinstance(name, str) or not name:
        raise RejectedError("wrong_schema", f"{shown(name)} is no name of a metric")
    _check_length(name, limits)
    return name


def labels_from(pairs: Iterable[tuple[object, object]], limits: Limits) -> Labels:
    """Check labels and sort them by name, without those of an empty value.

    Raises
    ------
    RejectedError
        `wrong_schema` (a name or value that is no text), `bad_label` (an empty name),
        `label_too_long`, `duplicate_label` (a name twice, even with equal values).
    """
    labels: dict[str, str] = {}
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):
            raise RejectedError("wrong_schema", f"label {shown(name)} is {shown(value)}, expected text")
        if not name:
            raise RejectedError("bad_label", f"a label without a name, of value {shown(value)}")
        if name in labels:
            raise RejectedError("duplicate_label", f"label {shown(name)} twice")
        _check_length(name, limits)
        _check_length(value, limits)
        labels[name] = value
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def identity(name: object, labels: object) -> tuple[object, ...]:
    """Give a key for a series as a message writes it: decoders use it to look up series already checked.

    `wrong_schema` if the labels are no object, or if the name or a label is a list or an object.
    """
    if not isinstance(labels, dict):
        raise RejectedError("wrong_schema", f"labels are {shown(labels)}, expected an object")
    key = (name, *labels.items())
    try:
        hash(key)
    except TypeError as error:
        raise RejectedError(
            "wrong_schema", "the name or a label is a list or an object, expected text"
        ) from error
    return key


def _check_length(text: str, limits: Limits) -> None:
    at_most = limits.max_label_bytes
    # A character takes up to four bytes: most texts need not be encoded to know.
    if len(text) * 4 > at_most and len(text.encode(errors="surrogatepass")) > at_most:
        raise RejectedError(
            "label_too_long", f"{shown(text)} is longer than {at_most} bytes (decode.max_label_bytes)"
        )


def number_from(value: object) -> float | None:
    """Give a value as a float: NaN (a gap) for null and infinities; None (no sample) for text.

    An integer of any size becomes the nearest float. Lists and objects are `wrong_schema`.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else math.nan
    if isinstance(value, int):  # true and false are 1 and 0
        try:
            return float(value)
        except OverflowError:
            return math.nan
    if value is None:
        return math.nan
    if isinstance(value, str):
        return None
    raise RejectedError("wrong_schema", f"{shown(value)} is no value")


def number_from_text(text: str) -> float | None:
    """Read a number from text: NaN for `NaN` and infinities; None if it is no number."""
    if not text.isascii() or "_" in text:  # float() takes other scripts' digits, and 1_000
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else math.nan
