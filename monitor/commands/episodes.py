"""`barograph episodes`: what the alert history holds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import (
    N_EPISODES,
    ConfigFile,
    chosen_watches,
)


def episodes(
    config: ConfigFile = Path("config.toml"),
    watch: Annotated[str, typer.Option("--watch", help="Only episodes of this watch.")] = "",
    since: Annotated[str, typer.Option(help="Only what was open at this time, or opened later (ISO or ms).")] = "",
    shows_all: Annotated[bool, typer.Option("--all", help=f"Show more than the newest {N_EPISODES}.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write each episode as a line of JSON.")] = False,
) -> None:
    """List the episodes that the daemon has found, also those that nobody was told of; it may run meanwhile.

    Example: barograph episodes --watch host --since 2026-01-31T12:00:00Z
    """
    from monitor.config.load import load_config

    settings = load_config(config, environ=os.environ)
    if watch:
        chosen_watches(settings, [watch], config)
    from monitor.config.times import parse_time
    from monitor.storage.alert_history import read_episodes
    from monitor.storage.data_dir import DataDir

    newest = None if shows_all else N_EPISODES
    found = read_episodes(DataDir(settings.data_dir).episodes_file, watch=watch, since_ms=parse_time(since, "--since"), newest=newest)
    if as_json:
        for one in found:
            print(one.to_json())
    elif found:
        from monitor.commands.console import episodes_table, out

        out.print(episodes_table(found))
    if len(found) == newest:
        print(f"the newest {newest}; --all shows what there is", file=sys.stderr)
    elif not found:
        print("no episode", file=sys.stderr)
