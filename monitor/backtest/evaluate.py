"""Episodes against labelled incidents, and against those of another detector. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from monitor.alerting.alert import Alert

__all__ = ["Incident", "Matching", "Page", "Quality", "judge_pages", "match_pages", "page_of"]


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that was wrong, by a label; event times in ms. An empty `entity`: it may be any."""

    start_ms: int
    end_ms: int
    entity: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """An episode of any detector, for which somebody is notified; `resolved_ms` is None while it is open.

    `name` is an alert rule's; an empty `entity` is one that nobody knows.
    """

    watch: str
    entity: str
    opened_ms: int
    resolved_ms: int | None
    name: str = ""

    @property
    def end_ms(self) -> float:
        """When it ended; infinite while it is open."""
        return math.inf if self.resolved_ms is None else self.resolved_ms


@dataclass(frozen=True, slots=True)
class Quality:
    """How pages and labelled incidents fit together.

    `caught` runs parallel to `incidents`: the first page that opened within each, or None; so does `covered`:
    whether one was not caught, but lies in a page that had opened before or had caught another. `is_true`
    runs parallel to `pages`: whether it overlaps an incident of its entity.
    """

    incidents: tuple[Incident, ...]
    caught: tuple[Page | None, ...]
    covered: tuple[bool, ...]
    pages: tuple[Page, ...]
    is_true: tuple[bool, ...]

    @property
    def n_caught(self) -> int:
        """Incidents that a page opened for."""
        return sum(page is not None for page in self.caught)

    @property
    def n_false(self) -> int:
        """Pages that belong to no incident."""
        return len(self.pages) - sum(self.is_true)

    @property
    def precision(self) -> float | None:
        """Share of the pages that belong to an incident; None without pages."""
        return sum(self.is_true) / len(self.pages) if self.pages else None

    @property
    def recall(self) -> float | None:
        """Share of the incidents that a page opened for; None without incidents."""
        return self.n_caught / len(self.incidents) if self.incidents else None

    @property
    def delays_seconds(self) -> list[float]:
        """Seconds from the start of each caught incident to its page."""
        pairs = zip(self.incidents, self.caught, strict=True)
        return [(page.opened_ms - incident.start_ms) / 1000 for incident, page in pairs if page is not None]

    @property
    def median_delay_seconds(self) -> float | None:
        """The median of the delays; None where nothing was caught."""
        delays = self.delays_seconds
        return statistics.median(delays) if delays else None


@dataclass(frozen=True, slots=True)
class Matching:
    """Pages of two detectors: pairs that overlap in time on one entity, and those without a partner.

    A page is in one pair at most.
    """

    pairs: tuple[tuple[Page, Page], ...]
    only_first: tuple[Page, ...]
    only_second: tuple[Page, ...]


def page_of(alert: Alert) -> Page:
    """Give an alert as a page."""
    return Page(alert.watch, alert.entity, alert.opened_ms, alert.resolved_ms)


def judge_pages(pages: Iterable[Page], incidents: Sequence[Incident], *, grace_ms: int) -> Quality:
    """Compare pages with labelled incidents.

    A page is true if it overlaps an incident of its entity. An incident is caught by the first page that
    opens between its start and `grace_ms` after its end, and a page catches a single incident: an
    episode that was open before says nothing new.

    Parameters
    ----------
    grace_ms : int
        A page that opens so long after an incident's end still counts for it.
    """
    ordered = tuple(sorted(pages, key=lambda page: page.opened_ms))
    incidents = sorted(incidents, key=lambda incident: incident.start_ms)
    caught: list[Page | None] = [None] * len(incidents)
    overlapped = [False] * len(incidents)
    is_true = []
    for page in ordered:
        hit = [number for number, incident in enumerate(incidents) if _overlap(page, incident, grace_ms)]
        is_true.append(bool(hit))
        for number in hit:
            overlapped[number] = True
        within = [number for number in hit if incidents[number].start_ms <= page.opened_ms]
        if within and caught[within[0]] is None:
            caught[within[0]] = page
    covered = tuple(seen and page is None for seen, page in zip(overlapped, caught, strict=True))
    return Quality(tuple(incidents), tuple(caught), covered, ordered, tuple(is_true))


def match_pages(first: Sequence[Page], second: Sequence[Page], *, slack_ms: int) -> Matching:
    """Pair the pages of two detectors, each with the earliest that overlaps it and is still free.

    Parameters
    ----------
    slack_ms : int
        Two pages that lie so far apart still overlap.
    """
    free = sorted(second, key=lambda page: page.opened_ms)
    pairs, alone = [], []
    for page in sorted(first, key=lambda page: page.opened_ms):
        partner = next((other for other in free if _meet(page, other, slack_ms)), None)
        if partner is None:
            alone.append(page)
        else:
            free.remove(partner)
            pairs.append((page, partner))
    return Matching(tuple(pairs), tuple(alone), tuple(free))


def _overlap(page: Page, incident: Incident, grace_ms: int) -> bool:
    is_same = not incident.entity or incident.entity == page.entity
    return is_same and page.opened_ms <= incident.end_ms + grace_ms and page.end_ms >= incident.start_ms


def _meet(page: Page, other: Page, slack_ms: int) -> bool:
    same_entity = not page.entity or not other.entity or page.entity == other.entity
    same_watch = not page.watch or not other.watch or page.watch == other.watch
    in_time = page.opened_ms <= other.end_ms + slack_ms and other.opened_ms <= page.end_ms + slack_ms
    return same_entity and same_watch and in_time
