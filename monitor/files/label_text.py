"""Series as Prometheus writes them in text: a name, and labels in braces."""

from __future__ import annotations

import re

__all__ = ["SELECTOR", "name_and_labels", "parse_labels"]

# A name, then braces that may hold quoted braces.
SELECTOR = r'([^\s{}"]*)(?:\s*\{((?:[^"}]|"(?:\\.|[^"\\])*")*)\})?'
_SELECTOR = re.compile(SELECTOR)
_SPACED_NAME = re.compile(r'([^{}]*?)\s*\{((?:[^"}]|"(?:\\.|[^"\\])*")*)\}')
_LABEL = re.compile(
    r'\s*(?:([^\s=",{}]+)|"((?:\\.|[^"\\])*)")\s*(?:=\s*(?:"((?:\\.|[^"\\])*)"|([^",{}]*)))?\s*(?:,|$)'
)
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


def name_and_labels(text: str) -> tuple[str, dict[str, str]]:
    """Split a series such as `cpu{host="web1"}`; text of any other form is a name as it is.

    A series without a name of its own has that of `__name__`, else it is called `value`.
    """
    match = _SPACED_NAME.fullmatch(text.strip())
    if match is None:
        return text, {}
    labels = parse_labels(match[2])
    if labels is None:
        return text, {}
    name = match[1] or labels.get("__name__") or "value"
    return name, {key: value for key, value in labels.items() if key != "__name__"}


def parse_labels(inside: str) -> dict[str, str] | None:
    """Read what stands in the braces; a quoted name on its own is `__name__`. None if it cannot be read."""
    labels: dict[str, str] = {}
    place = 0
    inside = inside.strip()
    while place < len(inside):
        match = _LABEL.match(inside, place)
        if match is None or match.end() == place:
            return None
        plain, quoted, value, bare = match.groups()
        name = plain if plain is not None else _unescape(quoted)
        if value is None and bare is None:
            if quoted is None:
                return None
            name, value = "__name__", quoted
        labels[name] = _unescape(value) if value is not None else bare.strip()
        place = match.end()
    return labels


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text) if "\\" in text else text
