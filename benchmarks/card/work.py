"""Units of work: one contender on one set with one seed. Each leaves a file, so that a run can be resumed."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .field import FIELD, judge_trial
from .measures import entity_measures, set_measures
from .nab import NabFile, nab_score, sweep
from .product import PARTS, Judged
from .scenarios import RIVALS_ON_RELATIONS, life, relations, second_faults, unlabelled
from .sets import LARGE_SETS, Trial, load_set, segments
from .simulated import KINDS_OF_LIFE, labelled_trial

__all__ = ["SCENARIO", "Unit", "do_units", "load_from", "plan", "plan_scenarios", "run_unit", "state_of"]

_ONLY_SHOWS = ("report", "picture")  # the card's files that no result depends on
SCENARIO = "scenario"  # in place of a set: simulated series that no other contender judges


@dataclass(frozen=True)
class Unit:
    """One piece of work; `contender` "product" brings its parts too."""

    set_name: str
    contender: str
    seed: int

    def file(self, folder: Path) -> Path:
        """Name the file that says that it is done."""
        return folder / f"{self.set_name}-{self.contender}-{self.seed}.json"

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the product to judge by alone; the rest does not change with the seed."""
        if self.contender != "product" or self.set_name in LARGE_SETS:
            return ()
        return PARTS if self.seed == 0 else ("autoencoder",)


def plan(sets: Sequence[str], contenders: Sequence[str], n_seeds: int) -> list[Unit]:
    """List the work on labelled sets, the longest first: what does not change with the seed is done once."""
    units = []
    for name in reversed(sets):
        n_here = 1 if name in LARGE_SETS else n_seeds
        for contender in contenders:
            if contender == "product":
                units += [Unit(name, contender, seed) for seed in range(n_here)]
            elif name not in LARGE_SETS or FIELD[contender].is_fast:
                n_needed = n_here if FIELD[contender].is_random else 1
                units += [Unit(name, contender, seed) for seed in range(n_needed)]
    return sorted(units, key=lambda unit: unit.contender != "product")


def plan_scenarios(sets: Sequence[str], n_seeds: int, *, quick: bool) -> list[Unit]:
    """List the work on simulated series, and on the budget. Normal life has entities enough for one seed.

    A quick run trains for one life alone.
    """
    kinds = ["daily"] if quick else list(KINDS_OF_LIFE)
    units = [Unit(SCENARIO, f"life-{kind}-{daemon}", 0) for kind in kinds for daemon in ("trained", "fresh")]
    units += [
        Unit(SCENARIO, f"unlabelled-{name}", 0) for name in sets if name not in LARGE_SETS and not quick
    ]
    for contender in ("pca",) if quick else RIVALS_ON_RELATIONS:
        is_random = contender == "product" or FIELD[contender].is_random
        units += [
            Unit(SCENARIO, f"relations-{contender}", seed) for seed in range(n_seeds if is_random else 1)
        ]
    return units if quick else units + [Unit(SCENARIO, "second-product", seed) for seed in range(n_seeds)]


def state_of(root: Path, data: Path | None, *, quick: bool) -> str:
    """Give a hash of everything that results follow from: other code or other data, other results."""
    of = hashlib.sha256(f"{data.resolve() if data else None} {quick}".encode())
    files = [
        path for folder in ("models", "monitor", "benchmarks/card") for path in (root / folder).rglob("*.py")
    ]
    for path in sorted(files):
        if path.stem not in _ONLY_SHOWS:
            of.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return of.hexdigest()[:12]


def do_units(
    units: Sequence[Unit],
    load: Callable[[str], list[Trial]],
    folder: Path,
    *,
    n_jobs: int,
    quick: bool = False,
    on_done: Callable[[Unit], None] = lambda unit: None,
) -> None:
    """Do what is not done yet, in `n_jobs` processes."""
    waiting = []
    for unit in units:
        if unit.file(folder).exists():
            on_done(unit)
        else:
            waiting.append(unit)
    if n_jobs == 1:
        for unit in waiting:
            run_unit(unit, load, folder, quick=quick)
            on_done(unit)
        return
    # Without threads of its own each process keeps to a core; a fork would copy those that PyTorch started.
    os.environ["OMP_NUM_THREADS"] = "1"
    pool = ProcessPoolExecutor(n_jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        running = {pool.submit(run_unit, unit, load, folder, quick=quick): unit for unit in waiting}
        for done in as_completed(running):
            done.result()
            on_done(running[done])
    finally:
        pool.shutdown(cancel_futures=True)  # what has begun is finished, and kept; what waits is not begun


def run_unit(unit: Unit, load: Callable[[str], list[Trial]], folder: Path, *, quick: bool = False) -> None:
    """Judge, measure, and write a file for each contender that came of it."""
    torch.set_num_threads(1)
    started = time.process_time()
    if unit.set_name == SCENARIO:
        rows = _scenario(unit, load, quick=quick)
        _write(unit.file(folder), {"rows": rows, "cpu_seconds": time.process_time() - started})
        return
    trials = load(unit.set_name)
    judged = [judge_trial(trial, unit.contender, unit.seed, parts=unit.parts) for trial in trials]
    # The unit's own file comes last: it says that all of them are there.
    for name in (*unit.parts, unit.contender):
        # A part that could not be judged alone, for want of a network, is the product without it.
        of_name = [found.get(name, found[unit.contender]) for found in judged]
        path = replace(unit, contender=name).file(folder)
        result = _measured(unit, trials, of_name) | {"contender": name}
        _write(path, result | {"cpu_seconds": time.process_time() - started})


def _scenario(unit: Unit, load: Callable[[str], list[Trial]], *, quick: bool) -> list[dict[str, Any]]:
    name, _, rest = unit.contender.partition("-")
    if name == "unlabelled":
        return unlabelled(load(rest), seed=unit.seed)
    if name == "life":
        kind, daemon = rest.split("-")
        return life(kind, trained=daemon == "trained", seed=unit.seed, quick=quick)
    if name == "relations":
        return relations(rest, seed=unit.seed, quick=quick)
    return second_faults(seed=unit.seed, quick=quick)


def _write(path: Path, result: dict[str, Any]) -> None:
    """Write a result whole, or not at all."""
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


def load_from(root: Path | None, name: str, *, quick: bool) -> list[Trial]:
    """Read a set, or make one without data; at the top level, so that a process can be given it."""
    if root is None:
        return [labelled_trial(seed=0)]
    return load_set(root, name, quick=quick)
