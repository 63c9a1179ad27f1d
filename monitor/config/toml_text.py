"""Settings as TOML: keys, values, tables and comments. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["toml_comment", "toml_key", "toml_setting", "toml_table", "toml_value"]

_LINE_CHARACTERS = 96


def toml_table(path: str, table: Mapping[str, Any]) -> list[str]:
    """Write a table and those in it."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"[{path}]", *(toml_setting(key, value) for key, value in plain.items()), ""] if plain else []
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += toml_table(f"{path}.{toml_key(key)}", value)
    return lines


def toml_setting(key: str, value: object) -> str:
    """Write a key and its value; a list that is too long for a line takes several."""
    line = f"{toml_key(key)} = {toml_value(value)}"
    if not isinstance(value, list) or len(line) <= _LINE_CHARACTERS:
        return line
    rows = [""]
    for item in value:
        text = f"{toml_value(item)}, "
        if len(rows[-1]) + len(text) > _LINE_CHARACTERS - 4:
            rows.append("")
        rows[-1] += text
    return "\n".join([f"{toml_key(key)} = [", *(f"    {row.rstrip()}" for row in rows), "]"])


def toml_key(key: str) -> str:
    """Write a key, in quotes where it needs them."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def toml_value(value: object) -> str:
    """Write a value as TOML: its strings are JSON's, except for one character."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml_key(key)} = {toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_comment(text: str) -> str:
    """Write a comment on a line of its own, whatever the text holds."""
    return "# " + "".join(character if character.isprintable() else "?" for character in text)
