"""Units of work: one contender on one set with one seed. Each leaves a file, so that a run can be resumed."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .field import FIELD, judge_trial
from .measures import entity_measures, set_measures
from .nab import NabFile, nab_score, sweep
from .product import PARTS, Judged
from .sets import LARGE_SETS, Trial, load_set, segments

__all__ = ["Unit", "do_units", "plan", "run_unit"]


@dataclass(frozen=True)
class Unit:
    """One piece of work; `contender` "product" brings its parts too."""

    set_name: str
    contender: str
    seed: int

    def files(self, folder: Path) -> list[Path]:
        """Name the files that say that it is done."""
        return [folder / f"{self.set_name}-{self.contender}-{self.seed}.json"]


def plan(sets: Sequence[str], contenders: Sequence[str], n_seeds: int) -> list[Unit]:
    """List the work, the longest first: what does not change with the seed is done once."""
    units = []
    for name in sets:
        for contender in contenders:
            if contender == "product":
                units += [Unit(name, contender, seed) for seed in range(n_seeds)]
                continue
            entrant = FIELD[contender]
            if name in LARGE_SETS and not entrant.is_fast:
                continue
            units += [Unit(name, contender, seed) for seed in range(n_seeds if entrant.is_random else 1)]
    return sorted(units, key=lambda unit: unit.contender != "product")


def do_units(
    units: Sequence[Unit],
    load: Callable[[str], list[Trial]],
    folder: Path,
    *,
    n_jobs: int,
    on_done: Callable[[Unit], None] = lambda unit: None,
) -> None:
    """Do what is not done yet, in `n_jobs` processes."""
    waiting = []
    for unit in units:
        if all(file.exists() for file in unit.files(folder)):
            on_done(unit)
        else:
            waiting.append(unit)
    if n_jobs == 1:
        for unit in waiting:
            run_unit(unit, load, folder)
            on_done(unit)
        return
    # Without threads of its own each process keeps to a core; a fork would copy those that PyTorch started.
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(n_jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(run_unit, unit, load, folder): unit for unit in waiting}
        for done in as_completed(running):
            done.result()
            on_done(running[done])


def run_unit(unit: Unit, load: Callable[[str], list[Trial]], folder: Path) -> None:
    """Judge every trial of the set, measure, and write a file for each contender that came of it."""
    trials = load(unit.set_name)
    judged = [judge_trial(trial, unit.contender, unit.seed) for trial in trials]
    names = PARTS if unit.contender == "product" else (unit.contender,)
    # The unit's own file comes last: it says that all of them are there.
    for name in sorted(names, key=lambda name: name == unit.contender):
        # A part that could not be judged alone, for want of a network, is the product without it.
        of_name = [found.get(name, found[unit.contender]) for found in judged]
        result = _measured(unit, trials, of_name) | {"contender": name}
        path = folder / f"{unit.set_name}-{name}-{unit.seed}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(_without_nan(result), indent=1, allow_nan=False))
        partial.replace(path)


def _measured(unit: Unit, trials: Sequence[Trial], judged: Sequence[Judged]) -> dict[str, Any]:
    rows = [
        entity_measures(trial, row, found.episodes[row], found.scores[:, row])
        for trial, found in zip(trials, judged, strict=True)
        for row in range(len(trial.entities))
    ]
    n_samples = sum(int(trial.test.sum()) for trial in trials)
    result: dict[str, Any] = {
        "set": unit.set_name,
        "seed": unit.seed,
        **set_measures(rows),
        "fit_seconds": sum(found.fit_seconds for found in judged),
        "microseconds_a_row": 1e6 * sum(found.run_seconds for found in judged) / n_samples,
        "notes": [found.note for found in judged if found.note],
        "rows": rows,
    }
    if unit.set_name == "nab":
        result["nab"] = _nab(trials[0], judged[0])
    return result


def _without_nan(value: Any) -> Any:
    """Write what is unknown as null: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _nab(trial: Trial, judged: Judged) -> dict[str, Any]:
    files, alerts, scores = {}, {}, {}
    for row, name in enumerate(trial.files):
        n_rows = int((trial.train | trial.test)[:, row].sum())
        windows = segments(trial.label[:n_rows, row], gap=0)
        files[name] = NabFile(n_rows, tuple((first, end - 1) for first, end in windows))
        alerts[name] = [episode.start for episode in judged.episodes[row]]
        scores[name] = np.asarray(judged.scores[:n_rows, row])
    level, swept = sweep(files, scores)
    return {"own_limit": nab_score(files, alerts), "swept": swept, "swept_level": level}


def load_from(root: Path, name: str, *, quick: bool) -> list[Trial]:
    """Read a set; at the top level, so that another process can be given it."""
    return load_set(root, name, quick=quick)
