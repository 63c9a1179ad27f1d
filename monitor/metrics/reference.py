"""The documentation page of every exported metric."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from monitor.metrics.catalogue import Declaration
from monitor.metrics.exposition import ENTITY_METRICS
from monitor.metrics.instruments import Metrics

__all__ = ["reference"]

_MORE_LABELS = {
    "barograph_actual": ("channel",),
    "barograph_expected": ("channel",),
    "barograph_episode_share": ("channel",),
    "barograph_hours_to_bound": ("channel", "bound"),
}
_HEAD = (
    "Every metric on `/metrics`; `make docs` writes this page from their declarations. Metrics of entities "
    "disappear when an entity is stale, and are capped by `web.max_exported_series`; but an open episode "
    "always has its `barograph_anomaly` and `barograph_episode_*`, and an entity without data its "
    "`barograph_not_judged_since_timestamp_seconds`."
)


def reference() -> str:
    """Write the reference of every exported metric, as Markdown."""
    declarations = list(Metrics(CollectorRegistry(), []).catalogue.declarations)
    for name, documentation in ENTITY_METRICS.items():
        labels = ("watch", "entity", *_MORE_LABELS.get(name, ()))
        declarations.append(Declaration(name, "gauge", labels, documentation))
    lines = ["# Metrics", "", _HEAD, "", "| metric | type | labels | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels)} | {metric.documentation} |"
        for metric in sorted(declarations)
    ]
    return "\n".join(lines) + "\n"
