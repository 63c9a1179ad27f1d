"""`barograph train`: a model for each watch, from metric files."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import TrainingError
from monitor.commands.options import (
    FIRST_FOUND,
    ConfigFile,
    chosen_watches,
    column_and_value,
    print_read_as,
    print_rejected,
)
from monitor.errors import MonitorError

if TYPE_CHECKING:
    from monitor.config.schema import Config
    from monitor.config.watch import WatchConfig
    from monitor.storage.step_history import History
    from monitor.training.train import TrainedWatch


def train(
    files: Annotated[
        list[str] | None,
        typer.Argument(help="Metric files, folders or patterns; source.replay.paths when left out."),
    ] = None,
    config: ConfigFile = FIRST_FOUND,
    watch: Annotated[list[str] | None, typer.Option(help="Train only this watch; may be repeated.")] = None,
    start: Annotated[
        str,
        typer.Option(help="Learn nothing before this time (ISO or ms); source.replay.start when left out."),
    ] = "",
    end: Annotated[
        str, typer.Option(help="Learn nothing from this time on; source.replay.end when left out.")
    ] = "",
    where: Annotated[
        list[str] | None, typer.Option(help="Learn only rows with COLUMN=VALUE; may be repeated.")
    ] = None,
    share: Annotated[
        float, typer.Option(help="Learn only this first share of each file's time span.", min=0.01, max=1.0)
    ] = 1.0,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume an interrupted training after its last complete epoch."),
    ] = False,
    folds: Annotated[
        int,
        typer.Option(help="First evaluate the settings by this many forward-chaining folds.", min=0, max=20),
    ] = 0,
) -> None:
    """Train a model for each watch from metric files, and let it serve.

    To train on the daemon's own step history, use `barograph retrain`.

    Example: barograph train recordings/first/host.parquet --watch host --where split=train
    """
    from monitor.config.load import load_config

    given = {"paths": files, "start": start, "end": end}
    replay: dict[str, Any] = {key: value for key, value in given.items() if value}
    if where:
        replay["where"] = dict(column_and_value(text) for text in where)
    overrides = {"source": {"kind": "replay", "replay": replay}}
    settings = load_config(config, environ=os.environ, overrides=overrides)
    chosen = chosen_watches(settings, watch or [], config)
    from monitor.commands.console import out
    from monitor.commands.tables import training_table
    from monitor.daemon.process import tune_process
    from monitor.files.recorded import recorded_files
    from monitor.offline.suggested_watch import suggested_watch
    from monitor.sample import SeriesTable
    from monitor.storage.data_dir import DataDir
    from monitor.training.train import collect_history

    tune_process()
    DataDir(settings.data_dir).prepare()
    table = SeriesTable()
    recorded = recorded_files(settings, table, first_share=share)
    print_read_as(recorded.read_as)
    print_rejected(recorded.n_bad)
    results, errors = [], []
    for watch_config in chosen:
        history = collect_history(watch_config.settings(), recorded.columns, table)
        if history is None:
            print(
                f"watch {watch_config.name}: none of its series is in these files; skipped", file=sys.stderr
            )
            continue
        try:
            results.append(_train(settings, watch_config, history, n_folds=folds, resumes=resume))
        except TrainingError as error:
            errors.append(str(error))  # the other watches are trained all the same
    if not results and not errors:
        raise MonitorError(
            "nothing was trained: no series of these files belongs to a watch. "
            "Compare the watches' `metrics`, `match` and `by` with the files. "
            f"{suggested_watch(table, recorded.columns)}"
        )
    if results:
        out.print(training_table(results))
    if errors:
        raise TrainingError("; ".join(errors))


def _train(
    settings: Config, watch: WatchConfig, history: History, *, n_folds: int, resumes: bool
) -> TrainedWatch:
    """Train a watch, with the folds before it where they are asked for; a bar shows the progress."""
    from monitor.clock import SystemClock
    from monitor.commands.console import out, training_progress
    from monitor.commands.tables import folds_table
    from monitor.storage.data_dir import DataDir
    from monitor.training.train import judge_folds, train_watch

    n_epochs = watch.model.epochs
    try:
        if n_folds:
            with training_progress(f"{watch.name}, {n_folds} folds", n_folds * n_epochs) as on_epoch:
                folds = judge_folds(watch.settings(), history, n_folds, on_epoch=on_epoch)
                out.print(folds_table(watch.name, folds))
        with training_progress(watch.name, n_epochs) as on_epoch:
            return train_watch(
                watch.settings(),
                history,
                DataDir(settings.data_dir).registry(watch.name),
                now=SystemClock().now(),
                on_epoch=on_epoch,
                resumes=resumes,
            )
    except KeyboardInterrupt:
        print(
            "\ninterrupted: `barograph train --resume` resumes after the last complete epoch", file=sys.stderr
        )
        raise
