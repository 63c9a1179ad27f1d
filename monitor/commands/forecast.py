"""`barograph forecast`: metric files to the steps that follow, with a band, and when a value is reached."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import FIRST_FOUND, ConfigFile, print_read_as, print_rejected
from monitor.errors import MonitorError

_N_HORIZONS = 10  # of the model, that are forecast behind a file's end where nothing else is asked for


def forecast(
    files: Annotated[list[str], typer.Argument(help="Metric files, folders or patterns.")],
    config: ConfigFile = FIRST_FOUND,
    watch: Annotated[
        str, typer.Option(help="Forecast this watch; needed where series of the files belong to several.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write the predictions to: .csv or .parquet."),
    ] = None,
    steps: Annotated[
        int,
        typer.Option(
            help=f"Steps to forecast behind the end of the files; 0: {_N_HORIZONS} of the model's horizons.",
            min=0,
            max=100_000,
        ),
    ] = 0,
    picture: Annotated[
        Path | None, typer.Option(help="PNG file to draw predicted against real values into.")
    ] = None,
    until: Annotated[
        list[str] | None,
        typer.Option(help="Say when CHANNEL=VALUE is reached; may be repeated.", metavar="CHANNEL=VALUE"),
    ] = None,
    season_seconds: Annotated[
        float, typer.Option(help="Period of the seasonal rival; 0: found in the files.", min=0.0)
    ] = 0.0,
) -> None:
    """Forecast metric files: how good that is beside simple rivals, and when a value will be reached.

    Example: barograph forecast host.parquet --watch host --until disk_used_percent=95 --picture f.png
    """
    from monitor.config.load import load_config

    overrides = {"source": {"kind": "replay", "replay": {"paths": files}}}
    settings = load_config(config, environ=os.environ, overrides=overrides)
    from monitor.commands.console import out
    from monitor.commands.tables import accuracy_table, answers_table
    from monitor.daemon.process import tune_process
    from monitor.files.recorded import recorded_files
    from monitor.offline.forecast_files import (
        answers,
        check_forecasts,
        forecast_files,
        parse_question,
        rows_of,
    )
    from monitor.offline.row_writer import open_writer
    from monitor.offline.score_files import choose_watch
    from monitor.sample import SeriesTable
    from monitor.storage.data_dir import DataDir

    tune_process()
    questions = [parse_question(text) for text in until or []]
    table = SeriesTable()
    recorded = recorded_files(settings, table)
    print_read_as(recorded.read_as)
    print_rejected(recorded.n_bad)
    chosen = choose_watch(settings, table, watch, recorded.columns)
    serving = DataDir(settings.data_dir).registry(chosen.name).serving(_print_refused)
    champion = check_forecasts(chosen, serving[1] if serving else None)
    made = forecast_files(
        chosen,
        champion,
        recorded.columns,
        table,
        n_steps=steps or _N_HORIZONS * champion.detector.settings.horizon,
        season_seconds=season_seconds,
    )
    answered = list(answers(made, questions))
    if output is not None:
        with open_writer(output, sys.stdout, "forecasts") as writer:
            writer.write(rows_of(made))
        print(f"wrote {output}", file=sys.stderr)
    if picture is not None:
        from monitor.offline.forecast_plot import forecast_plot

        _write_picture(picture, forecast_plot(chosen.name, made, questions))
    out.print(accuracy_table(chosen.name, made.channels, made.accuracy, step_seconds=chosen.step_seconds))
    if answered:
        out.print(answers_table(answered))


def _write_picture(file: Path, content: bytes) -> None:
    from models.atomic_file import replace_file

    try:
        replace_file(file, content)
    except OSError as error:
        raise MonitorError(f"cannot write {file}: {error.strerror}") from error
    print(f"wrote {file}", file=sys.stderr)


def _print_refused(version: str, error: Exception) -> None:
    print(f"model {version} refused: {error}", file=sys.stderr)
