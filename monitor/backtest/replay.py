"""A watch's recorded samples, judged as the daemon would judge them: the same stages, the same policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.bundle import Bundle
from monitor.alerting.alert import Alert
from monitor.clock import SystemClock
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.detection.scored_step import ScoredStep
from monitor.detection.settings import WatchSettings
from monitor.detection.view import WatchObserver
from monitor.detection.watch import Watch
from monitor.files.metric_files import Recorded
from monitor.sample import Columns, SeriesTable
from monitor.sources.replay import ReplaySource

__all__ = ["Cost", "Probe", "Replayed", "replay_watch"]

_US_PER_SECOND = 1e6


class Probe(Protocol):
    """Something that follows a replay."""

    def observe(self, scored: ScoredStep, watch: Watch) -> None:
        """Take a step that was judged."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What judging took: processor time without that of probes, and the bytes of the watch's state."""

    cpu_seconds: float
    n_samples: int
    state_bytes: int

    @property
    def us_per_sample(self) -> float:
        """Microseconds of processor time for a sample."""
        return self.cpu_seconds * _US_PER_SECOND / max(1, self.n_samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay found between `from_ms` and `until_ms` (event time).

    Attributes
    ----------
    watch : Watch
        As it is after the last step.
    alerts : tuple of Alert
        The newest state of each episode that opened, in the order of their opening.
    as_opened : mapping
        By identity, each of them as somebody was first notified of it.
    n_steps, n_judged : int
        Steps; and steps of entities that were judged.
    """

    watch: Watch
    from_ms: int
    until_ms: int
    alerts: tuple[Alert, ...]
    as_opened: Mapping[str, Alert]
    n_steps: int
    n_judged: int
    cost: Cost

    @property
    def seconds(self) -> float:
        """Event time that was judged."""
        return max(0, self.until_ms - self.from_ms) / 1000


class _Follower:
    """Passes each step that counts to the probes, and measures the time that they take."""

    def __init__(
        self, watch: Watch, probes: Sequence[Probe], *, from_ms: int, cpu_clock: Callable[[], float]
    ) -> None:
        self.n_steps = 0
        self.n_judged = 0
        self.seconds = 0.0
        self._watch = watch
        self._probes = probes
        self._from_ms = from_ms
        self._cpu_clock = cpu_clock
        watch.observe(WatchObserver(on_scored=self._on_scored))

    def _on_scored(self, scored: ScoredStep) -> None:
        if scored.time_ms <= self._from_ms:
            return
        started = self._cpu_clock()
        self.n_steps += 1
        self.n_judged += int(scored.judged.sum())
        for probe in self._probes:
            probe.observe(scored, self._watch)
        self.seconds += self._cpu_clock() - started


def replay_watch(
    settings: WatchSettings,
    champion: Bundle | None,
    samples: Columns,
    table: SeriesTable,
    *,
    from_ms: int,
    probes: Sequence[Probe] = (),
    cpu_clock: Callable[[], float],
    progress: Callable[[float], None] = lambda share: None,
) -> Replayed:
    """Judge a watch's recorded samples, in the order of their event times, as fast as the machine can.

    Parameters
    ----------
    champion : Bundle, optional
        It is changed; without one the baselines judge alone.
    samples : Columns
        Ordered by event time. Those before `from_ms` fill windows and memories.
    from_ms : int
        What opens until then is not reported.
    cpu_clock : callable
        Gives this process's processor time, in seconds.
    progress : callable
        Called with the share of samples that are done.

    Raises
    ------
    ConfigError
        If the champion was trained with another step or window than is configured.
    """
    watch = build_watch(settings, champion)
    follower = _Follower(watch, probes, from_ms=from_ms, cpu_clock=cpu_clock)
    pipeline = Pipeline([watch], table, max_future_ms=0)
    source = ReplaySource(Recorded(samples, ()), SystemClock())
    newest: dict[str, Alert] = {}
    as_opened: dict[str, Alert] = {}
    n_done, cpu_seconds, finished = 0, 0.0, False
    while not finished:
        batch = source.poll(0.0)
        finished = batch.finished
        started = cpu_clock()
        decision = pipeline.process(batch.columns, batch.now_ms, finished=finished)
        cpu_seconds += cpu_clock() - started
        for alert in decision.alerts:
            if alert.opened_ms > from_ms:
                as_opened.setdefault(alert.identity, alert)
                newest[alert.identity] = alert
        n_done += len(batch.columns)
        progress(n_done / max(1, len(samples)))
    newest |= {alert.identity: alert for alert in watch.open_alerts.values() if alert.opened_ms > from_ms}
    return Replayed(
        watch=watch,
        from_ms=from_ms,
        until_ms=int(samples.time_ms[-1]) if len(samples) else from_ms,
        alerts=tuple(sorted(newest.values(), key=lambda alert: alert.opened_ms)),
        as_opened=as_opened,
        n_steps=follower.n_steps,
        n_judged=follower.n_judged,
        cost=Cost(
            max(0.0, cpu_seconds - follower.seconds),
            len(samples),
            sum(array.nbytes for array in watch.state().values()),
        ),
    )
