"""A labelled recording: its faults, and what became of them once episodes have been raised."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.errors import MonitorError

__all__ = ["DemoOutcome", "Episode", "Fault", "Recording", "judge_episodes", "load_recording"]

_GRACE_MS = 60_000  # an episode that opens this long after a fault's end still counts for it


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected fault; event times in ms."""

    kind: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Recording:
    """A labelled recording: metric files, faults, and where its fault-free part ends."""

    files: tuple[Path, ...]
    faults: tuple[Fault, ...]
    fault_free_until_ms: int


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode of any detector; `resolved_ms` is None while it is open."""

    entity: str
    opened_ms: int
    resolved_ms: int | None


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """What became of each fault, in order, and the episodes that belong to no fault.

    `opened_ms`: for each fault the time of the first episode that opened between its start
    and 60 s after its end; None where it was missed. An episode counts for one fault.
    """

    faults: tuple[Fault, ...]
    opened_ms: tuple[int | None, ...]
    false_episodes: tuple[Episode, ...]

    @property
    def delays_seconds(self) -> list[float]:
        """Seconds from the start of each caught fault to its episode."""
        faults = zip(self.faults, self.opened_ms, strict=True)
        return [(opened_ms - fault.start_ms) / 1000 for fault, opened_ms in faults if opened_ms is not None]

    @property
    def n_caught_while_active(self) -> int:
        """Faults whose episode opened before they ended."""
        faults = zip(self.faults, self.opened_ms, strict=True)
        return sum(opened_ms is not None and opened_ms <= fault.end_ms for fault, opened_ms in faults)


def load_recording(folder: Path) -> Recording:
    """Read a recording's labels and find its files.

    Raises
    ------
    MonitorError
        If the folder is no recording.
    """
    try:
        about = json.loads((folder / "recording.json").read_text(encoding="utf-8"))
        with (folder / "labels.csv").open(newline="") as file:
            faults = tuple(_fault_of(row) for row in csv.DictReader(file))
        files = tuple(folder / name for name in about["files"])
        return Recording(files, faults, about["started_ms"] + round(about["fault_free_seconds"] * 1000))
    except (OSError, KeyError, ValueError) as error:
        raise MonitorError(
            f"{folder} is no labelled recording: {error}. Recordings come with Barograph's source, not with "
            "an installation: run it there, or name a recording with --recording."
        ) from error


def _fault_of(row: dict[str, str]) -> Fault:
    return Fault(row["kind"], int(row["start_ms"]), int(row["end_ms"]))


def judge_episodes(faults: Sequence[Fault], episodes: Iterable[Episode]) -> DemoOutcome:
    """Compare episodes with the faults that were injected."""
    opened_ms: list[int | None] = [None] * len(faults)
    false = []
    for episode in sorted(episodes, key=lambda episode: episode.opened_ms):
        overlapping = [index for index, fault in enumerate(faults) if _overlap(episode, fault)]
        if not overlapping:
            false.append(episode)
            continue
        within = [index for index in overlapping if faults[index].start_ms <= episode.opened_ms]
        if within and opened_ms[within[0]] is None:
            opened_ms[within[0]] = episode.opened_ms
    return DemoOutcome(tuple(faults), tuple(opened_ms), tuple(false))


def _overlap(episode: Episode, fault: Fault) -> bool:
    end_ms = math.inf if episode.resolved_ms is None else episode.resolved_ms
    return episode.opened_ms <= fault.end_ms + _GRACE_MS and end_ms >= fault.start_ms
