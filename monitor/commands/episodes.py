"""`barograph episodes`: the alert history."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from monitor.commands.options import FIRST_FOUND, ConfigFile, chosen_watches

_N_NEWEST = 50  # listed unless more are asked for: about a screen or two


def episodes(
    config: ConfigFile = FIRST_FOUND,
    watch: Annotated[str, typer.Option("--watch", help="Only episodes of this watch.")] = "",
    since: Annotated[
        str, typer.Option(help="Only episodes that were open at this time, or opened later (ISO or ms).")
    ] = "",
    shows_all: Annotated[
        bool, typer.Option("--all", help=f"Show all, not only the newest {_N_NEWEST}.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write each episode as a line of JSON.")] = False,
) -> None:
    """List the episodes of the alert history, also those without a notification. The daemon may be running.

    Example: barograph episodes --watch host --since 2026-01-31T12:00:00Z
    """
    from monitor.config.load import load_config

    settings = load_config(config, environ=os.environ)
    if watch:
        chosen_watches(settings, [watch], config)
    from monitor.config.times import parse_time
    from monitor.storage.alert_history import read_episodes
    from monitor.storage.data_dir import DataDir

    newest = None if shows_all else _N_NEWEST
    since_ms = parse_time(since, "--since")
    file = DataDir(settings.data_dir).episodes_file
    stored = read_episodes(file, watch=watch, since_ms=since_ms, newest=newest)
    if as_json:
        for episode in stored:
            print(episode.to_json())
    elif stored:
        from monitor.commands.console import out
        from monitor.commands.tables import episodes_table

        out.print(episodes_table(stored))
    if len(stored) == newest:
        print(f"the newest {newest}; --all shows all of them", file=sys.stderr)
    elif not stored:
        print("no episode", file=sys.stderr)
