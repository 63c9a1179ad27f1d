"""Four small commands: `check-config`, `healthcheck`, `status` and `version`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from monitor.commands.options import FIRST_FOUND, ConfigFile

_N_MISSING = 10  # entities without data that are listed of each watch, unless all are asked for


def check_config(config: ConfigFile = FIRST_FOUND) -> None:
    """Check a configuration file and show every error, each with its key; exit code 2 if there is any.

    Example: barograph check-config --config config.toml
    """
    from monitor.config.load import load_config

    settings = load_config(config, environ=os.environ)
    watches = ", ".join(watch.name for watch in settings.watch)
    print(f"{config}: good; source {settings.source.kind}, watches {watches}")


def healthcheck(config: ConfigFile = FIRST_FOUND) -> None:
    """Ask the daemon on this machine whether it is healthy; exit code 1 if not, or if it does not answer.

    Example: barograph healthcheck --config config.toml
    """
    from monitor.config.load import load_config
    from monitor.web.healthcheck import check_health

    print(check_health(load_config(config, environ=os.environ).web.listen))


def status(
    config: ConfigFile = FIRST_FOUND,
    shows_all: Annotated[
        bool, typer.Option("--all", help=f"Show all entities without data, not only {_N_MISSING} of a watch.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write each watch as a line of JSON.")] = False,
) -> None:
    """Show how many entities of each watch are judged, and which are not and since when.

    It reads the daemon's last checkpoint; the daemon may be running.

    Example: barograph status --config config.toml --all
    """
    import json
    from dataclasses import asdict

    from monitor.alerting.text import time_text
    from monitor.config.load import load_config
    from monitor.daemon.status import watch_statuses
    from monitor.errors import MonitorError
    from monitor.storage.checkpoint import load_checkpoint
    from monitor.storage.data_dir import DataDir

    file = DataDir(load_config(config, environ=os.environ).data_dir).checkpoint_file
    checkpoint = load_checkpoint(file)
    if checkpoint is None:
        raise MonitorError(
            f"{file}: no checkpoint yet. `barograph run` saves one every checkpoint_seconds; is data_dir the "
            "daemon's own?"
        )
    statuses = watch_statuses(checkpoint)
    if as_json:
        for of_watch in statuses:
            print(json.dumps(asdict(of_watch)))
    else:
        from monitor.commands.console import out
        from monitor.commands.tables import status_tables

        for table in status_tables(statuses, n_most=None if shows_all else _N_MISSING):
            out.print(table)
    print(f"saved at {time_text(round(file.stat().st_mtime * 1000))}", file=sys.stderr)


def version() -> None:
    """Print the version of this program and of Python.

    Example: barograph version
    """
    import platform
    from importlib.metadata import version as installed

    print(f"barograph {installed('barograph')}, Python {platform.python_version()}")
