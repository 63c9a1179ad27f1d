"""What several commands share: options, how a result is written, logging and signals."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.config.find import PLACES, find_config
from monitor.errors import ConfigError, MonitorError
from monitor.kafka.library_log import LibraryLog

if TYPE_CHECKING:
    from monitor.config.schema import Config
    from monitor.config.watch import WatchConfig

FIRST_FOUND = Path()  # no file is named: a folder can be none


def _config_file(named: Path) -> Path:
    """Give the file that is named, or else the first one found; say which, unless it is in this folder."""
    if named != FIRST_FOUND:
        return named
    found = find_config()
    if found != PLACES[0]:
        print(f"barograph: there is no {PLACES[0]} here: using {found}", file=sys.stderr)
    return found


ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config",
        help="Configuration file.",
        callback=_config_file,
        show_default="./config.toml, then /etc/barograph/config.toml, then the packaged one",
    ),
]


def chosen_watches(settings: Config, names: Sequence[str], config: Path) -> list[WatchConfig]:
    """Give the watches with these names, all of them when there are no names.

    Raises
    ------
    ConfigError
        If a name is that of no watch.
    """
    known = [watch.name for watch in settings.watch]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ConfigError(f"{config}: no watch is named {', '.join(unknown)}; there are {', '.join(known)}")
    return [watch for watch in settings.watch if not names or watch.name in names]


def column_and_value(text: str) -> tuple[str, str]:
    """Split `COLUMN=VALUE`."""
    column, equals, value = text.partition("=")
    if not equals or not column:
        raise ConfigError(f"--where {text}: expected COLUMN=VALUE, as in --where split=train")
    return column, value


def print_read_as(lines: Sequence[str]) -> None:
    """Print to stderr how files were read: format, units, marks and zone."""
    for line in lines:
        print(line, file=sys.stderr)


def print_rejected(n_bad: Sequence[tuple[str, int]]) -> None:
    """Print to stderr how many records could not be read, by reason."""
    if n_bad:
        counts = ", ".join(f"{reason} {count}" for reason, count in n_bad)
        print(f"could not be read: {counts}", file=sys.stderr)


def write_json(file: Path, summary: object) -> None:
    """Write figures to a file as JSON."""
    write_text(file, json.dumps(summary, indent=1, allow_nan=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a file.

    Raises
    ------
    MonitorError
        If it cannot be written.
    """
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MonitorError(f"cannot write {file}: {error.strerror}") from error


def silence_kafka() -> None:
    """Keep the Kafka library from logging: the command reports its errors in its own words."""
    kafka = logging.getLogger("kafka")
    kafka.addHandler(logging.NullHandler())
    kafka.propagate = False


def log_to_stderr() -> None:
    """Log to stderr, other libraries at a limited rate."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # the daemon logs its start and end
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request
    kafka = logging.getLogger("kafka")  # of both libraries
    kafka.setLevel(logging.WARNING)
    kafka.propagate = False
    kafka.addHandler(LibraryLog(time.monotonic))


def stop_on_signals() -> threading.Event:
    """Give an event that Ctrl-C and SIGTERM set; a second signal ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    return stop
