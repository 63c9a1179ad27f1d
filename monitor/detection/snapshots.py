"""What the newest steps of a watch were judged by, so that late data can have them judged again."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.alerting.alert import Alert, alert_of

__all__ = ["Snapshot", "Snapshots"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A watch as it was just before it judged one step, which ends at `time_ms`: arrays by name, a row first, and open alerts by row."""

    time_ms: int
    scorer: Mapping[str, NDArray[Any]]
    book: Mapping[str, NDArray[Any]]
    open_alerts: Mapping[int, Alert]


class Snapshots:
    """The moments of a watch's newest steps, oldest first, and the alerts that have ended since the oldest."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self._snapshots: deque[Snapshot] = deque(maxlen=n_steps)
        self.over: list[Alert] = []

    def __len__(self) -> int:
        return len(self._snapshots)

    def append(self, snapshot: Snapshot) -> None:
        """Take in the moment of the next step; the oldest goes."""
        self._snapshots.append(snapshot)

    def newest(self, n_steps: int) -> list[Snapshot]:
        """Give the moments of the newest steps, oldest first; fewer where there are no more."""
        return list(self._snapshots)[max(0, len(self._snapshots) - n_steps) :]

    def clear(self) -> None:
        """Forget all: nothing of what was judged up to here is judged again."""
        self._snapshots.clear()
        self.over.clear()

    def ended(self, alert: Alert) -> None:
        """Remember an alert that has ended, as long as a step of it may be judged again."""
        self.over.append(alert)
        if self._snapshots:
            oldest = self._snapshots[0]
            known = {one.identity for one in oldest.open_alerts.values()}
            self.over = [one for one in self.over if one.opened_ms >= oldest.time_ms or one.identity in known]

    def replace_rows(self, n_back: int, rows: NDArray[np.int64], snapshot: Snapshot, *, with_episodes: NDArray[np.bool_]) -> None:
        """Replace some entities in the moment of one of the newest steps, by those of another moment, in their order.

        Parameters
        ----------
        n_back : int
            1 for the newest step.
        with_episodes : ndarray, shape (m,)
            True where that includes the entity's episodes.
        """
        old = self._snapshots[-n_back]
        chosen = rows[with_episodes]
        open_alerts = {row: alert for row, alert in old.open_alerts.items() if row not in set(chosen.tolist())}
        open_alerts |= {int(rows[at]): alert for at, alert in snapshot.open_alerts.items() if with_episodes[at]}
        self._snapshots[-n_back] = Snapshot(
            old.time_ms,
            _with_rows(old.scorer, rows, snapshot.scorer),
            _with_rows(old.book, chosen, {name: array[with_episodes] for name, array in snapshot.book.items()}),
            open_alerts,
        )

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Let go of all but these entities, which are numbered anew, in this order."""
        to = {row: at for at, row in enumerate(rows.tolist())}
        for at, snapshot in enumerate(self._snapshots):
            self._snapshots[at] = Snapshot(
                snapshot.time_ms,
                _of_rows(snapshot.scorer, rows),
                _of_rows(snapshot.book, rows),
                {to[row]: alert for row, alert in snapshot.open_alerts.items() if row in to},
            )

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give every array by name, those of all moments stacked: (T, n, ...), with zeros where a moment has no such row."""
        arrays: dict[str, NDArray[np.generic]] = {"time_ms": np.array([snapshot.time_ms for snapshot in self._snapshots], np.int64)}
        for part in ("scorer", "book"):
            parts = [getattr(snapshot, part) for snapshot in self._snapshots]
            arrays |= {f"{part}/{name}": _stacked([one[name] for one in parts]) for name in (parts[0] if parts else ())}
        return arrays

    def about(self) -> dict[str, Any]:
        """Give what is no array as JSON can hold it."""
        alerts = {id(alert): alert for snapshot in self._snapshots for alert in snapshot.open_alerts.values()}
        number = {key: at for at, key in enumerate(alerts)}
        return {
            "alerts": [asdict(alert) for alert in alerts.values()],
            "open": [{str(row): number[id(alert)] for row, alert in snapshot.open_alerts.items()} for snapshot in self._snapshots],
            "over": [asdict(alert) for alert in self.over],
        }

    def load(self, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
        """Take over what `state` and `about` gave."""
        self.clear()
        if not self.n_steps:
            return
        alerts = [alert_of(fields) for fields in about["alerts"]]
        self.over = [alert_of(fields) for fields in about["over"]]
        for t, time_ms in enumerate(arrays["time_ms"].tolist()):
            scorer, book = (
                {name.removeprefix(prefix): array[t].copy() for name, array in arrays.items() if name.startswith(prefix)}
                for prefix in ("scorer/", "book/")
            )
            self.append(Snapshot(time_ms, scorer, book, {int(row): alerts[at] for row, at in about["open"][t].items()}))


def _with_rows(arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.int64], of_rows: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    changed = {}
    for name, array in arrays.items():
        changed[name] = array.copy()
        changed[name][rows] = of_rows[name]
    return changed


def _of_rows(arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    return {name: array[rows[rows < len(array)]] for name, array in arrays.items()}


def _stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    shape = tuple(max(lengths) for lengths in zip(*(array.shape for array in arrays), strict=True))
    padded = [np.pad(array, [(0, more - there) for more, there in zip(shape, array.shape, strict=True)]) for array in arrays]
    return np.stack(padded)
