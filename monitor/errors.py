"""The errors that a command or the daemon ends with, or goes on after; one class for each reaction.

Their texts say what was found, what was expected, and what to do.
"""

from __future__ import annotations

__all__ = ["ConfigError", "HistoryError", "LockedError", "MonitorError", "SourceError", "SwapError"]


class MonitorError(Exception):
    """The command cannot continue (exit code 1); its text is one line that says why and what to do."""


class ConfigError(MonitorError):
    """A setting is wrong: nothing starts until it is corrected (exit code 2)."""


class SourceError(MonitorError):
    """A source cannot be opened or read as configured."""


class HistoryError(MonitorError):
    """A history cannot be written, or cannot be learned from: scoring continues without it."""


class LockedError(MonitorError):
    """Another process holds the folder: wait for it, or use another folder."""


class SwapError(MonitorError):
    """A model cannot be swapped in while the daemon runs: the current one continues to serve."""
