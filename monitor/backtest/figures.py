"""The figures of a backtest, ready for JSON, with the verdicts in words. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from monitor.alerting.alert import Alert
from monitor.alerting.text import channel_text, duration_text, level_text, named_channels, time_text
from monitor.backtest.evaluate import Page, Quality
from monitor.backtest.outcome import Backtest, BudgetUse, Side, budget_use, lead_seconds
from monitor.backtest.runs import WatchRun

__all__ = ["Figures", "figures_of", "notification_text", "rate_text"]

Figures = dict[str, Any]


def figures_of(backtest: Backtest) -> Figures:
    """Give all figures of a backtest, by what they are about."""
    quality = backtest.quality(backtest.side.pages)
    watches = [_watch_figures(backtest, run) for run in backtest.side.runs]
    return {
        "configuration": backtest.side.name,
        "files": list(backtest.files),
        "from": time_text(backtest.from_ms),
        "until": time_text(backtest.until_ms),
        "judged_seconds": (backtest.until_ms - backtest.from_ms) / 1000,
        **_headline(backtest, watches, quality),
        "skipped": list(backtest.side.skipped),
        "watches": watches,
        "labels": None if quality is None else _label_figures(quality),
        "simple_rule": _simple_figures(backtest),
        "own_alerts": None if backtest.fired is None else _fired_figures(backtest),
        "against": None if backtest.against is None else _against_figures(backtest, backtest.against),
        "episodes": _episodes(backtest, quality),
    }


def notification_text(alert: Alert) -> str:
    """Say what somebody on call is sent when an episode opens: its entity and what its channels show."""
    parts = [level_text(level) for level in alert.levels]
    parts += [channel_text(channel) for channel in named_channels(alert.channels)]
    return f"{alert.watch}/{alert.entity}: {'; '.join(parts) or f'score {alert.score:.2f}'}"


def rate_text(value: float) -> str:
    """Write a number of alerts: two digits below 10, whole above."""
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _use_figures(use: BudgetUse) -> Figures:
    status = "over the budget" if use.is_over else "within the budget"
    if use.is_short and not use.is_over:
        status = "within the budget, as far as so short a time can show"
    return {
        "alerts": use.n_alerts,
        "false_alerts": use.n_false,
        "alerts_a_week": _rounded(use.a_week(use.n_alerts)),
        "false_alerts_a_week": None if use.n_false is None else _rounded(use.a_week(use.n_false)),
        "allowed": _rounded(use.allowed),
        "allowed_a_week": _rounded(use.a_week(use.allowed)),
        "most_by_chance": use.most,
        "is_over": use.is_over,
        "status": status,
    }


def _quality_figures(quality: Quality | None) -> Figures:
    if quality is None:
        return {}
    return {
        "incidents": len(quality.incidents),
        "caught": quality.n_caught,
        "covered": sum(quality.covered),
        "precision": _rounded(quality.precision),
        "recall": _rounded(quality.recall),
        "median_delay_seconds": _rounded(quality.median_delay_seconds, 1),
    }


def _watch_figures(backtest: Backtest, run: WatchRun) -> Figures:
    replayed, cost = run.replayed, run.replayed.cost
    budgets = []
    for trial in run.trials:
        quality = backtest.quality(trial.pages)
        use = budget_use(run, trial.pages, quality, trial.budget)
        budgets.append(
            {
                "budget": trial.budget,
                "is_configured": trial.is_configured,
                **_use_figures(use),
                **_quality_figures(quality),
            }
        )
    return {
        "watch": run.name,
        "model": run.model,
        "caveats": list(run.caveats),
        "budget": run.config.budget,
        "entities": run.n_entities,
        "channels": len(replayed.watch.entities.channels),
        "judged": replayed.n_judged,
        "judged_seconds": replayed.seconds,
        **_use_figures(budget_use(run, run.pages, backtest.quality(run.pages), run.config.budget)),
        "cost": {
            "train_cpu_seconds": _rounded(run.train_seconds, 3),
            "cpu_seconds": _rounded(cost.cpu_seconds, 3),
            "samples": cost.n_samples,
            "us_per_sample": _rounded(cost.us_per_sample, 2),
            "state_bytes": cost.state_bytes,
            "times_real_time": _rounded(replayed.seconds / cost.cpu_seconds, 1) if cost.cpu_seconds else None,
        },
        "budgets": budgets,
    }


def _headline(backtest: Backtest, watches: Sequence[Figures], quality: Quality | None) -> Figures:
    """Say first what the whole comes to."""
    span = duration_text(backtest.until_ms - backtest.from_ms)
    n_alerts = sum(watch["alerts"] for watch in watches)
    allowed = sum(watch["allowed"] for watch in watches)
    a_week = sum(watch["alerts_a_week"] for watch in watches)
    allowed_a_week = sum(watch["allowed_a_week"] for watch in watches)
    over = [watch["watch"] for watch in watches if watch["is_over"]]
    if quality is None or not quality.incidents:
        text = (
            f"{_plural(n_alerts, 'alert')} in {span}: {rate_text(a_week)} a week, where the budget allows "
            f"{rate_text(allowed_a_week)}."
        )
    else:
        delay = quality.median_delay_seconds
        text = (
            f"{quality.n_caught} of {_plural(len(quality.incidents), 'labelled incident')} caught"
            f"{'' if delay is None else f', after {duration_text(round(delay * 1000))} (median)'}. "
            f"{_plural(quality.n_false, 'false alert')} in {span}, where the budget allows "
            f"{rate_text(allowed)}."
        )
    status = f"Over the budget: {', '.join(over)}" if over else "Within the budget"
    if not over and any("so short" in watch["status"] for watch in watches):
        status = "Within the budget, as far as so short a time can show"
    return {
        "headline": text,
        "status": status,
        "is_over": bool(over),
        "alerts": n_alerts,
        "alerts_a_week": _rounded(a_week),
        "allowed": _rounded(allowed),
        "allowed_a_week": _rounded(allowed_a_week),
    }


def _label_figures(quality: Quality) -> Figures:
    return {
        **_quality_figures(quality),
        "true_alerts": sum(quality.is_true),
        "false_alerts": quality.n_false,
        "each": [
            {
                "kind": incident.kind,
                "entity": incident.entity,
                "start": time_text(incident.start_ms),
                "end": time_text(incident.end_ms),
                "seconds": (incident.end_ms - incident.start_ms) / 1000,
                "caught_by": None if page is None else f"{page.watch}/{page.entity}",
                "delay_seconds": None if page is None else (page.opened_ms - incident.start_ms) / 1000,
                "is_covered": covered,
            }
            for incident, page, covered in zip(
                quality.incidents, quality.caught, quality.covered, strict=True
            )
        ],
    }


def _simple_figures(backtest: Backtest) -> Figures | None:
    """Say whether the simple rule would do as well."""
    rival = backtest.rival()
    if rival is None:
        return None
    own, other = backtest.quality(rival.own), backtest.quality(rival.pages)
    shared = len(backtest.matching(rival.pages).pairs)
    figures = {"watches": list(rival.watches), "alerts": len(rival.pages), "shared": shared}
    if own is not None and other is not None and own.incidents:
        as_good = other.n_caught >= own.n_caught and other.n_false <= own.n_false
        detail = (
            f"it catches {other.n_caught} of {len(other.incidents)} incidents with "
            f"{_plural(other.n_false, 'false alert')}, Barograph {own.n_caught} with {own.n_false}"
        )
        is_trade = not as_good and (other.n_caught > own.n_caught or other.n_false < own.n_false)
        figures |= {"caught": other.n_caught, "false_alerts": other.n_false}
    else:
        n_own = len(rival.own)
        as_good = len(rival.pages) <= max(n_own, 1) and shared >= 0.8 * n_own
        detail = (
            f"it raises {_plural(len(rival.pages), 'alert')}, Barograph {n_own}; {shared} of "
            "them are the same episodes"
        )
        is_trade = not as_good and len(rival.pages) < n_own
    verdict = (
        "A three-sigma rule would do as well here"
        if as_good
        else "A three-sigma rule would make another trade"
        if is_trade
        else "A three-sigma rule would do worse here"
    )
    return {**figures, "as_good": as_good, "verdict": f"{verdict}: {detail}."}


def _fired_figures(backtest: Backtest) -> Figures:
    pages, n_unknown = backtest.fired_pages()
    matching = backtest.matching(pages)
    lead = lead_seconds(matching)
    n_earlier = sum(own.opened_ms < other.opened_ms for own, other in matching.pairs)
    quality = backtest.quality(pages)
    return {
        "alerts": len(pages),
        "without_entity": n_unknown,
        "both": len(matching.pairs),
        "earlier": n_earlier,
        "median_lead_seconds": _rounded(lead, 1),
        "only_yours": [_page_figures(page) for page in matching.only_second],
        "only_barograph": [_page_figures(page) for page in matching.only_first],
        "pairs": [
            {
                **_page_figures(own),
                "rule": other.name,
                "lead_seconds": (other.opened_ms - own.opened_ms) / 1000,
            }
            for own, other in matching.pairs
        ],
        **_quality_figures(quality),
    }


def _page_figures(page: Page) -> Figures:
    return {
        "watch": page.watch,
        "entity": page.entity,
        "rule": page.name,
        "opened": time_text(page.opened_ms),
        "seconds": None if page.resolved_ms is None else (page.resolved_ms - page.opened_ms) / 1000,
    }


def _against_figures(backtest: Backtest, against: Side) -> Figures:
    matching = backtest.matching(against.pages)
    return {
        "name": against.name,
        "skipped": list(against.skipped),
        "both": len(matching.pairs),
        "only_first": [_page_figures(page) for page in matching.only_first],
        "only_second": [_page_figures(page) for page in matching.only_second],
        "sides": [_side_figures(backtest, side) for side in (backtest.side, against)],
    }


def _side_figures(backtest: Backtest, side: Side) -> Figures:
    quality = backtest.quality(side.pages)
    uses = [budget_use(run, run.pages, backtest.quality(run.pages), run.config.budget) for run in side.runs]
    return {
        "name": side.name,
        "models": {run.name: run.model for run in side.runs},
        "budgets": {run.name: run.config.budget for run in side.runs},
        "alerts": len(side.pages),
        "alerts_a_week": _rounded(sum(use.a_week(use.n_alerts) for use in uses)),
        "allowed_a_week": _rounded(sum(use.a_week(use.allowed) for use in uses)),
        "over": [run.name for run, use in zip(side.runs, uses, strict=True) if use.is_over],
        "cpu_seconds": _rounded(sum(run.replayed.cost.cpu_seconds for run in side.runs), 3),
        "false_alerts": None if quality is None else quality.n_false,
        **_quality_figures(quality),
    }


def _episodes(backtest: Backtest, quality: Quality | None) -> list[Mapping[str, Any]]:
    true = {}
    if quality is not None:
        true = {
            (page.watch, page.entity, page.opened_ms): is_true
            for page, is_true in zip(quality.pages, quality.is_true, strict=True)
        }
    alerts = sorted(
        (
            (alert, run.replayed.as_opened.get(alert.identity, alert))
            for run in backtest.side.runs
            for alert in run.replayed.alerts
        ),
        key=lambda pair: pair[0].opened_ms,
    )
    return [
        {
            "watch": alert.watch,
            "entity": alert.entity,
            "opened": time_text(alert.opened_ms),
            "resolved": None if alert.resolved_ms is None else time_text(alert.resolved_ms),
            "seconds": None if alert.resolved_ms is None else (alert.resolved_ms - alert.opened_ms) / 1000,
            "reason": alert.reason,
            "score": round(alert.score, 3),
            "text": notification_text(opened),
            "is_true": true.get((alert.watch, alert.entity, alert.opened_ms)),
        }
        for alert, opened in alerts
    ]
