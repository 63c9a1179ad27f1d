"""Settings of stages, with the configuration's defaults for all that a test does not say."""

from __future__ import annotations

from monitor.alerting.episodes import AlertPolicy
from monitor.config.schema import HistoryConfig
from monitor.config.watch import AlertConfig
from monitor.storage.step_history import Retention


def alert_policy(**settings):
    return AlertPolicy(**AlertConfig(**settings).model_dump())


def history_retention(**settings):
    return Retention(**HistoryConfig(**settings).model_dump())
