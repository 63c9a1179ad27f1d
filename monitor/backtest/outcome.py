"""A whole backtest: what ran, what it is compared with, and the questions that are asked of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from models.evaluation import poisson_bound
from models.limits import Budget
from monitor.backtest.evaluate import Incident, Matching, Page, Quality, judge_pages, match_pages
from monitor.backtest.fired_alerts import FiredAlert, pages_of_alerts
from monitor.backtest.runs import WatchRun

__all__ = ["Backtest", "BudgetUse", "Rival", "Side", "budget_use", "lead_seconds"]

WEEK_SECONDS = 7 * 86_400.0
_LEAST_GRACE_MS = 60_000  # an episode that opens so long after an incident's end still counts for it
_GRACE_STEPS = 2


@dataclass(frozen=True, slots=True)
class Side:
    """One configuration or model, and what it did."""

    name: str
    runs: tuple[WatchRun, ...]
    skipped: tuple[str, ...] = ()

    @property
    def pages(self) -> tuple[Page, ...]:
        """All episodes, in the order of their opening."""
        pages = [page for run in self.runs for page in run.pages]
        return tuple(sorted(pages, key=lambda page: page.opened_ms))


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """Alerts against a budget, over `seconds` of event time.

    `n_false` is None where nobody knows which are false: all count then. `allowed` is what the budget
    allows in that time, `most` what chance may make of that in 99.9 % of the cases.
    """

    n_alerts: int
    n_false: int | None
    seconds: float
    allowed: float
    most: int

    @property
    def n_counted(self) -> int:
        """Alerts that count against the budget."""
        return self.n_alerts if self.n_false is None else self.n_false

    @property
    def is_over(self) -> bool:
        """True where chance does not explain so many alerts."""
        return self.n_counted > self.most

    @property
    def is_short(self) -> bool:
        """True where the budget allows less than one alert in that time: staying below it shows little."""
        return self.allowed < 1

    def a_week(self, count: float) -> float:
        """Give what so many in this time are in a week."""
        return count * WEEK_SECONDS / max(1.0, self.seconds)


@dataclass(frozen=True, slots=True)
class Rival:
    """The simple rule beside this detector, by the same policy; `watches` are those that it could judge."""

    watches: tuple[str, ...]
    own: tuple[Page, ...]
    pages: tuple[Page, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Everything that a report shows.

    Attributes
    ----------
    incidents : tuple of Incident, optional
        Labels; None where nothing is labelled.
    fired : tuple of FiredAlert, optional
        What the user's own rules raised; None where that is not known.
    against : Side, optional
        What the side that was asked for is compared with.
    """

    side: Side
    files: tuple[str, ...]
    incidents: tuple[Incident, ...] | None = None
    fired: tuple[FiredAlert, ...] | None = None
    against: Side | None = None

    @property
    def from_ms(self) -> int:
        """When the first watch begins to be judged."""
        return min(run.replayed.from_ms for run in self.side.runs)

    @property
    def until_ms(self) -> int:
        """When the last watch ends."""
        return max(run.replayed.until_ms for run in self.side.runs)

    @property
    def grace_ms(self) -> int:
        """How long after an incident's end an episode still counts for it."""
        return max(_LEAST_GRACE_MS, *(_GRACE_STEPS * run.config.step_ms for run in self.side.runs))

    @property
    def judged_incidents(self) -> tuple[Incident, ...]:
        """Labelled incidents that lie in the judged time."""
        return tuple(
            incident
            for incident in self.incidents or ()
            if incident.end_ms > self.from_ms and incident.start_ms < self.until_ms
        )

    def quality(self, pages: Sequence[Page]) -> Quality | None:
        """Judge pages by the labels; None where nothing is labelled."""
        if self.incidents is None:
            return None
        return judge_pages(pages, self.judged_incidents, grace_ms=self.grace_ms)

    def rival(self) -> Rival | None:
        """Give the simple rule's pages; None where it had nothing to learn from."""
        runs = [run for run in self.side.runs if run.simple is not None]
        if not runs:
            return None
        return Rival(
            tuple(run.name for run in runs),
            tuple(page for run in runs for page in run.pages),
            tuple(page for run in runs for page in run.simple or ()),
        )

    def fired_pages(self) -> tuple[list[Page], int]:
        """Give what the user's rules raised in the judged time, and how many name no entity of ours."""
        entities: dict[tuple[str, ...], set[str]] = {}
        for run in self.side.runs:
            by = run.config.settings().entity_labels
            entities.setdefault(by, set()).update(run.replayed.watch.entities.entities)
        pages, n_unknown = pages_of_alerts(self.fired or (), entities)
        return [page for page in pages if self.from_ms < page.opened_ms < self.until_ms], n_unknown

    def matching(self, others: Sequence[Page]) -> Matching:
        """Pair this side's episodes with those of another detector."""
        return match_pages(self.side.pages, others, slack_ms=self.grace_ms)


def budget_use(run: WatchRun, pages: Sequence[Page], quality: Quality | None, budget: str) -> BudgetUse:
    """Compare a watch's alerts with a budget; `quality` is that of these pages."""
    allowed = Budget.parse(budget).rate_per_second(run.n_entities) * run.replayed.seconds
    n_false = None if quality is None else quality.n_false
    return BudgetUse(len(pages), n_false, run.replayed.seconds, allowed, poisson_bound(allowed))


def lead_seconds(matching: Matching) -> float | None:
    """Give by how much this side's pages of the pairs were earlier, as a median; below 0 they were later."""
    leads = [(other.opened_ms - own.opened_ms) / 1000 for own, other in matching.pairs]
    return median(leads) if leads else None
