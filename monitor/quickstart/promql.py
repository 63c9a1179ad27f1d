"""The query of a watch: PromQL that gives each channel of each entity once. Pure.

A counter is never summed before its rate is known: one pod that restarts would be a fall of the sum. Metrics
that are not summed stay as they are, and keep their names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from monitor.quickstart.workload import POD_PATTERN
from monitor.text import escape_quotes

__all__ = ["rate_name", "selector", "watch_query"]

_MEANS = ("_percent", "_ratio", "_celsius", "_usage")  # their sum over pods would mean nothing


def selector(names: Sequence[str], match: str) -> str:
    """Select metrics by their names, and what matchers leave of them."""
    alternatives = "|".join(re.escape(name).replace("\\-", "-") for name in names)
    condition = f'__name__="{names[0]}"' if len(names) == 1 else f'__name__=~"{escape_quotes(alternatives)}"'
    return f"{{{condition},{match}}}" if match else f"{{{condition}}}"


def rate_name(name: str) -> str:
    """Name the rate of a counter, so that no name of the server means it."""
    return f"{name.removesuffix('_total')}_rate"


def watch_query(
    plain: Sequence[str],
    summed_counters: Sequence[str],
    *,
    labels: Sequence[str],
    match: str,
    rate_seconds: int,
    pod_label: str = "",
) -> str:
    """Write the query.

    Parameters
    ----------
    plain : sequence of str
        Levels, and counters of which each channel is a single series.
    summed_counters : sequence of str
        Counters that are summed as rates, each called as `rate_name` says.
    labels : sequence of str
        That are kept: those of an entity, then those of its channels.
    pod_label : str
        Where the label `workload` is made from the names in this label.
    """
    by = ", ".join(labels)
    terms = []
    means = [name for name in plain if name.endswith(_MEANS)]
    sums = [name for name in plain if name not in means]
    for function, names in (("sum", sums), ("avg", means)):
        if names:
            inside = _with_workload(selector(names, match), pod_label)
            terms.append(f"{function} by (__name__, {by}) ({inside})")
    for name in summed_counters:
        inside = _with_workload(f"rate({selector([name], match)}[{rate_seconds}s])", pod_label)
        terms.append(f'label_replace(sum by ({by}) ({inside}), "__name__", "{rate_name(name)}", "", "")')
    return "\nor on (__name__) ".join(terms)


def _with_workload(vector: str, pod_label: str) -> str:
    """Make the label `workload`: the pod's name, or what is left of it without its random end."""
    if not pod_label:
        return vector
    named = f'label_replace({vector}, "workload", "$1", "{pod_label}", "(.+)")'
    return f'label_replace({named}, "workload", "$1", "{pod_label}", "{POD_PATTERN}")'
