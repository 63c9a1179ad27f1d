"""What a report draws: the worst episodes, the time line, and the episodes under each budget. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from monitor.alerting.alert import Alert
from monitor.alerting.text import duration_text, named_channels, number_text, time_text, value_text
from monitor.backtest.evaluate import Incident, Page
from monitor.backtest.figures import notification_text
from monitor.backtest.outcome import Backtest
from monitor.backtest.pictures import Picture
from monitor.backtest.plots import Bar, Chart, Tick, bars_of, chart_of, time_ticks
from monitor.backtest.runs import N_WORST, WatchRun

__all__ = ["BudgetStrip", "Drawings", "TimeLine", "TimeLineRow", "WorstEpisode", "drawings_of"]

_MOST_ROWS = 30  # entities of a time line: more are a wall
_N_CHANNELS = 3  # of an episode that are drawn: as many as a notification names
_N_TICKS = 6


@dataclass(frozen=True, slots=True)
class WorstEpisode:
    """One of the worst episodes: what somebody on call was sent, and its curves."""

    watch: str
    entity: str
    facts: str
    text: str
    is_true: bool | None
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class TimeLineRow:
    """One entity's bars, and what they say in words."""

    watch: str
    entity: str
    summary: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class TimeLine:
    """All episodes by entity; `n_more` entities have episodes too, and `n_without` have none."""

    rows: tuple[TimeLineRow, ...]
    ticks: tuple[Tick, ...]
    n_more: int
    n_without: int
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class BudgetStrip:
    """Bars of a watch's episodes under each budget, in their order; `chosen` is the configured one."""

    watch: str
    bars: tuple[tuple[Bar, ...], ...]
    chosen: int


@dataclass(frozen=True, slots=True)
class Drawings:
    """Everything that a report draws."""

    worst: tuple[WorstEpisode, ...]
    time_line: TimeLine
    strips: tuple[BudgetStrip, ...]


def drawings_of(backtest: Backtest) -> Drawings:
    """Lay out everything that a report draws."""
    return Drawings(_worst(backtest), _time_line(backtest), _strips(backtest))


def _worst(backtest: Backtest) -> tuple[WorstEpisode, ...]:
    quality = backtest.quality(backtest.side.pages)
    is_true = {} if quality is None else dict(zip(quality.pages, quality.is_true, strict=True))
    drawn = [(picture, run) for run in backtest.side.runs for picture in run.pictures]
    drawn.sort(key=lambda pair: -pair[0].peak)
    worst = []
    for picture, run in drawn:
        alerts = [
            alert
            for alert in run.replayed.alerts
            if (alert.entity, alert.opened_ms) == (picture.entity, picture.opened_ms)
        ]
        for alert in alerts[:1]:
            page = Page(alert.watch, alert.entity, alert.opened_ms, alert.resolved_ms)
            worst.append(_worst_episode(backtest, run, picture, alert, is_true.get(page)))
    return tuple(worst[:N_WORST])


def _worst_episode(
    backtest: Backtest, run: WatchRun, picture: Picture, alert: Alert, is_true: bool | None
) -> WorstEpisode:
    opened = run.replayed.as_opened.get(alert.identity, alert)
    lasted = "still open at the end"
    if alert.resolved_ms is not None:
        lasted = f"lasted {duration_text(alert.resolved_ms - alert.opened_ms)}, {alert.reason}"
    facts = f"opened {time_text(alert.opened_ms)}, {lasted}; highest score {alert.score:.1f}"
    return WorstEpisode(
        watch=alert.watch,
        entity=alert.entity,
        facts=facts,
        text=notification_text(opened),
        is_true=is_true,
        charts=_charts(picture, alert, opened, backtest.judged_incidents),
    )


def _charts(
    picture: Picture, alert: Alert, opened: Alert, incidents: Sequence[Incident]
) -> tuple[Chart, ...]:
    first_ms, last_ms = int(picture.time_ms[0]), int(picture.time_ms[-1])
    end_ms = last_ms if alert.resolved_ms is None else alert.resolved_ms
    of_entity = [incident for incident in incidents if incident.entity in ("", alert.entity)]
    bars = (
        *bars_of([(alert.opened_ms, end_ms, "episode")], first_ms, last_ms, "episode"),
        *bars_of(((i.start_ms, i.end_ms, _incident_text(i)) for i in of_entity), first_ms, last_ms, "label"),
    )
    column_of = {channel: column for column, channel in enumerate(picture.channels)}
    names = [share.channel for share in named_channels(opened.channels, _N_CHANNELS)]
    charts = []
    for name in names:
        column = column_of.get(name)
        if column is None:
            continue
        charts.append(
            chart_of(
                name,
                f"{name}: actual and expected values of {alert.entity} around the episode",
                picture.time_ms,
                [("expected", picture.expected[:, column]), ("actual", picture.actual[:, column])],
                text_of=lambda value, name=name: value_text(name, value),  # type: ignore[misc]
                bars=bars,
            )
        )
    limit = picture.score * 0 + 1
    charts.append(
        chart_of(
            "score",
            f"Score of {alert.entity}; an episode opens at 1. The highest is {alert.score:.1f}",
            picture.time_ms,
            [("limit", limit), ("score", picture.score)],
            text_of=number_text,
            bars=bars,
        )
    )
    return tuple(charts)


def _time_line(backtest: Backtest) -> TimeLine:
    from_ms, until_ms = backtest.from_ms, backtest.until_ms
    fired = backtest.fired_pages()[0] if backtest.fired is not None else []
    others = backtest.against.pages if backtest.against is not None else ()
    entities = [
        (run.name, entity) for run in backtest.side.runs for entity in run.replayed.watch.entities.entities
    ]
    counts = Counter((page.watch, page.entity) for page in [*backtest.side.pages, *others])
    labelled = {incident.entity for incident in backtest.judged_incidents if incident.entity}
    named = {page.entity for page in fired if page.entity}
    shown = [key for key in entities if counts[key] or key[1] in labelled or key[1] in named]
    shown.sort(key=lambda key: (-counts[key], key))
    rows = [_time_line_row(backtest, key, others, fired) for key in shown[:_MOST_ROWS]]
    if any(not page.entity for page in fired):
        bars = _page_bars((page for page in fired if not page.entity), from_ms, until_ms, "fired")
        rows.append(TimeLineRow("", "your own alerts of no entity here", f"{len(bars)} alerts", bars))
    return TimeLine(
        rows=tuple(rows),
        ticks=time_ticks(from_ms, until_ms, most=_N_TICKS),
        n_more=max(0, len(shown) - _MOST_ROWS),
        n_without=len(entities) - len(shown),
        kinds=frozenset(bar.kind for row in rows for bar in row.bars),
    )


def _time_line_row(
    backtest: Backtest, key: tuple[str, str], others: Sequence[Page], fired: Sequence[Page]
) -> TimeLineRow:
    watch, entity = key
    from_ms, until_ms = backtest.from_ms, backtest.until_ms
    labels = [incident for incident in backtest.judged_incidents if incident.entity in ("", entity)]
    own = [page for page in backtest.side.pages if (page.watch, page.entity) == key]
    bars = (
        *bars_of(((i.start_ms, i.end_ms, _incident_text(i)) for i in labels), from_ms, until_ms, "label"),
        *_page_bars(own, from_ms, until_ms, "own"),
        *_page_bars((p for p in others if (p.watch, p.entity) == key), from_ms, until_ms, "other"),
        *_page_bars((page for page in fired if page.entity == entity), from_ms, until_ms, "fired"),
    )
    return TimeLineRow(watch, entity, f"{len(own)} episode{'' if len(own) == 1 else 's'}", bars)


def _page_bars(pages: Iterable[Page], from_ms: int, until_ms: int, kind: str) -> tuple[Bar, ...]:
    spans = [(page.opened_ms, min(page.end_ms, until_ms), _page_text(page)) for page in pages]
    return bars_of(spans, from_ms, until_ms, kind)


def _page_text(page: Page) -> str:
    what = f"{page.name}, " if page.name else ""
    if page.resolved_ms is None:
        return f"{what}{time_text(page.opened_ms)}, open at the end"
    return f"{what}{time_text(page.opened_ms)}, {duration_text(page.resolved_ms - page.opened_ms)}"


def _incident_text(incident: Incident) -> str:
    kind = incident.kind or "labelled incident"
    lasted = duration_text(incident.end_ms - incident.start_ms)
    return f"{kind}, {time_text(incident.start_ms)}, {lasted}"


def _strips(backtest: Backtest) -> tuple[BudgetStrip, ...]:
    strips = []
    for run in backtest.side.runs:
        labels = bars_of(
            ((i.start_ms, i.end_ms, _incident_text(i)) for i in backtest.judged_incidents),
            backtest.from_ms,
            backtest.until_ms,
            "label",
        )
        bars = tuple(
            (*labels, *_page_bars(trial.pages, backtest.from_ms, backtest.until_ms, "own"))
            for trial in run.trials
        )
        chosen = next((number for number, trial in enumerate(run.trials) if trial.is_configured), 0)
        if bars:
            strips.append(BudgetStrip(run.name, bars, chosen))
    return tuple(strips)
