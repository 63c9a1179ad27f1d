"""Alerts as log lines: one when an episode opens, one when it resolves, one when late data corrects it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import Summary
from monitor.alerting.text import channel_text, time_text

__all__ = ["LogOutlet"]

log = logging.getLogger(__name__)

_N_ENTITIES = 5  # named in a summary; `barograph episodes` has all of them


class LogOutlet:
    """Writes each alert to the log, explained."""

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Log alerts, one event a line."""
        for alert in alerts:
            facts = f"watch={alert.watch} entity={alert.entity} since={time_text(alert.since_ms)} score={alert.score:.2f}"
            if alert.revision:
                facts += f" revision={alert.revision}"
            channels = "; ".join(channel_text(channel) for channel in alert.channels[:3])
            if alert.resolved_ms is None:
                limit = f"limit={alert.limit:.2f}{' provisional=yes' if alert.provisional else ''}"
                if alert.amends:
                    log.info("episode amended %s %s channels=[%s]", facts, limit, channels)
                else:
                    log.warning("episode opened %s %s channels=[%s]", facts, limit, channels)
            else:
                end = f"resolved={time_text(alert.resolved_ms)} reason={alert.reason}"
                what = "retracted" if alert.reason == "retracted" else "amended" if alert.amends else "resolved"
                log.info("episode %s %s %s channels=[%s]", what, facts, end, channels)

    def send_summary(self, summary: Summary) -> None:
        """Log what was kept quiet, in one line."""
        named = ", ".join(summary.entities[:_N_ENTITIES])
        n_more = len(summary.entities) - _N_ENTITIES
        log.warning(
            "caught up episodes=%d entities=%d opened_from=%s resolved_until=%s first=[%s%s]: they were over before they were found, "
            "and are not told one by one; `barograph episodes` lists them",
            summary.n_episodes,
            len(summary.entities),
            time_text(summary.first_opened_ms),
            time_text(summary.last_resolved_ms),
            named,
            f" and {n_more} more" if n_more > 0 else "",
        )
