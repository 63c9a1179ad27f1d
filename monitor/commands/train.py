"""`barograph train`: a model for each watch, from metric files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from models.errors import TrainingError
from monitor.commands.options import (
    ConfigFile,
    chosen_watches,
    column_and_value,
    print_rejected,
)
from monitor.commands.retrain import train_from_history
from monitor.errors import ConfigError, MonitorError


def train(
    files: Annotated[list[str] | None, typer.Argument(help="Metric files, folders or patterns; source.replay.paths when left out.")] = None,
    config: ConfigFile = Path("config.toml"),
    watch: Annotated[list[str] | None, typer.Option(help="Train only this watch; may be repeated.")] = None,
    start: Annotated[str, typer.Option(help="Learn nothing before this time (ISO or ms); source.replay.start when left out.")] = "",
    end: Annotated[str, typer.Option(help="Learn nothing from this time on; source.replay.end when left out.")] = "",
    where: Annotated[list[str] | None, typer.Option(help="Learn only rows with COLUMN=VALUE; may be repeated.")] = None,
    share: Annotated[float, typer.Option(help="Learn only this first share of each file's time span.", min=0.01, max=1.0)] = 1.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on behind the last whole epoch of a training that was interrupted.")] = False,
    folds: Annotated[int, typer.Option(help="First judge the settings by so many forward-chaining folds.", min=0, max=20)] = 0,
    from_history: Annotated[
        bool,
        typer.Option("--history", help="Learn from the history that the daemon has kept; serve only what is no worse."),
    ] = False,
    candidate: Annotated[bool, typer.Option("--candidate", help="With --history: save the model, but do not let it serve.")] = False,
    until: Annotated[str, typer.Option(help="With --history: learn nothing from this time on (ISO or ms).")] = "",
    result: Annotated[Path | None, typer.Option(help="With --history: also write what came of it to this file, as JSON.")] = None,
    background: Annotated[bool, typer.Option("--background", help="With --history: give way to everything else on this machine.")] = False,
) -> None:
    """Train a model for each watch from metric files, or from the daemon's history, and let it serve.

    Example: barograph train recordings/first/host.parquet --watch host --where split=train
    Example: barograph train --history --watch host
    """
    from monitor.config.load import load_config

    of_history = {"--candidate": candidate, "--until": until, "--result": result, "--background": background}
    if from_history:
        if files or start or end or where or resume or folds or share < 1.0:
            raise ConfigError("--history learns from what the daemon has kept: leave out the files, and the options that choose among them")
        train_from_history(config, watch or [], promotes=not candidate, until=until, result_file=result, background=background)
        return
    if any(of_history.values()):
        raise ConfigError(f"{next(name for name, value in of_history.items() if value)} goes with --history only")
    replay: dict[str, Any] = {key: value for key, value in (("paths", files), ("start", start), ("end", end)) if value}
    if where:
        replay["where"] = dict(column_and_value(text) for text in where)
    settings = load_config(config, environ=os.environ, overrides={"source": {"kind": "replay", "replay": replay}})
    chosen = chosen_watches(settings, watch or [], config)
    from monitor.clock import SystemClock
    from monitor.commands.console import folds_table, out, training_progress, training_table
    from monitor.daemon.process import tune_process
    from monitor.sample import SeriesTable
    from monitor.sources.recorded import recorded_files
    from monitor.storage.data_dir import DataDir
    from monitor.training.train import collect_history, judge_folds, train_watch

    tune_process()
    data_dir = DataDir(settings.data_dir)
    data_dir.prepare()
    table = SeriesTable()
    recorded = recorded_files(settings, table, first_share=share)
    print_rejected(recorded.n_bad)
    results, failed = [], []
    for one in chosen:
        history = collect_history(one.settings(), recorded.columns, table)
        if history is None:
            print(f"watch {one.name}: no series of it in these files; left as it is", file=sys.stderr)
            continue
        try:
            if folds:
                with training_progress(f"{one.name}, {folds} folds", folds * one.model.epochs) as on_epoch:
                    out.print(folds_table(one.name, judge_folds(one.settings(), history, folds, on_epoch=on_epoch)))
            with training_progress(one.name, one.model.epochs) as on_epoch:
                results.append(
                    train_watch(
                        one.settings(),
                        history,
                        data_dir.registry(one.name),
                        now=SystemClock().now(),
                        on_epoch=on_epoch,
                        resumes=resume,
                    )
                )
        except TrainingError as error:
            failed.append(str(error))  # the other watches are trained all the same
        except KeyboardInterrupt:
            print("\ninterrupted: `barograph train --resume` goes on behind the last whole epoch", file=sys.stderr)
            raise
    if not results and not failed:
        raise MonitorError(
            "nothing was trained: no watch takes any series of these files. "
            "Compare the watches' `metrics`, `match` and `by` with the files."
        )
    if results:
        out.print(training_table(results))
    if failed:
        raise TrainingError("; ".join(failed))
