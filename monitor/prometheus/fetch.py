"""The samples of some queries in a stretch of time: asked for in parts that the server can answer.

A query that only names series gives the samples as they are stored: gaps stay gaps. An expression is
evaluated at each step.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from monitor.prometheus.answers import Answer, export_answer, matrix_answer, names_in, without_duplicates
from monitor.prometheus.api import MAX_POINTS, PrometheusApi
from monitor.prometheus.errors import (
    AccessError,
    ApiError,
    QueryRefusedError,
    RangeTooLargeError,
    UnavailableError,
)
from monitor.prometheus.kinds import MetricKinds
from monitor.prometheus.ranges import TimeRange, grid_points, halves, point_ranges
from monitor.prometheus.retry import Retries
from monitor.sample import Columns, SeriesTable

__all__ = ["FetchedSamples", "Query", "SampleFetcher", "parts_by_name"]

_SHORTEST_RAW_MS = 60_000  # below it a range is not what makes an answer too large


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for.

    Parameters
    ----------
    step_ms : int
        An expression is evaluated at the multiples of it.
    name : str
        Of results that have no name; empty: these are an error.
    """

    text: str
    step_ms: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class FetchedSamples:
    """The samples of a range, by time; each once.

    `n_histograms` native histograms were left out. `shortest_ms` is the length of the shortest part that the
    range was asked for in: less than the range where the server refused it as a whole.
    """

    columns: Columns
    n_histograms: int
    shortest_ms: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """A query, and how its samples are read: as they are stored, or at steps."""

    query: Query
    is_raw: bool


class SampleFetcher:
    """Reads samples from a server.

    Parameters
    ----------
    table : SeriesTable
        Where the series get their numbers and kinds.
    """

    def __init__(self, api: PrometheusApi, table: SeriesTable, retries: Retries) -> None:
        self._api = api
        self._table = table
        self._retries = retries
        self._kinds = MetricKinds({})
        self._plans: list[_Plan] = []
        self._exports = False

    def prepare(self, queries: Sequence[Query], time_ms: int) -> None:
        """Find out what the server can do, and which queries are expressions.

        Raises
        ------
        ApiError
            If a query is wrong, or the server cannot be asked.
        """
        self._exports = self._retries.run(lambda: self._api.has_export(time_ms))
        self._learn_types()
        self._plans = [_Plan(query, is_raw=self._is_raw(query, time_ms)) for query in queries]

    @property
    def expressions(self) -> list[str]:
        """The queries that are evaluated at steps."""
        return [plan.query.text for plan in self._plans if not plan.is_raw]

    def fetch(self, span: TimeRange) -> FetchedSamples:
        """Give the samples of all queries in a range.

        Raises
        ------
        ApiError
            If the server refuses, or does not answer for long; nothing of the range is given then.
        """
        parts: list[Columns] = []
        n_histograms = 0
        shortest_ms = span.length_ms
        for asked_ms, answer in self._answers(span):
            parts.append(answer.columns)
            n_histograms += answer.n_histograms
            shortest_ms = min(shortest_ms, asked_ms)
        return FetchedSamples(without_duplicates(parts), n_histograms, shortest_ms)

    def _answers(self, span: TimeRange) -> Iterator[tuple[int, Answer]]:
        waiting = [(plan, span) for plan in reversed(self._plans)]
        while waiting:
            plan, part = waiting.pop()
            smaller = _halves(plan, part)
            try:
                answer = self._ask(plan, part, may_split=smaller is not None)
            except (RangeTooLargeError, UnavailableError) as error:
                if isinstance(error, UnavailableError) and not error.is_timeout:
                    raise
                if smaller is not None:
                    waiting += [(plan, half) for half in reversed(smaller)]
                    continue
                plans = self._split_by_name(plan, part, error)
                place = self._plans.index(plan)
                self._plans[place : place + 1] = plans
                # Other parts of the range wait with the same query.
                waiting = [
                    (by_name, other)
                    for waits, other in [*waiting, (plan, part)]
                    for by_name in (reversed(plans) if waits == plan else (waits,))
                ]
            else:
                yield part.length_ms, answer

    def _ask(self, plan: _Plan, span: TimeRange, *, may_split: bool) -> Answer:
        query = plan.query
        if not plan.is_raw:
            return self._at_steps(query, span, may_split=may_split)
        if self._exports:
            # Read as a whole within one attempt: what came before a failure is dropped with it.
            return self._retries.run(
                lambda: export_answer(self._api.export(query.text, span), span, self._table, self._kinds),
                may_split=may_split,
            )
        return self._retries.run(
            lambda: self._read(self._api.raw(query.text, span), span, query), may_split=may_split
        )

    def _at_steps(self, query: Query, span: TimeRange, *, may_split: bool) -> Answer:
        points = grid_points(span, query.step_ms)
        parts: list[Answer] = []
        for first_ms, last_ms in point_ranges(*points, query.step_ms, MAX_POINTS) if points else ():
            ask = self._asking_at_steps(query, first_ms, last_ms, span)
            parts.append(self._retries.run(ask, may_split=may_split))
        return Answer(
            without_duplicates(part.columns for part in parts), sum(part.n_histograms for part in parts)
        )

    def _asking_at_steps(
        self, query: Query, first_ms: int, last_ms: int, span: TimeRange
    ) -> Callable[[], Answer]:
        def ask() -> Answer:
            result = self._api.at_steps(query.text, first_ms, last_ms, query.step_ms)
            return self._read(result, span, query)

        return ask

    def _read(self, result: list[object], span: TimeRange, query: Query) -> Answer:
        if self._kinds.unasked(names_in(result)):  # type: ignore[arg-type]
            self._learn_types()
        return matrix_answer(result, span, self._table, self._kinds, name=query.name)  # type: ignore[arg-type]

    def _learn_types(self) -> None:
        # Of a server that tells no types, names decide.
        with contextlib.suppress(AccessError, QueryRefusedError, RangeTooLargeError):
            self._kinds.learn(self._retries.run(self._api.types))

    def _is_raw(self, query: Query, time_ms: int) -> bool:
        if self._exports:
            return self._retries.run(lambda: self._api.exports(query.text, time_ms))
        return self._retries.run(lambda: self._api.is_selector(query.text, time_ms))

    def _split_by_name(self, plan: _Plan, span: TimeRange, error: ApiError) -> list[_Plan]:
        """Split a query whose series are too many even for a short range.

        Raises
        ------
        RangeTooLargeError
            If it cannot be split.
        """
        texts = None
        if plan.is_raw:
            names = self._retries.run(lambda: self._api.names(plan.query.text, span))
            texts = parts_by_name(plan.query.text, names)
        if texts is None:
            raise RangeTooLargeError(
                f"{plan.query.text} is too much even for {span.length_ms / 1000:g} s: {error}. "
                "Name fewer series in a query, by more labels; there may be several"
            ) from error
        return [replace(plan, query=replace(plan.query, text=text)) for text in texts]


def parts_by_name(selector: str, names: Sequence[str]) -> tuple[str, str] | None:
    """Split a selector by the names of its metrics; None where that cannot be done.

    The second half takes all names but those of the first: also those that only come later.
    """
    text = selector.strip()
    inside = text[1:-1].strip().removesuffix(",")
    if len(names) < 2 or not (text.startswith("{") and text.endswith("}")) or " or " in inside.lower():
        return None
    first = "|".join(re.escape(name) for name in sorted(names)[: len(names) // 2])
    pattern = first.replace("\\", "\\\\").replace('"', '\\"')
    return f'{{{inside},__name__=~"{pattern}"}}', f'{{{inside},__name__!~"{pattern}"}}'


def _halves(plan: _Plan, span: TimeRange) -> tuple[TimeRange, TimeRange] | None:
    return halves(span, _SHORTEST_RAW_MS if plan.is_raw else plan.query.step_ms)
