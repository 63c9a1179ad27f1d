"""The command line: parse, call, print, exit code; nothing else.

Libraries that take long to load are imported by the commands that need them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from models.errors import ModelError
from monitor.commands.backfill import backfill
from monitor.commands.backtest import backtest
from monitor.commands.check import check_config, healthcheck, status, version
from monitor.commands.dead_letters import dead_letters
from monitor.commands.decode import decode
from monitor.commands.demo import demo
from monitor.commands.episodes import episodes
from monitor.commands.forecast import forecast
from monitor.commands.models import models
from monitor.commands.operator_requests import accept, mute, unmute
from monitor.commands.quickstart import init, quickstart
from monitor.commands.record import record
from monitor.commands.retrain import retrain
from monitor.commands.run import run
from monitor.commands.score import score
from monitor.commands.stdout import checked_stdout
from monitor.commands.topics import topics
from monitor.commands.train import train
from monitor.errors import ConfigError, MonitorError

__all__ = ["main"]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


def _print_version(is_asked_for: bool) -> None:
    if is_asked_for:
        version()
        raise typer.Exit


@app.callback()
def barograph(
    shows_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Learn what is normal in your metrics, and raise an alert when something departs from it."""


for command in (
    quickstart,
    init,
    run,
    train,
    retrain,
    backfill,
    score,
    backtest,
    forecast,
    decode,
    topics,
    demo,
    episodes,
    record,
):
    app.command()(command)
app.command()(accept)
app.command()(mute)
app.command()(unmute)
app.add_typer(models, name="models")
app.command("dead-letters")(dead_letters)
app.command("check-config")(check_config)
app.command()(healthcheck)
app.command()(status)
app.command()(version)


def main() -> None:
    """Run the command line; a user's mistake ends in one line, not in a traceback."""
    try:
        with checked_stdout():
            app(_in_new_form(sys.argv[1:]))
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except (MonitorError, ModelError) as error:
        print(f"barograph: {error}", file=sys.stderr)
        sys.exit(1)


def _in_new_form(arguments: Sequence[str]) -> list[str]:
    """Write `train --history` as `retrain`, with a hint on stderr."""
    if arguments[:1] != ["train"] or "--history" not in arguments:
        return list(arguments)
    print(
        "`barograph train --history` is now `barograph retrain`; the old form will go in 0.3", file=sys.stderr
    )
    return ["retrain", *(argument for argument in arguments[1:] if argument != "--history")]
