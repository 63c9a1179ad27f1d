"""The decoder of each topic: of the configured format, or of the one that its first records are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial

from monitor.decode.detect import AutoDecoder, sniff
from monitor.decode.formats import AUTO, DEFAULT_SETTINGS, FORMATS, FormatSettings
from monitor.decode.mapped_json import decode_mapped
from monitor.decode.record import Decoder, Record

__all__ = ["TopicDecoders", "build_decoder", "check_format"]

_MAPPED = "mapped"


def check_format(name: str, mappings: Sequence[str]) -> None:
    """Check the name of a format; `mappings` are the names of the configured mappings.

    Raises
    ------
    ValueError
        If it is none, with the names that are expected.
    """
    known = [AUTO, *FORMATS, *(f"{_MAPPED}:{mapping}" for mapping in mappings)]
    if name == _MAPPED and len(mappings) != 1:
        names = ", ".join(f'"{_MAPPED}:{mapping}"' for mapping in mappings)
        expected = names or f"a [decode.{_MAPPED}.<name>] table first"
        raise ValueError(f'"{_MAPPED}" needs to name one mapping: expected {expected}')
    if name not in known and name != _MAPPED:
        raise ValueError(f'"{name}" is no format, expected one of {", ".join(known)}')


def build_decoder(name: str, settings: FormatSettings = DEFAULT_SETTINGS) -> Decoder:
    """Give the decoder of a format.

    Parameters
    ----------
    name : str
        A key of `FORMATS`, `auto`, `mapped:<name>`, or `mapped` if there is exactly one mapping.

    Raises
    ------
    ValueError
        If there is no such format.
    """
    check_format(name, list(settings.mappings))
    if name == AUTO:
        return AutoDecoder(settings)
    if name in FORMATS:
        return FORMATS[name](settings)
    mapping = settings.mappings[name.partition(":")[2] or next(iter(settings.mappings))]
    return partial(decode_mapped, limits=settings.limits, mapping=mapping)


class TopicDecoders:
    """A decoder for each topic, built when its first records arrive.

    Parameters
    ----------
    formats : mapping
        Patterns (`*` and `?`) of topic names, with their formats; the first that matches is used.
    default : str
        The format of all other topics.
    """

    def __init__(self, settings: FormatSettings, formats: Mapping[str, str], default: str = AUTO) -> None:
        self._settings = settings
        self._formats = dict(formats)
        self._default = default
        self._decoders: dict[str, Decoder] = {}

    def format_of(self, topic: str) -> str:
        """Give the configured format of a topic; it may be `auto`."""
        matches = (name for pattern, name in self._formats.items() if fnmatchcase(topic, pattern))
        return next(matches, self._default)

    def of(self, topic: str) -> Decoder:
        """Give the decoder of a topic, always the same."""
        decoder = self._decoders.get(topic)
        if decoder is None:
            decoder = self._decoders[topic] = build_decoder(self.format_of(topic), self._settings)
        return decoder

    def explain(self, topic: str, record: Record) -> str:
        """Say in which format a topic is read, and in which format a record of it seems to be."""
        format_name = self.in_use().get(topic) or self.format_of(topic)
        detected = sniff(record, self._settings)
        seems = f"looks like {detected}" if detected else "cannot be recognised"
        return f"the topic is read as {format_name}, and the record {seems}"

    def in_use(self) -> dict[str, str | None]:
        """Give the format of each topic seen so far; None where it is not known yet."""
        return {
            topic: decoder.format if isinstance(decoder, AutoDecoder) else self.format_of(topic)
            for topic, decoder in self._decoders.items()
        }
