"""Sends dead letters to their topic: a bounded buffer, and a thread, so that the stream never waits for it.

Each is tried for a bounded time. A dead letter that cannot be sent is counted, and its position is logged at
a limited rate: the record's bytes are still in the topic that it came from.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque

from monitor.clock import Clock
from monitor.config.kafka import KafkaConfig
from monitor.errors import SourceError
from monitor.kafka.client import ClientError, KafkaLibrary, KafkaProducer
from monitor.kafka.dead_letter import DeadLetter, dead_letter_headers
from monitor.log_limit import RateLimit, times_before

__all__ = ["DeadLetterProducer"]

log = logging.getLogger(__name__)

_MOST_PENDING = 10_000  # in the buffer and in flight: two full batches
_MOST_BYTES = 32 << 20  # two of the largest records
_GIVE_UP_SECONDS = 10.0  # for brokers to accept a record: a leader that moves takes some seconds
_TRIES = 3  # to send a dead letter, where the last one was accepted; otherwise one try
_PAUSE_SECONDS = 1.0  # between two tries
_OUTCOME_SECONDS = 0.05  # between two questions for the outcomes of those in flight
_CLOSE_SECONDS = 3.0
_PRODUCER_CLOSE_SECONDS = 0.5  # for the library's producer, once everything that could be sent has been sent


class DeadLetterProducer:
    """Takes dead letters, and sends them to a topic.

    Parameters
    ----------
    version : str
        Of this program, for the headers.

    Raises
    ------
    SourceError
        If no topic is configured.
    """

    def __init__(self, config: KafkaConfig, library: KafkaLibrary, clock: Clock, *, version: str) -> None:
        if not config.dead_letter_topic:
            raise SourceError(
                "source.kafka.dead_letter_topic is empty: there is no topic to send dead letters to"
            )
        self._config = config
        self._library = library
        self._version = version
        self._limit = RateLimit(clock.monotonic)
        self._changed = threading.Condition()  # guards everything below
        self._waiting: deque[DeadLetter] = deque()
        self._n_pending = 0  # waiting and in flight
        self._n_bytes = 0  # of those
        self._counts: Counter[str] = Counter()
        self._answers = True  # the last one was accepted: it makes sense to wait for the next
        self._closing = False
        self._stopped = threading.Event()  # cuts pauses short when it closes
        self._thread: threading.Thread | None = None  # started by the first dead letter

    def put(self, dead_letter: DeadLetter) -> None:
        """Take a dead letter; where there is no room for it, count and log that. Never waits."""
        with self._changed:
            has_no_room = (
                self._n_pending >= _MOST_PENDING or self._n_bytes + dead_letter.n_bytes > _MOST_BYTES
            )
            if self._n_pending and has_no_room:  # a single one always has room
                self._lose(dead_letter, "dropped", "too many are waiting")
                return
            self._waiting.append(dead_letter)
            self._n_pending += 1
            self._n_bytes += dead_letter.n_bytes
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dead-letters", daemon=True)
                self._thread.start()

    def flush(self, seconds: float) -> bool:
        """Wait until none is pending, `seconds` at most; tell whether none is.

        Does not wait while the topic accepts none.
        """
        with self._changed:
            done = self._changed.wait_for(lambda: not self._n_pending or not self._answers, seconds)
            self._answers = self._answers and done
            return not self._n_pending

    def drain_counts(self) -> Counter[str]:
        """Give how many were sent, failed and dropped since the last call."""
        with self._changed:
            counts, self._counts = self._counts, Counter()
            return counts

    def close(self) -> None:
        """Send what is waiting, for some seconds at most, and end the thread."""
        if self._thread is None or not self._thread.is_alive():
            return
        self.flush(_CLOSE_SECONDS)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if self._n_pending:
                log.error(
                    "dead letters not sent: %d were waiting when the daemon ended; "
                    "the records are still in their topics",
                    self._n_pending,
                )
        self._stopped.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        producer: KafkaProducer | None = None
        in_flight: dict[int, DeadLetter] = {}
        while True:
            with self._changed:
                wait_seconds = _OUTCOME_SECONDS if in_flight else None
                self._changed.wait_for(lambda: self._waiting or self._closing, wait_seconds)
                if self._closing:
                    break
                dead_letters = list(self._waiting)
                self._waiting.clear()
            for dead_letter in dead_letters:
                if self._stopped.is_set():
                    break
                producer = self._send(producer, dead_letter, in_flight)
                self._collect_outcomes(producer, in_flight)
            self._collect_outcomes(producer, in_flight)
        if producer is not None:
            try:
                producer.close(timeout_seconds=_PRODUCER_CLOSE_SECONDS)
            except ClientError as error:
                log.warning("dead letters closed with an error error=%s: %s", error.name, error.text)

    def _send(
        self, producer: KafkaProducer | None, dead_letter: DeadLetter, in_flight: dict[int, DeadLetter]
    ) -> KafkaProducer | None:
        """Give a dead letter to the library, with some tries; return the producer, which may be a new one."""
        topic = self._config.dead_letter_topic
        headers = dead_letter_headers(dead_letter, self._version)
        for n_left in reversed(range(_TRIES if self._answers else 1)):
            try:
                if producer is None:
                    producer = self._library.open_producer(self._config, give_up_seconds=_GIVE_UP_SECONDS)
                number = producer.send(topic, dead_letter.value, key=dead_letter.key, headers=headers)
            except (ClientError, SourceError) as error:
                if not n_left or self._stopped.is_set():
                    self._finish(dead_letter, error)
                    break
                self._stopped.wait(_PAUSE_SECONDS)
            else:
                in_flight[number] = dead_letter
                break
        return producer

    def _collect_outcomes(self, producer: KafkaProducer | None, in_flight: dict[int, DeadLetter]) -> None:
        """Count what became of the dead letters in flight."""
        if producer is None:
            return
        for number, error in producer.outcomes():
            self._finish(in_flight.pop(number), error)

    def _finish(self, dead_letter: DeadLetter, error: Exception | None) -> None:
        with self._changed:
            self._n_pending -= 1
            self._n_bytes -= dead_letter.n_bytes
            self._answers = error is None
            if error is None:
                self._counts["sent"] += 1
            else:
                self._lose(dead_letter, "failed", " ".join(str(part) for part in error.args))
            self._changed.notify_all()

    def _lose(self, dead_letter: DeadLetter, result: str, cause: str) -> None:
        self._counts[result] += 1
        n_suppressed = self._limit.passes(result)
        if n_suppressed is not None:
            log.error(
                "dead letter %s at=%s reason=%s topic=%s: %s; the record is still at that position%s",
                result,
                dead_letter.position,
                dead_letter.reason,
                self._config.dead_letter_topic,
                cause,
                times_before(n_suppressed),
            )
