"""Samples per second that each wire format is decoded at; one thread, CPU time.

    make bench
    make bench BENCH_FORMATS_ARGS="--json figures.json"

The same samples in every format: 200 hosts with 10 metrics at 10 times, cut into messages as
producers do it. Beside each stands a floor: bare `orjson.loads` of the same bytes for JSON,
decompression alone for remote write, and for the other formats `orjson.loads` of the same samples
in Telegraf's JSON. Figures are medians; ratios move less with the machine than rates do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cramjam
import numpy as np
import orjson

from monitor.daemon.process import tune_process
from monitor.decode.formats import AUTO, FormatSettings
from monitor.decode.mapped_json import JsonMapping
from monitor.decode.record import Record
from monitor.decode.topic_decoders import build_decoder
from monitor.sample import SeriesTable

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from protobuf_writer import gauge, number_point, resource_metrics, sample, series_1, snappy

N_HOSTS, N_METRICS, N_TIMES = 200, 10, 10
N_SAMPLES = N_HOSTS * N_METRICS * N_TIMES
START = 1_700_000_000
STEP_SECONDS = 10
BATCH = 4000  # messages in one poll
SERIES_IN_REQUEST = 500  # what Prometheus sends at once, up to 2000 in newer versions
REPEATS = 7
HOSTS = [f"web-{host:05d}.example.org" for host in range(N_HOSTS)]
METRICS = [f"metric_{metric}" for metric in range(N_METRICS)]
TIMES = [START + step * STEP_SECONDS for step in range(N_TIMES)]
MAPPING = JsonMapping(name="{measurement}_{*}", values=("*",), labels=("host", "zone"), time="at")
SETTINGS = FormatSettings(mappings={"flat": MAPPING})


def payloads() -> dict[str, list[bytes]]:
    """Write the samples in every format."""
    values = np.round(np.random.default_rng(0).normal(50, 5, (N_HOSTS, N_TIMES, N_METRICS)), 6).tolist()
    labels = [{"host": host, "zone": "eu-1"} for host in HOSTS]
    groups = [  # what one host measures at one time
        (host, seconds, dict(zip(METRICS, values[number][step], strict=True)))
        for step, seconds in enumerate(TIMES)
        for number, host in enumerate(HOSTS)
    ]
    single = [
        (host, seconds, name, value) for host, seconds, fields in groups for name, value in fields.items()
    ]
    tags = dict(zip(HOSTS, labels, strict=True))
    series = [
        series_1({"__name__": name, **tags[host]}, sample(value, seconds * 1000))
        for host, seconds, name, value in single
    ]
    return {
        "native_columns": [
            orjson.dumps(
                {
                    "labels": labels[number],
                    "time_ms": [seconds * 1000 for seconds in TIMES],
                    "metrics": {
                        name: [values[number][step][metric] for step in range(N_TIMES)]
                        for metric, name in enumerate(METRICS)
                    },
                }
            )
            for number in range(N_HOSTS)
        ],
        "native_sample": [
            orjson.dumps({"name": name, "labels": tags[host], "time": seconds, "value": value})
            for host, seconds, name, value in single
        ],
        "influx": [
            f"app,host={host},zone=eu-1 {_influx_fields(fields)} {seconds}000000000\n".encode()
            for host, seconds, fields in groups
        ],
        "telegraf_json": [
            orjson.dumps({"fields": fields, "name": "app", "tags": tags[host], "timestamp": seconds})
            for host, seconds, fields in groups
        ],
        "prometheus_adapter": [
            orjson.dumps(
                {
                    "value": str(value),
                    "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
                    "name": name,
                    "labels": {"__name__": name, **tags[host]},
                }
            )
            for host, seconds, name, value in single
        ],
        "remote_write": [
            snappy(b"".join(series[start : start + SERIES_IN_REQUEST]))
            for start in range(0, len(series), SERIES_IN_REQUEST)
        ],
        "otlp_json": [_otlp_json(tags[host], seconds, fields) for host, seconds, fields in groups],
        "otlp_proto": [
            resource_metrics(
                tags[host],
                *(gauge(name, number_point(seconds * 10**9, real=value)) for name, value in fields.items()),
            )
            for host, seconds, fields in groups
        ],
        "collectd_json": [
            orjson.dumps(
                [
                    {
                        "values": [value],
                        "dstypes": ["gauge"],
                        "dsnames": ["value"],
                        "time": float(seconds),
                        "interval": 10.0,
                        "host": host,
                        "plugin": "app",
                        "plugin_instance": "",
                        "type": "gauge",
                        "type_instance": name,
                    }
                ]
            )
            for host, seconds, name, value in single
        ],
        "graphite": [
            f"eu-1.{host.replace('.', '_')}.app.{name} {value} {seconds}\r\n".encode()
            for host, seconds, name, value in single
        ],
        "mapped:flat": [
            orjson.dumps({"at": seconds, **tags[host], **fields, "measurement": "app"})
            for host, seconds, fields in groups
        ],
    }


def _influx_fields(fields: dict[str, float]) -> str:
    return ",".join(f"{name}={value}" for name, value in fields.items())


def _otlp_json(labels: dict[str, str], seconds: int, fields: dict[str, float]) -> bytes:
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in labels.items()]
    metrics = [
        {"name": name, "gauge": {"dataPoints": [{"asDouble": value, "timeUnixNano": f"{seconds}000000000"}]}}
        for name, value in fields.items()
    ]
    scope = {"scope": {"name": "app"}, "metrics": metrics}
    return orjson.dumps(
        {"resourceMetrics": [{"resource": {"attributes": attributes}, "scopeMetrics": [scope]}]}
    )


def measure() -> dict[str, tuple[float, float]]:
    """Give, for each format, samples per CPU second and the same as a share of its floor."""
    written = payloads()
    figures = {}
    telegraf = _rate(lambda: _each(orjson.loads, written["telegraf_json"]))
    for name, messages in written.items():
        if messages[0][:1] in {b"{", b"["}:
            floor = _rate(lambda messages=messages: _each(orjson.loads, messages))
        elif name == "remote_write":
            floor = _rate(lambda messages=messages: _each(cramjam.snappy.decompress_raw, messages))
        else:
            floor = telegraf
        records = [Record(payload, START * 1000) for payload in messages]
        batches = [records[start : start + BATCH] for start in range(0, len(records), BATCH)]
        decode, table = build_decoder(name if ":" in name else AUTO, SETTINGS), SeriesTable()
        # The first time, the series get their numbers, and auto its format.
        decoded = [decode(batch, table) for batch in batches]
        assert sum(len(batch.columns) for batch in decoded) == N_SAMPLES, name
        rate = _rate(
            lambda batches=batches, decode=decode, table=table: [decode(batch, table) for batch in batches]
        )
        figures[name] = rate, rate / floor
    return figures


def _each(work: Callable[[bytes], object], messages: list[bytes]) -> None:
    for message in messages:  # nothing is kept: what is kept costs time of the collector's
        work(message)


def _rate(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return N_SAMPLES / statistics.median(seconds)


def main(argv: list[str]) -> None:
    """Print the figures; optionally write them as one flat JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(argv)
    tune_process()
    figures = measure()
    print(f"{N_SAMPLES} samples of {N_HOSTS * N_METRICS} series in every format; one thread, CPU time")
    for name, (rate, ratio) in figures.items():
        print(f"  {name:18} {rate:14,.0f} samples/s   {ratio:7.3f} of its floor")
    if options.json:
        flat = {}
        for name, (rate, ratio) in figures.items():
            key = name.replace(":", "_")
            flat |= {f"formats.{key}_samples_per_second": rate, f"formats.{key}_over_floor": ratio}
        options.json.write_text(json.dumps(flat, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
