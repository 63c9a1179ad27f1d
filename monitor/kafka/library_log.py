"""What the client libraries log by themselves, in this program's log.

They call their own retries warnings and errors, forty lines in an outage of eight seconds. What follows from
an error is decided, and logged, by the source. So their lines are information, each once: only they know why
a connection was refused.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from monitor.log_limit import RateLimit, times_before

__all__ = ["LibraryLog"]

log = logging.getLogger(__name__)

_EVERY_SECONDS = 3600.0  # the same text of the same logger
# Addresses of objects, ports, attempts and times differ where the text is the same.
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d[\d.,:]*")
_NOT_FOUND = "Topic %s not found in cluster metadata"  # kafka-python's text, logged twice a second


class LibraryLog(logging.Handler):
    """Passes a library's records on as one line of information each, and the same text once an hour at most.

    Add it to the library's top logger, and turn that logger's propagation off. A topic that is not found is
    a warning: it was misspelt, or it is missing.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._limit = RateLimit(monotonic, every_seconds=_EVERY_SECONDS)

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on, or count it."""
        text = _text_of(record)
        is_not_found = record.msg == _NOT_FOUND
        key = text if is_not_found else _NUMBER.sub("#", text)  # a number may tell two topics apart
        n_suppressed = self._limit.passes(f"{record.name} {key}")
        if n_suppressed is None:
            return
        if is_not_found and record.args:
            log.warning(
                "topic not found topic=%s: the cluster has no such topic, and nothing is read from it until "
                "it is made. Check source.kafka.topics; where it is not among them, another member of the "
                "group asks for it%s",
                *record.args, times_before(n_suppressed),
            )  # fmt: skip
            return
        library = "librdkafka" if record.name == "kafka.librdkafka" else "kafka-python"
        log.info("%s: %s%s", library, text, times_before(n_suppressed))


def _text_of(record: logging.LogRecord) -> str:
    """Write a record's text, and its exception without the stack, which is the library's own."""
    text = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        text = f"{text}: {type(error).__name__}: {error}"
    return " ".join(text.split())
