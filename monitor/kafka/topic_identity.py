"""Whether a topic is still the one that a position is of: deleted and made again, it has another id.

Its offsets begin anew, and mean other records. Brokers since Kafka 2.8 give topics ids. Nothing is concluded
from an id that is not known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from monitor.clock import Clock
from monitor.kafka.client import ClientError, KafkaClient, Partition

__all__ = ["TopicIdentity"]

log = logging.getLogger(__name__)

_EVERY_SECONDS = 5.0  # a small request; its answer is taken with the next, so a new id is 10 s old at most
_UNKNOWN_SECONDS = 1.0  # while an id is not known: a position without one is not protected
_ASK_SECONDS = 2.0  # for an answer that is waited for


class TopicIdentity:
    """Knows the topics' ids, and notices those that have changed.

    Parameters
    ----------
    count_recreated : callable
        Is given each topic that was made again, once.
    """

    def __init__(self, clock: Clock, count_recreated: Callable[[str], None]) -> None:
        self._clock = clock
        self._count_recreated = count_recreated
        self._ids: dict[str, str] = {}
        self._asked_at = -float("inf")
        self._noticed: dict[str, str] = {}  # topics that were made again, with the newest id of each

    def ask(self, client: KafkaClient, partitions: Iterable[Partition], *, waits: bool) -> None:
        """Ask for the ids of the topics of some partitions, and wait for the answer where it matters.

        Without an answer the known ids stay; the next one is compared with the positions as well.
        """
        self._asked_at = self._clock.monotonic()
        topics = sorted({partition.topic for partition in partitions})
        try:
            self._ids |= client.topic_ids(topics, timeout_seconds=_ASK_SECONDS if waits else 0.0)
        except ClientError as error:  # the next poll meets it as well, and there it is counted and logged
            log.debug("no topic ids error=%s: %s", error.name, error.text)

    def ask_in_time(self, client: KafkaClient, partitions: Iterable[Partition]) -> bool:
        """Ask again where the last question is five seconds old, without waiting; tell whether it was.

        While the id of a topic is not known, it is asked for every second.
        """
        partitions = list(partitions)
        are_known = all(self.id_of(partition.topic) for partition in partitions)
        if self._clock.monotonic() - self._asked_at < (_EVERY_SECONDS if are_known else _UNKNOWN_SECONDS):
            return False
        self.ask(client, partitions, waits=False)
        return True

    def id_of(self, topic: str) -> str:
        """Give a topic's id by the last answer; empty where it is not known."""
        return self._ids.get(topic, "")

    def is_of(self, topic: str, position_id: str) -> bool:
        """Tell whether a position belongs to the topic that there is now; log and count it where it does not.

        Parameters
        ----------
        position_id : str
            The id of the topic that was read; empty where it is not known, as by an earlier version.
        """
        topic_id = self.id_of(topic)
        if not topic_id or not position_id or position_id == topic_id:
            return True
        if self._noticed.get(topic) != topic_id:
            self._noticed[topic] = topic_id
            self._count_recreated(topic)
            log.error(
                "topic recreated topic=%s: it was deleted and made again (its id was %s, and is %s); it is "
                "read from its new beginning, and what was not read of the old topic is lost",
                topic, position_id, topic_id,
            )  # fmt: skip
        return False

    def is_recreated(self, topic: str) -> bool:
        """Tell whether a topic was made again after it was read, as far as was noticed."""
        return topic in self._noticed
