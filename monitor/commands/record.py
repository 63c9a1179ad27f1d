"""`barograph record`: this machine's own metrics to a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import stop_on_signals


def record(
    file: Annotated[Path, typer.Argument(help="Recording to write or to extend: .parquet or .csv.")],
    step: Annotated[float, typer.Option(help="Seconds between two readings.", min=0.1)] = 1.0,
    duration: Annotated[
        float, typer.Option(help="Seconds to record; until Ctrl-C when left out.", min=0)
    ] = float("inf"),
    host: Annotated[
        str, typer.Option(help="Value of the label host; this machine's name when left out.")
    ] = "",
) -> None:
    """Record this machine's own metrics to a file, one reading a step. Repeat the command to extend it.

    Example: barograph record host.parquet --step 1 --duration 3600
    """
    from monitor.clock import SystemClock
    from monitor.sources.host import HOST_LABELS, read_host
    from monitor.storage.recorder import Recorder
    from monitor.storage.recorder import record as run_recording

    stop = stop_on_signals()
    recorder = Recorder(file, HOST_LABELS)
    on_terminal = sys.stderr.isatty()
    whole = "" if duration == float("inf") else f" of {duration:.0f}"

    def show(seconds: float) -> None:
        if on_terminal or round(seconds / step) % 60 == 0:
            line = f"recorded {seconds:.0f}{whole} s, {recorder.n_samples} samples"
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
