"""`barograph backtest`: metric files through the production path, and a report of what happens."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.options import (
    FIRST_FOUND,
    ConfigFile,
    chosen_watches,
    print_rejected,
    write_json,
    write_text,
)
from monitor.errors import ConfigError

if TYPE_CHECKING:
    from monitor.backtest.evaluate import Incident
    from monitor.backtest.outcome import Backtest, Side
    from monitor.backtest.runs import Champion, Plan
    from monitor.config.schema import Config
    from monitor.sample import Columns, SeriesTable


def backtest(
    files: Annotated[list[str], typer.Argument(help="Metric files, folders or patterns.")],
    config: ConfigFile = FIRST_FOUND,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The report, as HTML that needs no network.")
    ] = Path("backtest.html"),
    watch: Annotated[list[str] | None, typer.Option(help="Only this watch; may be repeated.")] = None,
    train_share: Annotated[
        float, typer.Option(help="Share of the time that is learned; the rest is judged.", min=0.01, max=0.99)
    ] = 0.5,
    train_days: Annotated[
        float | None, typer.Option(help="Days that are learned, in place of a share.", min=0.01)
    ] = None,
    no_train: Annotated[
        bool, typer.Option("--no-train", help="Judge by the champions in data_dir; train nothing.")
    ] = False,
    against: Annotated[
        Path | None, typer.Option(help="Another configuration, to compare with on the same files.")
    ] = None,
    against_version: Annotated[
        str, typer.Option(help="A version of a model in data_dir, to compare with.")
    ] = "",
    labels: Annotated[
        Path | None, typer.Option(help="CSV of incidents: start, end, and perhaps entity and kind.")
    ] = None,
    alerts: Annotated[
        Path | None,
        typer.Option(help='Saved answer of Prometheus\' query_range for ALERTS{alertstate="firing"}.'),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures of the report to this file.")
    ] = None,
) -> None:
    """Train on the first part of metric files, judge the rest as the daemon would, and write a report.

    Example: barograph backtest recordings/first --labels recordings/first/labels.csv -o report.html
    """
    from monitor.config.load import load_config

    if against is not None and against_version:
        raise ConfigError("--against and --against-version: expected one of the two")
    overrides = {"source": {"kind": "replay", "replay": {"paths": files}}}
    settings = load_config(config, environ=os.environ, overrides=overrides)
    other = load_config(against, environ=os.environ, overrides=overrides) if against is not None else None
    chosen = chosen_watches(settings, watch or [], config)
    if against_version and not any(_champion(settings, against_version, each.name) for each in chosen):
        raise ConfigError(f"--against-version {against_version}: no watch has that version")
    from monitor.backtest.fired_alerts import alerts_in_samples, read_alerts
    from monitor.backtest.outcome import Backtest
    from monitor.backtest.runs import Plan
    from monitor.daemon.process import tune_process
    from monitor.files.recorded import recorded_files
    from monitor.sample import SeriesTable

    # Everything that can be wrong with an option is found before the work begins.
    incidents = _incidents(settings, labels)
    fired = read_alerts(alerts) if alerts is not None else None
    champions = partial(_champion, settings, "")
    plan = Plan(champion_of=champions if no_train else None, train_share=train_share, train_days=train_days)
    tune_process()
    table = SeriesTable()
    recorded = recorded_files(settings, table)
    print_rejected(recorded.n_bad)
    columns = recorded.columns
    side = _side(config.name, settings, watch or [], columns, table, plan)
    beside = None
    if other is not None and against is not None:
        name = against.name if against.name != config.name else str(against)
        beside = _side(name, other, watch or [], columns, table, replace(plan, in_detail=False))
    elif against_version:
        versions = replace(plan, champion_of=partial(_champion, settings, against_version), in_detail=False)
        beside = _side(against_version, settings, watch or [], columns, table, versions)
    if fired is None:
        fired = alerts_in_samples(columns, table) or None
    outcome = Backtest(
        side=side,
        files=tuple(files),
        incidents=None if incidents is None else tuple(incidents),
        fired=None if fired is None else tuple(fired),
        against=beside,
    )
    _write(outcome, output, json_file)


def _incidents(settings: Config, labels: Path | None) -> list[Incident] | None:
    """Give the labels of their own file, else those in the metric files; None where nothing is labelled."""
    from monitor.backtest.labels import incidents_in_files, read_incidents

    if labels is not None:
        return read_incidents(labels)
    return incidents_in_files(settings) or None


def _champion(settings: Config, version: str, watch: str) -> Champion | None:
    """Give the model that serves a watch, or the version that is named; None where there is none."""
    from monitor.storage.data_dir import DataDir

    registry = DataDir(settings.data_dir).registry(watch)
    if not version:
        return registry.serving(_print_refused)
    return (version, registry.load(version)) if version in registry.versions() else None


def _print_refused(version: str, error: Exception) -> None:
    print(f"model {version} refused: {error}", file=sys.stderr)


def _side(
    name: str, settings: Config, names: list[str], columns: Columns, table: SeriesTable, plan: Plan
) -> Side:
    """Run one configuration, with a bar for each training and each replay."""
    from monitor.backtest.outcome import Side
    from monitor.backtest.runs import Progress, run_watches
    from monitor.commands.console import scoring_progress, training_progress

    watches = [watch for watch in settings.watch if not names or watch.name in names]
    runs, skipped = run_watches(
        watches,
        columns,
        table,
        plan,
        cpu_clock=time.process_time,
        now=time.time(),
        progress=Progress(training_progress, scoring_progress),
    )
    for reason in skipped:
        print(f"{name}: {reason}; skipped", file=sys.stderr)
    return Side(name, tuple(runs), tuple(skipped))


def _write(outcome: Backtest, output: Path, json_file: Path | None) -> None:
    from importlib.metadata import version

    from monitor.alerting.text import time_text
    from monitor.backtest.figures import figures_of
    from monitor.backtest.render import render_report
    from monitor.backtest.summary import summary_of
    from monitor.commands.console import out

    figures = figures_of(outcome)
    made_at = time_text(round(time.time() * 1000))
    write_text(output, render_report(outcome, figures, made_at=made_at, version=version("barograph")))
    if json_file is not None:
        write_json(json_file, figures)
    for line in summary_of(figures):
        out.print(line, markup=False)
    print(f"wrote {output}", file=sys.stderr)
