"""The command line: parse, call, print, exit code; nothing else.

Libraries that take long to load are imported by the commands that need them.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from models.errors import ModelError
from monitor.errors import ConfigError, MonitorError

__all__ = ["main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

ConfigFile = Annotated[Path, typer.Option("--config", help="Settings to run with.")]


@app.callback()
def barograph() -> None:
    """Learn what normal looks like in your metrics, and say when something departs from it."""


@app.command()
def run(
    config: ConfigFile = Path("config.toml"),
    exit_at_end: Annotated[bool, typer.Option("--exit", help="End when a replay has come to its end, instead of serving on.")] = False,
) -> None:
    """Run the daemon until Ctrl-C or SIGTERM.

    Example: barograph run --config config.toml
    """
    from monitor.config import load_config

    settings = load_config(config)
    _log_to_stderr()
    from monitor.app import Daemon
    from monitor.clock import SystemClock
    from monitor.outlets.log import LogOutlet

    stop = _stop_on_signals()
    daemon = Daemon(settings, outlets=[LogOutlet()], clock=SystemClock())
    try:
        daemon.run(stop, exit_at_end=exit_at_end)
    finally:
        daemon.close()
    logging.getLogger(__name__).info("daemon stopped")


@app.command()
def train(
    files: Annotated[list[str] | None, typer.Argument(help="Metric files, folders or patterns; source.replay.paths when left out.")] = None,
    config: ConfigFile = Path("config.toml"),
    watch: Annotated[list[str] | None, typer.Option(help="Train only this watch; may be repeated.")] = None,
    start: Annotated[str, typer.Option(help="Learn nothing before this time (ISO or ms); source.replay.start when left out.")] = "",
    end: Annotated[str, typer.Option(help="Learn nothing from this time on; source.replay.end when left out.")] = "",
    where: Annotated[list[str] | None, typer.Option(help="Learn only rows with COLUMN=VALUE; may be repeated.")] = None,
    share: Annotated[float, typer.Option(help="Learn only this first share of each file's time span.", min=0.01, max=1.0)] = 1.0,
) -> None:
    """Train a model for each watch from metric files, and let it serve.

    Example: barograph train recordings/first/host.parquet --watch host --where split=train
    """
    from monitor.config import load_config

    replay: dict[str, Any] = {key: value for key, value in (("paths", files), ("start", start), ("end", end)) if value}
    if where:
        replay["where"] = dict(_column_and_value(text) for text in where)
    settings = load_config(config, {"source": {"kind": "replay", "replay": replay}})
    chosen = [one for one in settings.watch if not watch or one.name in watch]
    unknown = sorted(set(watch or ()) - {one.name for one in settings.watch})
    if unknown:
        raise ConfigError(f"{config}: no watch is named {', '.join(unknown)}; there are {', '.join(one.name for one in settings.watch)}")
    from monitor.app import model_registry, prepare_data_dir
    from monitor.clock import SystemClock
    from monitor.console import out, training_progress, training_table
    from monitor.files import recorded_files
    from monitor.runtime import tune_process
    from monitor.sample import SeriesTable
    from monitor.train import collect_history, train_watch

    tune_process()
    prepare_data_dir(settings)
    table = SeriesTable()
    recorded = recorded_files(settings, table, first_share=share)
    results = []
    for one in chosen:
        history = collect_history(one, recorded.columns, table)
        if history is None:
            print(f"watch {one.name}: no series of it in these files; left as it is", file=sys.stderr)
            continue
        with training_progress(one.name, one.model.epochs) as on_epoch:
            results.append(train_watch(one, history, model_registry(settings, one), now=SystemClock().now(), on_epoch=on_epoch))
    if not results:
        raise MonitorError(
            "nothing was trained: no watch takes any series of these files. "
            "Compare the watches' `metrics`, `match` and `by` with the files."
        )
    out.print(training_table(results))


@app.command()
def demo(
    recording: Annotated[Path, typer.Option(help="Folder of a labelled recording.")] = Path("recordings/first"),
    config: ConfigFile = Path("config.toml"),
    data_dir: Annotated[str, typer.Option(help="Where the demo keeps its models.")] = "data/demo",
    exit_at_end: Annotated[bool, typer.Option("--exit", help="End by itself instead of serving /metrics until Ctrl-C.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures of the run to this file.")] = None,
) -> None:
    """Learn the fault-free part of the recording, replay the rest, and show what was caught.

    Example: barograph demo --exit --json demo.json
    """
    from monitor.config import load_config

    load_config(config)
    from monitor.clock import SystemClock
    from monitor.console import alert_text, out, outcome_tables, training_progress, training_table
    from monitor.demo import Demo, load_recording

    run_of_demo = Demo(load_recording(recording), config, data_dir, clock=SystemClock())
    results = []
    for one in run_of_demo.config.watch:
        with training_progress(one.name, one.model.epochs) as on_epoch:
            results.append(run_of_demo.train(one, on_epoch))
    out.print(training_table(results))
    stop = _stop_on_signals()  # until here Ctrl-C ends the training at once
    daemon, collector = run_of_demo.start_daemon(lambda alert: out.print(alert_text(alert)))
    try:
        out.print(f"\nReplaying the faulty part. Metrics: http://{daemon.address}/metrics\n")
        run_of_demo.replay(daemon, collector, stop)
        if stop.is_set():
            return
        outcome = run_of_demo.outcome()
        summary = run_of_demo.summary(outcome)
        seconds = {"train_seconds": run_of_demo.train_seconds, "replay_seconds": run_of_demo.replay_seconds}
        for table in outcome_tables(outcome, run_of_demo.baseline(), **seconds):
            out.print(table)
        if json_file is not None:
            _write_json(json_file, summary)
        if not exit_at_end:
            out.print(f"\nhttp://{daemon.address}/metrics stays up until Ctrl-C.")
            stop.wait()
    finally:
        daemon.close()


@app.command()
def record(
    file: Annotated[Path, typer.Argument(help="Recording to write or go on with: .parquet or .csv.")],
    step: Annotated[float, typer.Option(help="Seconds between two readings.", min=0.1)] = 1.0,
    duration: Annotated[float, typer.Option(help="Seconds to record; until Ctrl-C when left out.", min=0)] = float("inf"),
    host: Annotated[str, typer.Option(help="Value of the label host; this machine's name when left out.")] = "",
) -> None:
    """Record this machine's own metrics to a file, one reading a step. Repeat the command to go on.

    Example: barograph record host.parquet --step 1 --duration 3600
    """
    from monitor.clock import SystemClock
    from monitor.record import Recorder
    from monitor.record import record as run_recording
    from monitor.sources.host import HOST_LABELS, read_host

    stop = _stop_on_signals()
    recorder = Recorder(file, HOST_LABELS)
    on_terminal = sys.stderr.isatty()

    def show(seconds: float) -> None:
        if on_terminal or round(seconds / step) % 60 == 0:
            until = "" if duration == float("inf") else f" of {duration:.0f}"
            line = f"recorded {seconds:.0f}{until} s, {recorder.n_samples} samples"
            print(line, end="\r" if on_terminal else "\n", file=sys.stderr, flush=True)

    try:
        run_recording(
            recorder,
            lambda: read_host(host or None),
            step_seconds=step,
            duration_seconds=duration,
            clock=SystemClock(),
            stop=stop,
            progress=show,
        )
    finally:
        recorder.close()
    print(f"wrote {recorder.n_samples} samples to {file}", file=sys.stderr)


@app.command("check-config")
def check_config(config: ConfigFile = Path("config.toml")) -> None:
    """Say everything that is wrong with a configuration file, each with its place; exit code 2 if anything is.

    Example: barograph check-config --config config.toml
    """
    from monitor.config import load_config

    settings = load_config(config)
    print(f"{config}: good; source {settings.source.kind}, watches {', '.join(watch.name for watch in settings.watch)}")


@app.command()
def version() -> None:
    """Print the version of this program and of Python.

    Example: barograph version
    """
    import platform
    from importlib.metadata import version as installed

    print(f"barograph {installed('barograph')}, Python {platform.python_version()}")


def _column_and_value(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals or not column:
        raise ConfigError(f"--where {text}: expected COLUMN=VALUE, as in --where split=train")
    return column, value


def _write_json(file: Path, summary: object) -> None:
    try:
        file.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise MonitorError(f"cannot write {file}: {error.strerror}") from error


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its start and end are ours to tell


def _stop_on_signals() -> threading.Event:
    """Give an event that Ctrl-C and SIGTERM set; a second signal ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    return stop


def main() -> None:
    """Run the command line; a user's mistake ends in one line, not in a traceback."""
    try:
        app()
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except (MonitorError, ModelError) as error:
        print(f"barograph: {error}", file=sys.stderr)
        sys.exit(1)
