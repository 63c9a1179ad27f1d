"""Labelled sets as the judge reads them: which rows train, which are judged, and what is labelled."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["LARGE_SETS", "SETS", "SIMULATED_SET", "Trial", "load_set", "segments"]

# Ordered by their rows times channels, the smallest first: a run that is stopped early has most sets.
SETS = ("nab", "asd", "ms_cloud", "k8s_faults", "jumpstarter", "smd", "smap_msl", "aiops_kpi")
# Of many rows or many channels: all of the work on them would take longer than on the other sets together.
LARGE_SETS = ("smap_msl", "aiops_kpi")
SIMULATED_SET = "simulated"  # in place of all others, where there are no data
TRAIN_SHARE = 0.3  # of a series without a split
TRAIN_SHARES = {"k8s_faults": 0.5}
NAB_STEP_SECONDS = 300  # by row: most series have this step, and the score counts rows
NAB_TRAIN_SHARE, NAB_MOST_TRAIN_ROWS = 0.15, 750  # the benchmark's probation
SEGMENT_GAP = 10  # rows; labelled segments nearer than this are one event
_NOT_CHANNELS = ("timestamp", "label", "split")


@dataclass(frozen=True)
class Trial:
    """The series of a set that share a step; they are judged together, as one watch.

    Rows are steps: repeated and missing times lose nothing. Shorter series are padded with NaN at their end.

    Attributes
    ----------
    entities, channels : tuple of str
        In the order in which the product's reader finds them.
    values : ndarray, shape (T, n, C)
        In the channels' own units; NaN is a gap.
    label : ndarray of bool, shape (T, n)
        True where a row is labelled anomalous.
    train, test : ndarray of bool, shape (T, n)
        Rows to learn from, rows to judge; a series' test rows are consecutive.
    blamed : mapping
        By entity, labelled segments (first row, last row + 1) with the channels that experts blame.
    files : tuple of str
        What each series is called by its source.
    """

    name: str
    step_seconds: int
    entities: tuple[str, ...]
    channels: tuple[str, ...]
    values: NDArray[np.float64]
    label: NDArray[np.bool_]
    train: NDArray[np.bool_]
    test: NDArray[np.bool_]
    blamed: dict[str, list[tuple[int, int, frozenset[str]]]]
    files: tuple[str, ...]

    def test_span(self, row: int) -> tuple[int, int]:
        """Give the first test row of an entity, and the row behind the last."""
        rows = np.flatnonzero(self.test[:, row])
        return int(rows[0]), int(rows[-1]) + 1

    def stream(self) -> tuple[NDArray[np.float64], int]:
        """Give each entity's training rows and, right behind them, its test rows; shape (K + T', n, C).

        Training rows end at row K of every entity, test rows begin there. Where a source has its test rows
        first, they come behind the training rows all the same.
        """
        spans = [self.test_span(row) for row in range(len(self.entities))]
        n_train = int(self.train.sum(axis=0).max())
        n_test = max(end - first for first, end in spans)
        out = np.full((n_train + n_test, *self.values.shape[1:]), np.nan)
        for row, (first, end) in enumerate(spans):
            learned = self.values[self.train[:, row], row]
            out[n_train - len(learned) : n_train, row] = learned
            out[n_train : n_train + end - first, row] = self.values[first:end, row]
        return out, n_train


@dataclass(frozen=True)
class _Series:
    entity: str
    file: str
    frame: pd.DataFrame
    label: NDArray[np.bool_]
    train: NDArray[np.bool_]

    @property
    def channels(self) -> list[str]:
        """Every column but those that describe the row."""
        return [
            name for name in self.frame.columns if name not in _NOT_CHANNELS and not name.startswith("label_")
        ]


def segments(label: NDArray[np.bool_], gap: int = SEGMENT_GAP) -> list[tuple[int, int]]:
    """Give the labelled segments (first, last + 1) of a series (T,); those nearer than `gap` rows are one."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], label.astype(np.int8), [0]])))
    out: list[tuple[int, int]] = []
    for start, end in zip(edge[::2].tolist(), edge[1::2].tolist(), strict=True):
        if out and start - out[-1][1] < gap:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


def load_set(root: Path, name: str, *, quick: bool = False) -> list[Trial]:
    """Read a set; `quick` takes two series of each step only: the first, of nab the last, which have events.

    Raises
    ------
    FileNotFoundError
        If the set is not below `root`.
    """
    folder = root / name
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no set {name} in {root}: expected {folder}")
    if name == "nab":
        series = list(_nab_series(folder))
        return [_trial(name, NAB_STEP_SECONDS, series[-2:] if quick else series, {})]
    trials = []
    blamed = _blamed(folder)
    for step, part in pd.read_csv(folder / "index.csv", dtype={"entity": str}).groupby("step_s"):
        chosen = part[:2] if quick else part
        series = [_indexed_series(folder, name, row.entity, row.file) for row in chosen.itertuples()]
        trials.append(_trial(name, int(step), series, blamed))
    return trials


def _indexed_series(folder: Path, name: str, entity: str, file: str) -> _Series:
    frame = pd.read_csv(folder / file)
    label = frame["label"].to_numpy() > 0 if "label" in frame else np.zeros(len(frame), bool)
    if "split" not in frame or set(frame["split"]) == {"test"}:
        train = np.arange(len(frame)) < int(TRAIN_SHARES.get(name, TRAIN_SHARE) * len(frame))
    else:
        train = np.asarray(frame["split"] == "train")
    return _Series(entity, file, frame, label, train)


def _nab_series(folder: Path) -> Iterator[_Series]:
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text())
    for path in sorted((folder / "data").glob("*/*.csv.gz")):
        frame = pd.read_csv(path)
        file = f"{path.parent.name}/{path.name[:-3]}"
        first_row = {time: row for row, time in reversed(list(enumerate(frame["timestamp"])))}
        label = np.zeros(len(frame), bool)
        for first, last in windows[file]:
            label[first_row[first.split(".")[0]] : first_row[last.split(".")[0]] + 1] = True
        n_train = min(math.floor(NAB_TRAIN_SHARE * len(frame)), NAB_MOST_TRAIN_ROWS)
        train = np.arange(len(frame)) < n_train
        yield _Series(path.name[:-7], file, frame[["timestamp", "value"]], label, train)


def _blamed(folder: Path) -> dict[str, list[tuple[int, int, frozenset[str]]]]:
    """Read the channels that experts blame: `dims=` in a segment's note, numbers of metric columns."""
    found: dict[str, list[tuple[int, int, frozenset[str]]]] = {}
    if not (folder / "labels.csv").exists():
        return found
    for row in pd.read_csv(folder / "labels.csv", dtype={"entity": str, "note": str}).itertuples():
        note = row.note if isinstance(row.note, str) else ""
        if "dims=" not in note:
            continue
        words = note.split("dims=", 1)[1].split()
        numbers = [word for word in words if word.isdigit()]
        found.setdefault(row.entity, []).append(
            (int(row.start_row), int(row.end_row) + 1, frozenset(numbers))
        )
    return found


def _trial(
    name: str,
    step_seconds: int,
    series: Sequence[_Series],
    blamed: dict[str, list[tuple[int, int, frozenset[str]]]],
) -> Trial:
    # The product reads files by name: the same order gives the network the same channels.
    series = sorted(series, key=lambda part: f"{part.entity}.csv")
    channels = tuple(dict.fromkeys(channel for part in series for channel in part.channels))
    n_steps = max(len(part.frame) for part in series)
    shape = (n_steps, len(series))
    values = np.full((*shape, len(channels)), np.nan)
    label, train, test = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros(shape, bool)
    named = {}
    for row, part in enumerate(series):
        n_rows = len(part.frame)
        columns = [channels.index(channel) for channel in part.channels]
        values[:n_rows, row, columns] = part.frame[part.channels].to_numpy(np.float64)
        label[:n_rows, row], train[:n_rows, row], test[:n_rows, row] = part.label, part.train, ~part.train
        named[part.entity] = [
            (first, end, frozenset(part.channels[int(number)] for number in numbers))
            for first, end, numbers in blamed.get(part.entity, [])
        ]
    return Trial(
        name=name,
        step_seconds=step_seconds,
        entities=tuple(part.entity for part in series),
        channels=channels,
        values=values,
        label=label,
        train=train,
        test=test,
        blamed={entity: found for entity, found in named.items() if found},
        files=tuple(part.file for part in series),
    )
