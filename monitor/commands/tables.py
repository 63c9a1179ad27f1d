"""Results as a person reads them: tables, and alerts in a few lines."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from models.errors import BundleError
from monitor.alerting.alert import Alert
from monitor.alerting.mutes import OperatorRequest
from monitor.alerting.text import (
    channel_text,
    duration_text,
    level_text,
    named_channels,
    time_text,
    value_text,
)
from monitor.commands.demo_recording import DemoOutcome
from monitor.daemon.status import WatchStatus
from monitor.files.decode_captures import N_SHOWN
from monitor.sample import Columns, SeriesTable, is_stale
from monitor.storage.alert_history import LatestValues, StoredEpisode
from monitor.text import printable

if TYPE_CHECKING:  # these load PyTorch, which takes seconds
    from models.fit_detector import Fold
    from models.forecast_baselines import Accuracy
    from models.registry import Registry
    from monitor.offline.forecast_files import Question
    from monitor.training.gate import TrainingOutcome
    from monitor.training.train import TrainedWatch

__all__ = [
    "accuracy_table",
    "alert_text",
    "answers_table",
    "demo_tables",
    "episodes_table",
    "folds_table",
    "models_table",
    "mutes_table",
    "outcome_text",
    "samples_table",
    "status_tables",
    "training_table",
]


def _table(
    headings: Sequence[str],
    *,
    left: Sequence[str],
    whole: Mapping[str, Iterable[str]] | None = None,
    title: str | None = None,
    caption: str | None = None,
) -> Table:
    """Make a table; columns that are not in `left` are numbers, aligned to the right; nothing is cut.

    `whole` has the cells of the columns that are never folded: a command asks for exactly this text.
    """
    table = Table(title=title, title_justify="left", caption=caption)
    for heading in headings:
        justify: Literal["left", "right"] = "left" if heading in left else "right"
        width = max(map(len, (whole or {}).get(heading, ())), default=None)
        table.add_column(heading, justify=justify, overflow="fold", min_width=width)
    return table


def training_table(results: Sequence[TrainedWatch]) -> Table:
    """Sum up what was learned, and how good it is on the held-out steps."""
    headings = (
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
    )
    caption = "\n".join(_limit_text(result) for result in results)
    names = {"watch": [result.watch for result in results], "version": [result.version for result in results]}
    table = _table(
        headings, left=("watch", "version"), whole=names, title="What was learned", caption=caption
    )
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


def _limit_text(result: TrainedWatch) -> str:
    return (
        f"{escape(result.watch)}: in the held-out steps the limit would have raised {result.n_over_limit} "
        f"episodes; the budget allows {result.n_allowed:.2g}"
    )


def models_table(registries: Mapping[str, Registry]) -> Table:
    """List versions: which one serves, what they learned from, how good they are."""
    headings = ("watch", "version", "", "steps", "entities", "channels", "held-out loss", "explained")
    versions = [version for registry in registries.values() for version in registry.versions()]
    table = _table(headings, left=("watch", "version", ""), whole={"watch": registries, "version": versions})
    for watch, registry in registries.items():
        marks = {registry.previous(): "previous", registry.champion(): "champion"}
        for version in registry.versions():
            try:
                about = registry.about(version)
            except BundleError:
                table.add_row(watch, version, f"damaged {marks.get(version, '')}".strip())
                continue
            metadata = about["made"]
            table.add_row(
                watch,
                version,
                marks.get(version, ""),
                str(metadata.get("n_steps", "")),
                str(len(about["entities"])),
                str(len(about["channels"])),
                f"{metadata.get('validation_loss', float('nan')):.4f}",
                f"{metadata.get('explained_ratio', float('nan')):.0%}",
            )
    return table


def folds_table(watch: str, folds: Sequence[Fold]) -> Table:
    """Show each fold's held-out loss, and their mean and spread."""
    losses = [fold.validation_loss for fold in folds]
    spread = statistics.stdev(losses) if len(losses) > 1 else 0.0
    table = _table(
        ("fold", "trained on steps", "held-out loss"),
        left=(),
        title=f"{escape(watch)}: forward-chaining folds",
        caption=f"mean {statistics.mean(losses):.4f}, standard deviation {spread:.4f}",
    )
    for number, fold in enumerate(folds, start=1):
        table.add_row(str(number), str(fold.n_steps), f"{fold.validation_loss:.4f}")
    return table


def accuracy_table(watch: str, channels: Sequence[str], accuracy: Accuracy, *, step_seconds: float) -> Table:
    """Show how good forecasts are beside their rivals, for each channel (mean over entities) and all."""
    headings = ("channel", "values", "forecast", "naive", "seasonal", "period", "linear", "in band")
    table = _table(
        headings,
        left=("channel",),
        title=f"{escape(watch)}: mean absolute scaled error of forecasts, less is better",
        caption="1 is the mean change from one step to the next; the band should hold 90 %",
    )
    names = [*map(printable, channels), "all"] if len(channels) > 1 else [printable(channels[0])]
    for number, name in enumerate(names):
        here = slice(None) if name == "all" and number == len(channels) else slice(number, number + 1)
        periods = accuracy.period[:, here]
        found = np.median(periods[periods > 0]) if (periods > 0).any() and number < len(channels) else 0
        table.add_row(
            escape(name),
            str(int(accuracy.n_counted[:, here].sum())),
            _mean_text(accuracy.forecast[:, here]),
            _mean_text(accuracy.naive[:, here]),
            _mean_text(accuracy.seasonal[:, here]),
            f"{found * step_seconds:g} s" if found else "-",
            _mean_text(accuracy.linear[:, here]),
            _mean_text(accuracy.in_band[:, here], percent=True),
        )
    return table


def answers_table(answers: Sequence[tuple[str, Question, str]]) -> Table:
    """Show when each entity's channel reaches a value."""
    table = _table(("entity", "channel", "value", "reached"), left=("entity", "channel", "reached"))
    for entity, question, answer in answers:
        table.add_row(
            escape(printable(entity)), escape(printable(question.channel)), f"{question.value:g}", answer
        )
    return table


def _mean_text(values: NDArray[np.float64], *, percent: bool = False) -> str:
    known = values[~np.isnan(values)]
    if not len(known):
        return "-"
    return f"{known.mean():.0%}" if percent else f"{known.mean():.3f}"


def samples_table(columns: Columns, series: SeriesTable, *, shows_all: bool) -> Table:
    """List samples: series, time, and the value, or `gap` or `stale`."""
    n_shown = len(columns) if shows_all else min(len(columns), N_SHOWN)
    n_more = len(columns) - n_shown
    caption = f"{n_more} more rows: --all shows them" if n_more else None
    table = _table(("series", "time", "value"), left=("series", "time"), caption=caption)
    stale = is_stale(columns.value[:n_shown])
    for row in range(n_shown):
        value = float(columns.value[row])
        shown = "stale" if stale[row] else "gap" if math.isnan(value) else repr(value)
        name = escape(printable(str(series[int(columns.series[row])])))
        time = datetime.fromtimestamp(int(columns.time_ms[row]) / 1000, UTC)
        table.add_row(name, time.isoformat(timespec="milliseconds").replace("+00:00", "Z"), shown)
    return table


def alert_text(alert: Alert) -> str:
    """Write an alert in a few lines for the terminal."""
    name = f"[bold]{escape(alert.watch)}/{escape(alert.entity)}[/bold]"
    if alert.resolved_ms is not None:
        peak = escape("; ".join(channel_text(channel) for channel in named_channels(alert.channels, 2)))
        what = "amended " if alert.amends else "resolved"
        head = f"[green]{what}[/green] {time_text(alert.resolved_ms)} {name} {alert.reason}"
        if alert.levels:
            head += f" ({escape('; '.join(level_text(level) for level in alert.levels[:2]))})"
        return f"{head}, highest score {alert.score:.1f} with\n           {peak}"
    limit = " (provisional limit)" if alert.provisional else ""
    what = "[yellow]amended[/yellow] " if alert.amends else "[red]opened[/red]  "
    lines = [f"{what} {time_text(alert.opened_ms)} {name} score {alert.score:.1f}{limit}"]
    lines += [
        f"           {escape(channel_text(channel))} ({channel.share:.0%})"
        for channel in named_channels(alert.channels)
    ]
    return "\n".join(lines)


def episodes_table(episodes: Sequence[StoredEpisode]) -> Table:
    """List episodes: times, end, highest score, the most deviating channel, whether it was notified.

    Of an open one also how long it has lasted, its newest score and the channel's newest value.
    """
    headings = ("no.", "opened", "lasted", "", "watch", "entity", "score", "channel", "notified")
    left = [heading for heading in headings if heading not in ("no.", "lasted", "score")]
    table = _table(headings, left=left)
    for episode in episodes:
        lasted, score, latest = "", f"{episode.score:.1f}", episode.latest
        channel = channel_text(episode.channels[0]) if episode.channels else ""
        if episode.resolved_ms is not None:
            lasted = duration_text(episode.resolved_ms - episode.opened_ms)
        elif latest is not None and episode.reason is None:
            lasted = f"{duration_text(latest.time_ms - episode.opened_ms)} so far"
            score += ", not judged now" if latest.score is None else f", now {latest.score:.1f}"
            channel += _latest_text(episode, latest)
        changed = "".join(f" {level_text(level)}" for level in episode.levels[:1])
        revised = f" (revision {episode.revision})" if episode.revision else ""
        note = f" ({printable(episode.note)})" if episode.note else ""
        table.add_row(
            str(episode.number),
            time_text(episode.opened_ms),
            lasted,
            f"{episode.reason or 'open'}{escape(note)}{escape(changed)}{revised}",
            escape(episode.watch),
            escape(printable(episode.entity)),
            score,
            escape(printable(channel)),
            f"{'yes' if episode.notified else 'no'}{', muted' if episode.muted else ''}",
        )
    return table


def status_tables(statuses: Sequence[WatchStatus], *, n_most: int | None) -> list[Table]:
    """List how many entities each watch judges, then `n_most` of each that have no data, longest first."""
    watches = _table(("watch", "entities", "judged", "episodes open"), left=("watch",))
    for status in statuses:
        judged = "-"
        if status.n_expected is not None:
            judged = f"{status.n_expected - len(status.missing)} of {status.n_expected}"
        watches.add_row(escape(status.watch), str(status.n_entities), judged, str(status.n_open))
    missing = _table(("watch", "no data for", "since"), left=("watch", "no data for", "since"))
    for status in statuses:
        for entity, since_ms in status.missing[:n_most]:
            since = "before the daemon's state begins" if since_ms is None else time_text(since_ms)
            missing.add_row(escape(status.watch), escape(printable(entity)), since)
        n_more = len(status.missing[n_most:]) if n_most is not None else 0
        if n_more:
            missing.add_row(escape(status.watch), f"and {n_more} more: --all shows them", "")
    return [watches, missing] if missing.row_count else [watches]


def mutes_table(mutes: Sequence[OperatorRequest]) -> Table:
    """List what is muted: until when, by whom, why."""
    table = _table(
        ("watch", "entity", "until", "who", "why"), left=("watch", "entity", "until", "who", "why")
    )
    for request in mutes:
        until = "" if request.until is None else time_text(round(request.until * 1000))
        texts = (request.watch, printable(request.entity), until, request.who, printable(request.why))
        table.add_row(*(escape(text) for text in texts))
    return table


def _latest_text(episode: StoredEpisode, latest: LatestValues) -> str:
    if not episode.channels:
        return ""
    name = episode.channels[0].channel
    value = latest.actual.get(name)
    return "" if value is None else f"; now {value_text(name, value)}"


def outcome_text(outcome: TrainingOutcome) -> str:
    """Write the outcome of a training on the step history, and its deciding numbers, in a few lines.

    Why a model may not serve is left out: it is the command's error.
    """
    head = " ".join(filter(None, (f"watch {escape(outcome.watch)}: {outcome.result}", outcome.version)))
    reason = f": {escape(outcome.reason)}" if outcome.succeeded else ""
    lines = [f"{head} after {outcome.seconds:.1f} s{reason}"]
    gate = outcome.gate
    if gate is not None:
        if gate.error is not None and gate.opponent_error is not None:
            lines.append(f"  calibrated error {gate.error:.3f}, {gate.opponent} {gate.opponent_error:.3f}")
        over_limit = f"{gate.over_limit:.2%}, {gate.opponent} {gate.opponent_over_limit:.2%}"
        lines.append(f"  blocks over the limit {over_limit}, allowed {gate.allowed_over_limit:.2%}")
        kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in gate.caught_by_kind.items())
        opponent_caught = f"{gate.opponent} {gate.opponent_caught:.1%}"
        lines.append(f"  injected faults caught {gate.caught:.1%} ({kinds}), {opponent_caught}")
    return "\n".join(lines)


def demo_tables(
    outcome: DemoOutcome, three_sigma: DemoOutcome, *, train_seconds: float, replay_seconds: float
) -> list[Table]:
    """Show what became of each fault, and all together; beside the three-sigma rule."""
    faults = _table(
        ("fault", "from", "lasted", "Barograph", "three-sigma rule"),
        left=("fault", "from"),
        title="Injected faults, and the delay until each was caught",
    )
    for number, fault in enumerate(outcome.faults):
        faults.add_row(
            fault.kind,
            time_text(fault.start_ms)[11:],
            f"{(fault.end_ms - fault.start_ms) / 1000:.0f} s",
            _delay_text(outcome.opened_ms[number], fault.start_ms, fault.end_ms),
            _delay_text(three_sigma.opened_ms[number], fault.start_ms, fault.end_ms),
        )
    headings = ("", "caught", "while active", "median delay", "false episodes")
    caption = f"training {train_seconds:.1f} s, replay {replay_seconds:.1f} s"
    together = _table(headings, left=("",), title="All together", caption=caption)
    for name, detector in (("Barograph", outcome), ("three-sigma rule on every metric", three_sigma)):
        delays_seconds = detector.delays_seconds
        together.add_row(
            name,
            f"{len(delays_seconds)} of {len(detector.faults)}",
            str(detector.n_caught_while_active),
            f"{statistics.median(delays_seconds):.0f} s" if delays_seconds else "-",
            str(len(detector.false_episodes)),
        )
    return [faults, together]


def _delay_text(opened_ms: int | None, start_ms: int, end_ms: int) -> str:
    if opened_ms is None:
        return "missed"
    return f"{(opened_ms - start_ms) / 1000:.0f} s{'' if opened_ms <= end_ms else ' (after its end)'}"
