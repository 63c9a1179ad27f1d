"""Instruments of models: which bundle serves, what trainings came to, the numbers of the gate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

from monitor.metrics.catalogue import Catalogue
from monitor.training.gate import Result

__all__ = ["ModelMetrics"]

# A training that the daemon starts never ends as a candidate: that takes the option --candidate.
_TRAINING_RESULTS = tuple(result for result in get_args(Result) if result != "candidate")


class ModelMetrics:
    """Which model judges each watch, and how the next one comes about."""

    def __init__(self, catalogue: Catalogue, watches: Iterable[str]) -> None:
        self._has_network = catalogue.gauge(
            "barograph_model_loaded",
            "1 if a trained network judges the watch, 0 if the baselines judge alone.",
            "watch",
        )
        self._info = catalogue.gauge(
            "barograph_model_info", "Version of the bundle in use.", "watch", "version"
        )
        self._load_failures = catalogue.counter(
            "barograph_model_load_failures_total", "Bundles refused when they were loaded.", "watch"
        )
        self._swaps = catalogue.counter(
            "barograph_model_swaps_total", "Models that took over while the daemon was running.", "watch"
        )
        self._trainings = catalogue.counter(
            "barograph_training_runs_total",
            "Trainings on the step history, by result; skipped: due while the one before still ran.",
            "watch",
            "result",
        )
        self._last_training = catalogue.gauge(
            "barograph_training_last_success_timestamp_seconds",
            "When a training last came to a decision, promoted or refused, by this machine's clock.",
            "watch",
        )
        self._training_seconds = catalogue.gauge(
            "barograph_training_duration_seconds", "How long the last training took.", "watch"
        )
        self._gate_error = catalogue.gauge(
            "barograph_gate_error_ratio",
            "Calibrated error on held-out steps at the last decision, over the champion's scale; "
            "role: challenger, opponent.",
            "watch",
            "role",
        )
        self._gate_over_limit = catalogue.gauge(
            "barograph_gate_over_limit_ratio",
            "Share of held-out blocks over the limit at the last decision; "
            "role: challenger, opponent, allowed (by the budget).",
            "watch",
            "role",
        )
        self._gate_caught = catalogue.gauge(
            "barograph_gate_caught_ratio",
            "Share of injected faults caught at the last decision; role: challenger, opponent.",
            "watch",
            "role",
        )
        for watch in watches:
            self._load_failures.labels(watch)
            self._swaps.labels(watch)
            for result in _TRAINING_RESULTS:
                self._trainings.labels(watch, result)

    def loaded(self, watch: str, version: str | None) -> None:
        """Show which bundle judges a watch; None where the baselines judge alone."""
        self._has_network.labels(watch).set(version is not None)
        if version is not None:
            self._info.labels(watch, version).set(1)

    def refused(self, watch: str) -> None:
        """Count a bundle that could not be loaded."""
        self._load_failures.labels(watch).inc()

    def swapped(self, watch: str, old: str | None, new: str) -> None:
        """Show that another bundle judges a watch now."""
        if old is not None:
            self._info.remove(watch, old)
        self.loaded(watch, new)
        self._swaps.labels(watch).inc()

    def training_done(self, watch: str, result: Result, *, duration_seconds: float, now: float) -> None:
        """Count a training; `now` in seconds since the epoch."""
        self._trainings.labels(watch, result).inc()
        self._training_seconds.labels(watch).set(duration_seconds)
        if result in ("promoted", "refused"):
            self._last_training.labels(watch).set(now)

    def training_known(self, watch: str, made_at: float) -> None:
        """Show when the newest model of a watch was made, where that was before this daemon started."""
        self._last_training.labels(watch).set(made_at)

    def training_skipped(self, watch: str) -> None:
        """Count a training that was due while the one before it still ran."""
        self._trainings.labels(watch, "skipped").inc()

    def gate_decided(
        self,
        watch: str,
        *,
        error: Mapping[str, float | None],
        over_limit: Mapping[str, float],
        caught: Mapping[str, float],
    ) -> None:
        """Show the numbers of a decision, each by role; None: the opponent has no such number."""
        shown = ((self._gate_error, error), (self._gate_over_limit, over_limit), (self._gate_caught, caught))
        for gauge, numbers in shown:
            for role, number in numbers.items():
                if number is not None:
                    gauge.labels(watch, role).set(number)
