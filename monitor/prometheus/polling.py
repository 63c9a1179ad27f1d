"""The newest values of each watch's query, asked for again and again: the source with `mode = "query_range"`.

A turn asks for all points of all watches' grids up to a time, a request a poll, and gives them out together.
So the position is a single event time: every point before it was given out, and none after it. What the
server does not answer is asked for again until it does; steps stay open meanwhile: an outage loses nothing.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.clock import Clock
from monitor.log_limit import RateLimit, times_before
from monitor.prometheus.answers import Answer, matrix_answer, names_in, without_duplicates
from monitor.prometheus.api import MAX_POINTS, PrometheusApi
from monitor.prometheus.errors import (
    AccessError,
    ApiError,
    QueryRefusedError,
    RangeTooLargeError,
    UnavailableError,
)
from monitor.prometheus.kinds import MetricKinds
from monitor.prometheus.ranges import ChunkLength, TimeRange, grid_points, halves, point_ranges
from monitor.prometheus.retry import RetryDelay
from monitor.sample import Columns, SeriesTable, no_samples
from monitor.sources.position import Position
from monitor.sources.source import Batch

__all__ = ["PollingSource", "WatchQuery"]

log = logging.getLogger(__name__)

_FIRST_TURN_MS = 3_600_000
_LONGEST_TURN_MS = 86_400_000
_TURN_SAMPLES = 500_000  # as many as a batch of Kafka's has at most


@dataclass(frozen=True, slots=True)
class WatchQuery:
    """The query of a watch, which is evaluated at the multiples of its step.

    Without a position it begins `rewind_ms` back, so that the windows are full at once. Results that have no
    name of their own are called like the watch.
    """

    watch: str
    text: str
    step_ms: int
    rewind_ms: int


@dataclass(frozen=True, slots=True)
class _Request:
    query: WatchQuery
    first_ms: int
    last_ms: int


class PollingSource:
    """Values of queries as a stream of samples.

    The connection is opened by the first polls: a server that is away delays no start. Until it has answered,
    batches are empty and not *ready*.

    Parameters
    ----------
    lag_ms : int
        Values are asked for once their time is so far back.
    max_catch_up_ms : int
        Go back by this at most; what lies before is a gap.
    resumed : Position, optional
        The position in the checkpoint that the daemon resumes from.

    Raises
    ------
    ApiError
        By `poll`, if the server refuses the first request of a query: something is set wrongly.
    """

    def __init__(
        self,
        api: PrometheusApi,
        table: SeriesTable,
        clock: Clock,
        queries: Sequence[WatchQuery],
        *,
        lag_ms: int,
        max_catch_up_ms: int,
        rng: random.Random,
        resumed: Position | None = None,
    ) -> None:
        self._api = api
        self._table = table
        self._clock = clock
        self._queries = tuple(queries)
        self._lag_ms = lag_ms
        self._max_catch_up_ms = max_catch_up_ms
        self._until_ms = resumed.time_ms if resumed else None  # every point before it was given out
        self._turn: TimeRange | None = None
        self._requests: list[_Request] = []  # of the turn that are left, the next one last
        self._parts: list[Columns] = []
        self._kinds = MetricKinds({})
        self._answered: set[str] = set()  # watches whose query the server has understood
        self._delay = RetryDelay(rng)
        self._ask_at = 0.0  # by the monotonic clock
        self._length = ChunkLength(_FIRST_TURN_MS, longest_ms=_LONGEST_TURN_MS, most_samples=_TURN_SAMPLES)
        self._n_bad: Counter[str] = Counter()
        self._limit = RateLimit(clock.monotonic)

    def poll(self, timeout_seconds: float) -> Batch:
        """Make the next request that is due, and give the samples once all of a turn are there."""
        self._wait(timeout_seconds)
        if self._turn is None:
            self._begin_turn()
        if self._requests and self._clock.monotonic() >= self._ask_at:
            self._ask(self._requests[-1])
        return self._batch(self._end_turn() if self._turn and not self._requests else no_samples())

    def position(self) -> Position:
        """Give the event time before which every point was given out."""
        return Position(self._until_ms)

    def commit(self, position: Position) -> None:
        """Nothing to acknowledge: the server keeps its samples."""

    def close(self) -> None:
        """Close all connections."""
        self._api.close()

    def _wait(self, timeout_seconds: float) -> None:
        """Wait for the next attempt after a failure, or for the next point that is due."""
        seconds = self._ask_at - self._clock.monotonic()
        if self._turn is None and self._until_ms is not None:
            next_ms = min(-(-self._until_ms // query.step_ms) * query.step_ms for query in self._queries)
            seconds = max(seconds, (next_ms + self._lag_ms) / 1000 - self._clock.now())
        if seconds > 0:
            self._clock.wait(threading.Event(), min(seconds, timeout_seconds))

    def _begin_turn(self) -> None:
        """Find the points that are due."""
        end_ms = self._now_ms() - self._lag_ms + 1
        first_turn = self._until_ms is None
        from_ms = end_ms - max(query.rewind_ms for query in self._queries)
        if self._until_ms is not None:
            from_ms = self._until_ms
            if from_ms < end_ms - self._max_catch_up_ms:
                log.warning(
                    "gap left url=%s seconds=%.0f: it is longer than max_catch_up_seconds",
                    self._api.url,
                    (end_ms - self._max_catch_up_ms - from_ms) / 1000,
                )
                from_ms = end_ms - self._max_catch_up_ms
        if end_ms <= from_ms:
            return  # the clock was set back: wait until it is there again
        turn = TimeRange(from_ms, min(end_ms, from_ms + self._length.length_ms))
        for query in reversed(self._queries):
            begin_ms = max(from_ms, end_ms - query.rewind_ms) if first_turn else from_ms
            self._plan(query, TimeRange(begin_ms, turn.to_ms))
        self._turn = turn

    def _plan(self, query: WatchQuery, span: TimeRange) -> None:
        """Put the requests for a query's points before those that are there."""
        points = grid_points(span, query.step_ms) if span.length_ms > 0 else None
        if points is not None:
            runs = list(point_ranges(*points, query.step_ms, MAX_POINTS))
            self._requests += [_Request(query, first, last) for first, last in reversed(runs)]

    def _ask(self, request: _Request) -> None:
        """Make a request; what becomes of a failure depends on its class."""
        query = request.query
        span = TimeRange(request.first_ms, request.last_ms + 1)
        try:
            answer = self._answer(request, span)
        except RangeTooLargeError as error:
            if not self._split(request):
                self._refused(request, error)
        except UnavailableError as error:
            if error.is_timeout and self._delay.n_failures:  # not for the first time
                self._split(request)
            self._failed(error, error.retry_after)
        except QueryRefusedError as error:
            self._refused(request, error)
        except AccessError as error:
            if not self._answered:
                raise
            self._failed(error, None)  # credentials change, and so do the proxies before a server
        else:
            self._requests.pop()
            self._parts.append(answer.columns)
            self._n_bad["native_histogram"] += answer.n_histograms
            self._succeeded(query)

    def _split(self, request: _Request) -> bool:
        """Put two requests in place of the next one; return whether it has more than a point."""
        step_ms = request.query.step_ms
        smaller = halves(TimeRange(request.first_ms, request.last_ms + 1), step_ms)
        if smaller is None:
            return False
        self._requests.pop()
        for half in reversed(smaller):
            self._plan(request.query, half)
        return True

    def _answer(self, request: _Request, span: TimeRange) -> Answer:
        query = request.query
        result = self._api.at_steps(query.text, request.first_ms, request.last_ms, query.step_ms)
        if self._kinds.unasked(names_in(result)):
            with contextlib.suppress(ApiError):  # without types, names decide
                self._kinds.learn(self._api.types())
        return matrix_answer(result, span, self._table, self._kinds, name=query.watch)

    def _refused(self, request: _Request, error: ApiError) -> None:
        """Leave a gap where a query cannot be evaluated: other watches go on."""
        query = request.query
        if query.watch not in self._answered:
            raise type(error)(f"watch.{query.watch}.query: {error}") from error
        self._requests.pop()
        self._n_bad["query_refused"] += 1
        n_suppressed = self._limit.passes(query.watch)
        if n_suppressed is not None:
            log.error(
                "query refused watch=%s error=%s; its values of this time are a gap%s",
                query.watch,
                error,
                times_before(n_suppressed),
            )

    def _failed(self, error: ApiError, retry_after: float | None) -> None:
        seconds = self._delay.failed(retry_after)
        self._ask_at = self._clock.monotonic() + seconds
        self._n_bad["request_failed"] += 1
        if self._delay.n_failures == 1:  # an outage is logged once; the metric counts each failure
            log.warning("request failed error=%s; it is made again until it is answered", error)

    def _succeeded(self, query: WatchQuery) -> None:
        if self._delay.n_failures:
            log.info("server answers again url=%s failures=%d", self._api.url, self._delay.n_failures)
        self._delay.succeeded()
        self._answered.add(query.watch)

    def _end_turn(self) -> Columns:
        """Give out the samples of the turn: the position moves with them."""
        assert self._turn is not None
        columns = without_duplicates(self._parts)
        self._until_ms = self._turn.to_ms
        # A turn may hold a single point of each grid: what that brings is a step's, however short the turn.
        longest_step_ms = max(query.step_ms for query in self._queries)
        counted_ms = max(self._turn.length_ms, longest_step_ms)
        counted = TimeRange(self._until_ms - counted_ms, self._until_ms)
        self._length.record(counted, len(columns), shortest_ms=counted_ms)
        self._turn = None
        self._parts = []
        return columns

    def _batch(self, columns: Columns) -> Batch:
        n_bad = tuple((reason, count) for reason, count in self._n_bad.items() if count)
        self._n_bad.clear()
        return Batch(
            columns,
            self._now_ms(),
            n_bad=n_bad,
            # Never None: the clock would close steps that an outage keeps back.
            complete_ms=self._until_ms or 0,
            ready=bool(self._answered),
        )

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)
