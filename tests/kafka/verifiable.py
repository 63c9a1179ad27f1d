"""A workload in which no two values are alike, and what finds each that is missing, wrong or doubled.

Hosts with two metrics each, spread over partitions; now and then a host has a fault. Records come out of
order within the lateness, and some come twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

METRICS = ("load", "queue_depth")
LATENESS_MS = 2000
STEP_MS = 1000


@dataclass(frozen=True)
class Workload:
    seed: int = 0
    n_hosts: int = 6
    n_partitions: int = 3
    n_steps: int = 600
    start_ms: int = 1_700_000_000_000
    double_ratio: float = 0.03

    @cached_property
    def values(self):
        """Give every value, (host, metric, step): no two are alike."""
        values = 100 + np.random.default_rng(self.seed).normal(
            0, 1, (self.n_hosts, len(METRICS), self.n_steps)
        )
        for host in range(self.n_hosts):
            # After the 108 steps in which nothing is judged.
            for begin in range(150 + 11 * host, self.n_steps - 40, 90):
                values[host, 0, begin : begin + 12] += 30
        assert len(np.unique(values)) == values.size
        return values

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Give `(partition, payload)` in the order in which producers send them."""
        rng = np.random.default_rng(self.seed + 1)
        each = [(host, step) for step in range(self.n_steps) for host in range(self.n_hosts)]
        each += [sample for sample in each if rng.random() < self.double_ratio]
        at_ms = [step * STEP_MS + rng.uniform(0, 0.95 * LATENESS_MS) for _, step in each]
        for _, (host, step) in sorted(zip(at_ms, each, strict=True)):
            yield host % self.n_partitions, self.payload(host, step)

    def tail(self) -> Iterator[tuple[int, bytes]]:
        """Give what closes the last steps: a sample of each host, a minute later."""
        for host in range(self.n_hosts):
            time_ms = self.start_ms + self.n_steps * STEP_MS + 60_000
            yield host % self.n_partitions, _message(host, time_ms, dict.fromkeys(METRICS, 100.0))

    def payload(self, host: int, step: int) -> bytes:
        """Write one host's sample of one step, in Barograph's columnar format."""
        values = dict(zip(METRICS, self.values[host, :, step].tolist(), strict=True))
        return _message(host, self.start_ms + step * STEP_MS, values)


def _message(host: int, time_ms: int, values: Mapping[str, float]) -> bytes:
    metrics = {name: [value] for name, value in values.items()}
    return json.dumps({"labels": {"host": f"host{host}"}, "time_ms": [time_ms], "metrics": metrics}).encode()


@dataclass
class Verdict:
    """What became of the windows or alerts; `repeated` are the same again, as behind a kill."""

    missing: list[object] = field(default_factory=list)
    wrong: list[object] = field(default_factory=list)
    unexpected: list[object] = field(default_factory=list)
    raised_again: list[object] = field(default_factory=list)
    repeated: int = 0

    @property
    def faultless(self) -> bool:
        """Tell whether nothing is missing, wrong, too much, or raised again."""
        return not (self.missing or self.wrong or self.unexpected or self.raised_again)


def verify_windows(lines: Iterable[str], workload: Workload) -> Verdict:
    """Hold every closed step, `{"time_ms": end, "values": {host: [...]}}`, against what was sent."""
    verdict = Verdict()
    seen: Counter[tuple[str, int]] = Counter()
    for line in lines:
        closed = json.loads(line)
        step = (closed["time_ms"] - workload.start_ms) // STEP_MS - 1
        for host, values in closed["values"].items():
            if not 0 <= step < workload.n_steps:
                if any(value is not None for value in values) and step < workload.n_steps + 50:
                    verdict.unexpected.append((host, step))
                continue
            seen[host, step] += 1
            if values != workload.values[int(host.removeprefix("host")), :, step].tolist():
                verdict.wrong.append((host, step, values))
    expected = {(f"host{host}", step) for host in range(workload.n_hosts) for step in range(workload.n_steps)}
    verdict.missing = sorted(expected - set(seen))
    verdict.repeated = sum(count - 1 for count in seen.values())
    return verdict


def verify_alerts(lines: Iterable[str], expected: Iterable[str]) -> Verdict:
    """Compare the alerts that were sent with those of a run that nothing disturbed.

    An alert is `{"identity": ..., "reason": null or how it ended, ...}`.

    To a receiver that knows alerts by their identity, the same alert again is nothing new while it is open.
    Once it was resolved, it is a new alert, except with a later revision: late data may find again what it
    had retracted.
    """
    verdict = Verdict()
    wanted = [json.loads(line) for line in expected]
    by_key = {_key_of(alert): alert for alert in wanted}
    assert len(by_key) == len(wanted), "the undisturbed run itself sent an alert twice"
    seen: set[tuple[object, ...]] = set()
    resolved: dict[str, int] = {}  # the revision at which each was
    for alert in map(json.loads, lines):
        key = _key_of(alert)
        if key not in by_key:
            verdict.unexpected.append(key)
        elif alert != by_key[key]:
            verdict.wrong.append((key, alert, by_key[key]))
        if alert["reason"] is None and resolved.get(alert["identity"], -1) >= alert["revision"]:
            verdict.raised_again.append(key)
        if alert["reason"] is not None:
            resolved[alert["identity"]] = alert["revision"]
        verdict.repeated += key in seen
        seen.add(key)
    verdict.missing = sorted(set(by_key) - seen, key=str)
    return verdict


def _key_of(alert: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(alert[name] for name in ("identity", "reason", "revision", "amends"))
