"""Series whose truth is known: normal life without faults, faults that break only a relation, second faults.

Everything follows from a seed. Steps are five minutes. Values look like what is monitored, not like noise:
errors of neighbouring steps hang together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .sets import Trial

__all__ = [
    "KINDS_OF_LIFE",
    "RELATIONS",
    "STEP_SECONDS",
    "Incident",
    "labelled_trial",
    "level_changes",
    "life_trial",
    "normal_life",
    "relation_faults",
]

STEP_SECONDS = 300
DAY = 86400 // STEP_SECONDS  # steps
HOUR = 3600 // STEP_SECONDS
RELATIONS = ("ratio", "lag", "sign")


@dataclass(frozen=True, slots=True)
class Incident:
    """What happens to an entity in steps [start, end)."""

    kind: str
    row: int
    start: int
    end: int


def _autocorrelated(n_steps: int, n_rows: int, rng: np.random.Generator, *, memory: float) -> NDArray:
    """Give noise (T, n) of standard deviation 1 whose values are forgotten after `memory` steps."""
    kept = np.exp(-1 / memory)
    shocks = rng.normal(0, np.sqrt(1 - kept**2), (n_steps, n_rows))
    out = np.empty((n_steps, n_rows))
    out[0] = rng.normal(0, 1, n_rows)
    for t in range(1, n_steps):
        out[t] = kept * out[t - 1] + shocks[t]
    return out


def _wave(n_steps: int, n_rows: int, rng: np.random.Generator) -> NDArray:
    """Give a daily wave (T, n) between -1 and 1 with a second harmonic; phases differ by an hour or two."""
    hours = np.arange(n_steps)[:, None] / HOUR + rng.normal(0, 1.5, n_rows)
    angle = 2 * np.pi * hours / 24
    return (np.sin(angle) + 0.3 * np.sin(2 * angle + 1)) / 1.3


def _daily(n_steps: int, n_rows: int, rng: np.random.Generator) -> NDArray:
    noise = _autocorrelated(n_steps, n_rows, rng, memory=HOUR)
    return 50 + 20 * _wave(n_steps, n_rows, rng) + 2 * noise


def _weekly(n_steps: int, n_rows: int, rng: np.random.Generator) -> NDArray:
    weekday = (np.arange(n_steps) // DAY) % 7
    load = np.where(weekday >= 5, 0.4, 1.0)[:, None]
    noise = _autocorrelated(n_steps, n_rows, rng, memory=HOUR)
    return 20 + load * (40 + 30 * _wave(n_steps, n_rows, rng)) + 2 * noise


def _bursty(n_steps: int, n_rows: int, rng: np.random.Generator) -> NDArray:
    """Give requests that come in bursts every few hours, each as strong as chance has it."""
    base = 10 * np.exp(0.3 * _autocorrelated(n_steps, n_rows, rng, memory=2 * HOUR))
    for row in range(n_rows):
        for start in np.flatnonzero(rng.random(n_steps) < 1 / (4 * HOUR)):
            length = int(rng.integers(2, 10))
            base[start : start + length, row] += 10 * rng.lognormal(1.0, 0.6)
    return base


def _sparse(n_steps: int, n_rows: int, rng: np.random.Generator) -> NDArray:
    """Give counts of a rare event: 0 in most steps, one or a few every three hours or so."""
    is_event = rng.random((n_steps, n_rows)) < 1 / (3 * HOUR)
    return np.where(is_event, 1 + rng.poisson(0.7, (n_steps, n_rows)), 0).astype(np.float64)


def _levels(n_steps: int, n_rows: int, rng: np.random.Generator) -> NDArray:
    """Give a value that rests at one of a few levels for some hours: a queue's workers, a cache's size."""
    out = np.empty((n_steps, n_rows))
    for row in range(n_rows):
        levels = rng.uniform(20, 100, 4)
        t = 0
        while t < n_steps:
            length = int(rng.exponential(8 * HOUR)) + HOUR
            out[t : t + length, row] = rng.choice(levels)
            t += length
    return out + _autocorrelated(n_steps, n_rows, rng, memory=HOUR)


KINDS_OF_LIFE: dict[str, Callable[[int, int, np.random.Generator], NDArray]] = {
    "daily": _daily,
    "weekly": _weekly,
    "bursty": _bursty,
    "sparse": _sparse,
    "levels": _levels,
}


def normal_life(
    kind: str, n_steps: int, n_entities: int, rng: np.random.Generator, *, n_channels: int = 1
) -> NDArray[np.float64]:
    """Give steps (T, n, C) without a fault, of a kind of `KINDS_OF_LIFE`."""
    make = KINDS_OF_LIFE[kind]
    return np.stack([make(n_steps, n_entities, rng) for _ in range(n_channels)], axis=2)


def life_trial(kind: str, *, n_train: int, n_test: int, n_entities: int, seed: int) -> Trial:
    """Give normal life as a trial: whatever is told in it is false."""
    rng = np.random.default_rng([seed, list(KINDS_OF_LIFE).index(kind)])
    values = normal_life(kind, n_train + n_test, n_entities, rng)
    return _trial(f"life-{kind}", values, n_train, [])


def relation_faults(*, n_train: int, n_test: int, n_entities: int, seed: int) -> tuple[Trial, list[Incident]]:
    """Give three channels that follow a common load, and incidents in which one of them ceases to.

    Each incident lasts four hours. Every channel stays within the range of its training rows, so that no
    rule for a single channel sees it: the second has another ratio to the load, the third lags by six hours
    instead of half an hour, or the second falls as the load rises.
    """
    rng = np.random.default_rng([seed, 100])
    n_steps = n_train + n_test
    load = _daily(n_steps, n_entities, rng) + 8 * _autocorrelated(n_steps, n_entities, rng, memory=HOUR)
    late = HOUR // 2
    values = np.stack([load, 3 * load + 10, np.roll(load, late, axis=0) * 0.5], axis=2)
    values += rng.normal(0, 0.3, values.shape) * (1, 3, 0.5)
    low, high = values[:n_train].min(axis=0), values[:n_train].max(axis=0)  # (n, C)
    incidents = []
    for row in range(n_entities):
        for number, start in enumerate(_places(n_train, n_steps, rng)):
            incident = Incident(RELATIONS[(number + row) % len(RELATIONS)], row, start, start + 4 * HOUR)
            span = slice(incident.start, incident.end)
            if incident.kind == "ratio":
                middle = values[:n_train, row, 1].mean()
                values[span, row, 1] = middle + 0.2 * (values[span, row, 1] - middle)
            elif incident.kind == "lag":
                earlier = slice(incident.start - 6 * HOUR, incident.end - 6 * HOUR)
                values[span, row, 2] = values[earlier, row, 2]
            else:
                values[span, row, 1] = low[row, 1] + high[row, 1] - values[span, row, 1]
            values[span, row] = np.clip(values[span, row], low[row], high[row])
            incidents.append(incident)
    return _trial("relations", values, n_train, incidents), incidents


def level_changes(*, n_train: int, n_test: int, n_entities: int, seed: int) -> tuple[Trial, list[Incident]]:
    """Give daily waves of three channels in which the first takes another level for two days, and returns.

    Within the new level a second fault of an hour follows, three hours or a day after the change, by turns on
    the second channel (`second other`) and on the first, beyond its new level (`second same`). Incidents of
    kind `change` last as long as the new level.
    """
    rng = np.random.default_rng([seed, 200])
    n_steps = n_train + n_test
    values = normal_life("daily", n_steps, n_entities, rng, n_channels=3)
    incidents = []
    for row in range(n_entities):
        for number, start in enumerate(_places(n_train, n_steps - 3 * DAY, rng, every=5 * DAY)):
            end = start + 2 * DAY
            size = 60.0 if rng.random() < 0.5 else -60.0
            values[start:end, row, 0] += size
            incidents.append(Incident("change", row, start, end))
            second = start + (3 * HOUR if number % 4 < 2 else DAY)
            channel = 1 if number % 2 else 0
            values[second : second + HOUR, row, channel] += size
            kind = "second other" if channel else "second same"
            incidents.append(Incident(kind, row, second, second + HOUR))
    return _trial("level changes", values, n_train, incidents), incidents


def labelled_trial(*, seed: int) -> Trial:
    """Give a small labelled set for a run without data: spikes, new levels and flat lines on daily waves."""
    rng = np.random.default_rng([seed, 300])
    n_train, n_steps = 7 * DAY, 12 * DAY
    values = normal_life("daily", n_steps, 2, rng, n_channels=2)
    incidents = []
    for row in range(2):
        for number, start in enumerate(_places(n_train, n_steps, rng, every=DAY)):
            span = slice(start, start + 2 * HOUR)
            if number % 3 == 0:
                values[start : start + 3, row, 0] += 80
            elif number % 3 == 1:
                values[span, row] += 60
            else:
                values[span, row] = values[start - 1, row]
            incidents.append(Incident("fault", row, start, start + 2 * HOUR))
    return _trial("simulated", values, n_train, incidents)


def _places(first: int, end: int, rng: np.random.Generator, *, every: int = DAY) -> list[int]:
    """Give where incidents begin: one in each span of `every` steps, at any hour, never in the first half."""
    starts = range(first, end - every + 1, every)
    return [start + int(rng.integers(every // 2, every - every // 4)) for start in starts]


def _trial(name: str, values: NDArray[np.float64], n_train: int, incidents: list[Incident]) -> Trial:
    n_steps, n_entities, n_channels = values.shape
    label = np.zeros((n_steps, n_entities), bool)
    for incident in incidents:
        label[incident.start : incident.end, incident.row] = True
    train = np.broadcast_to((np.arange(n_steps) < n_train)[:, None], label.shape)
    entities = tuple(f"entity-{row:02d}" for row in range(n_entities))
    return Trial(
        name=name,
        step_seconds=STEP_SECONDS,
        entities=entities,
        channels=tuple(f"metric_{channel}" for channel in range(n_channels)),
        values=values,
        label=label,
        train=train.copy(),
        test=~train,
        blamed={},
        files=entities,
    )
