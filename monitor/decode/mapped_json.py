"""JSON of any other shape, read as a mapping in the configuration says.

A *path* leads to a part of a message: keys between dots, numbers for places in a list
(`host.name`, `readings.0.value`). It starts at the element that is being read (see `each`), with a
`/` in front at the message itself. A key that holds dots is found where it is the whole path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from monitor.decode.batch import FieldNumbers, Gathered, gather
from monitor.decode.fields import (
    TimeUnit,
    any_time_ms,
    json_of,
    labels_from,
    name_from,
    number_from_text,
    record_time_ms,
    shown,
)
from monitor.decode.record import DEFAULT_LIMITS, Decoded, Limits, Record, RejectedError
from monitor.sample import Kind, Labels, SeriesTable

__all__ = ["JsonMapping", "KindName", "decode_mapped"]

KindName = Literal["auto", "gauge", "counter", "delta"]

_KINDS: dict[str, Kind | None] = {"auto": None, "gauge": Kind.GAUGE, "counter": Kind.COUNTER, "delta": Kind.DELTA}
_EVERY = "*"  # at the end of a path: all that lies there; in a name: the field that a value was found in
_PART_OF_NAME = re.compile(r"\{([^{}?]+)(\?)?\}")
_MISSING = object()


@dataclass(frozen=True, kw_only=True)
class JsonMapping:
    """Where a message has what: one `[decode.mapped.<name>]` table; the keys' meaning is in config.toml.

    Raises
    ------
    ValueError
        If a path is empty, or the name is nothing but optional parts.
    """

    name: str
    values: tuple[str, ...] = ("value",)
    labels: tuple[str, ...] = ()
    constant: Mapping[str, str] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    each: str = ""
    time: str = "timestamp"
    time_unit: TimeUnit = "auto"
    kind: KindName = "auto"
    kind_from: str = ""
    kinds: Mapping[str, KindName] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what could read no message."""
        if not self.values:
            raise ValueError('values is empty, expected at least one path, or "*" for all numbers')
        for path in (*self.values, *(label.rpartition("=")[2] for label in self.labels)):
            if not all(path.removeprefix("/").split(".")):
                raise ValueError(f'"{path}" is no path: expected keys between dots')
        left = _PART_OF_NAME.sub("", self.name)
        if "{" in left or "}" in left:
            raise ValueError(f'name is "{self.name}", expected {{path}}, {{path?}} or {{*}} in braces')
        if not left and all(optional for _, optional in _PART_OF_NAME.findall(self.name)):
            raise ValueError(f'name is "{self.name}", expected a part that is always there')


class _Path:
    """A path, taken apart once."""

    __slots__ = ("at_root", "every", "parts", "whole")

    def __init__(self, text: str) -> None:
        self.at_root = text.startswith("/")
        self.whole = text.removeprefix("/")
        self.every = self.whole == _EVERY or self.whole.endswith("." + _EVERY)  # all that lies in a place
        if self.every:
            self.whole = self.whole.removesuffix(_EVERY).removesuffix(".")
        self.parts = tuple(self.whole.split(".")) if self.whole else ()

    def find(self, element: object, root: object) -> Any:
        """Give what the path leads to, or `_MISSING`."""
        place: Any = root if self.at_root else element
        if self.parts and isinstance(place, dict) and self.whole in place:
            return place[self.whole]
        for part in self.parts:
            if isinstance(place, dict):
                place = place.get(part, _MISSING)
            elif isinstance(place, list) and part.isdecimal() and int(part) < len(place):
                place = place[int(part)]
            else:
                return _MISSING
        return place


class _Name:
    """The template of a name, taken apart once: text, and paths to text with whether they may be absent."""

    def __init__(self, template: str) -> None:
        self._pieces: list[str | tuple[_Path | None, bool]] = []
        end = 0
        for match in _PART_OF_NAME.finditer(template):
            self._pieces.append(template[end : match.start()])
            self._pieces.append((None if match[1] == _EVERY else _Path(match[1]), match[2] is not None))
            end = match.end()
        self._pieces.append(template[end:])
        self.paths = [piece[0] for piece in self._pieces if not isinstance(piece, str) and piece[0] is not None]

    def found(self, element: object, root: object) -> tuple[str | None, ...]:
        """Give what the paths lead to, None where it is absent and may be."""
        texts: list[str | None] = []
        for piece in self._pieces:
            if isinstance(piece, str) or piece[0] is None:
                continue
            part = piece[0].find(element, root)
            if isinstance(part, str) or (isinstance(part, int) and not isinstance(part, bool)):
                texts.append(str(part))
            elif piece[1] and (part is _MISSING or part is None):
                texts.append(None)
            else:
                what = "nothing" if part is _MISSING else shown(part)
                raise RejectedError("wrong_schema", f'the name asks for "{piece[0].whole}", which is {what}')
        return tuple(texts)

    def fill(self, found: tuple[str | None, ...], value_field: str) -> str:
        """Write the name; an absent part goes together with the character behind it."""
        texts = iter(found)
        name = ""
        absent = False
        for piece in self._pieces:
            if isinstance(piece, str):
                name += piece[1:] if absent else piece
                absent = False
            else:
                text = value_field if piece[0] is None else next(texts)
                absent = text is None
                name += text or ""
        return name


class _Reader:
    """A mapping at work on one batch."""

    def __init__(self, mapping: JsonMapping, table: SeriesTable, limits: Limits) -> None:
        self._mapping = mapping
        self._table = table
        self._limits = limits
        self._name = _Name(mapping.name)
        self._values = [_Path(path) for path in mapping.values]
        self._labels = [(label.rpartition("=")[0], _Path(label.rpartition("=")[2])) for label in mapping.labels]
        self._each, self._time, self._kind_from = (_Path(path) for path in (mapping.each, mapping.time, mapping.kind_from))
        paths = [*self._name.paths, *self._values, *(path for _, path in self._labels), self._time, self._kind_from]
        self._named = {path.whole for path in paths if not path.every and not path.at_root}
        self._taken: dict[str, bool] = {}  # whether a field is for a `*` to take, by its path
        self._known: dict[tuple[object, ...], FieldNumbers] = {}

    def read(self, index: int, record: Record, gathered: Gathered) -> None:
        message = json_of(record.value, self._limits)
        for root in message if isinstance(message, list) else [message]:
            try:
                for element in self._elements(root):
                    self._read_element(index, element, root, record, gathered)
            except RejectedError as error:
                gathered.reject(index, error)

    def _elements(self, root: object) -> list[Any]:
        if not self._mapping.each:
            return [root]
        found = self._each.find(root, root)
        if not isinstance(found, list | dict):
            raise RejectedError("wrong_schema", f'"{self._mapping.each}", expected a list of objects or an object')
        return found if isinstance(found, list) else [found]

    def _read_element(self, index: int, element: object, root: object, record: Record, gathered: Gathered) -> None:
        try:
            if not isinstance(element, dict):
                raise RejectedError("wrong_schema", f"{shown(element)}, expected an object")
            fields = self._fields(element, root)
            time = self._time.find(element, root) if self._mapping.time else None
            time_ms = record_time_ms(record) if time is None or time is _MISSING else any_time_ms(time, self._mapping.time_unit)
            gathered.extend_fields(index, self._series(element, root), time_ms, fields)
        except RejectedError as error:
            gathered.reject(index, error)

    def _fields(self, element: dict[str, Any], root: object) -> dict[str, object]:
        fields: dict[str, object] = {}
        n_found = 0
        for path in self._values:
            found = path.find(element, root)
            if found is _MISSING:
                continue
            n_found += 1
            if path.every:
                fields |= {key: value for key, value in self._inside(path, found) if isinstance(value, int | float)}
                continue
            number = number_from_text(found) if isinstance(found, str) else found
            if number is not None or found is None:
                fields[path.whole] = number
        if not n_found:
            raise RejectedError("wrong_schema", f"none of {', '.join(self._mapping.values)}"[:200])
        return fields

    def _series(self, element: dict[str, Any], root: object) -> FieldNumbers:
        labels = self._label_texts(element, root)
        name = self._name.found(element, root)
        kind = self._kind(element, root)
        key = (kind, name, *labels.items())
        series = self._known.get(key)
        if series is None:
            checked = labels_from({**labels, **self._mapping.constant}.items(), self._limits)
            series = self._known[key] = self._new_series(name, checked, kind)
        return series

    def _new_series(self, name: tuple[str | None, ...], labels: Labels, kind: Kind | None) -> FieldNumbers:
        return FieldNumbers(self._table, lambda value_field: name_from(self._name.fill(name, value_field), self._limits), labels, kind)

    def _kind(self, element: object, root: object) -> Kind | None:
        kind: str = self._mapping.kind
        if self._mapping.kind_from:
            found = self._kind_from.find(element, root)
            kind = self._mapping.kinds.get(found, kind) if isinstance(found, str) else kind
        return _KINDS[kind]

    def _label_texts(self, element: dict[str, Any], root: object) -> dict[str, str]:
        """Give the labels in the order of the mapping: what comes later stands."""
        labels: dict[str, str] = {}
        for name, path in self._labels:
            found = path.find(element, root)
            if found is _MISSING or found is None:
                continue
            if not path.every:
                labels[name or path.parts[-1]] = _label_text(path.whole, found)
            elif isinstance(found, list):
                labels |= _from_list(found)
            else:
                only_texts = not path.parts  # beside values, a number is one of them
                for key, value in self._inside(path, found):
                    if isinstance(value, str) or not (only_texts or value is None):
                        labels[key] = _label_text(key, value)
        return labels

    def _inside(self, path: _Path, place: object) -> list[tuple[str, Any]]:
        """Give what a `*` takes of an object: all that nothing else names, and nothing excludes."""
        if not isinstance(place, dict):
            raise RejectedError("wrong_schema", f'"{path.whole}" is {shown(place)}, expected an object')
        prefix = f"{path.whole}." if path.parts else ""
        return [(key, value) for key, value in place.items() if self._is_taken(prefix + key)]

    def _is_taken(self, place: str) -> bool:
        taken = self._taken.get(place)
        if taken is None:
            excluded = any(fnmatchcase(place, pattern) for pattern in self._mapping.exclude)
            taken = self._taken[place] = place not in self._named and not excluded
        return taken


def decode_mapped(records: Sequence[Record], table: SeriesTable, limits: Limits = DEFAULT_LIMITS, *, mapping: JsonMapping) -> Decoded:
    """Read JSON as the mapping says; a bad element of a list is rejected alone."""
    return gather(records, _Reader(mapping, table, limits).read)


def _label_text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ",".join(value)
    raise RejectedError("wrong_schema", f"label {shown(name)} is {shown(value)}, expected text")


def _from_list(texts: list[Any]) -> dict[str, str]:
    """Read labels written as `name:value`; one without a value is `true`."""
    labels: dict[str, str] = {}
    for text in texts:
        if not isinstance(text, str):
            raise RejectedError("wrong_schema", f"a label in a list is {shown(text)}, expected text")
        name, colon, value = text.partition(":")
        if name in labels:
            raise RejectedError("duplicate_label", f"label {shown(name)} twice")
        labels[name] = value if colon else "true"
    return labels
