"""Closed steps of series to closed steps of channels, the derived ones among them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.derive.inputs import DerivedInputs, Terms
from monitor.derive.quantile import histogram_quantile
from monitor.derive.rules import DeriveRule, Role
from monitor.derive.traffic import Traffic

__all__ = ["Derivation"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class _Groups(NamedTuple):
    """Terms in their order, parted where the next group of them begins.

    `first` (G,): the first term of each group; `row`, `channel` (G,): what the group belongs to; `bound` (G,)
    of its bucket.
    """

    terms: Terms
    first: Ints
    row: Ints
    channel: Ints
    bound: Floats

    def gathered(self, values: Floats) -> Floats:
        """Give the terms' values (T, M) of a grid's (T, n, K)."""
        return np.asarray(values[:, self.terms.row, self.terms.column])

    def sums(self, values: Floats) -> Floats:
        """Give the groups' sums (T, G) over what is known; NaN where nothing is."""
        gathered = self.gathered(values)
        known = ~np.isnan(gathered)
        total = np.add.reduceat(np.where(known, gathered, 0.0), self.first, axis=1)
        return np.where(self.counts(known) > 0, total, np.nan)

    def counts(self, known: NDArray[np.bool_]) -> Ints:
        """Count the known terms (T, M) of each group, (T, G)."""
        return np.asarray(np.add.reduceat(known.astype(np.int64), self.first, axis=1))


class _Plan(NamedTuple):
    """How the channels of some rows follow from the terms.

    `reduced`: of each rule but ratios. `hits`, `over`: both sides of the ratios; `over_of_hits`: the group of
    `over` that each of `hits` belongs to.
    """

    reduced: list[tuple[DeriveRule, _Groups]]
    hits: _Groups
    over: _Groups
    over_of_hits: Ints


class Derivation:
    """Turns steps of the grid's columns (T, n, K) into steps of a watch's channels (T, n, C).

    Sums, maxima and averages are over the series that have a value in a step. A ratio is of the sums of its
    two sides. What ratios had learned before each of the newest blocks of steps is kept: where late samples
    change a step, it and those behind it are derived again as if these had come in time.

    Parameters
    ----------
    inputs : DerivedInputs
        Grows as series appear; read at each call.
    revision_steps : int
        The newest steps that may be derived again.
    """

    def __init__(self, inputs: DerivedInputs, *, step_ms: int, revision_steps: int) -> None:
        self._inputs = inputs
        self._step_seconds = step_ms / 1000
        self._traffic = Traffic(0, channels=0)
        # Of the newest blocks: their first step, and what was known before it.
        self._before: deque[tuple[int, Traffic]] = deque(maxlen=revision_steps + 1)
        self._plan = _plan_of(inputs.terms(), inputs.rules)
        self._version = inputs.version
        self._has_ratios = any(rule.kind == "ratio" for rule in inputs.rules)

    def apply(self, first_step: int, values: Floats) -> Floats:
        """Derive the next block of steps."""
        n_rows = values.shape[1]
        self._make_room(n_rows)
        if self._has_ratios:
            self._before.append((first_step, self._traffic.take(np.arange(n_rows))))
        return self._derived(values, self._current_plan(), np.arange(n_rows), first_step, {})

    def apply_again(self, first_step: int, rows: Ints, values: Floats) -> Floats:
        """Derive the newest blocks of some rows (m,) again; values (T, m, K) reach to the newest step."""
        self._make_room(int(rows.max(initial=-1)) + 1)
        before = dict(self._before)
        if first_step in before:
            self._traffic.put(rows, before[first_step].take(rows))
        plan = _plan_of(self._inputs.terms().of_rows(rows), self._inputs.rules)
        return self._derived(values, plan, rows, first_step, before)

    def restart(self) -> None:
        """Derive no step again that was derived up to now."""
        self._before.clear()

    def keep_rows(self, rows: Ints) -> None:
        """Drop all but these rows and number them anew, in this order."""
        for traffic in self._all_traffic():
            traffic.keep_rows(rows)

    def rearrange_channels(self, order: Ints) -> None:
        """Put the channels (C,) into another order by their numbers; -1 is a new one."""
        for traffic in self._all_traffic():
            traffic.rearrange("channels", order)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give what ratios have learned, by name."""
        if not self._has_ratios:
            return {}
        self._make_room(self._traffic.n_rows)
        states = [traffic.state() for traffic in self._all_traffic()]
        stacked = {f"derived.{name}": np.stack([of[name] for of in states]) for name in states[0]}
        steps = np.array([first_step for first_step, _ in self._before], np.int64)
        return stacked | {"derived.steps": steps}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over arrays that `state` gave.

        Raises
        ------
        KeyError, ValueError
            If one is missing or does not fit.
        """
        if not self._has_ratios:
            return
        names = Traffic(0, channels=0).state()
        traffics = []
        for number in range(1 + len(arrays["derived.steps"])):
            traffic = Traffic(0, channels=0)
            traffic.load_state({name: arrays[f"derived.{name}"][number] for name in names})
            traffics.append(traffic)
        self._traffic = traffics[0]
        self._before.clear()
        self._before.extend(zip(arrays["derived.steps"].tolist(), traffics[1:], strict=True))

    def _all_traffic(self) -> list[Traffic]:
        return [self._traffic, *(traffic for _, traffic in self._before)]

    def _make_room(self, n_rows: int) -> None:
        """Let everything that is kept have the same rows and channels, and at least so many rows."""
        n_rows = max(n_rows, self._traffic.n_rows)
        shape = (n_rows, len(self._inputs.column_of))
        for traffic in self._all_traffic():
            if traffic.hits.shape != shape:
                traffic.grow(n_rows, channels=shape[1])

    def _current_plan(self) -> _Plan:
        if self._version != self._inputs.version:
            self._plan = _plan_of(self._inputs.terms(), self._inputs.rules)
            self._version = self._inputs.version
        return self._plan

    def _derived(
        self, values: Floats, plan: _Plan, rows: Ints, first_step: int, before: Mapping[int, Traffic]
    ) -> Floats:
        """Derive steps of some rows (m,), which the plan numbers by their index.

        `before`, by its first step: what is to be kept anew of each block.
        """
        column_of = np.array(self._inputs.column_of, np.int64)
        derived = np.full((*values.shape[:2], len(column_of)), np.nan)
        derived[:, :, column_of >= 0] = values[:, :, column_of[column_of >= 0]]
        for rule, groups in plan.reduced:
            row, channel, of_groups = _reduced(rule, groups, values)
            derived[:, row, channel] = of_groups
        over = plan.over
        if not len(over.first):
            return derived
        total = self._step_seconds * over.sums(values)
        hits = np.zeros_like(total)
        if len(plan.hits.first):
            hits[:, plan.over_of_hits] = self._step_seconds * plan.hits.sums(values)
        for t in range(len(values)):
            if first_step + t in before:
                before[first_step + t].put(rows, self._traffic.take(rows))
            derived[t, over.row, over.channel] = self._traffic.shrunk(
                rows[over.row], over.channel, hits[t], total[t], self._step_seconds
            )
        return derived


def _plan_of(terms: Terms, rules: Sequence[DeriveRule]) -> _Plan:
    reduced = []
    for number, rule in enumerate(rules):
        of_rule = terms.take(terms.rule == number)
        if len(of_rule) and rule.kind != "ratio":
            reduced.append((rule, _grouped(of_rule, by_bound=rule.kind == "quantile")))
    is_ratio = np.array([rule.kind == "ratio" for rule in rules])[terms.rule]
    over = _grouped(terms.take(is_ratio & (terms.role == Role.OVER)))
    hits = terms.take(is_ratio & (terms.role == Role.VALUE))
    n_rows = int(terms.row.max(initial=-1)) + 1
    cells = over.channel * n_rows + over.row  # ascending, as the terms are
    hits = hits.take(np.isin(hits.channel * n_rows + hits.row, cells))
    of_hits = _grouped(hits)
    return _Plan(reduced, of_hits, over, np.searchsorted(cells, of_hits.channel * n_rows + of_hits.row))


def _grouped(terms: Terms, *, by_bound: bool = False) -> _Groups:
    """Part terms, which are in the order of channel, row and bound, by these."""
    begins = np.ones(len(terms), bool)
    begins[1:] = (np.diff(terms.channel) != 0) | (np.diff(terms.row) != 0)
    if by_bound:
        begins[1:] |= terms.bound[1:] != terms.bound[:-1]
    first = np.flatnonzero(begins)
    return _Groups(terms, first, terms.row[first], terms.channel[first], terms.bound[first])


def _reduced(rule: DeriveRule, groups: _Groups, values: Floats) -> tuple[Ints, Ints, Floats]:
    """Give the rows and channels (G,) that a rule derives, and their values (T, G)."""
    if rule.kind == "quantile":
        return _quantiles(rule.quantile, groups, values)
    if rule.kind == "max":
        reduced = np.fmax.reduceat(groups.gathered(values), groups.first, axis=1)
    else:
        reduced = groups.sums(values)
        if rule.kind == "avg":
            known = ~np.isnan(groups.gathered(values))
            reduced = reduced / np.maximum(groups.counts(known), 1)
    return groups.row, groups.channel, reduced


def _quantiles(quantile: float, buckets: _Groups, values: Floats) -> tuple[Ints, Ints, Floats]:
    """Give the rows and channels (H,) of histograms, whose buckets are groups, and their quantiles (T, H)."""
    begins = np.ones(len(buckets.first), bool)
    begins[1:] = (np.diff(buckets.channel) != 0) | (np.diff(buckets.row) != 0)
    histogram = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    bucket = np.arange(len(begins)) - first[histogram]
    shape = (len(first), int(bucket.max()) + 1)
    bounds = np.full(shape, np.nan)
    bounds[histogram, bucket] = buckets.bound
    counts = np.full((len(values), *shape), np.nan)
    counts[:, histogram, bucket] = buckets.sums(values)
    return buckets.row[first], buckets.channel[first], histogram_quantile(quantile, bounds, counts)
