"""The figures of a backtest in a few lines, for a terminal. Pure."""

from __future__ import annotations

from typing import Any

from monitor.alerting.text import duration_text
from monitor.backtest.figures import Figures, rate_text
from monitor.text import printable

__all__ = ["summary_of"]

_N_EPISODES = 5


def summary_of(figures: Figures) -> list[str]:
    """Give the lines: the verdict, each watch, what it is compared with, and the worst episodes."""
    lines = [figures["status"], figures["headline"], ""]
    lines += [_watch_line(watch) for watch in figures["watches"]]
    if figures["simple_rule"] is not None:
        lines += ["", figures["simple_rule"]["verdict"]]
    if figures["own_alerts"] is not None:
        lines += ["", _fired_line(figures["own_alerts"])]
    if figures["against"] is not None:
        lines += ["", *_against_lines(figures["against"])]
    worst = sorted(figures["episodes"], key=lambda episode: -episode["score"])[:_N_EPISODES]
    if worst:
        lines += ["", "The worst episodes:"]
        lines += [f"  {episode['opened']}  {episode['text']}" for episode in worst]
    return [printable(line) for line in lines]


def _watch_line(watch: dict[str, Any]) -> str:
    cost = watch["cost"]
    false = "" if watch["false_alerts"] is None else f", {watch['false_alerts']} false"
    return (
        f"{watch['watch']} ({watch['model']}): {watch['alerts']} alerts{false}, "
        f"{rate_text(watch['alerts_a_week'])} a week; the budget {watch['budget']} allows "
        f"{rate_text(watch['allowed_a_week'])}: {watch['status']}. "
        f"{cost['us_per_sample']} us a sample, {cost['state_bytes'] / 1e6:.1f} MB of state"
    )


def _fired_line(own: dict[str, Any]) -> str:
    lead = own["median_lead_seconds"]
    by = ""
    if lead is not None:
        when = "earlier" if lead >= 0 else "later"
        by = f", Barograph {duration_text(round(abs(lead) * 1000))} {when} (median)"
    return (
        f"Your rules raised {own['alerts']} alerts: {own['both']} by both{by}; {len(own['only_yours'])} only "
        f"by your rules, {len(own['only_barograph'])} only by Barograph"
    )


def _against_lines(against: dict[str, Any]) -> list[str]:
    lines = []
    for side in against["sides"]:
        caught = (
            ""
            if side.get("caught") is None
            else f", {side['caught']} of {side['incidents']} incidents caught"
        )
        false = "" if side["false_alerts"] is None else f", {side['false_alerts']} false"
        lines.append(f"{side['name']}: {side['alerts']} alerts{false}{caught}")
    return [*lines, f"{against['both']} episodes are in both"]
