"""What other budgets would have done: their limits, from the surprise that the replay has seen anyway.

Each budget has its own limit and its own episodes. What is shared with the replay is an approximation: what
was learned while an episode of the replay froze its entity, the peaks that the limits rest on, changes of
level, when a second fault shows, and the limits of what is out of season.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.detector import Detector
from models.limits import Budget, limit_for_budget
from monitor.alerting.episodes import EpisodeBook
from monitor.backtest.evaluate import Page
from monitor.detection.metric_rules import MetricRules
from monitor.detection.scored_step import ScoredStep
from monitor.detection.settings import WatchSettings
from monitor.detection.watch import Watch

__all__ = ["BudgetProbe", "BudgetTrial", "budgets_around"]

_BUDGETS = ("1/month", "2/month", "1/week", "3/week", "1/day", "3/day", "10/day")
_REFRESH_STEPS = 16  # a limit that rests on hundreds of steps moves little in so many
_ROUNDING = 1e-6  # of a score: a step's limit and the recorded one are equal up to rounding


@dataclass(frozen=True, slots=True)
class BudgetTrial:
    """What a budget would have done; `is_configured` is the watch's own, by the same approximation."""

    budget: str
    pages: tuple[Page, ...]
    is_configured: bool


def budgets_around(configured: str) -> list[str]:
    """Give the budgets to compare, the configured one among them, the smallest first."""
    own = Budget.parse(configured)
    per_entity = " per entity" if own.per_entity else ""
    others = [f"{text}{per_entity}" for text in _BUDGETS]
    others = [text for text in others if Budget.parse(text) != own]
    return sorted([configured, *others], key=lambda text: Budget.parse(text).rate_per_second(1))


class BudgetProbe:
    """Judges the steps of a replay under K budgets at once.

    Parameters
    ----------
    budgets : sequence of str
        As in the configuration.
    configured : str
        The one that the replay itself runs under.
    """

    def __init__(self, settings: WatchSettings, budgets: Sequence[str], configured: str) -> None:
        self._settings = settings
        self._texts = tuple(budgets)
        self._configured = configured
        self._budgets = [Budget.parse(text) for text in budgets]
        self._rules = MetricRules(settings.metric_rules, by_series=not settings.entity_labels)
        # A row for each entity and budget, the budgets of an entity side by side: new entities come behind.
        self._book = EpisodeBook(settings.alert)
        self._frozen_limit = np.empty(0)  # NaN where the current limit counts
        self._current = np.empty((0, len(budgets)))  # (n, K)
        self._limits_before = np.empty(0)  # (n,): of the replay, before the step that comes next
        self._n_steps = 0
        self._ended: list[tuple[int, int, int]] = []  # row of the book, opened, resolved

    def observe(self, scored: ScoredStep, watch: Watch) -> None:
        """Take a step that was judged."""
        n_rows, n_budgets = len(scored.score), len(self._budgets)
        self._make_room(n_rows, watch)
        names = self._rules.names_of(watch.entities.entities, watch.entities.channels)
        broken = self._rules.out_of_range(scored, names)
        vetoed = self._rules.below_min_deviation(scored, names) & ~broken
        limit = np.where(np.isnan(self._frozen_limit), self._current.ravel(), self._frozen_limit)
        score = _scores(scored, broken, self._limits_before, limit.reshape(n_rows, n_budgets))
        opened_before_ms = self._book.opened_ms.copy()
        second_since_ms = np.zeros(n_rows, np.int64)
        known_ms = watch.scorer.levels.rows.second_since_ms[:n_rows]
        second_since_ms[: len(known_ms)] = known_ms
        changes = self._book.update(
            scored.time_ms,
            score.ravel(),
            vetoed=np.repeat(vetoed, n_budgets),
            second_since_ms=np.repeat(second_since_ms, n_budgets),
        )
        self._frozen_limit[changes.engaged] = limit[changes.engaged]
        self._frozen_limit[~self._book.frozen] = np.nan
        for row in np.concatenate([changes.recovered, changes.accepted]).tolist():
            self._ended.append((row, int(self._book.opened_ms[row]), scored.time_ms))
        for row in changes.followed.tolist():
            self._ended.append((row, int(opened_before_ms[row]), scored.time_ms))
        self._limits_before = watch.scorer.limits()[:n_rows]
        self._n_steps += 1
        if self._n_steps % _REFRESH_STEPS == 0:
            self._current = self._limits(watch.scorer.detector, n_rows)

    def trials(self, watch: Watch) -> tuple[BudgetTrial, ...]:
        """Give what each budget would have done, in the order in which they were given."""
        names, n_budgets = watch.entities.entities, len(self._budgets)
        pages: list[list[Page]] = [[] for _ in self._budgets]
        still_open = np.flatnonzero(self._book.is_open).tolist()
        ongoing = [(row, int(self._book.opened_ms[row]), None) for row in still_open]
        for row, opened_ms, resolved_ms in [*self._ended, *ongoing]:
            page = Page(watch.name, names[row // n_budgets], opened_ms, resolved_ms)
            pages[row % n_budgets].append(page)
        return tuple(
            BudgetTrial(text, tuple(of_budget), text == self._configured)
            for text, of_budget in zip(self._texts, pages, strict=True)
        )

    def _make_room(self, n_rows: int, watch: Watch) -> None:
        n_cells = n_rows * len(self._budgets)
        if len(self._frozen_limit) == n_cells:
            return
        more = np.full(n_cells - len(self._frozen_limit), np.nan)
        self._frozen_limit = np.concatenate([self._frozen_limit, more])
        self._book.grow(n_cells)
        self._current = self._limits(watch.scorer.detector, n_rows)
        self._limits_before = watch.scorer.limits()[:n_rows]

    def _limits(self, detector: Detector | None, n_rows: int) -> NDArray[np.float64]:
        """Give each entity's limit under each budget, (n, K); infinite before anything is calibrated."""
        limits = np.full((n_rows, len(self._budgets)), np.inf)
        if detector is None or not detector.calibrated.any():
            return limits
        n_sharing = int(detector.calibrated.sum())
        n_known = min(n_rows, detector.n_rows)
        for column, budget in enumerate(self._budgets):
            limit = limit_for_budget(detector.peaks, budget, n_entities=n_sharing).value
            limits[:n_known, column] = np.maximum(limit, detector.min_limits(budget)[:n_known])
        return limits


def _scores(
    scored: ScoredStep,
    broken: NDArray[np.bool_],
    limits_before: NDArray[np.float64],
    limit: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give the scores (n, K) of a step under other limits (n, K); NaN where nothing was judged.

    What has another cause than surprise, as the time of day or a value outside its range, counts as it was.
    """
    with np.errstate(invalid="ignore"):
        by_surprise = scored.surprise / limits_before
        other = np.isnan(by_surprise) | (scored.score > by_surprise * (1 + _ROUNDING))
    cause = np.where(other, scored.score, np.nan)
    score = np.fmax(scored.surprise[:, None] / limit, cause[:, None])
    return np.asarray(np.where((scored.judged | broken)[:, None], score, np.nan))
