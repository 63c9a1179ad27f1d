"""The watch that would take the series of some files, in words: the way out where no watch takes them."""

from __future__ import annotations

import numpy as np

from monitor.sample import Columns, SeriesTable
from monitor.text import first_of

__all__ = ["suggested_watch"]

# Labels that usually say which thing a series belongs to, the likeliest first.
_ENTITY_LABELS = (
    "entity",
    "host",
    "hostname",
    "instance",
    "service",
    "pod",
    "node",
    "device",
    "itemid",
    "job",
)
_N_SHOWN = 3  # series in the message


def suggested_watch(table: SeriesTable, columns: Columns | None = None) -> str:
    """Say which series there are, and which `by` and `step_seconds` of a watch fit them.

    Parameters
    ----------
    columns : Columns, optional
        The samples, whose usual distance is the step; without them no step is suggested.
    """
    series = [table[number] for number in range(len(table))]
    if not series:
        return "There is no series in them."
    shown = first_of(series, _N_SHOWN)
    common = set.intersection(*({name for name, _ in known.labels} for known in series))
    label = next((name for name in _ENTITY_LABELS if name in common), min(common, default=""))
    by = f'["{label}"]' if label else '"series"'
    step = "" if columns is None else _step_text(columns)
    return (
        f'Their series are {shown}: a [[watch]] with a name, metrics = ["*"], by = {by}{step} takes '
        "them (docs/files.md has an example)."
    )


def _step_text(columns: Columns) -> str:
    """Name the usual distance of a series' samples, in words of the configuration."""
    order = np.lexsort((columns.time_ms, columns.series))
    apart = np.diff(columns.time_ms[order])
    apart = apart[(np.diff(columns.series[order]) == 0) & (apart > 0)]
    return f" and step_seconds = {float(np.median(apart)) / 1000:g}" if len(apart) else ""
