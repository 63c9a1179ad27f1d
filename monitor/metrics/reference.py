"""The documentation page of every exported metric."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from monitor.metrics.exposition import ENTITY_METRICS
from monitor.metrics.instruments import Metrics

__all__ = ["reference"]

_MORE_LABELS = dict.fromkeys(("barograph_actual", "barograph_expected", "barograph_episode_share"), ("channel",))
_REFERENCE_HEAD = (
    "Everything on `/metrics`; `make docs` writes this page from the module that declares them. Metrics of entities "
    "disappear when an entity is stale, and are capped by `web.max_exported_series`; but an open episode always shows its "
    "`barograph_anomaly` and `barograph_episode_*`."
)


def reference() -> str:
    """Write the reference of every exported metric, as Markdown."""
    registry = CollectorRegistry()
    declared = [one for one in vars(Metrics(registry, [])).values() if isinstance(one, MetricWrapperBase)]
    rows = [(family.name, family.type, one._labelnames, family.documentation) for one in declared for family in one.describe()]
    rows += [(name, "gauge", ("watch", "entity", *_MORE_LABELS.get(name, ())), text) for name, text in ENTITY_METRICS.items()]
    lines = ["# Metrics", "", _REFERENCE_HEAD, "", "| metric | type | labels | meaning |", "|---|---|---|---|"]
    for name, kind, labels, text in sorted(rows):
        shown = f"{name}_total" if kind == "counter" else name
        lines.append(f"| `{shown}` | {kind} | {', '.join(labels)} | {text} |")
    return "\n".join(lines) + "\n"
