"""A suggestion as a commented configuration. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.config.toml_text import toml_comment, toml_setting, toml_value
from monitor.quickstart.choose import ChosenWatch
from monitor.quickstart.suggestion import Suggestion
from monitor.text import first_of

__all__ = ["config_text"]

_MOST_NAMED = 12
# `quickstart` trains each watch twice, and is to end in minutes.
_EPOCHS, _EPOCHS_OF_MANY, _FEW_WATCHES = 20, 10, 2


def config_text(suggestion: Suggestion, connection: Mapping[str, Any], *, data_dir: str) -> str:
    """Write a configuration that asks the server for each watch's query.

    Parameters
    ----------
    connection : mapping
        Keys of `[source.prometheus]`; secrets as references.
    """
    n_watched = sum(watch.n_series for watch in suggestion.watches)
    lines = [
        toml_comment(f"Suggested by `barograph init` for {suggestion.url}: {n_watched} of its"),
        toml_comment(
            f"{suggestion.n_series} series, sampled each {suggestion.scrape_seconds:g} s, are watched."
        ),
        "# A beginning: keep what you would look at yourself, and set how many false alerts you accept.",
        "# Train anew after changing `query`, `metrics`, `by` or `step_seconds`. The shipped config.toml",
        "# explains every key.",
        "",
        f"data_dir = {toml_value(data_dir)}",
        "",
        "[source]",
        'kind = "prometheus"',
        "",
        "[source.prometheus]",
        'mode = "query_range"  # the daemon asks for each `query`: nothing is to be set up at the server',
        *(toml_setting(key, value) for key, value in connection.items()),
        "",
        *_REMOTE_WRITE,
        "",
    ]
    lines += [toml_comment(f"not watched: {line}") for line in suggestion.skipped]
    if suggestion.skipped:
        lines.append("")
    for watch in suggestion.watches:
        lines += _watch_lines(watch, suggestion)
    return "\n".join(lines).rstrip("\n") + "\n"


_REMOTE_WRITE = (
    '# Instead, the server can send what it scrapes: mode = "remote_write", and in prometheus.yml',
    "#     remote_write:",
    "#       - url: http://THIS-HOST:9469/api/v1/write",
    "# Then series come as they are: `query` is not evaluated, nothing is summed, no `workload` is made, and",
    "# a metric that ends in `_rate` below must be named as the counter that it is made of. Train anew then.",
)


def _watch_lines(watch: ChosenWatch, suggestion: Suggestion) -> Iterator[str]:
    yield "[[watch]]"
    yield f"name = {toml_value(watch.name)}"
    yield toml_comment(f"{watch.title}: {watch.entities_text}, {watch.n_series} series")
    yield toml_setting("metrics", list(watch.metrics))
    if watch.rates:
        yield toml_comment("sums of rates a second, as the query makes them: those that end in _rate")
    for reason, names in watch.left_out.items():
        yield toml_comment(f"left out, {reason}: {first_of(names, _MOST_NAMED)}")
    if watch.counters:
        yield toml_comment("these only rise, but for resets: judged as rates a second")
        yield toml_setting("counters", list(watch.counters))
    if watch.gauges:
        yield toml_comment("levels, whatever the ending says")
        yield toml_setting("gauges", list(watch.gauges))
    if watch.match:
        yield toml_setting("match", watch.match)
    if watch.by_reason:
        yield toml_comment(f"an entity is {watch.by_reason}")
    yield toml_setting("by", list(watch.by) if watch.by else "series")
    yield f"query = '''\n{watch.query}'''"
    step = suggestion.step_seconds
    yield f"step_seconds = {toml_value(step)}"
    yield f"stale_seconds = {toml_value(5 * step)}"
    yield 'budget = "1/week"  # false episodes that you accept, all entities together'
    yield ""
    yield "[watch.model]"
    epochs = _EPOCHS if len(suggestion.watches) <= _FEW_WATCHES else _EPOCHS_OF_MANY
    yield f"epochs = {epochs}  # a first model in minutes; the default of 40 fits a little better"
    yield ""
