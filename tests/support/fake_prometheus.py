"""A server on loopback that speaks the part of Prometheus' HTTP API that is read, and plays faults."""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

LOOKBACK_MS = 300_000
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_SELECTOR = re.compile(r"\s*([\w:]*)\s*(?:\{(.*)\})?\s*")


class Fault:
    """An answer that is given once, in place of the right one."""

    def __init__(self, status=200, body="", *, cut_off=False, drops=False, **headers):
        self.status = status
        self.body = body
        self.cut_off = cut_off
        self.drops = drops
        self.headers = {key.replace("_", "-"): value for key, value in headers.items()}


def api_error(status, kind, text, **headers):
    """Make an error in Prometheus' form."""
    return Fault(status, json.dumps({"status": "error", "errorType": kind, "error": text}), **headers)


class FakePrometheus:
    """Series by name and labels, each with samples `(time_ms, value)`.

    Parameters
    ----------
    closed_ranges : bool
        A range holds both its ends, as in Prometheus 2; else the later one only, as in Prometheus 3.
    exports : bool
        There is VictoriaMetrics' export.
    max_samples : int, optional
        More in an answer is refused.
    """

    def __init__(self, *, closed_ranges=True, exports=False, max_samples=None, certificate=None):
        self.series = []
        self.types = {}
        self.closed_ranges = closed_ranges
        self.exports = exports
        self.max_samples = max_samples
        self.faults = deque()  # for the next requests, whatever they are
        self.broken = None  # a fault for every request, as long as it is set
        self.requests = []  # (path, parameters, headers)
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                fake._serve(self, dict(parse_qsl(urlsplit(self.path).query)))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                fake._serve(self, dict(parse_qsl(body)))

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, name, samples, **labels):
        self.series.append(({"__name__": name, **labels}, list(samples)))

    def asked(self, path):
        """Give the parameters of all requests for a path."""
        return [parameters for asked, parameters, _ in self.requests if asked == path]

    def _serve(self, handler, parameters):
        path = urlsplit(handler.path).path.removeprefix("/api/v1/")
        self.requests.append((path, parameters, dict(handler.headers)))
        fault = self.faults.popleft() if self.faults else self.broken
        if fault is None:
            fault = self._answer(path, parameters)
        if fault.drops:
            handler.close_connection = True
            return
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
        handler.send_response(fault.status)
        for name, value in {"Content-Type": "application/json", **fault.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body) + (10 if fault.cut_off else 0)))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = handler.close_connection or fault.cut_off

    def _answer(self, path, parameters):
        try:
            if path == "metadata":
                return _data({name: [{"type": kind}] for name, kind in self.types.items()})
            if path == "label/__name__/values":
                return _data(
                    sorted({labels["__name__"] for labels, _ in self._matching(parameters["match[]"])})
                )
            if path == "export" and self.exports:
                return self._export(parameters)
            if path == "query":
                return self._query(parameters)
            if path == "query_range":
                return self._query_range(parameters)
        except SyntaxError as error:
            return api_error(400, "bad_data", f"parse error: {error}")
        return Fault(404, "404 page not found\n", Content_Type="text/plain")

    def _query(self, parameters):
        text, time_ms = parameters["query"], _ms(parameters["time"])
        ranged = re.fullmatch(r"(.*)\[(\d+)(ms|m)\]", text, re.DOTALL)
        if ranged is None:
            return _data({"resultType": "vector", "result": self._at(text, [time_ms], vector=True)})
        from_ms = time_ms - int(ranged[2]) * {"ms": 1, "m": 60_000}[ranged[3]]
        result = []
        for labels, samples in self._matching(ranged[1]):
            chosen = [
                (time, value)
                for time, value in samples
                if (from_ms <= time if self.closed_ranges else from_ms < time) and time <= time_ms
            ]
            if chosen:
                result.append({"metric": labels, "values": [[t / 1000, _text(v)] for t, v in chosen]})
        return self._limited({"resultType": "matrix", "result": result})

    def _query_range(self, parameters):
        first, last, step = (_ms(parameters[key]) for key in ("start", "end", "step"))
        times = list(range(first, last + 1, step))
        if len(times) > 11_000:
            return api_error(400, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries.")
        return self._limited({"resultType": "matrix", "result": self._at(parameters["query"], times)})

    def _at(self, text, times, *, vector=False):
        """Evaluate a selector, or a `sum(selector)` or `count by (labels) (selector)`, at some times."""
        grouped = re.fullmatch(r"(sum|count)(?: by \(([\w, ]*)\) )?\((.*)\)", text)
        lines = []
        for labels, samples in self._matching(grouped[3] if grouped else text):
            values = {}
            for time in times:
                seen = [value for t, value in samples if time - LOOKBACK_MS <= t <= time]
                if seen:
                    values[time] = seen[-1]
            lines.append((labels, values))
        if grouped:
            by = (grouped[2] or "").split(", ")
            groups = {}
            for labels, values in lines:
                group = groups.setdefault(
                    tuple((label, labels[label]) for label in by if label in labels), {}
                )
                for time, value in values.items():
                    group[time] = group.get(time, 0.0) + (value if grouped[1] == "sum" else 1.0)
            lines = [(dict(group), values) for group, values in groups.items()]
        key = "value" if vector else "values"
        return [
            {"metric": labels, key: [[t / 1000, _text(v)] for t, v in sorted(values.items())]}
            for labels, values in lines
            if values
        ]

    def _limited(self, data):
        n_samples = sum(len(series["values"]) for series in data["result"])
        if self.max_samples is not None and n_samples > self.max_samples:
            text = "query processing would load too many samples into memory in query execution"
            return api_error(422, "execution", text)
        return _data(data)

    def _export(self, parameters):
        first, last = _ms(parameters["start"]), _ms(parameters["end"])
        lines = []
        for labels, samples in self._matching(parameters["match[]"]):
            chosen = [(t, v) for t, v in samples if first <= t <= last]
            if chosen:
                times, values = zip(*chosen, strict=True)
                lines.append(json.dumps({"metric": labels, "values": values, "timestamps": times}))
        return Fault(200, "".join(f"{line}\n" for line in lines))

    def _matching(self, selector):
        match = _SELECTOR.fullmatch(selector)
        if match is None or not (match[1] or match[2]):
            raise SyntaxError(f"ranges only allowed for vector selectors: {selector}")
        matchers = _MATCHER.findall(match[2] or "")
        if match[1]:
            matchers.append(("__name__", "=", match[1]))
        return [series for series in self.series if all(_fits(series[0], *matcher) for matcher in matchers)]


def _fits(labels, label, operator, pattern):
    value, pattern = labels.get(label, ""), pattern.replace("\\\\", "\\")
    equal = value == pattern if operator in ("=", "!=") else re.fullmatch(pattern, value) is not None
    return equal != operator.startswith("!")


def _data(data):
    return Fault(200, json.dumps({"status": "success", "data": data}))


def _ms(seconds):
    return round(float(seconds) * 1000)


def _text(value):
    return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(repr(value), repr(value))
