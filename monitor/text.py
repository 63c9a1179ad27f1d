"""Text for people: what comes from outside made safe to show, and long lists made short. Pure."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["escape_quotes", "excerpt", "first_of", "printable"]

_EXCERPT_BYTES = 160  # two lines of a terminal
_CHARACTERS_PER_CONTROL = 10  # text with more control characters than one in so many is shown as hexadecimal


def printable(text: str, *, reversible: bool = False) -> str:
    r"""Replace every character that cannot be seen by its escape.

    So nothing in the text can move a terminal or end a line.

    Parameters
    ----------
    reversible : bool
        Double backslashes too, so that an escape (`\n` for a line feed) differs from the same
        characters in the text itself. Without it text that is escaped already stays readable.
    """
    if text.isprintable() and not (reversible and "\\" in text):
        return text
    return "".join(
        character
        if character.isprintable() and not (reversible and character == "\\")
        else character.encode("unicode_escape").decode()
        for character in text
    )


def excerpt(value: bytes) -> str:
    """Write how a record begins: as text with reversible escapes if it is UTF-8, else as hexadecimal."""
    if not value:
        return "(empty)"
    text = _text_of(value[:_EXCERPT_BYTES])
    if text is not None:
        more = f"... ({len(value)} bytes)" if len(value) > _EXCERPT_BYTES else ""
        return printable(text, reversible=True) + more
    head = value[: _EXCERPT_BYTES // 2]
    return f"hex {head.hex()}{'...' if len(value) > len(head) else ''} ({len(value)} bytes)"


def first_of(items: Sequence[object], n_most: int) -> str:
    """Write the first of some items as texts, and how many more there are."""
    n_more = len(items) - n_most
    return ", ".join(map(str, items[:n_most])) + (f" and {n_more} more" if n_more > 0 else "")


def escape_quotes(text: str) -> str:
    """Put a backslash before every backslash and double quote, as Prometheus does in label values."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _text_of(head: bytes) -> str | None:
    """Give a record's first bytes as text; None if they are not UTF-8 or have too many controls."""
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return None
        text = head[: error.start].decode()  # the cut went through a character
    n_controls = sum(not character.isprintable() and not character.isspace() for character in text)
    return text if n_controls * _CHARACTERS_PER_CONTROL <= len(text) else None
