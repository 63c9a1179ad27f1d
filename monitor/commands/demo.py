"""`barograph demo`: train on the shipped recording, replay the rest, show what was caught."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import FIRST_FOUND, ConfigFile, stop_on_signals, write_json


def demo(
    recording: Annotated[Path, typer.Option(help="Folder of a labelled recording.")] = Path(
        "recordings/first"
    ),
    config: ConfigFile = FIRST_FOUND,
    data_dir: Annotated[str, typer.Option(help="Where the demo stores its models.")] = "data/demo",
    exit_at_end: Annotated[
        bool, typer.Option("--exit", help="Exit at the end instead of serving /metrics until Ctrl-C.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures of the run to this file.")
    ] = None,
) -> None:
    """Learn the fault-free part of the recording, replay the rest, and show what was caught.

    Example: barograph demo --exit --json demo.json
    """
    from monitor.config.load import load_config
    from monitor.web.server import check_address

    check_address(load_config(config, environ=os.environ).web.listen)  # the training takes half a minute
    from monitor.clock import SystemClock
    from monitor.commands.console import out, training_progress
    from monitor.commands.demo_recording import load_recording
    from monitor.commands.demo_run import Demo
    from monitor.commands.tables import alert_text, demo_tables, training_table

    demo_run = Demo(load_recording(recording), config, data_dir, clock=SystemClock(), environ=os.environ)
    results = []
    for watch in demo_run.config.watch:
        with training_progress(watch.name, watch.model.epochs) as on_epoch:
            results.append(demo_run.train(watch, on_epoch))
    out.print(training_table(results))
    stop = stop_on_signals()  # until here Ctrl-C ends the training at once
    daemon, collector = demo_run.start_daemon(lambda alert: out.print(alert_text(alert)))
    try:
        out.print(f"\nReplaying the faulty part. Metrics: http://{daemon.address}/metrics\n")
        demo_run.replay(daemon, collector, stop)
        if stop.is_set():
            return
        outcome = demo_run.outcome()
        seconds = {"train_seconds": demo_run.train_seconds, "replay_seconds": demo_run.replay_seconds}
        for table in demo_tables(outcome, demo_run.three_sigma(), **seconds):
            out.print(table)
        if json_file is not None:
            write_json(json_file, demo_run.summary(outcome))
        if not exit_at_end:
            out.print(f"\nhttp://{daemon.address}/metrics stays up until Ctrl-C.")
            stop.wait()
    finally:
        daemon.close()
