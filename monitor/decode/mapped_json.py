"""JSON of any other shape, read with a mapping from the configuration.

A *path* leads to a part of a message: keys between dots, numbers for positions in a list (`host.name`,
`readings.0.value`). It starts at the element that is being read (see `each`), or at the whole message if it
begins with `/`. A key that contains dots matches if it is the whole path.
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

_KINDS: dict[str, Kind | None] = {
    "auto": None,
    "gauge": Kind.GAUGE,
    "counter": Kind.COUNTER,
    "delta": Kind.DELTA,
}
_EVERY = "*"  # at the end of a path: everything there; in a name: the field of the value
_PART_OF_NAME = re.compile(r"\{([^{}?]+)(\?)?\}")
_MISSING = object()


@dataclass(frozen=True, kw_only=True)
class JsonMapping:
    """Which parts of a message are what: a `[decode.mapped.<name>]` table; config.toml explains its keys.

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
        """Reject a mapping that could not read any message."""
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
    """A path, parsed once."""

    __slots__ = ("at_root", "every", "parts", "whole")

    def __init__(self, text: str) -> None:
        self.at_root = text.startswith("/")
        self.whole = text.removeprefix("/")
        self.every = self.whole == _EVERY or self.whole.endswith("." + _EVERY)  # everything below
        if self.every:
            self.whole = self.whole.removesuffix(_EVERY).removesuffix(".")
        self.parts = tuple(self.whole.split(".")) if self.whole else ()

    def find(self, element: object, root: object) -> Any:
        """Give what the path leads to, or `_MISSING`."""
        value: Any = root if self.at_root else element
        if self.parts and isinstance(value, dict) and self.whole in value:
            return value[self.whole]
        for part in self.parts:
            if isinstance(value, dict):
                value = value.get(part, _MISSING)
            elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                return _MISSING
        return value


class _Name:
    """The template of a name, parsed once: text, and paths to text with whether they are optional."""

    def __init__(self, template: str) -> None:
        self._pieces: list[str | tuple[_Path | None, bool]] = []
        end = 0
        for match in _PART_OF_NAME.finditer(template):
            self._pieces.append(template[end : match.start()])
            self._pieces.append((None if match[1] == _EVERY else _Path(match[1]), match[2] is not None))
            end = match.end()
        self._pieces.append(template[end:])
        placeholders = [piece for piece in self._pieces if not isinstance(piece, str)]
        self.paths = [path for path, _ in placeholders if path is not None]

    def find(self, element: object, root: object) -> tuple[str | None, ...]:
        """Give the texts that the paths lead to, None for an optional one that is absent."""
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

    def fill(self, parts: tuple[str | None, ...], value_field: str) -> str:
        """Write the name; an absent part is dropped together with the character after it."""
        texts = iter(parts)
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
    """Reads one batch with a mapping."""

    def __init__(self, mapping: JsonMapping, table: SeriesTable, limits: Limits) -> None:
        self._mapping = mapping
        self._table = table
        self._limits = limits
        self._name = _Name(mapping.name)
        self._values = [_Path(path) for path in mapping.values]
        self._labels = [_label_path(label) for label in mapping.labels]
        self._each = _Path(mapping.each)
        self._time = _Path(mapping.time)
        self._kind_from = _Path(mapping.kind_from)
        label_paths = [path for _, path in self._labels]
        paths = [*self._name.paths, *self._values, *label_paths, self._time, self._kind_from]
        self._named = {path.whole for path in paths if not path.every and not path.at_root}
        self._is_other: dict[str, bool] = {}  # whether `*` matches a field, by its path
        self._known: dict[tuple[object, ...], FieldNumbers] = {}

    def read(self, index: int, record: Record, gathered: Gathered) -> None:
        """Read one record: a message, or a list of messages."""
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
        elements = self._each.find(root, root)
        if not isinstance(elements, list | dict):
            detail = f'"{self._mapping.each}", expected a list of objects or an object'
            raise RejectedError("wrong_schema", detail)
        return elements if isinstance(elements, list) else [elements]

    def _read_element(
        self, index: int, element: object, root: object, record: Record, gathered: Gathered
    ) -> None:
        try:
            if not isinstance(element, dict):
                raise RejectedError("wrong_schema", f"{shown(element)}, expected an object")
            fields = self._fields(element, root)
            time = self._time.find(element, root) if self._mapping.time else None
            if time is None or time is _MISSING:
                time_ms = record_time_ms(record)
            else:
                time_ms = any_time_ms(time, self._mapping.time_unit)
            gathered.extend_fields(index, self._series(element, root), time_ms, fields)
        except RejectedError as error:
            gathered.reject(index, error)

    def _fields(self, element: dict[str, Any], root: object) -> dict[str, object]:
        fields: dict[str, object] = {}
        n_found = 0
        for path in self._values:
            value = path.find(element, root)
            if value is _MISSING:
                continue
            n_found += 1
            if path.every:
                others = self._others_in(value, path)
                fields |= {key: other for key, other in others if isinstance(other, int | float)}
                continue
            number = number_from_text(value) if isinstance(value, str) else value
            if number is not None or value is None:
                fields[path.whole] = number
        if not n_found:
            raise RejectedError("wrong_schema", f"none of {', '.join(self._mapping.values)}"[:200])
        return fields

    def _series(self, element: dict[str, Any], root: object) -> FieldNumbers:
        labels = self._label_texts(element, root)
        name = self._name.find(element, root)
        kind = self._kind(element, root)
        key = (kind, name, *labels.items())
        series = self._known.get(key)
        if series is None:
            checked = labels_from({**labels, **self._mapping.constant}.items(), self._limits)
            series = self._known[key] = self._new_series(name, checked, kind)
        return series

    def _new_series(self, name: tuple[str | None, ...], labels: Labels, kind: Kind | None) -> FieldNumbers:
        return FieldNumbers(
            self._table,
            lambda value_field: name_from(self._name.fill(name, value_field), self._limits),
            labels,
            lambda _: kind,
        )

    def _kind(self, element: object, root: object) -> Kind | None:
        kind: str = self._mapping.kind
        if self._mapping.kind_from:
            word = self._kind_from.find(element, root)
            kind = self._mapping.kinds.get(word, kind) if isinstance(word, str) else kind
        return _KINDS[kind]

    def _label_texts(self, element: dict[str, Any], root: object) -> dict[str, str]:
        """Give the labels in the order of the mapping: of two with one name the later counts."""
        labels: dict[str, str] = {}
        for name, path in self._labels:
            value = path.find(element, root)
            if value is _MISSING or value is None:
                continue
            if not path.every:
                labels[name or path.parts[-1]] = _label_text(path.whole, value)
            elif isinstance(value, list):
                labels |= _from_list(value)
            else:
                only_texts = not path.parts  # at the top, numbers are values
                for key, other in self._others_in(value, path):
                    if isinstance(other, str) or not (only_texts or other is None):
                        labels[key] = _label_text(key, other)
        return labels

    def _others_in(self, value: object, path: _Path) -> list[tuple[str, Any]]:
        """Give what `*` matches in an object: all fields that are neither named elsewhere nor excluded."""
        if not isinstance(value, dict):
            raise RejectedError("wrong_schema", f'"{path.whole}" is {shown(value)}, expected an object')
        prefix = f"{path.whole}." if path.parts else ""
        return [(key, other) for key, other in value.items() if self._matches_every(prefix + key)]

    def _matches_every(self, path: str) -> bool:
        is_other = self._is_other.get(path)
        if is_other is None:
            is_excluded = any(fnmatchcase(path, pattern) for pattern in self._mapping.exclude)
            is_other = self._is_other[path] = path not in self._named and not is_excluded
        return is_other


def decode_mapped(
    records: Sequence[Record], table: SeriesTable, limits: Limits = DEFAULT_LIMITS, *, mapping: JsonMapping
) -> Decoded:
    """Read JSON with a mapping; a bad element of a list is rejected alone."""
    return gather(records, _Reader(mapping, table, limits).read)


def _label_path(label: str) -> tuple[str, _Path]:
    """Split `name=path`; the name is empty where only a path is given."""
    name, _, path = label.rpartition("=")
    return name, _Path(path)


def _label_text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    raise RejectedError("wrong_schema", f"label {shown(name)} is {shown(value)}, expected text")


def _from_list(texts: list[Any]) -> dict[str, str]:
    """Read labels written as `name:value`; without a value it is `true`."""
    labels: dict[str, str] = {}
    for text in texts:
        if not isinstance(text, str):
            raise RejectedError("wrong_schema", f"a label in a list is {shown(text)}, expected text")
        name, colon, value = text.partition(":")
        if name in labels:
            raise RejectedError("duplicate_label", f"label {shown(name)} twice")
        labels[name] = value if colon else "true"
    return labels
