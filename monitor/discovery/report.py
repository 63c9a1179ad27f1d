"""What a cluster holds, as `barograph topics` prints it: on a terminal, or in a file of 100 columns."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

from rich import box
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from monitor.config.kafka import KafkaConfig
from monitor.discovery.advice import advice
from monitor.discovery.cluster import ClusterReport, TopicReport, WatchGroup
from monitor.discovery.suggest import SuggestedWatch, first_names
from monitor.discovery.topic_choice import ChosenTopics
from monitor.text import printable

__all__ = ["print_report"]

_WIDTH = 100  # where there is no terminal
_TOPIC_HEADINGS = ("topic", "parts", "records", "lag", "format", "series", "every", "read")
_WATCH_HEADINGS = ("by", "series", "channels", "entities", "")
_LEFT_ALIGNED = {"topic", "format", "read", "by", ""}


def print_report(report: ClusterReport, kafka: KafkaConfig, suggestion: str) -> None:
    """Print what was found, what should be changed, and the suggested settings."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    servers = ", ".join(kafka.bootstrap_servers)
    console.print(_text(f"Kafka at {servers}; lag of group {kafka.group_id}"))
    console.print(_topics_table(report))
    hidden = _hidden_topics(report.chosen)
    if hidden:
        text = f"not shown: {hidden} (--topic NAME, * and ? as wildcards)\n"
        console.print(Text(text, style="dim"))
    if report.watches:
        console.print(_watches_table("your watches", report.watches))
    if report.suggested:
        console.print(_watches_table("suggested watches", report.suggested))
    for line in advice(report):
        console.print(_text(f"! {line}", style="yellow"))
    if not suggestion:
        console.print(Text("nothing to suggest: no series were found"))
    elif console.is_terminal:
        console.print(Syntax(suggestion, "toml", background_color="default"))
    else:
        sys.stdout.write(f"\n{suggestion}")


def _hidden_topics(chosen: ChosenTopics) -> str:
    """Count the topics that are not shown; empty where all are."""
    counts = []
    if chosen.others:
        counts.append(f"{len(chosen.others)} other topics" if len(chosen.others) > 1 else "another topic")
    if chosen.n_internal:
        counts.append(f"{chosen.n_internal} internal ones")
    return " and ".join(counts)


def _topics_table(report: ClusterReport) -> Table:
    table = _table(_TOPIC_HEADINGS)
    for topic in report.topics:
        table.add_row(*map(_text, _topic_cells(topic, knows_lag=report.knows_lag)))
    return table


def _topic_cells(topic: TopicReport, *, knows_lag: bool) -> Sequence[str]:
    records = "?" if topic.n_records is None else str(topic.n_records)
    lag = str(topic.lag) if topic.lag is not None else "-" if knows_lag else "?"
    size = (topic.name, str(topic.n_partitions), records, lag)
    survey = topic.survey
    if survey is None:
        return (*size, "", "", "", topic.problem if topic.problem == "empty" else "see below")
    interval = survey.interval_seconds()
    every = "" if interval is None else f"{interval:.3g} s"
    return (*size, survey.format or "unknown", str(len(survey.series)), every, topic.read or "see below")


def _watches_table(title: str, watches: Sequence[WatchGroup | SuggestedWatch]) -> Table:
    table = _table((title, *_WATCH_HEADINGS), left_aligned={title, *_LEFT_ALIGNED})
    for watch in watches:
        group = watch.group
        counts = (str(group.n_series), str(group.n_channels), str(len(group.entities)))
        cells = (watch.name, ", ".join(watch.by) or "series", *counts, first_names(group.entities))
        table.add_row(*map(_text, cells))
    return table


def _table(headings: Sequence[str], *, left_aligned: Collection[str] = _LEFT_ALIGNED) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in headings:
        is_left = heading in left_aligned
        table.add_column(
            heading, justify="left" if is_left else "right", overflow="fold", no_wrap=not is_left
        )
    return table


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)
