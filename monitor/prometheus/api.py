"""Prometheus' HTTP API as this program uses it, and VictoriaMetrics' export of raw samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.prometheus.errors import ApiError, QueryRefusedError, RangeTooLargeError, UnavailableError
from monitor.prometheus.http import HttpClient
from monitor.prometheus.ranges import TimeRange

__all__ = ["MAX_POINTS", "PrometheusApi"]

MAX_POINTS = 11_000  # of a series in one answer of query_range: a constant in Prometheus' web/api/v1/api.go
_PROBE = '{__name__="barograph_probe"}'


class PrometheusApi:
    """The requests, each made once. Times are milliseconds since the epoch.

    Every method raises an `ApiError` of the class that says what to do.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @property
    def url(self) -> str:
        """The server's address."""
        return self._http.url

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def raw(self, selector: str, span: TimeRange) -> list[Any]:
        """Give the series of a selector with the samples that the server stored in a range.

        The first sample may lie just before the range: to Prometheus 2 a range holds both its ends, to
        Prometheus 3 only the later one.
        """
        parameters = {
            "query": f"{selector}[{span.length_ms}ms]",
            "time": _seconds(span.to_ms - 1),
        }
        return self._matrix("query", parameters)

    def at_steps(self, query: str, first_ms: int, last_ms: int, step_ms: int) -> list[Any]:
        """Evaluate a query at a time and at each step after it, `MAX_POINTS` times at most."""
        parameters = {
            "query": query,
            "start": _seconds(first_ms),
            "end": _seconds(last_ms),
            "step": _seconds(step_ms),
        }
        return self._matrix("query_range", parameters)

    def is_selector(self, query: str, time_ms: int) -> bool:
        """Tell whether a query only names series, by asking for a minute of them.

        Raises
        ------
        QueryRefusedError
            If the query is wrong anyway.
        """
        try:
            data = self._http.json("query", {"query": f"{query}[1m]", "time": _seconds(time_ms)}, post=True)
        except QueryRefusedError:
            self._http.json("query", {"query": query, "time": _seconds(time_ms)}, post=True)
            return False
        except RangeTooLargeError:
            return True  # it was understood
        return isinstance(data, dict) and data.get("resultType") == "matrix"

    def types(self) -> dict[str, str]:
        """Give the type of each metric that the server knows now: counter, gauge, histogram, summary, ..."""
        data = self._http.json("metadata", {})
        if not isinstance(data, Mapping):
            return {}
        return {
            str(name): str(entries[0].get("type", "unknown"))
            for name, entries in data.items()
            if isinstance(entries, list) and entries and isinstance(entries[0], Mapping)
        }

    def names(self, selector: str, span: TimeRange) -> list[str]:
        """Give the names of the metrics that a selector matches in a range."""
        parameters = {
            "match[]": selector,
            "start": _seconds(span.from_ms),
            "end": _seconds(span.to_ms),
        }
        data = self._http.json("label/__name__/values", parameters)
        return sorted(map(str, data)) if isinstance(data, list) else []

    def has_export(self, time_ms: int) -> bool:
        """Tell whether there is VictoriaMetrics' export of raw samples."""
        parameters = {"match[]": _PROBE, "start": _seconds(time_ms), "end": _seconds(time_ms)}
        try:
            answer = list(self._http.lines("export", parameters))
        except UnavailableError:
            raise
        except ApiError:
            return False
        return not answer or answer[0].lstrip().startswith(b"{")

    def exports(self, query: str, time_ms: int) -> bool:
        """Tell whether the export takes a query: only one that names series."""
        parameters = {"match[]": query, "start": _seconds(time_ms), "end": _seconds(time_ms)}
        try:
            for _ in self._http.lines("export", parameters):
                break
        except UnavailableError:
            raise
        except RangeTooLargeError:
            return True
        except ApiError:
            return False
        return True

    def export(self, selector: str, span: TimeRange) -> Iterator[bytes]:
        """Give a line of JSON for each series of a selector, or several: raw samples, both ends included."""
        parameters = {
            "match[]": selector,
            "start": _seconds(span.from_ms),
            "end": _seconds(span.to_ms - 1),
        }
        return self._http.lines("export", parameters)

    def _matrix(self, path: str, parameters: Mapping[str, str]) -> list[Any]:
        """Ask for series with their samples."""
        data = self._http.json(path, parameters, post=True)
        result = data.get("result") if isinstance(data, Mapping) else None
        if not isinstance(result, list) or (result and data.get("resultType") != "matrix"):
            kind = data.get("resultType") if isinstance(data, Mapping) else type(data).__name__
            raise QueryRefusedError(
                f"{parameters['query']} gives a {kind}, expected series: "
                "use a query that gives an instant vector"
            )
        return result


def _seconds(time_ms: int) -> str:
    """Write milliseconds as the seconds that the API takes, without rounding."""
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{seconds}.{milliseconds:03d}"
