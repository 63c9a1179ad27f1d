"""`barograph backfill`: the past that a Prometheus server holds, into histories or into a metric file."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.options import FIRST_FOUND, ConfigFile, chosen_watches, stop_on_signals
from monitor.errors import ConfigError, MonitorError
from monitor.text import first_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.config.schema import Config
    from monitor.config.watch import WatchConfig
    from monitor.offline.backfill import BackfillReport
    from monitor.offline.history_fill import HistoryFill
    from monitor.prometheus.errors import UnavailableError
    from monitor.prometheus.fetch import Query, SampleFetcher
    from monitor.prometheus.ranges import TimeRange
    from monitor.sample import SeriesTable

_MAX_FAILURES = 12  # in a row: some five minutes
_MAX_NAMED = 10  # metrics in a line
_MOST_CHARACTERS = 120  # of a query that is shown


def backfill(
    config: ConfigFile = FIRST_FOUND,
    prometheus: Annotated[
        str, typer.Option(help="Address of the server; source.prometheus.url when left out.")
    ] = "",
    query: Annotated[
        list[str] | None,
        typer.Option(help="Series to read, in PromQL; may be repeated. Left out: `query` of each watch."),
    ] = None,
    days: Annotated[float, typer.Option(help="How far back to begin.", min=0.0)] = 28.0,
    start: Annotated[str, typer.Option(help="Begin at this time instead (ISO or ms).")] = "",
    end: Annotated[str, typer.Option(help="End at this time (ISO or ms); now when left out.")] = "",
    watch: Annotated[
        list[str] | None, typer.Option(help="Fill the history of this watch only; may be repeated.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write raw samples to this .parquet file, and no history."),
    ] = None,
    step: Annotated[
        float | None,
        typer.Option(help="Seconds between values of an expression; the watches' when left out.", min=0.001),
    ] = None,
    username: Annotated[str, typer.Option(help="Name for basic authentication.")] = "",
    password_file: Annotated[Path | None, typer.Option(help="File with the password for it.")] = None,
    bearer_token_file: Annotated[Path | None, typer.Option(help="File with a bearer token.")] = None,
    ca_file: Annotated[
        str, typer.Option(help="PEM file of the authority that signed the server's certificate.")
    ] = "",
    cert_file: Annotated[str, typer.Option(help="PEM file of this client's certificate.")] = "",
    key_file: Annotated[str, typer.Option(help="PEM file of its key.")] = "",
    tenant: Annotated[str, typer.Option(help="Value of the header X-Scope-OrgID.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds for an answer.", min=0.1)] = 60.0,
    requests_per_second: Annotated[float, typer.Option(help="Requests at most.", min=0.01)] = 5.0,
) -> None:
    """Read the past from Prometheus, so that `barograph retrain` can learn from it at once.

    Repeat the command to continue it. The daemon must not run meanwhile, unless -o is given.

    Example: barograph backfill --prometheus http://prom:9090 --query '{job="node"}' --days 28
    """
    from monitor.config.load import load_config

    named = {
        "username": username,
        "password": _secret(password_file, "--password-file"),
        "bearer_token": _secret(bearer_token_file, "--bearer-token-file"),
        "ca_file": ca_file,
        "cert_file": cert_file,
        "key_file": key_file,
        "tenant": tenant,
    }
    configured = load_config(config, environ=os.environ)
    overrides = _overrides(configured, prometheus.rstrip("/"), named, timeout)
    settings = load_config(config, environ=os.environ, overrides=overrides)
    from monitor.clock import SystemClock
    from monitor.offline.backfill import queries_of
    from monitor.prometheus.api import PrometheusApi
    from monitor.prometheus.fetch import SampleFetcher
    from monitor.prometheus.http import HttpClient, connection_of
    from monitor.prometheus.retry import Retries
    from monitor.sample import SeriesTable

    watches = chosen_watches(settings, watch or [], config)
    queries = queries_of(query or [], watches, step_ms=None if step is None else round(step * 1000))
    clock = SystemClock()
    latest_ms = round((clock.now() - settings.source.prometheus.lag_seconds) * 1000)
    wanted = _wanted(days, start, end, latest_ms)
    stop = stop_on_signals()
    retries = Retries(clock, stop, random.Random(), max_failures=_MAX_FAILURES, on_wait=_print_wait)  # noqa: S311
    api = PrometheusApi(
        HttpClient(
            connection_of(settings.source.prometheus), clock, min_interval_seconds=1 / requests_per_second
        )
    )
    table = SeriesTable()
    try:
        fetcher = SampleFetcher(api, table, retries)
        fetcher.prepare(queries, wanted.to_ms)
        for expression in fetcher.expressions:
            print(
                f"{_shortened(expression)} is an expression: it is evaluated at steps, not read raw",
                file=sys.stderr,
            )
        if output is not None:
            _to_file(output, fetcher, table, queries, wanted)
        else:
            _to_histories(settings, watches, fetcher, table, queries, wanted)
    finally:
        api.close()


def _to_file(
    output: Path, fetcher: SampleFetcher, table: SeriesTable, queries: Sequence[Query], wanted: TimeRange
) -> None:
    from monitor.commands.console import backfill_progress
    from monitor.offline.backfill import backfill_file
    from monitor.offline.sample_file import SampleFile

    file = SampleFile(output, [query.text for query in queries])
    if file.covered is not None:
        print(f"{output} ends at {_utc(file.covered.to_ms)}: it goes on there", file=sys.stderr)
    with backfill_progress(output.name) as progress:
        report = backfill_file(fetcher, table, file, wanted, progress=progress)
    n_samples = file.finish()
    _print_report(report)
    for label, column in file.renamed.items():
        print(f"the label {label} is the column {column}: {label} is a column of every file", file=sys.stderr)
    if not n_samples:
        raise MonitorError(
            f"no sample from {_utc(wanted.from_ms)} to {_utc(wanted.to_ms)}: compare the queries"
        )
    print(f"wrote {report.n_samples} samples to {output}, which holds {n_samples}", file=sys.stderr)


def _to_histories(
    settings: Config,
    watches: Sequence[WatchConfig],
    fetcher: SampleFetcher,
    table: SeriesTable,
    queries: Sequence[Query],
    wanted: TimeRange,
) -> None:
    from monitor.clock import SystemClock
    from monitor.commands.console import backfill_progress
    from monitor.offline.backfill import backfill_histories, within_retention
    from monitor.offline.history_fill import HistoryFill
    from monitor.storage.data_dir import DataDir
    from monitor.storage.lock import hold
    from monitor.storage.step_history import Retention

    if not settings.history.max_bytes:
        raise ConfigError("history.max_bytes is 0: no history is kept. Raise it, or write to a file with -o")
    data_dir = DataDir(settings.data_dir)
    data_dir.prepare()
    lock = hold(
        data_dir.lock_file,
        what=f"data_dir {settings.data_dir}",
        way_out="Stop it, or write to a file with -o and train from that.",
        now=SystemClock().now(),
    )
    try:
        retention = Retention(**settings.history.model_dump())
        texts = [query.text for query in queries]
        fills = [
            HistoryFill(watch.settings(), data_dir.history_folder(watch.name), retention, texts)
            for watch in watches
        ]
        for fill in fills:
            kept = within_retention(wanted, fill, retention)
            if kept != wanted:
                print(
                    f"watch {fill.name}: begins at {_utc(kept.from_ms)}, as history.max_age_seconds deletes "
                    "what is older",
                    file=sys.stderr,
                )
            fill.plan(kept)
        with backfill_progress("histories") as progress:
            report = backfill_histories(fetcher, table, fills, progress=progress)
    finally:
        lock.release()
    _print_report(report)
    _print_fills(fills, table)


def _print_fills(fills: Sequence[HistoryFill], table: SeriesTable) -> None:
    """Say what each history has got.

    Raises
    ------
    MonitorError
        If no series matched any watch.
    """
    for fill in fills:
        entities = fill.entities
        if not fill.spans:
            print(f"watch {fill.name}: nothing is missing in this time", file=sys.stderr)
        elif not entities.n_matching:
            print(
                f"watch {fill.name}: no series matches: {entities.explain_no_match(table)}", file=sys.stderr
            )
        else:
            print(
                f"watch {fill.name}: wrote {fill.n_rows} rows of {len(entities.entities)} entities and "
                f"{len(entities.channels)} channels from {fill.n_samples} samples",
                file=sys.stderr,
            )
        if entities.n_refused:
            print(
                f"watch {fill.name}: {entities.n_refused} series found no room: raise max_series",
                file=sys.stderr,
            )
    if any(fill.spans for fill in fills) and not any(fill.entities.entities for fill in fills):
        raise MonitorError("no series belongs to any watch: compare `metrics`, `match` and `by`")


def _print_report(report: BackfillReport) -> None:
    if report.n_histograms:
        print(
            f"left out {report.n_histograms} samples of native histograms: they are no numbers",
            file=sys.stderr,
        )
    if report.counters:
        names = first_of(sorted(report.counters), _MAX_NAMED)
        print(
            f"counters by type or convention: {names}. A source that sends no "
            "types takes them for levels: list them in `counters` of the watch then, before you backfill",
            file=sys.stderr,
        )


def _overrides(
    configured: Config, url: str, named: dict[str, str], timeout_seconds: float
) -> dict[str, object]:
    """Lay options over the settings; the settings' credentials are for the settings' server alone."""
    given = {key: value for key, value in named.items() if value}
    if url not in ("", configured.source.prometheus.url):
        given = named
    elif "bearer_token" in given:
        given = {"username": "", "password": "", **given}
    elif "username" in given:
        given = {"bearer_token": "", "password": "", **given}
    address = {"url": url} if url else {}
    return {
        "source": {"prometheus": {**address, **given, "timeout_seconds": timeout_seconds}},
        # Of a daemon, whose timeouts are shorter: nobody watches this command for a hang.
        "stalled_after_seconds": max(configured.stalled_after_seconds, 4 * timeout_seconds),
    }


def _wanted(days: float, start: str, end: str, latest_ms: int) -> TimeRange:
    from monitor.config.times import parse_time
    from monitor.prometheus.ranges import TimeRange

    to_ms = min(parse_time(end, "--end") or latest_ms, latest_ms)
    from_ms = parse_time(start, "--start")
    if from_ms is None:
        from_ms = to_ms - round(days * 86_400_000)
    if from_ms >= to_ms:
        raise ConfigError(f"nothing lies between {_utc(from_ms)} and {_utc(to_ms)}: set --start before --end")
    return TimeRange(from_ms, to_ms)


def _secret(file: Path | None, option: str) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"{option}: cannot read {file}: {reason}") from error


def _shortened(expression: str) -> str:
    text = " ".join(expression.split())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."


def _print_wait(error: UnavailableError, seconds: float) -> None:
    print(f"{error}; trying again in {seconds:.1f} s", file=sys.stderr)


def _utc(time_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
