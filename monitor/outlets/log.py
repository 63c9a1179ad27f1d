"""Alerts as log lines: one when an episode opens, one when it resolves, one when late data corrects it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import Summary
from monitor.alerting.text import alert_text, summary_text

__all__ = ["LogOutlet"]

log = logging.getLogger(__name__)


class LogOutlet:
    """Writes each alert to the log, with the channels that explain it."""

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Log alerts, one event a line; an episode that opens is a warning."""
        for alert in alerts:
            opens = alert.resolved_ms is None and not alert.amends
            log.log(logging.WARNING if opens else logging.INFO, "%s", alert_text(alert))

    def send_summary(self, summary: Summary) -> None:
        """Log what was withheld for good, in one line."""
        log.warning("%s", summary_text(summary))
