"""What a person sees in the terminal: progress to stderr, results to stdout."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from models.errors import BundleError
from models.fit_detector import Fold
from models.registry import Registry
from models.training import Epoch
from monitor.alerting.alert import Alert
from monitor.alerting.text import channel_text, time_text
from monitor.commands.demo_run import DemoOutcome
from monitor.sample import Columns, SeriesTable, is_stale
from monitor.sources.decode_captures import N_SHOWN
from monitor.storage.alert_history import StoredEpisode
from monitor.text import printable
from monitor.training.gate import TrainingOutcome
from monitor.training.train import TrainedWatch

__all__ = [
    "alert_text",
    "episodes_table",
    "folds_table",
    "models_table",
    "out",
    "outcome_tables",
    "outcome_text",
    "samples_table",
    "scoring_progress",
    "training_progress",
    "training_table",
]

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)
_err = Console(stderr=True, highlight=False)


@contextmanager
def training_progress(watch: str, n_epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """Show a bar with the time left while a watch is trained; give what is to be told each epoch."""
    columns = (
        TextColumn("training {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs, loss {task.fields[loss]:.4f}, held out {task.fields[held_out]:.4f}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_err) as progress:
        task = progress.add_task(watch, total=n_epochs, loss=float("nan"), held_out=float("nan"))

        def show(epoch: Epoch) -> None:
            progress.update(task, completed=epoch.number + 1, loss=epoch.loss, held_out=epoch.validation_loss)

        yield show
        progress.update(task, total=progress.tasks[0].completed)  # stopped early: that was all


def training_table(results: Sequence[TrainedWatch]) -> Table:
    """Sum up what was learned, and how good it is on what was held out."""
    table = Table(title="What was learned", title_justify="left")
    for heading in (
        "watch",
        "entities",
        "channels",
        "steps",
        "epochs",
        "loss",
        "held-out loss",
        "explained",
        "limit",
        "seconds",
        "version",
    ):
        table.add_column(heading, justify="left" if heading in ("watch", "version") else "right")
    for result in results:
        training = result.fit.training
        n_steps, n_entities, n_channels = result.history.values.shape
        table.add_row(
            escape(result.watch),
            str(n_entities),
            str(n_channels),
            str(n_steps),
            f"{len(training.epochs)} (best {training.best_epoch + 1})",
            f"{training.epochs[training.best_epoch].loss:.4f}",
            f"{training.validation_loss:.4f}",
            f"{result.fit.explained_ratio:.0%}",
            f"{result.limit.value:.2f}{' provisional' if result.limit.provisional else ''}",
            f"{training.seconds:.1f}",
            result.version,
        )
    return table


@contextmanager
def scoring_progress(watch: str) -> Iterator[Callable[[float], None]]:
    """Show a bar with the time left while files are scored; give what is to be told the share done."""
    columns = (
        TextColumn("scoring {task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_err) as progress:
        task = progress.add_task(watch, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def models_table(registries: Mapping[str, Registry]) -> Table:
    """List versions: which serves, from what they learned, how good they are."""
    table = Table()
    for heading in ("watch", "version", "", "steps", "entities", "channels", "held-out loss", "explained"):
        table.add_column(heading, justify="left" if heading in ("watch", "version", "") else "right")
    for watch, registry in registries.items():
        marks = {registry.previous(): "previous", registry.champion(): "champion"}
        for version in registry.versions():
            try:
                about = registry.about(version)
            except BundleError:
                table.add_row(watch, version, f"damaged {marks.get(version, '')}".strip())
                continue
            made = about["made"]
            table.add_row(
                watch,
                version,
                marks.get(version, ""),
                str(made.get("n_steps", "")),
                str(len(about["entities"])),
                str(len(about["channels"])),
                f"{made.get('validation_loss', float('nan')):.4f}",
                f"{made.get('explained_ratio', float('nan')):.0%}",
            )
    return table


def folds_table(watch: str, folds: Sequence[Fold]) -> Table:
    """Show each fold's held-out loss, and their mean and spread."""
    losses = [fold.validation_loss for fold in folds]
    spread = statistics.stdev(losses) if len(losses) > 1 else 0.0
    table = Table(title=f"{escape(watch)}: forward-chaining folds", title_justify="left")
    for heading in ("fold", "trained on steps", "held-out loss"):
        table.add_column(heading, justify="right")
    for number, fold in enumerate(folds, start=1):
        table.add_row(str(number), str(fold.n_steps), f"{fold.validation_loss:.4f}")
    table.caption = f"mean {statistics.mean(losses):.4f}, standard deviation {spread:.4f}"
    return table


def samples_table(columns: Columns, series: SeriesTable, *, shows_all: bool) -> Table:
    """List samples: series, time, value, or what stands in its place."""
    table = Table()
    for heading in ("series", "time", "value"):
        table.add_column(heading, justify="right" if heading == "value" else "left", overflow="fold")
    n_shown = len(columns) if shows_all else min(len(columns), N_SHOWN)
    stale = is_stale(columns.value[:n_shown])
    for row in range(n_shown):
        value = float(columns.value[row])
        shown = "stale" if stale[row] else "gap" if math.isnan(value) else repr(value)
        moment = datetime.fromtimestamp(int(columns.time_ms[row]) / 1000, UTC).isoformat(timespec="milliseconds")
        table.add_row(escape(printable(str(series[int(columns.series[row])]))), moment.replace("+00:00", "Z"), shown)
    if n_shown < len(columns):
        table.caption = f"{len(columns) - n_shown} more rows: --all shows them"
    return table


def alert_text(alert: Alert) -> str:
    """Say in a few lines, for the terminal, what an alert says."""
    name = f"[bold]{escape(alert.watch)}/{escape(alert.entity)}[/bold]"
    if alert.resolved_ms is not None:
        peak = escape("; ".join(channel_text(channel) for channel in alert.channels[:2]))
        what = "amended " if alert.amends else "resolved"
        resolved = f"[green]{what}[/green] {time_text(alert.resolved_ms)} {name} {alert.reason}, highest score {alert.score:.1f} with"
        return f"{resolved}\n           {peak}"
    limit = " (provisional limit)" if alert.provisional else ""
    what = "[yellow]amended[/yellow] " if alert.amends else "[red]opened[/red]  "
    lines = [f"{what} {time_text(alert.opened_ms)} {name} score {alert.score:.1f}{limit}"]
    for channel in alert.channels[:3]:
        since = f" since {time_text(channel.since_ms)[11:-1]}" if channel.since_ms else ""
        lines.append(f"           {escape(channel_text(channel))}{since}")
    return "\n".join(lines)


def episodes_table(episodes: Sequence[StoredEpisode]) -> Table:
    """List episodes: when, how they ended, how high, what was most telling, and whether anybody was told."""
    table = Table()
    for heading in ("opened", "lasted", "", "watch", "entity", "score", "channel", "told"):
        table.add_column(heading, justify="right" if heading in ("lasted", "score") else "left", overflow="fold")
    for one in episodes:
        lasted = "" if one.resolved_ms is None else f"{(one.resolved_ms - one.opened_ms) / 1000:.0f} s"
        channel = channel_text(one.channels[0]) if one.channels else ""
        revised = f" (revision {one.revision})" if one.revision else ""
        table.add_row(
            time_text(one.opened_ms),
            lasted,
            f"{one.reason or 'open'}{revised}",
            escape(one.watch),
            escape(printable(one.entity)),
            f"{one.score:.1f}",
            escape(printable(channel)),
            "yes" if one.notified else "no",
        )
    return table


def outcome_text(outcome: TrainingOutcome) -> str:
    """Say in a few lines what a training on the history came to, and by which numbers."""
    lines = [
        f"watch {escape(outcome.watch)}: {outcome.result} {outcome.version or ''} after {outcome.seconds:.1f} s: {escape(outcome.reason)}"
    ]
    gate = outcome.gate
    if gate is not None:
        if gate.error is not None and gate.opponent_error is not None:
            lines.append(f"  calibrated error {gate.error:.3f}, {gate.opponent} {gate.opponent_error:.3f}")
        over, of_opponent = f"{gate.over_limit:.2%}", f"{gate.opponent_over_limit:.2%}"
        lines.append(f"  blocks over the limit {over}, {gate.opponent} {of_opponent}, allowed {gate.allowed_over_limit:.2%}")
        kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in gate.caught_by_kind.items())
        lines.append(f"  injected faults caught {gate.caught:.1%} ({kinds}), {gate.opponent} {gate.opponent_caught:.1%}")
    return "\n".join(lines)


def outcome_tables(outcome: DemoOutcome, three_sigma: DemoOutcome, *, train_seconds: float, replay_seconds: float) -> list[Table]:
    """Set each fault against what was caught, and the whole beside the three-sigma rule."""
    faults = Table(title="Injected faults, and the delay until each was caught", title_justify="left")
    for heading in ("fault", "from", "lasted", "Barograph", "three-sigma rule"):
        faults.add_column(heading, justify="left" if heading in ("fault", "from") else "right")
    for fault, ours, theirs in zip(outcome.faults, outcome.opened_ms, three_sigma.opened_ms, strict=True):
        delays = (_delay_text(opened, fault.start_ms, fault.end_ms) for opened in (ours, theirs))
        faults.add_row(fault.kind, time_text(fault.start_ms)[11:], f"{(fault.end_ms - fault.start_ms) / 1000:.0f} s", *delays)
    whole = Table(title="All together", title_justify="left")
    for heading in ("", "caught", "while active", "median delay", "false episodes"):
        whole.add_column(heading, justify="right" if heading else "left")
    for name, one in (("Barograph", outcome), ("three-sigma rule on every metric", three_sigma)):
        delays_seconds = one.delays_seconds
        whole.add_row(
            name,
            f"{len(delays_seconds)} of {len(one.faults)}",
            str(one.n_caught_while_active),
            f"{statistics.median(delays_seconds):.0f} s" if delays_seconds else "-",
            str(len(one.false_episodes)),
        )
    whole.caption = f"training {train_seconds:.1f} s, replay {replay_seconds:.1f} s"
    return [faults, whole]


def _delay_text(opened_ms: int | None, start_ms: int, end_ms: int) -> str:
    if opened_ms is None:
        return "missed"
    return f"{(opened_ms - start_ms) / 1000:.0f} s{'' if opened_ms <= end_ms else ' (after its end)'}"
