"""`barograph run`: the daemon, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer

from monitor.commands.options import FIRST_FOUND, ConfigFile, log_to_stderr, stop_on_signals


def run(
    config: ConfigFile = FIRST_FOUND,
    exit_at_end: Annotated[
        bool, typer.Option("--exit", help="Exit at the end of a replay, instead of serving /metrics on.")
    ] = False,
) -> None:
    """Run the daemon until Ctrl-C or SIGTERM.

    Example: barograph run --config config.toml
    """
    from monitor.config.load import load_config

    settings = load_config(config, environ=os.environ)
    log_to_stderr()
    from monitor.clock import SystemClock
    from monitor.daemon.build import build_daemon
    from monitor.daemon.watchdog import end_process
    from monitor.outlets.log import LogOutlet

    stop = stop_on_signals()
    daemon = build_daemon(
        settings, outlets=[LogOutlet()], clock=SystemClock(), config_file=config, on_stalled=end_process
    )
    try:
        daemon.run(stop, exit_at_end=exit_at_end)
    finally:
        daemon.close()
    logging.getLogger(__name__).info("daemon stopped")
