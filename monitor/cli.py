"""The command line: parse, call, print, exit code; nothing else.

Libraries that take long to load are imported by the commands that need them.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import ModelError, TrainingError
from monitor.errors import ConfigError, MonitorError
from monitor.log_limit import LimitedHandler

if TYPE_CHECKING:
    from models.registry import Registry
    from monitor.config import Config, WatchConfig

__all__ = ["main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
models = typer.Typer(no_args_is_help=True, help="List, inspect and switch trained models.")
app.add_typer(models, name="models")

ConfigFile = Annotated[Path, typer.Option("--config", help="Settings to run with.")]
WatchName = Annotated[str, typer.Option("--watch", help="Watch whose models are meant; may be left out where there is one.")]
_N_EPISODES = 50  # listed unless more are asked for: about a screen or two
VersionName = Annotated[str, typer.Argument(help="Version; the champion when left out.")]


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

    settings = load_config(config, environ=os.environ)
    _log_to_stderr()
    from monitor.app import Daemon
    from monitor.clock import SystemClock
    from monitor.outlets.log import LogOutlet
    from monitor.watchdog import end_process

    stop = _stop_on_signals()
    daemon = Daemon(settings, outlets=[LogOutlet()], clock=SystemClock(), config_file=config, on_stalled=end_process)
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
    resume: Annotated[bool, typer.Option("--resume", help="Go on behind the last whole epoch of a training that was interrupted.")] = False,
    folds: Annotated[int, typer.Option(help="First judge the settings by so many forward-chaining folds.", min=0, max=20)] = 0,
    from_history: Annotated[
        bool,
        typer.Option("--history", help="Learn from the history that the daemon has kept; serve only what is no worse."),
    ] = False,
    candidate: Annotated[bool, typer.Option("--candidate", help="With --history: save the model, but do not let it serve.")] = False,
    until: Annotated[str, typer.Option(help="With --history: learn nothing from this time on (ISO or ms).")] = "",
    result: Annotated[Path | None, typer.Option(help="With --history: also write what came of it to this file, as JSON.")] = None,
    background: Annotated[bool, typer.Option("--background", help="With --history: give way to everything else on this machine.")] = False,
) -> None:
    """Train a model for each watch from metric files, or from the daemon's history, and let it serve.

    Example: barograph train recordings/first/host.parquet --watch host --where split=train
    Example: barograph train --history --watch host
    """
    from monitor.config import load_config

    of_history = {"--candidate": candidate, "--until": until, "--result": result, "--background": background}
    if from_history:
        if files or start or end or where or resume or folds or share < 1.0:
            raise ConfigError("--history learns from what the daemon has kept: leave out the files, and the options that choose among them")
        _train_from_history(config, watch or [], promotes=not candidate, until=until, result_file=result, background=background)
        return
    if any(of_history.values()):
        raise ConfigError(f"{next(name for name, value in of_history.items() if value)} goes with --history only")
    replay: dict[str, Any] = {key: value for key, value in (("paths", files), ("start", start), ("end", end)) if value}
    if where:
        replay["where"] = dict(_column_and_value(text) for text in where)
    settings = load_config(config, environ=os.environ, overrides={"source": {"kind": "replay", "replay": replay}})
    chosen = _chosen_watches(settings, watch or [], config)
    from monitor.app import model_registry, prepare_data_dir
    from monitor.clock import SystemClock
    from monitor.console import folds_table, out, training_progress, training_table
    from monitor.files import recorded_files
    from monitor.runtime import tune_process
    from monitor.sample import SeriesTable
    from monitor.train import collect_history, judge_folds, train_watch

    tune_process()
    prepare_data_dir(settings)
    table = SeriesTable()
    recorded = recorded_files(settings, table, first_share=share)
    _tell_bad(recorded.n_bad)
    results, failed = [], []
    for one in chosen:
        history = collect_history(one, recorded.columns, table)
        if history is None:
            print(f"watch {one.name}: no series of it in these files; left as it is", file=sys.stderr)
            continue
        try:
            if folds:
                with training_progress(f"{one.name}, {folds} folds", folds * one.model.epochs) as on_epoch:
                    out.print(folds_table(one.name, judge_folds(one, history, folds, on_epoch=on_epoch)))
            with training_progress(one.name, one.model.epochs) as on_epoch:
                results.append(
                    train_watch(one, history, model_registry(settings, one), now=SystemClock().now(), on_epoch=on_epoch, resumes=resume)
                )
        except TrainingError as error:
            failed.append(str(error))  # the other watches are trained all the same
        except KeyboardInterrupt:
            print("\ninterrupted: `barograph train --resume` goes on behind the last whole epoch", file=sys.stderr)
            raise
    if not results and not failed:
        raise MonitorError(
            "nothing was trained: no watch takes any series of these files. "
            "Compare the watches' `metrics`, `match` and `by` with the files."
        )
    if results:
        out.print(training_table(results))
    if failed:
        raise TrainingError("; ".join(failed))


@app.command()
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
    from monitor.config import load_config

    settings = load_config(config, environ=os.environ, overrides={"source": {"kind": "replay", "replay": {"paths": files}}})
    from monitor.app import model_registry
    from monitor.console import scoring_progress
    from monitor.files import recorded_files
    from monitor.runtime import tune_process
    from monitor.sample import SeriesTable
    from monitor.score_files import choose_watch, open_writer, score_recorded

    tune_process()
    table = SeriesTable()
    recorded = recorded_files(settings, table)
    _tell_bad(recorded.n_bad)
    one = choose_watch(settings, table, watch)
    serving = model_registry(settings, one).serving(lambda version, error: print(f"model {version} refused: {error}", file=sys.stderr))
    if serving is None:
        print(f"watch {one.name} has no model: its companions judge alone", file=sys.stderr)
    with open_writer(output, sys.stdout) as writer, scoring_progress(one.name) as progress:
        n_rows = score_recorded(one, serving[1] if serving else None, recorded, table, writer, progress=progress)
    print(f"wrote {n_rows} rows to {output or 'stdout'}", file=sys.stderr)


@app.command()
def decode(
    files: Annotated[list[Path], typer.Argument(help="Captures (JSON lines with base64 payloads), or payloads as they are; .gz too.")],
    format_name: Annotated[
        str, typer.Option("--format", help="Name of a format, or auto; what [decode] of the configuration says when left out, else auto.")
    ] = "",
    config: Annotated[Path | None, typer.Option("--config", help="Settings to read with; the defaults when left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write every sample that has a value as a line of JSON.")] = False,
    shows_all: Annotated[bool, typer.Option("--all", help="Show every row and every rejection.")] = False,
) -> None:
    """Show what is read from payloads, and what is rejected for which reason.

    Example: barograph decode --format auto topic.jsonl
    """
    from monitor.captures import read_capture
    from monitor.config import DecodeConfig, load_config
    from monitor.decode.formats import TopicDecoders, check_format
    from monitor.decode_files import decode_captured, json_lines, report
    from monitor.sample import SeriesTable

    settings = load_config(config, environ=os.environ).decode if config else DecodeConfig()
    try:
        check_format(format_name or settings.format, list(settings.mapped))
    except ValueError as error:
        raise ConfigError(f"--format {error}") from error
    decoders = TopicDecoders(settings.settings, {} if format_name else settings.topics, format_name or settings.format)
    table = SeriesTable()
    outcome = decode_captured([one for file in files for one in read_capture(file)], decoders.of, table)
    if as_json:
        sys.stdout.buffer.writelines(json_lines(outcome.columns, table))
        sys.stdout.flush()
    else:
        from monitor.console import out, samples_table

        out.print(samples_table(outcome.columns, table, shows_all=shows_all))
    for line in report(outcome, decoders.in_use(), shows_all=shows_all):
        print(line, file=sys.stderr)
    if not outcome.has_read:
        raise MonitorError(f"none of {outcome.n_records} records could be read: the lines above say why")


@app.command()
def topics(
    config: Annotated[Path | None, typer.Option("--config", help="Settings to look with; the defaults when left out.")] = None,
    servers: Annotated[
        str, typer.Option(help="host:port of brokers, commas between them; source.kafka.bootstrap_servers when left out.")
    ] = "",
    topic: Annotated[
        list[str] | None,
        typer.Option(help="Topic to look at, * and ? as wildcards; may be repeated. source.kafka.topics, else all, when left out."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the suggested settings to this new file.")] = None,
    records: Annotated[
        int, typer.Option(help="Records of each partition that are read, at most: its newest.", min=1, max=1_000_000)
    ] = 10_000,
    timeout: Annotated[float, typer.Option(help="Seconds for all of it.", min=1, max=3600)] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Write what was seen as JSON.")] = False,
) -> None:
    """Show what is in a Kafka cluster's topics, and suggest settings that read and judge it. Joins no group, commits nothing.

    Example: barograph topics --servers broker1:9092 --topic telegraf -o mine.toml
    """
    from monitor.config import load_draft

    named = {"bootstrap_servers": servers.split(",")} if servers else {}
    settings, written = load_draft(config, {"source": {"kafka": named}}, environ=os.environ)
    if output is not None and output.exists():
        raise ConfigError(f"--output {output}: is there already, and stays as it is. Name another file, or move it away.")
    from monitor.clock import SystemClock
    from monitor.sources.kafka_topics import TopicReader
    from monitor.topics import as_user_wrote, look_at, suggestion_of, to_json

    kafka, clock = settings.source.kafka, SystemClock()
    _hush_kafka()
    reader = TopicReader(kafka, clock, timeout_seconds=timeout)
    try:
        look = look_at(reader, topic or kafka.topics, settings.decode, settings.watch, now=clock.now(), n_newest=records)
    finally:
        reader.close()
    suggestion = suggestion_of(look, *as_user_wrote(written, named))
    if output is not None and suggestion:
        _write_text(output, suggestion)
    if as_json:
        print(json.dumps(to_json(look, suggestion), indent=1))
    else:
        from monitor.topics_console import print_look

        print_look(look, kafka, suggestion)
    if output is not None:
        if not suggestion:
            raise MonitorError(f"nothing was written to {output}: no series were found, so there is nothing to suggest")
        print(f"wrote {output}; next: barograph check-config --config {output}", file=sys.stderr)


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

    load_config(config, environ=os.environ)
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
def episodes(
    config: ConfigFile = Path("config.toml"),
    watch: Annotated[str, typer.Option("--watch", help="Only episodes of this watch.")] = "",
    since: Annotated[str, typer.Option(help="Only what was open at this time, or opened later (ISO or ms).")] = "",
    shows_all: Annotated[bool, typer.Option("--all", help=f"Show more than the newest {_N_EPISODES}.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write each episode as a line of JSON.")] = False,
) -> None:
    """List the episodes that the daemon has found, also those that nobody was told of; it may run meanwhile.

    Example: barograph episodes --watch host --since 2026-01-31T12:00:00Z
    """
    from monitor.config import load_config

    settings = load_config(config, environ=os.environ)
    if watch:
        _chosen_watches(settings, [watch], config)
    from monitor.episodes import episodes_file, read_episodes
    from monitor.files import parse_time

    newest = None if shows_all else _N_EPISODES
    found = read_episodes(episodes_file(settings.data_dir), watch=watch, since_ms=parse_time(since, "--since"), newest=newest)
    if as_json:
        for one in found:
            print(one.to_json())
    elif found:
        from monitor.console import episodes_table, out

        out.print(episodes_table(found))
    if len(found) == newest:
        print(f"the newest {newest}; --all shows what there is", file=sys.stderr)
    elif not found:
        print("no episode", file=sys.stderr)


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


@models.command("list")
def list_models(config: ConfigFile = Path("config.toml"), watch: WatchName = "") -> None:
    """List every version of every watch, oldest first, and which serves.

    Example: barograph models list
    """
    from monitor.console import models_table, out

    out.print(models_table(_registries(config, watch)))


@models.command("show")
def show_model(version: VersionName = "", config: ConfigFile = Path("config.toml"), watch: WatchName = "") -> None:
    """Show what a version says of itself: settings, channels, entities, how it was made. The champion when left out.

    Example: barograph models show --watch host
    """
    registry, chosen = _one_version(config, watch, version)
    print(json.dumps(registry.about(chosen), indent=1))


@models.command("verify")
def verify_model(version: VersionName = "", config: ConfigFile = Path("config.toml"), watch: WatchName = "") -> None:
    """Load a version as the daemon would: checksums, format, weights, a smoke score. The champion when left out.

    Example: barograph models verify --watch host
    """
    registry, chosen = _one_version(config, watch, version)
    bundle = registry.load(chosen)
    print(f"{registry.folder / chosen}: good; {len(bundle.entities)} entities, {len(bundle.channels)} channels")


@models.command("promote")
def promote_model(
    version: Annotated[str, typer.Argument(help="Version to let serve.")], config: ConfigFile = Path("config.toml"), watch: WatchName = ""
) -> None:
    """Let a version serve, once it has been verified; a running daemon takes it within seconds.

    Example: barograph models promote 20260131T120000Z --watch host
    """
    registry, chosen = _one_version(config, watch, version)
    registry.load(chosen)
    registry.promote(chosen)
    print(f"{registry.folder}: {chosen} serves")


@models.command("rollback")
def rollback_model(config: ConfigFile = Path("config.toml"), watch: WatchName = "") -> None:
    """Go back to the version that served before; a running daemon does so within seconds.

    Example: barograph models rollback --watch host
    """
    registry = _one_registry(config, watch)
    print(f"{registry.folder}: {registry.rollback()} serves")


@app.command("dead-letters")
def dead_letters(
    config: ConfigFile = Path("config.toml"),
    limit: Annotated[int, typer.Option(help="Newest letters that are shown.", min=0)] = 10,
    reason: Annotated[str, typer.Option(help="Only letters with this reason.")] = "",
    records: Annotated[int, typer.Option(help="Letters of each partition that are read, at most: its newest.", min=1)] = 100_000,
    timeout: Annotated[float, typer.Option(help="Seconds for all of it.", min=1, max=3600)] = 30.0,
) -> None:
    """Show the records that could not be read: how many for which reason, and how the newest begin. Joins no group, commits nothing.

    Example: barograph dead-letters --reason invalid_json
    """
    from monitor.config import load_config

    kafka = load_config(config, environ=os.environ).source.kafka
    if not kafka.dead_letter_topic:
        raise ConfigError(f"{config}: source.kafka.dead_letter_topic is empty: no dead letters are kept. Make a topic, and name it there.")
    from monitor.clock import SystemClock
    from monitor.dead_letter import report
    from monitor.dead_letters import read_dead_letters
    from monitor.sources.kafka_topics import TopicReader

    _hush_kafka()
    reader = TopicReader(kafka, SystemClock(), timeout_seconds=timeout)
    try:
        for line in report(read_dead_letters(reader, kafka.dead_letter_topic, n_newest=records), n_shown=limit, reason=reason):
            print(line)
        if not reader.seconds_left():
            print(f"not all were read in {timeout:g} s: give a longer --timeout, or fewer --records", file=sys.stderr)
    finally:
        reader.close()


@app.command("check-config")
def check_config(config: ConfigFile = Path("config.toml")) -> None:
    """Say everything that is wrong with a configuration file, each with its place; exit code 2 if anything is.

    Example: barograph check-config --config config.toml
    """
    from monitor.config import load_config

    settings = load_config(config, environ=os.environ)
    print(f"{config}: good; source {settings.source.kind}, watches {', '.join(watch.name for watch in settings.watch)}")


@app.command()
def healthcheck(config: ConfigFile = Path("config.toml")) -> None:
    """Ask the daemon on this machine whether it is healthy; exit code 1 when it is not, or does not answer.

    Example: barograph healthcheck --config config.toml
    """
    from monitor.config import load_config
    from monitor.healthcheck import check_health

    print(check_health(load_config(config, environ=os.environ).web.listen))


@app.command()
def version() -> None:
    """Print the version of this program and of Python.

    Example: barograph version
    """
    import platform
    from importlib.metadata import version as installed

    print(f"barograph {installed('barograph')}, Python {platform.python_version()}")


def _train_from_history(config: Path, named: list[str], *, promotes: bool, until: str, result_file: Path | None, background: bool) -> None:
    """Train on the daemon's own history; exit code 1 where nothing may serve, with the reason."""
    from monitor.config import load_config

    settings = load_config(config, environ=os.environ)
    chosen = _chosen_watches(settings, named, config)
    if len(chosen) > 1 and (result_file is not None or background):
        raise ConfigError(f"--result and --background are for one watch: name it with --watch ({', '.join(one.name for one in chosen)})")
    from monitor.runtime import stand_back

    if background:  # before anything large is loaded
        stand_back(chosen[0].retrain.max_memory_bytes)
    from monitor.app import model_registry, prepare_data_dir
    from monitor.clock import SystemClock
    from monitor.console import out, outcome_text, training_progress
    from monitor.files import parse_time
    from monitor.learning import history_folder, retrain_from_history
    from monitor.runtime import tune_process

    tune_process()
    prepare_data_dir(settings)
    outcomes = []
    for one in chosen:
        with training_progress(one.name, one.model.epochs) as on_epoch:
            folder, registry = history_folder(Path(settings.data_dir), one), model_registry(settings, one)
            until_ms = parse_time(until, "--until")
            outcome = retrain_from_history(
                one, folder, registry, clock=SystemClock(), promotes=promotes, until_ms=until_ms, on_epoch=on_epoch
            )
        outcomes.append(outcome)
        out.print(outcome_text(outcome))
        if result_file is not None:
            _write_text(result_file, outcome.to_json())
    bad = [outcome for outcome in outcomes if outcome.result not in ("promoted", "candidate")]
    if bad:
        raise MonitorError("; ".join(f"watch {one.watch} {one.result}: {one.reason}" for one in bad))


def _chosen_watches(settings: Config, named: list[str], config: Path) -> list[WatchConfig]:
    unknown = sorted(set(named) - {one.name for one in settings.watch})
    if unknown:
        raise ConfigError(f"{config}: no watch is named {', '.join(unknown)}; there are {', '.join(one.name for one in settings.watch)}")
    return [one for one in settings.watch if not named or one.name in named]


def _registries(config: Path, watch: str) -> dict[str, Registry]:
    from models.registry import Registry
    from monitor.config import load_config

    settings = load_config(config, environ=os.environ)
    named = {one.name: Registry(Path(settings.data_dir) / "bundles" / one.name) for one in settings.watch}
    if watch and watch not in named:
        raise ConfigError(f"{config}: no watch is named {watch}; there are {', '.join(named)}")
    return {watch: named[watch]} if watch else named


def _one_registry(config: Path, watch: str) -> Registry:
    registries = _registries(config, watch)
    if len(registries) > 1:
        raise ConfigError(f"{config} has several watches: name one with --watch ({', '.join(registries)})")
    return next(iter(registries.values()))


def _one_version(config: Path, watch: str, version: str) -> tuple[Registry, str]:
    registry = _one_registry(config, watch)
    chosen = version or registry.champion()
    if chosen is None:
        raise MonitorError(f"{registry.folder} has no champion yet: run `barograph train`")
    return registry, chosen


def _column_and_value(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals or not column:
        raise ConfigError(f"--where {text}: expected COLUMN=VALUE, as in --where split=train")
    return column, value


def _tell_bad(n_bad: Sequence[tuple[str, int]]) -> None:
    if n_bad:
        print(f"could not be read: {', '.join(f'{reason} {count}' for reason, count in n_bad)}", file=sys.stderr)


def _write_json(file: Path, summary: object) -> None:
    _write_text(file, json.dumps(summary, indent=1, allow_nan=False) + "\n")


def _write_text(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise MonitorError(f"cannot write {file}: {error.strerror}") from error


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its start and end are ours to tell
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    kafka = logging.getLogger("kafka")  # it writes five lines a second while a broker is away
    kafka.setLevel(logging.WARNING)
    kafka.propagate = False
    kafka.addHandler(LimitedHandler(time.monotonic))


def _hush_kafka() -> None:
    logging.getLogger("kafka").addHandler(logging.NullHandler())  # what it says is told in our own words
    logging.getLogger("kafka").propagate = False


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
