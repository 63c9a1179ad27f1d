"""Dead letters on their way to their topic: a bounded buffer, and a thread that never makes the stream wait for it.

Each is tried for a bounded time. One that cannot be sent is counted, and its place is logged at a limited
rate: its bytes are still where it came from.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque

from monitor.clock import Clock
from monitor.config.kafka import KafkaConfig
from monitor.errors import SourceError
from monitor.kafka.client import ClientError, KafkaLibrary, KafkaProducer
from monitor.kafka.dead_letter import DeadLetter, headers_of
from monitor.log_limit import RateLimit

__all__ = ["DeadLetterProducer"]

log = logging.getLogger(__name__)

_MOST_LETTERS = 10_000  # in the buffer and under way: two full batches
_MOST_BYTES = 32 << 20  # two of the largest records
_GIVE_UP_SECONDS = 10.0  # for brokers to take one: a leader that moves takes some seconds
_TRIES = 3  # to hand one over, where the last was taken; else one
_PAUSE_SECONDS = 1.0  # between two of them
_LOOK_SECONDS = 0.05  # between two looks at what became of those under way
_CLOSE_SECONDS = 3.0
_LET_GO_SECONDS = 0.5  # for the producer, when what could be sent has been


class DeadLetterProducer:
    """Takes dead letters and sends them to a topic.

    Parameters
    ----------
    version : str
        Of this program, for the letters' headers.

    Raises
    ------
    SourceError
        If no topic is set.
    """

    def __init__(self, config: KafkaConfig, library: KafkaLibrary, clock: Clock, *, version: str) -> None:
        if not config.dead_letter_topic:
            raise SourceError(
                "source.kafka.dead_letter_topic is empty: there is nowhere to send dead letters to"
            )
        self._config = config
        self._library = library
        self._clock = clock
        self._version = version
        self._limit = RateLimit(clock.monotonic)
        self._changed = threading.Condition()  # guards all that follows
        self._waiting: deque[DeadLetter] = deque()
        self._n_pending = self._n_bytes = 0  # waiting and under way
        self._counts: Counter[str] = Counter()
        self._answers = True  # the last that was tried was sent: it is worth waiting for
        self._closing = False
        self._gone = threading.Event()  # cuts pauses short when it closes
        self._thread: threading.Thread | None = None  # started by the first letter

    def put(self, dead_letter: DeadLetter) -> None:
        """Take a letter; where there is no room for it, count and log that. Never waits."""
        with self._changed:
            if self._n_pending and (
                self._n_pending >= _MOST_LETTERS or self._n_bytes + dead_letter.n_bytes > _MOST_BYTES
            ):
                self._lost(dead_letter, "dropped", "too many are waiting")
                return
            self._waiting.append(dead_letter)
            self._n_pending += 1
            self._n_bytes += dead_letter.n_bytes
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dead-letters", daemon=True)
                self._thread.start()

    def flush(self, seconds: float) -> bool:
        """Wait until all are dealt with; not for longer than told, and not at all while none can be sent. Tell whether they are."""
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
        """Send what is waiting, for some seconds at most, and end."""
        if self._thread is None or not self._thread.is_alive():
            return
        self.flush(_CLOSE_SECONDS)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if self._n_pending:
                log.error(
                    "dead letters not sent: %d were waiting when the daemon ended; their bytes are still in their topics",
                    self._n_pending,
                )
        self._gone.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        producer: KafkaProducer | None = None
        under_way: dict[int, DeadLetter] = {}
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._waiting or self._closing, _LOOK_SECONDS if under_way else None
                )
                if self._closing:
                    break
                dead_letters = list(self._waiting)
                self._waiting.clear()
            for dead_letter in dead_letters:
                if self._gone.is_set():
                    break
                producer = self._hand_over(producer, dead_letter, under_way)
                self._look(producer, under_way)
            self._look(producer, under_way)
        if producer is not None:
            try:
                producer.close(timeout_seconds=_LET_GO_SECONDS)
            except ClientError as error:
                log.warning("dead letters closed with an error error=%s: %s", error.name, error.text)

    def _hand_over(
        self, producer: KafkaProducer | None, dead_letter: DeadLetter, under_way: dict[int, DeadLetter]
    ) -> KafkaProducer | None:
        """Give a letter to the library, trying again some times; give the producer, which may be a new one."""
        for n_left in reversed(range(_TRIES if self._answers else 1)):
            try:
                producer = producer or self._library.open_producer(
                    self._config, give_up_seconds=_GIVE_UP_SECONDS
                )
                headers = headers_of(dead_letter, self._version)
                under_way[
                    producer.send(
                        self._config.dead_letter_topic,
                        dead_letter.value,
                        key=dead_letter.key,
                        headers=headers,
                    )
                ] = dead_letter
                break
            except (ClientError, SourceError) as error:
                if not n_left or self._gone.is_set():
                    self._done(dead_letter, error)
                    break
                self._gone.wait(_PAUSE_SECONDS)
        return producer

    def _look(self, producer: KafkaProducer | None, under_way: dict[int, DeadLetter]) -> None:
        """Take note of what became of the letters under way."""
        for number, error in producer.outcomes() if producer is not None else ():
            self._done(under_way.pop(number), error)

    def _done(self, dead_letter: DeadLetter, error: Exception | None) -> None:
        with self._changed:
            self._n_pending -= 1
            self._n_bytes -= dead_letter.n_bytes
            self._answers = error is None
            if error is None:
                self._counts["sent"] += 1
            else:
                self._lost(dead_letter, "failed", " ".join(str(part) for part in error.args))
            self._changed.notify_all()

    def _lost(self, dead_letter: DeadLetter, result: str, why: str) -> None:
        self._counts[result] += 1
        n_held = self._limit.passes(result)
        if n_held is not None:
            log.error(
                "dead letter %s at=%s reason=%s topic=%s: %s; its bytes are still at that place (and %d before)",
                result, dead_letter.place, dead_letter.reason, self._config.dead_letter_topic, why, n_held,
            )  # fmt: skip
