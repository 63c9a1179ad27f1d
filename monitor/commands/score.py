"""`barograph score`: metric files to a row for each entity and step."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import FIRST_FOUND, ConfigFile, print_read_as, print_rejected


def score(
    files: Annotated[list[str], typer.Argument(help="Metric files, folders or patterns.")],
    config: ConfigFile = FIRST_FOUND,
    watch: Annotated[
        str, typer.Option(help="Score this watch; needed where series of the files belong to several.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write: .csv or .parquet; CSV to stdout when left out."),
    ] = None,
) -> None:
    """Score metric files: one row for each entity and step, with its verdict or why there is none.

    Example: barograph score recordings/first/service.parquet --watch service -o scores.csv
    """
    from monitor.config.load import load_config

    overrides = {"source": {"kind": "replay", "replay": {"paths": files}}}
    settings = load_config(config, environ=os.environ, overrides=overrides)
    from monitor.commands.console import scoring_progress
    from monitor.daemon.process import tune_process
    from monitor.files.recorded import recorded_files
    from monitor.offline.row_writer import open_writer
    from monitor.offline.score_files import choose_watch, score_recorded
    from monitor.sample import SeriesTable
    from monitor.storage.data_dir import DataDir

    tune_process()
    table = SeriesTable()
    recorded = recorded_files(settings, table)
    print_read_as(recorded.read_as)
    print_rejected(recorded.n_bad)
    chosen = choose_watch(settings, table, watch, recorded.columns)
    registry = DataDir(settings.data_dir).registry(chosen.name)
    serving = registry.serving(_print_refused)
    if serving is None:
        print(f"watch {chosen.name} has no model: its baselines judge alone", file=sys.stderr)
    champion = serving[1] if serving else None
    with open_writer(output, sys.stdout) as writer, scoring_progress(chosen.name) as progress:
        n_rows = score_recorded(chosen, champion, recorded, table, writer, progress=progress)
    print(f"wrote {n_rows} rows to {output or 'stdout'}", file=sys.stderr)


def _print_refused(version: str, error: Exception) -> None:
    print(f"model {version} refused: {error}", file=sys.stderr)
