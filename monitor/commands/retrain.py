"""`barograph retrain`: a training on the history that the daemon has kept, and the gate behind it."""

from __future__ import annotations

import os
from pathlib import Path

from monitor.commands.options import (
    chosen_watches,
    write_text,
)
from monitor.errors import ConfigError, MonitorError


def train_from_history(config: Path, named: list[str], *, promotes: bool, until: str, result_file: Path | None, background: bool) -> None:
    """Train on the daemon's own history; exit code 1 where nothing may serve, with the reason."""
    from monitor.config.load import load_config

    settings = load_config(config, environ=os.environ)
    chosen = chosen_watches(settings, named, config)
    if len(chosen) > 1 and (result_file is not None or background):
        raise ConfigError(f"--result and --background are for one watch: name it with --watch ({', '.join(one.name for one in chosen)})")
    from monitor.daemon.process import lower_priority

    if background:  # before anything large is loaded
        lower_priority(chosen[0].retrain.max_memory_bytes)
    from monitor.clock import SystemClock
    from monitor.commands.console import out, outcome_text, training_progress
    from monitor.config.times import parse_time
    from monitor.daemon.process import tune_process
    from monitor.storage.data_dir import DataDir
    from monitor.training.from_history import retrain_from_history

    tune_process()
    data_dir = DataDir(settings.data_dir)
    data_dir.prepare()
    outcomes = []
    for one in chosen:
        with training_progress(one.name, one.model.epochs) as on_epoch:
            folder, registry = data_dir.history_folder(one.name), data_dir.registry(one.name)
            until_ms = parse_time(until, "--until")
            outcome = retrain_from_history(
                one.settings(),
                folder,
                registry,
                clock=SystemClock(),
                max_steps=one.retrain.max_steps,
                promotes=promotes,
                until_ms=until_ms,
                on_epoch=on_epoch,
            )
        outcomes.append(outcome)
        out.print(outcome_text(outcome))
        if result_file is not None:
            write_text(result_file, outcome.to_json())
    bad = [outcome for outcome in outcomes if outcome.result not in ("promoted", "candidate")]
    if bad:
        raise MonitorError("; ".join(f"watch {one.watch} {one.result}: {one.reason}" for one in bad))
