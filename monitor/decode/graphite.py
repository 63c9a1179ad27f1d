r"""Graphite's plain text: `path value time` on each line, the time in seconds.

A message may have several lines, which end in `\n` or `\r\n`.

The path is the sample's name as sent. Templates turn parts of it into labels:

    servers.{host}.**       servers.web1.memory.used  ->  memory.used{host="web1"}

A template matches a path part by part, between the dots: `{label}` makes the part that label's value, `*`
keeps it in the name, any other word must be equal and is dropped. `**` at the end keeps all remaining parts,
at least one. The first template that matches is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.decode.batch import Gathered, gather
from monitor.decode.fields import (
    any_time_ms,
    labels_from,
    lines_from,
    name_from,
    number_from_text,
    record_time_ms,
    shown,
)
from monitor.decode.record import DEFAULT_LIMITS, Decoded, Limits, Record, RejectedError
from monitor.sample import SeriesTable

__all__ = ["Template", "decode_graphite"]

_NOW = "-1"  # Graphite reads it as the time of arrival


@dataclass(frozen=True, slots=True)
class Template:
    """How the parts of a path become labels and a name."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template.

        Raises
        ------
        ValueError
            If no part of a path would remain as the name, or a part is malformed.
        """
        parts = tuple(text.split("."))
        if not any(part in {"*", "**"} for part in parts):
            raise ValueError(
                f'"{text}" keeps no part of a path as its name: expected `*` or, at the end, `**`'
            )
        for part in parts:
            is_label = part.startswith("{") and part.endswith("}") and len(part) > 2
            is_malformed = not is_label and ("{" in part or "}" in part)
            if not part or "**" in parts[:-1] or is_malformed:
                raise ValueError(
                    f'"{text}" is no template: expected parts between dots, each {{label}}, *, a word, '
                    "or at the end **"
                )
        return cls(parts)

    def read(self, path: str) -> tuple[str, list[tuple[str, str]]] | None:
        """Give the name and labels in a path; None where it does not match."""
        texts = path.split(".")
        parts = self.parts
        if parts[-1] == "**":
            parts = (*parts[:-1], *["*"] * (len(texts) - len(parts) + 1))
        if len(parts) != len(texts) or len(parts) < len(self.parts):
            return None
        name: list[str] = []
        labels: list[tuple[str, str]] = []
        for part, text in zip(parts, texts, strict=True):
            if part == "*":
                name.append(text)
            elif part.startswith("{"):
                labels.append((part[1:-1], text))
            elif part != text:
                return None
        return ".".join(name), labels


def decode_graphite(
    records: Sequence[Record],
    table: SeriesTable,
    limits: Limits = DEFAULT_LIMITS,
    *,
    templates: Sequence[Template] = (),
) -> Decoded:
    """Read Graphite's lines; a bad line is rejected alone."""
    known: dict[str, int] = {}  # by path

    def read(index: int, record: Record, gathered: Gathered) -> None:
        for text in lines_from(record.value, limits):
            for line in [text] if isinstance(text, RejectedError) else text.split("\n"):
                try:
                    read_line(line, record, gathered)
                except RejectedError as error:
                    gathered.reject(index, error)

    def read_line(line: str | RejectedError, record: Record, gathered: Gathered) -> None:
        if isinstance(line, RejectedError):
            raise line
        words = line.split()
        if not words:
            return
        value = number_from_text(words[1]) if len(words) == 3 else None
        if value is None:
            raise RejectedError("invalid_line", f"{shown(line)}, expected a path, a number and a time")
        time_ms = record_time_ms(record) if words[2] == _NOW else any_time_ms(words[2], "s")
        number = known.get(words[0])
        if number is None:
            number = known[words[0]] = series_of(words[0])
        gathered.add(number, time_ms, value)

    def series_of(path: str) -> int:
        matches = (template.read(path) for template in templates)
        name, labels = next((match for match in matches if match is not None), (path, []))
        return table.intern(name_from(name, limits), labels_from(labels, limits))

    return gather(records, read)
