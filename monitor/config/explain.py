"""Errors of a configuration in words: all of them at once, each with its key and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from monitor.config.schema import Config
from monitor.config.table import Table
from monitor.errors import ConfigError

__all__ = ["Keys", "parse_config"]

Keys = tuple[str | int, ...]  # from the top of the document to a value; a watch by its number


def parse_config(document: Mapping[str, Any], *, origin: str | Callable[[Keys], str]) -> Config:
    """Check a configuration document.

    Parameters
    ----------
    origin : str or callable
        Where the document, or the value at some keys, comes from, as in "config.toml"; it begins each line of
        an error.

    Raises
    ------
    ConfigError
        One line for each thing that is wrong: its key, the value found, what was expected.
    """
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        lines = [
            f"{origin if isinstance(origin, str) else origin(keys)}: {line}"
            for keys, line in _explain(error, document)
        ]
        raise ConfigError("\n".join(lines)) from error


def _explain(error: ValidationError, document: Mapping[str, Any]) -> Iterator[tuple[Keys, str]]:
    """Write one line for each wrong key, in the order of the schema."""
    expected: dict[Keys, list[str]] = {}
    inputs: dict[Keys, str] = {}
    for detail in error.errors():
        keys = tuple(part for part in detail["loc"] if not _is_type_name(part))
        location = _location(keys, document)
        match detail["type"]:
            case "extra_forbidden":
                near = difflib.get_close_matches(str(keys[-1]), _known_keys(keys[:-1]), n=1, cutoff=0.0)
                yield keys, f"{location}: unknown key; the nearest known one is {near[0]}"
            case "missing":
                yield keys, f"{location}: missing; expected {_MISSING.get(str(keys[-1]), 'a value')}"
            case "value_error":
                shows_input = isinstance(detail["input"], str | int | float | list)
                value = f"found {detail['input']!r}: " if shows_input else ""
                yield keys, f"{location}: {value}{detail['ctx']['error']}"
            case _:
                inputs[keys] = repr(detail["input"])
                choice = _EXPECTED.get(detail["type"]) or _SUBJECT.sub("", detail["msg"])
                expected.setdefault(keys, []).append(choice)
    for keys, choices in expected.items():  # a setting of several types has an error for each of them
        yield keys, f"{_location(keys, document)}: found {inputs[keys]}, expected {' or '.join(choices)}"


def _is_type_name(part: str | int) -> bool:
    """Tell whether a part of a location is no key but a type, of a setting that may have several."""
    if not isinstance(part, str):
        return False
    return part in {"float", "constrained-float", "constrained-int"} or part.startswith(("list[", "literal["))


def _location(keys: Sequence[str | int], document: Mapping[str, Any]) -> str:
    """Write keys as the user wrote them: a watch by its name, where it has a name."""
    if not keys:
        return "the file"
    parts: list[str] = []
    value: Any = document
    for key in keys:
        value = _value_at(value, key)
        if not isinstance(key, int):
            parts.append(str(key))
            continue
        name = value.get("name") if isinstance(value, Mapping) else None
        parts[-1] += f".{name}" if isinstance(name, str) else f"[{key}]"
    return ".".join(parts)


def _value_at(table: Any, key: str | int) -> Any:
    """Give the value of a key or the item of a list; None where there is none."""
    if isinstance(table, Mapping):
        return table.get(str(key))
    if isinstance(table, list) and isinstance(key, int) and key < len(table):
        return table[key]
    return None


def _known_keys(keys: Sequence[str | int]) -> list[str]:
    """List the keys that the table at a location may have."""
    table: type[Table] = Config
    for key in keys:
        # The name of a table in a dictionary is no key of the schema.
        table = _table_of(table, str(key)) or table
    return sorted(table.model_fields)


def _table_of(table: type[Table], key: str) -> type[Table] | None:
    """Give the table below a key, also where the key has a list or a dictionary of tables."""
    field = table.model_fields.get(key)
    if field is None:
        return None
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Table):
            return candidate
    return None


_MISSING = {"watch": "at least one [[watch]] table", "name": "a name for this watch"}
_EXPECTED = {"model_type": "a table", "dict_type": "a table"}
_SUBJECT = re.compile(r"^(Input|String|List|Value) should (be |have )?(a valid )?")
