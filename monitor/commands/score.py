"""`barograph score`: metric files to a row for each entity and step."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import (
    ConfigFile,
    print_rejected,
)


def score(
    files: Annotated[list[str], typer.Argument(help="Metric files, folders or patterns.")],
    config: ConfigFile = Path("config.toml"),
    watch: Annotated[str, typer.Option(help="Score this watch; needed where several take series of the files.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: .csv or .parquet; CSV to stdout when left out.")
    ] = None,
) -> None:
    """Score metric files: one row for each entity and step, with its verdict or why there is none.

    Example: barograph score recordings/first/service.parquet --watch service -o scores.csv
    """
    from monitor.config.load import load_config

    settings = load_config(config, environ=os.environ, overrides={"source": {"kind": "replay", "replay": {"paths": files}}})
    from monitor.commands.console import scoring_progress
    from monitor.commands.row_writer import open_writer
    from monitor.commands.score_files import choose_watch, score_recorded
    from monitor.daemon.process import tune_process
    from monitor.sample import SeriesTable
    from monitor.sources.recorded import recorded_files
    from monitor.storage.data_dir import DataDir

    tune_process()
    table = SeriesTable()
    recorded = recorded_files(settings, table)
    print_rejected(recorded.n_bad)
    one = choose_watch(settings, table, watch)
    registry = DataDir(settings.data_dir).registry(one.name)
    serving = registry.serving(lambda version, error: print(f"model {version} refused: {error}", file=sys.stderr))
    if serving is None:
        print(f"watch {one.name} has no model: its companions judge alone", file=sys.stderr)
    with open_writer(output, sys.stdout) as writer, scoring_progress(one.name) as progress:
        n_rows = score_recorded(one, serving[1] if serving else None, recorded, table, writer, progress=progress)
    print(f"wrote {n_rows} rows to {output or 'stdout'}", file=sys.stderr)
