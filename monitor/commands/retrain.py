"""`barograph retrain`: a training on the daemon's step history, and the gate that its model must pass."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import FIRST_FOUND, ConfigFile, chosen_watches, write_text
from monitor.errors import ConfigError, MonitorError


def retrain(
    config: ConfigFile = FIRST_FOUND,
    watch: Annotated[list[str] | None, typer.Option(help="Retrain only this watch; may be repeated.")] = None,
    candidate: Annotated[
        bool, typer.Option("--candidate", help="Save the model, but do not let it serve.")
    ] = False,
    until: Annotated[str, typer.Option(help="Learn nothing from this time on (ISO or ms).")] = "",
    result: Annotated[
        Path | None, typer.Option(help="Also write the outcome to this file, as JSON; for one watch.")
    ] = None,
    background: Annotated[
        bool,
        typer.Option(
            "--background", help="Run at the lowest priority, within max_memory_bytes; for one watch."
        ),
    ] = False,
) -> None:
    """Train a model for each watch on the daemon's step history; it serves only if it is no worse.

    Exit code 1 where a model may not serve, with the reason.

    Example: barograph retrain --watch host
    """
    from monitor.config.load import load_config

    settings = load_config(config, environ=os.environ)
    chosen = chosen_watches(settings, watch or [], config)
    if len(chosen) > 1 and (result is not None or background):
        names = ", ".join(watch_config.name for watch_config in chosen)
        raise ConfigError(f"--result and --background are for one watch: name it with --watch ({names})")
    from monitor.daemon.process import lower_priority

    if background:  # before anything large is loaded
        lower_priority(chosen[0].retrain.max_memory_bytes)
    from monitor.clock import SystemClock
    from monitor.commands.console import out, training_progress
    from monitor.commands.tables import outcome_text
    from monitor.config.times import parse_time
    from monitor.daemon.process import tune_process
    from monitor.storage.data_dir import DataDir
    from monitor.training.from_history import retrain_from_history

    tune_process()
    data_dir = DataDir(settings.data_dir)
    data_dir.prepare()
    until_ms = parse_time(until, "--until")
    reasons = []
    for watch_config in chosen:
        with training_progress(watch_config.name, watch_config.model.epochs) as on_epoch:
            outcome = retrain_from_history(
                watch_config.settings(),
                data_dir.history_folder(watch_config.name),
                data_dir.registry(watch_config.name),
                clock=SystemClock(),
                max_steps=watch_config.retrain.max_steps,
                promotes=not candidate,
                until_ms=until_ms,
                on_epoch=on_epoch,
            )
        out.print(outcome_text(outcome))
        if result is not None:
            write_text(result, outcome.to_json())
        if not outcome.succeeded:
            reasons.append(f"watch {outcome.watch} {outcome.result}: {outcome.reason}")
    if reasons:
        raise MonitorError("; ".join(reasons))
