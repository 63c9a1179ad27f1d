"""How many records a batch has, so that the loop turns about once a second."""

from __future__ import annotations

__all__ = ["BatchSizer"]

_FIRST_RECORDS = 200  # before anything is known of how long they take: five full batches make it 5000
_FEWEST_RECORDS = 100  # a step's own cost, whatever its samples cost, must not lead to one record a step


class BatchSizer:
    """How many records make a batch, so that processing it takes about a second.

    It begins with few. A batch that took longer makes the next ones smaller, in proportion; each full one
    that took less than half makes them twice as large again. A record is assumed to hold as many samples as
    those of the last batch did.

    Parameters
    ----------
    most_records, most_samples : int
        More never come in one batch.
    target_seconds : float
        Time for one batch: a stop signal waits for it, and so does a scrape.
    """

    def __init__(self, *, most_records: int, most_samples: int, target_seconds: float = 1.0) -> None:
        self._most_records = most_records
        self._n_timely = min(_FIRST_RECORDS, most_records)
        self._most_samples = most_samples
        self._target_seconds = target_seconds
        self._samples_per_record = 0.0
        self._handed_out = (0, 0, 0.0)  # records and samples of the last batch, and when that was

    @property
    def n_records(self) -> int:
        """The number of records in the next batch."""
        if not self._samples_per_record:
            return max(1, min(self._n_timely, self._most_records))
        return max(1, min(self._n_timely, int(self._most_samples / self._samples_per_record)))

    def hand_out(self, n_records: int, n_samples: int, now: float) -> None:
        """Record what a batch holds that is handed out at a monotonic time."""
        self._handed_out = (n_records, n_samples, now)

    def request(self, now: float) -> None:
        """Record that the next batch is asked for: the last one took until now."""
        n_records, n_samples, handed_out_at = self._handed_out
        self.record(n_records, n_samples, now - handed_out_at)

    def record(self, n_records: int, n_samples: int, seconds: float) -> None:
        """Record how long a batch took, from being handed out until the next one was asked for."""
        if not n_records:
            return
        n_allowed = self.n_records
        self._samples_per_record = n_samples / n_records
        if seconds > self._target_seconds:
            timely = max(_FEWEST_RECORDS, int(n_records * self._target_seconds / seconds))
            self._n_timely = min(self._n_timely, timely)
        elif seconds < self._target_seconds / 2 and n_records >= n_allowed:
            self._n_timely = min(self._most_records, 2 * self._n_timely)
