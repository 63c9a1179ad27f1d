"""A watch's recorded samples, judged as the daemon would judge them: the same stages, the same policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.bundle import Bundle
from monitor.alerting.alert import Alert
from monitor.backtest.inputs import WatchInput
from monitor.detection.scored_step import ScoredStep
from monitor.detection.view import WatchObserver
from monitor.detection.watch import Watch

__all__ = ["Between", "Cost", "Probe", "Replayed", "replay_watch"]

_US_PER_SECOND = 1e6


class Probe(Protocol):
    """Something that follows a replay."""

    def observe(self, scored: ScoredStep, watch: Watch) -> None:
        """Take a step that was judged."""


class Between(Protocol):
    """Something that happens between two parts of a replay, as a training does."""

    @property
    def stops_ms(self) -> Sequence[int]:
        """Event times at which a part of the input ends."""

    def advance(self, watch: Watch, alerts: Sequence[Alert], now_ms: int) -> None:
        """Act at the end of a part: everything up to an event time was fed, and these are all episodes."""


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
    recorded: WatchInput,
    champion: Bundle | None,
    *,
    begin_ms: int,
    from_ms: int,
    probes: Sequence[Probe] = (),
    cpu_clock: Callable[[], float],
    between: Between | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Replayed:
    """Judge a watch's recorded metrics, in the order of their event times, as fast as the machine can.

    Parameters
    ----------
    champion : Bundle, optional
        It is changed; without one the baselines judge alone.
    begin_ms, from_ms : int
        Where the replay begins, and up to when it only fills windows and memories: nothing that opens until
        then is reported.
    cpu_clock : callable
        Gives this process's processor time, in seconds.
    between : Between, optional
        What happens between two parts of the input.
    progress : callable
        Called with the share that is done.

    Raises
    ------
    ConfigError
        If the champion was trained with another step or window than is configured.
    """
    watch = recorded.build(champion)
    follower = _Follower(watch, probes, from_ms=from_ms, cpu_clock=cpu_clock)
    newest: dict[str, Alert] = {}
    as_opened: dict[str, Alert] = {}
    n_samples, cpu_seconds = 0, 0.0
    parts = recorded.feed(watch, begin_ms, () if between is None else between.stops_ms)
    while True:
        started = cpu_clock()
        fed = next(parts, None)
        cpu_seconds += cpu_clock() - started
        if fed is None:
            break
        for alert in fed.alerts:
            if alert.opened_ms > from_ms:
                as_opened.setdefault(alert.identity, alert)
                newest[alert.identity] = alert
        n_samples += fed.n_samples
        if between is not None:
            between.advance(watch, [*newest.values(), *watch.open_alerts.values()], fed.now_ms)
        progress(fed.share)
    newest |= {alert.identity: alert for alert in watch.open_alerts.values() if alert.opened_ms > from_ms}
    state_bytes = sum(array.nbytes for array in watch.state().values())
    return Replayed(
        watch=watch,
        from_ms=from_ms,
        until_ms=recorded.last_ms,
        alerts=tuple(sorted(newest.values(), key=lambda alert: alert.opened_ms)),
        as_opened=as_opened,
        n_steps=follower.n_steps,
        n_judged=follower.n_judged,
        cost=Cost(max(0.0, cpu_seconds - follower.seconds), n_samples, state_bytes),
    )
