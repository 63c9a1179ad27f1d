"""The command line: parse, call, print, exit code; nothing else."""

from __future__ import annotations

import sys
import threading
import signal
from pathlib import Path
from typing import Annotated

import typer

from monitor.errors import ConfigError, MonitorError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def barograph() -> None:
    """Learn what normal looks like in your metrics, and say when something departs from it."""


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
    except MonitorError as error:
        print(f"barograph: {error}", file=sys.stderr)
        sys.exit(1)
