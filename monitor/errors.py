"""The errors of the daemon, one class for each reaction: fix a setting, or stop the command."""

from __future__ import annotations

__all__ = ["ConfigError", "MonitorError", "SourceError"]


class MonitorError(Exception):
    """The command cannot go on; its text is one line that says why and what to do."""


class ConfigError(MonitorError):
    """A setting is wrong: nothing starts until it is mended (exit code 2)."""


class SourceError(MonitorError):
    """A source cannot be opened or read as configured."""
