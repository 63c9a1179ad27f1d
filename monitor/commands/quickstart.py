"""`barograph init`, a configuration for a Prometheus, and `barograph quickstart`, which goes on from it."""

from __future__ import annotations

import os
import random
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.commands.options import stop_on_signals, write_text
from monitor.errors import ConfigError, MonitorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monitor.prometheus.errors import UnavailableError
    from monitor.quickstart.suggestion import Suggestion, Wish

_MAX_FAILURES = 3  # in a row, some seconds: a person waits, and perhaps for a wrong address
_TIMEOUT_SECONDS = 30.0
_REQUESTS_PER_SECOND = 20.0
_DAYS = 7.0
_LEAST_DAYS = 1.0  # half of it is learned, half judged; what happens by day and by night must be in it

Match = Annotated[str, typer.Option(help="""Only these series: PromQL matchers, such as 'job="node"'.""")]
MaxSeries = Annotated[int, typer.Option(help="Series in all watches together.", min=1)]
Force = Annotated[bool, typer.Option("--force", help="Replace a configuration that is there.")]
Username = Annotated[str, typer.Option(help="Name for basic authentication.")]
PasswordFile = Annotated[Path | None, typer.Option(help="File with the password for it.")]
TokenFile = Annotated[Path | None, typer.Option("--bearer-token-file", help="File with a bearer token.")]
CaFile = Annotated[
    Path | None, typer.Option(help="PEM file of the authority that signed the server's certificate.")
]
Tenant = Annotated[str, typer.Option(help="Value of the header X-Scope-OrgID.")]


def init(
    prometheus: Annotated[str, typer.Option(help="Address of the server, such as http://prom:9090.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new configuration.")] = Path(
        "config.toml"
    ),
    match: Match = "",
    max_series: MaxSeries = 500,
    force: Force = False,
    username: Username = "",
    password_file: PasswordFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    tenant: Tenant = "",
) -> None:
    """Look at a Prometheus, and write a commented configuration that watches what moves there.

    Example: barograph init --prometheus http://prom:9090 -o config.toml
    """
    from monitor.quickstart.suggestion import Wish

    if output.exists() and not force:
        raise ConfigError(
            f"--output {output}: this file exists and is not overwritten. Name another file, or use --force"
        )
    connection = _connection(prometheus, username, password_file, token_file, ca_file, tenant)
    wish = Wish(match=_matchers(match), max_series=max_series, days=_DAYS)
    suggestion = _suggestion(connection, wish)
    _write(output, suggestion, connection, data_dir="data")
    _print_suggestion(suggestion)
    print(f"wrote {output}; next: barograph check-config --config {output}", file=sys.stderr)


def quickstart(
    prometheus: Annotated[str, typer.Argument(help="Address of the server, such as http://prom:9090.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for all that is made.")] = Path(
        "barograph"
    ),
    days: Annotated[float, typer.Option(help="How far back to read.", min=_LEAST_DAYS, max=90)] = _DAYS,
    match: Match = "",
    max_series: MaxSeries = 500,
    force: Force = False,
    username: Username = "",
    password_file: PasswordFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    tenant: Tenant = "",
) -> None:
    """From a Prometheus to a daemon that can start: configuration, a week of history, models, and a report.

    Repeat the command to continue it. A configuration that is there is used as it is, unless --force.

    Example: barograph quickstart http://prom:9090
    """
    from monitor.commands.backfill import backfill
    from monitor.commands.backtest import backtest
    from monitor.quickstart.suggestion import Wish

    config, history = output / "config.toml", output / "history.parquet"
    report = output / "report.html"
    began = time.monotonic()
    if config.exists() and not force:
        print(f"{config} is there: it is used as it is. --force makes a new one", file=sys.stderr)
        _check_address(config, prometheus)
    else:
        connection = _connection(prometheus, username, password_file, token_file, ca_file, tenant)
        with _stage(1, f"what {prometheus} has"):
            suggestion = _suggestion(
                connection, Wish(match=_matchers(match), max_series=max_series, days=days)
            )
            if suggestion.days < _LEAST_DAYS:
                raise MonitorError(
                    f"{prometheus} holds {24 * suggestion.days:.1f} hours of "
                    f"{suggestion.watches[0].name}, and a first model needs a day. Repeat the "
                    "command then; for a configuration alone: barograph init"
                )
            _make_folder(output)
            _write(config, suggestion, connection, data_dir=str((output / "data").resolve()))
            _print_suggestion(suggestion)
            _remove_old(history)
    with _stage(2, f"the last {days:g} days into {history}"):
        backfill(config=config, output=history, days=days, requests_per_second=_REQUESTS_PER_SECOND)
    _interrupt_as_usual()
    with _stage(3, "what would have been found: a model of the first half judges the second"):
        backtest(files=[str(history)], config=config, output=report, json_file=output / "report.json")
    with _stage(4, "the models that serve, from all of it"):
        _train_all(config, history)
    print(f"took {_minutes(time.monotonic() - began)}", file=sys.stderr)
    print(f"report: {report}")
    print(f"barograph check-config --config {config}")
    print(f"barograph run --config {config}")


def _suggestion(connection: dict[str, Any], wish: Wish) -> Suggestion:
    from monitor.clock import SystemClock
    from monitor.config.load import load_draft
    from monitor.prometheus.api import PrometheusApi
    from monitor.prometheus.errors import UnavailableError
    from monitor.prometheus.http import HttpClient, connection_of
    from monitor.prometheus.retry import Retries
    from monitor.quickstart.presets import load_presets
    from monitor.quickstart.suggestion import suggest

    overrides = {"source": {"prometheus": {"timeout_seconds": _TIMEOUT_SECONDS, **connection}}}
    settings, _ = load_draft(None, overrides, environ={})
    clock = SystemClock()
    retries = Retries(
        clock,
        stop_on_signals(),
        random.Random(),  # noqa: S311 - of waits, no secret
        max_failures=_MAX_FAILURES,
        on_wait=_print_wait,
    )
    http = HttpClient(
        connection_of(settings.source.prometheus), clock, min_interval_seconds=1 / _REQUESTS_PER_SECOND
    )
    api = PrometheusApi(http)
    try:
        return suggest(
            api, retries, load_presets(), wish, now_ms=round(clock.now() * 1000), on_step=_print_progress
        )
    except UnavailableError as error:
        raise MonitorError(
            f"{error}. Is this the address under which a browser on this machine shows Prometheus?"
        ) from error
    finally:
        api.close()


def _matchers(text: str) -> str:
    """Give matchers without the braces that people are used to."""
    return text.strip().removeprefix("{").removesuffix("}").strip().rstrip(",")


def _connection(
    url: str,
    username: str,
    password_file: Path | None,
    token_file: Path | None,
    ca_file: Path | None,
    tenant: str,
) -> dict[str, Any]:
    """Give the keys of `[source.prometheus]` that the options set: secrets as references to their files."""
    given: dict[str, Any] = {"url": url.rstrip("/"), "username": username, "tenant": tenant}
    if password_file is not None:
        given["password"] = {"from_file": str(password_file.resolve())}
    if token_file is not None:
        given["bearer_token"] = {"from_file": str(token_file.resolve())}
    if ca_file is not None:
        given["ca_file"] = str(ca_file.resolve())
    return {key: value for key, value in given.items() if value}


def _write(file: Path, suggestion: Suggestion, connection: dict[str, Any], *, data_dir: str) -> None:
    from monitor.quickstart.write_config import config_text

    write_text(file, config_text(suggestion, connection, data_dir=data_dir))


def _print_suggestion(suggestion: Suggestion) -> None:
    for watch in suggestion.watches:
        by = ", ".join(watch.by) or "series"
        print(
            f"watch {watch.name} ({watch.title}): {watch.entities_text} by {by}, {watch.n_series} series",
            file=sys.stderr,
        )
    for line in suggestion.skipped:
        print(f"not watched: {line}", file=sys.stderr)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {folder}: cannot be used as a folder: {error.strerror}") from error


def _check_address(config: Path, prometheus: str) -> None:
    """Stop where the configuration that is there is for another server.

    Raises
    ------
    ConfigError
        With the way out.
    """
    from monitor.config.load import load_config

    url = load_config(config, environ=os.environ).source.prometheus.url
    if url != prometheus.rstrip("/"):
        raise ConfigError(f"{config} is for {url}: name another folder with --output, or use --force")


def _remove_old(history: Path) -> None:
    """Remove the samples of an earlier configuration: they are from other queries."""
    import shutil

    history.unlink(missing_ok=True)
    shutil.rmtree(history.with_name(f"{history.name}.parts"), ignore_errors=True)


def _train_all(config: Path, history: Path) -> None:
    """Train each watch; that some cannot be trained yet is no failure.

    Raises
    ------
    TrainingError
        If none can be trained.
    """
    from models.errors import TrainingError
    from monitor.commands.train import train
    from monitor.config.load import load_config
    from monitor.storage.data_dir import DataDir

    try:
        train(files=[str(history)], config=config)
    except TrainingError as error:
        settings = load_config(config, environ=os.environ)
        data_dir = DataDir(settings.data_dir)
        if not any(data_dir.registry(watch.name).versions() for watch in settings.watch):
            raise
        print(f"{error}; its baselines judge until `barograph retrain`", file=sys.stderr)


def _interrupt_as_usual() -> None:
    """Let Ctrl-C and SIGTERM end what now follows: until here a signal waited for the end of a request."""
    import signal

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _stage(number: int, what: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    print(f"[{number}/4] {what}", file=sys.stderr)
    began = time.monotonic()
    yield
    print(f"[{number}/4] took {_minutes(time.monotonic() - began)}", file=sys.stderr)


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _print_progress(text: str) -> None:
    print(text, file=sys.stderr)


def _print_wait(error: UnavailableError, seconds: float) -> None:
    print(f"{error}; trying again in {seconds:.1f} s", file=sys.stderr)
