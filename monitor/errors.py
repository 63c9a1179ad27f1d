"""The errors of the daemon, one class for each reaction: fix a setting, or stop the command."""

from __future__ import annotations

__all__ = ["ConfigError", "HistoryError", "LockedError", "MonitorError", "SourceError", "SwapError"]


class MonitorError(Exception):
    """The command cannot go on; its text is one line that says why and what to do."""


class ConfigError(MonitorError):
    """A setting is wrong: nothing starts until it is mended (exit code 2)."""


class SourceError(MonitorError):
    """A source cannot be opened or read as configured."""


class HistoryError(MonitorError):
    """A history cannot be kept, or cannot be learned from: scoring goes on without it."""


class LockedError(MonitorError):
    """Another process is at work there: wait for it, or go elsewhere."""


class SwapError(MonitorError):
    """A model cannot take over while the daemon runs: the one that serves goes on."""
