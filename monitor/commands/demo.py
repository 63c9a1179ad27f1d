"""`barograph demo`: train on the shipped recording, replay the rest, show what was caught."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import (
    ConfigFile,
    stop_on_signals,
    write_json,
)


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
    from monitor.config.load import load_config

    load_config(config, environ=os.environ)
    from monitor.clock import SystemClock
    from monitor.commands.console import alert_text, out, outcome_tables, training_progress, training_table
    from monitor.commands.demo_run import Demo, load_recording

    run_of_demo = Demo(load_recording(recording), config, data_dir, clock=SystemClock())
    results = []
    for one in run_of_demo.config.watch:
        with training_progress(one.name, one.model.epochs) as on_epoch:
            results.append(run_of_demo.train(one, on_epoch))
    out.print(training_table(results))
    stop = stop_on_signals()  # until here Ctrl-C ends the training at once
    daemon, collector = run_of_demo.start_daemon(lambda alert: out.print(alert_text(alert)))
    try:
        out.print(f"\nReplaying the faulty part. Metrics: http://{daemon.address}/metrics\n")
        run_of_demo.replay(daemon, collector, stop)
        if stop.is_set():
            return
        outcome = run_of_demo.outcome()
        summary = run_of_demo.summary(outcome)
        seconds = {"train_seconds": run_of_demo.train_seconds, "replay_seconds": run_of_demo.replay_seconds}
        for table in outcome_tables(outcome, run_of_demo.three_sigma(), **seconds):
            out.print(table)
        if json_file is not None:
            write_json(json_file, summary)
        if not exit_at_end:
            out.print(f"\nhttp://{daemon.address}/metrics stays up until Ctrl-C.")
            stop.wait()
    finally:
        daemon.close()
