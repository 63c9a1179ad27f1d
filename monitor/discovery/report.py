"""How `barograph topics` looks on a terminal, or in a file: at most 100 columns."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from monitor.config.kafka import KafkaConfig
from monitor.discovery.cluster import ClusterReport, TopicReport, notes_of
from monitor.discovery.suggest import first_names
from monitor.discovery.survey import Group
from monitor.text import printable

__all__ = ["print_report"]

_WIDTH = 100  # where there is no terminal to ask


def print_report(report: ClusterReport, kafka: KafkaConfig, suggestion: str) -> None:
    """Print what was seen, what should be different, and the suggested settings."""
    out = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    out.print(
        Text(printable(f"Kafka at {', '.join(kafka.bootstrap_servers)}; lag of group {kafka.group_id}"))
    )
    out.print(_topics_table(report))
    rest = [
        f"{len(report.others)} other topics"
        if len(report.others) > 1
        else "another topic"
        if report.others
        else "",
        f"{report.n_internal} internal ones" if report.n_internal else "",
    ]
    if any(rest):
        out.print(
            Text(
                f"not shown: {' and '.join(one for one in rest if one)} (--topic NAME, * and ? as wildcards)\n",
                style="dim",
            )
        )
    if report.watches:
        out.print(_groups_table("your watches", [(one.name, one.by, one.group) for one in report.watches]))
    if report.suggested:
        out.print(
            _groups_table("suggested watches", [(one.name, one.by, one.group) for one in report.suggested])
        )
    for note in notes_of(report):
        out.print(Text(f"! {printable(note)}", style="yellow"))
    if not suggestion:
        out.print(Text("nothing to suggest: no series were found"))
    elif out.is_terminal:
        out.print(Syntax(suggestion, "toml", background_color="default"))
    else:
        sys.stdout.write(f"\n{suggestion}")


def _topics_table(report: ClusterReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in ("topic", "parts", "records", "lag", "format", "series", "every", "read"):
        left = heading in ("topic", "format", "read")
        table.add_column(heading, justify="left" if left else "right", overflow="fold", no_wrap=not left)
    for topic in report.topics:
        table.add_row(*(Text(printable(cell)) for cell in _topic_cells(topic, knows_lag=report.knows_lag)))
    return table


def _topic_cells(topic: TopicReport, *, knows_lag: bool) -> Sequence[str]:
    records = "?" if topic.n_records is None else str(topic.n_records)
    lag = str(topic.lag) if topic.lag is not None else "-" if knows_lag else "?"
    head = (topic.name, str(topic.n_partitions), records, lag)
    survey = topic.survey
    if survey is None:
        return (*head, "", "", "", topic.problem if topic.problem == "empty" else "see below")
    interval = survey.interval_seconds()
    every = "" if interval is None else f"{interval:.3g} s"
    return (*head, survey.format or "unknown", str(len(survey.series)), every, topic.read or "see below")


def _groups_table(title: str, groups: Sequence[tuple[str, Sequence[str], Group]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in (title, "by", "series", "channels", "entities", ""):
        left = heading in (title, "by", "")
        table.add_column(heading, justify="left" if left else "right", overflow="fold", no_wrap=not left)
    for name, by, group in groups:
        counts = (str(group.n_series), str(group.n_channels), str(len(group.entities)))
        row = (name, ", ".join(by) or "series", *counts, first_names(group.entities))
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
