"""Which metrics are worth a look: those of presets, and of each other job what is no technicality. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from monitor.quickstart.inventory import Inventory
from monitor.quickstart.presets import Preset
from monitor.text import escape_quotes

__all__ = ["WANDERING", "Candidate", "candidates_of"]

# Constants, times, parts of histograms, and what Prometheus writes about its own scrapes.
_NEVER = (
    "*_info", "*_created", "*_bucket", "*_timestamp_seconds", "*_time_seconds", "*_start_time*",
    "*_boot_time*", "scrape_*", "up", "ALERTS", "ALERTS_FOR_STATE", "promhttp_*", "barograph_*",
)  # fmt: skip
# What a runtime says of itself: of interest only where nothing else is there.
_RUNTIME = ("go_*", "process_*", "python_*", "nodejs_*")
# Space on a disk, say: a rule that predicts when it ends does better than a model of what is usual.
WANDERING = "levels that wander or only grow, for a threshold of your own"
_MOST_SERIES_OF_A_METRIC = 2000  # a metric with more would be most of what is asked for


@dataclass(frozen=True, slots=True)
class Candidate:
    """Metrics that might make a watch.

    Attributes
    ----------
    names : tuple of str
        The most important first.
    match : str
        Matchers that all its queries hold.
    left_out : dict
        Names that are not in question, by the reason.
    job : str, optional
        Whose series these are: other jobs may have metrics of the same names. Without one where only this
        candidate has these names.
    """

    name: str
    title: str
    names: tuple[str, ...]
    match: str
    left_out: dict[str, list[str]]
    preset: Preset | None = None
    job: str | None = None


def candidates_of(inventory: Inventory, presets: Sequence[Preset], match: str) -> list[Candidate]:
    """Compare an inventory with the presets; each job that none of them covers is a candidate of its own."""
    known = [preset for preset in presets if preset.identifies(inventory.names)]
    covered = {
        job
        for preset in known
        if preset.whole_job
        for job, names in inventory.jobs().items()
        if preset.identifies(names)
    }
    claimed = {name for preset in known for name in preset.chosen(inventory.names)}
    found = [
        Candidate(
            preset.name,
            preset.title,
            tuple(preset.chosen(inventory.names)),
            _joined(match, preset.match),
            {WANDERING: preset.ignored(inventory.names)},
            preset,
        )
        for preset in known
    ]
    used = {preset.name for preset in known}
    for job, names in sorted(inventory.jobs().items()):
        if job not in covered:
            found += _of_job(job, names - claimed, inventory, match, used)
    return [candidate for candidate in found if candidate.names]


def _of_job(
    job: str, names: set[str], inventory: Inventory, match: str, used: set[str]
) -> Iterator[Candidate]:
    never = {name for name in names if _fits(name, _NEVER)}
    large = {name for name in names - never if inventory.count(name) > _MOST_SERIES_OF_A_METRIC}
    runtime = {name for name in names - never if _fits(name, _RUNTIME)}
    chosen = names - never - large - runtime or runtime - large
    left_out = {
        "constants, times, buckets of histograms": sorted(never),
        "more than 2000 series each": sorted(large),
        "of the runtime": sorted(runtime - chosen),
    }
    name = _watch_name(job, used)
    used.add(name)
    condition = f'job="{escape_quotes(job)}"'
    title = f"job {job}" if job else "no job"
    yield Candidate(name, title, tuple(sorted(chosen)), _joined(match, condition), left_out, job=job)


def _watch_name(job: str, used: Collection[str]) -> str:
    """Name a watch after a job: at most 64 letters, digits, . _ and -."""
    base = re.sub(r"[^A-Za-z0-9_.-]", "_", job).lstrip(".-")[:50] or "other"
    numbered = (f"{base}-{number}" for number in range(2, len(used) + 3))
    return next(name for name in (base, *numbered) if name not in used)


def _joined(*matchers: str) -> str:
    return ",".join(text for text in matchers if text)


def _fits(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
