"""What the newest steps of a watch were judged by, so that they can be judged again with late data."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.alerting.alert import Alert, alert_of

__all__ = ["Snapshot", "Snapshots"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A watch as it was just before it judged one step.

    Attributes
    ----------
    time_ms : int
        When the step ends.
    scorer, book : mapping
        Arrays by name, a row first.
    open_alerts : mapping
        Open alerts by row.
    """

    time_ms: int
    scorer: Mapping[str, NDArray[Any]]
    book: Mapping[str, NDArray[Any]]
    open_alerts: Mapping[int, Alert]


class Snapshots:
    """The snapshots of a watch's newest steps, oldest first, and the alerts that have ended since the oldest.

    Parameters
    ----------
    n_steps : int
        How many snapshots are held; 0 where no step is judged again.

    Attributes
    ----------
    over : list of Alert
        Those that have ended, or were retracted.
    """

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self._snapshots: deque[Snapshot] = deque(maxlen=n_steps)
        self.over: list[Alert] = []

    def __len__(self) -> int:
        return len(self._snapshots)

    def append(self, snapshot: Snapshot) -> None:
        """Add the next step's snapshot; the oldest is dropped."""
        self._snapshots.append(snapshot)

    def newest(self, n_steps: int) -> list[Snapshot]:
        """Give the snapshots of the newest steps, oldest first; fewer where there are no more."""
        return list(self._snapshots)[max(0, len(self._snapshots) - n_steps) :]

    def clear(self) -> None:
        """Drop all: nothing that was judged up to now is judged again."""
        self._snapshots.clear()
        self.over.clear()

    def ended(self, alert: Alert) -> None:
        """Keep an alert that has ended, for as long as a step of its episode may be judged again."""
        self.over.append(alert)
        if self._snapshots:
            oldest = self._snapshots[0]
            was_open = {known.identity for known in oldest.open_alerts.values()}
            self.over = [
                known
                for known in self.over
                if known.opened_ms >= oldest.time_ms or known.identity in was_open
            ]

    def replace_over(self, identities: Collection[str], alerts: Iterable[Alert]) -> None:
        """Replace the ended alerts of some identities by others."""
        self.over = [alert for alert in self.over if alert.identity not in identities]
        self.over += alerts

    def replace_rows(
        self, n_back: int, rows: NDArray[np.int64], snapshot: Snapshot, *, with_episodes: NDArray[np.bool_]
    ) -> None:
        """Replace some entities in one of the newest steps' snapshot by all those of another one, in order.

        Parameters
        ----------
        n_back : int
            1 for the newest step.
        with_episodes : ndarray, shape (m,)
            True where that includes the entity's episodes.
        """
        old = self._snapshots[-n_back]
        changed = rows[with_episodes]
        dropped = set(changed.tolist())
        open_alerts = {row: alert for row, alert in old.open_alerts.items() if row not in dropped}
        for index, alert in snapshot.open_alerts.items():
            if with_episodes[index]:
                open_alerts[int(rows[index])] = alert
        book = {name: array[with_episodes] for name, array in snapshot.book.items()}
        self._snapshots[-n_back] = Snapshot(
            old.time_ms,
            _with_rows(old.scorer, rows, snapshot.scorer),
            _with_rows(old.book, changed, book),
            open_alerts,
        )

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these entities, which are numbered anew, in this order."""
        new_row = {row: index for index, row in enumerate(rows.tolist())}
        for index, snapshot in enumerate(self._snapshots):
            self._snapshots[index] = Snapshot(
                snapshot.time_ms,
                _of_rows(snapshot.scorer, rows),
                _of_rows(snapshot.book, rows),
                {new_row[row]: alert for row, alert in snapshot.open_alerts.items() if row in new_row},
            )

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give every array by name, those of all T snapshots stacked: (T, n, ...).

        A snapshot that does not have a row has zeros there.
        """
        times = [snapshot.time_ms for snapshot in self._snapshots]
        arrays: dict[str, NDArray[np.generic]] = {"time_ms": np.array(times, np.int64)}
        arrays |= _stacked("scorer", [snapshot.scorer for snapshot in self._snapshots])
        arrays |= _stacked("book", [snapshot.book for snapshot in self._snapshots])
        return arrays

    def about(self) -> dict[str, Any]:
        """Give the alerts as JSON can hold them: each once, and those open at a snapshot by their number."""
        alerts = {id(alert): alert for snapshot in self._snapshots for alert in snapshot.open_alerts.values()}
        number = {key: index for index, key in enumerate(alerts)}
        open_at = [
            {str(row): number[id(alert)] for row, alert in snapshot.open_alerts.items()}
            for snapshot in self._snapshots
        ]
        return {
            "alerts": [asdict(alert) for alert in alerts.values()],
            "open": open_at,
            "over": [asdict(alert) for alert in self.over],
        }

    def load(self, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
        """Take over what `state` and `about` gave; nothing where no snapshots are held."""
        self.clear()
        if not self.n_steps:
            return
        alerts = [alert_of(fields) for fields in about["alerts"]]
        self.over = [alert_of(fields) for fields in about["over"]]
        for t, time_ms in enumerate(arrays["time_ms"].tolist()):
            open_alerts = {int(row): alerts[number] for row, number in about["open"][t].items()}
            scorer, book = _at_step(arrays, "scorer/", t), _at_step(arrays, "book/", t)
            self.append(Snapshot(time_ms, scorer, book, open_alerts))


def _with_rows(
    arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.int64], of_rows: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    changed = {}
    for name, array in arrays.items():
        changed[name] = array.copy()
        changed[name][rows] = of_rows[name]
    return changed


def _of_rows(arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    return {name: array[rows[rows < len(array)]] for name, array in arrays.items()}


def _at_step(arrays: Mapping[str, NDArray[Any]], prefix: str, t: int) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): array[t].copy()
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _stacked(part: str, snapshots: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Stack the arrays of all snapshots by name, each padded with zeros to the largest shape."""
    stacked = {}
    for name in snapshots[0] if snapshots else ():
        arrays = [snapshot[name] for snapshot in snapshots]
        shape = tuple(max(lengths) for lengths in zip(*(array.shape for array in arrays), strict=True))
        padded = []
        for array in arrays:
            margins = [(0, size - present) for size, present in zip(shape, array.shape, strict=True)]
            padded.append(np.pad(array, margins))
        stacked[f"{part}/{name}"] = np.stack(padded)
    return stacked
