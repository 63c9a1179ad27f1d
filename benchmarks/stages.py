"""Samples per second, stage by stage, beside bare `orjson.loads` of the same bytes; one thread, CPU time.

    make bench
    make bench BENCH_ARGS="--json figures.json --series 1000"

Univariate series, one sample a step each: W 32, h 32, baselines on. Figures are medians over
the steps; ratios move less with the machine than rates do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import orjson
from prometheus_client import CollectorRegistry

from models.bundle import Bundle
from models.detector import Detector
from models.network import Autoencoder
from models.raw_scores import error_windows, fit_error_scale
from models.settings import ModelSettings
from models.trained import Trained
from monitor.config.watch import WatchConfig
from monitor.daemon.process import tune_process
from monitor.decode.native import decode_native_columns, decode_native_samples
from monitor.decode.record import Record
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.detection.report import WatchReport
from monitor.detection.steps import ClosedSteps, LocatedSamples
from monitor.metrics.exposition import Exposition
from monitor.metrics.instruments import Metrics
from monitor.sample import Columns, SeriesTable

T = TypeVar("T")

WINDOW, HIDDEN, LATENT = 32, 32, 8
STEP_SECONDS = 10
N_STEPS = 9  # measured, behind a warm-up one
BATCH = 4000  # messages in one poll
COLUMNAR_TIMES = 10  # samples of a series in one columnar message
START = 1_700_000_000


def single_messages(n_series: int, step: int, rng: np.random.Generator) -> list[Record]:
    """Write one step of every series as messages of about 155 bytes."""
    values = rng.normal(50, 5, n_series)
    labels = [
        {"host": f"web-{i // 10:05d}.example.org", "pod": f"api-{i % 10}", "zone": "eu-1"}
        for i in range(n_series)
    ]
    payloads = (
        orjson.dumps(
            {
                "name": "http_request_duration_seconds",
                "labels": labels[i],
                "time": START + step * STEP_SECONDS,
                "value": round(float(values[i]), 6),
            }
        )
        for i in range(n_series)
    )
    return [Record(payload) for payload in payloads]


def columnar_messages(n_series: int, rng: np.random.Generator) -> list[Record]:
    """Write ten steps of every series, a message for each ten series of one host."""
    times = [(START + step * STEP_SECONDS) * 1000 for step in range(COLUMNAR_TIMES)]
    payloads = (
        orjson.dumps(
            {
                "labels": {"host": f"web-{host:05d}.example.org", "zone": "eu-1"},
                "time_ms": times,
                "metrics": {
                    f"metric_{i}": np.round(rng.normal(50, 5, COLUMNAR_TIMES), 6).tolist() for i in range(10)
                },
            }
        )
        for host in range(n_series // 10)
    )
    return [Record(payload) for payload in payloads]


def calibrated_pipeline(n_series: int, table: SeriesTable, rng: np.random.Generator) -> Pipeline:
    """Build a pipeline with a network and calibrated series; weights are random, which costs the same."""
    config = WatchConfig.model_validate(
        {
            "name": "bench",
            "by": "series",
            "step_seconds": float(STEP_SECONDS),
            "window_length": WINDOW,
            "lateness_seconds": 0.0,
        }
    )
    settings = ModelSettings(
        window_length=WINDOW, hidden=HIDDEN, latent=LATENT, memory_windows=config.model.memory_windows
    )
    network = Autoencoder(1, hidden=HIDDEN, latent=LATENT).eval()
    errors, _ = error_windows(network, rng.normal(0, 1, (512, WINDOW, 1)).astype(np.float32))
    detector = Detector(
        settings,
        n_rows=n_series,
        resolution=np.array([0.1]),
        step_seconds=STEP_SECONDS,
        block_steps=config.settings().block_steps,
        trained=Trained(network, fit_error_scale(errors), None),
    )
    history = rng.normal(50, 5, (WINDOW + 100, n_series, 1))
    for start in range(0, n_series, 1000):
        rows = np.arange(start, min(start + 1000, n_series))
        detector.calibrate(rows, history[:, rows])
    entities = [str(table[number]) for number in range(len(table))]
    watch = build_watch(config.settings(), Bundle(detector, ("value",), tuple(entities), {}))
    closed = ClosedSteps(START // STEP_SECONDS - len(history), STEP_SECONDS * 1000, history)
    watch.judge(closed, WatchReport())
    return Pipeline([watch], table, max_future_ms=60_000)


def measure(n_series: int) -> dict[str, float]:
    """Run the stages over the same samples and give samples per CPU second of each."""
    rng = np.random.default_rng(0)
    table = SeriesTable()
    messages = [single_messages(n_series, step, rng) for step in range(N_STEPS + 2)]
    decode_native_samples(messages[0], table)  # the series get their numbers
    pipeline = calibrated_pipeline(n_series, table, rng)
    (watch,) = pipeline.watches
    metrics = Metrics(CollectorRegistry(), ["bench"])
    exposition = Exposition(metrics, max_series=10 * n_series)
    seconds: dict[str, list[float]] = {
        name: [] for name in ("orjson", "decode", "grid", "score", "alert", "render")
    }
    for of_step in messages:
        batches = [of_step[start : start + BATCH] for start in range(0, len(of_step), BATCH)]
        _timed(
            seconds["orjson"], lambda of_step=of_step: [orjson.loads(message.value) for message in of_step]
        )
        decoded = _timed(
            seconds["decode"],
            lambda batches=batches: [decode_native_samples(batch, table).columns for batch in batches],
        )
        closed = _timed(seconds["grid"], lambda decoded=decoded: _to_grid(pipeline, decoded))
        for block in closed:
            started, in_alert = time.process_time(), 0.0
            for scored in watch.scorer.score(block):
                before = time.process_time()
                watch.book.update(
                    scored.time_ms, np.where(scored.judged, np.minimum(scored.score, 0.99), np.nan)
                )
                in_alert += time.process_time() - before
                watch.scorer.learn(scored, watch.book.frozen)
            seconds["score"].append(time.process_time() - started - in_alert)
            seconds["alert"].append(in_alert)
            _timed(seconds["render"], lambda: exposition.render([watch.view()]))
    rates = {name: n_series / statistics.median(values[1:]) for name, values in seconds.items()}
    path = ("decode", "grid", "score", "alert", "render")
    rates["all"] = 1 / sum(1 / rates[name] for name in path)
    columnar = columnar_messages(n_series, rng)
    n_columnar = n_series * COLUMNAR_TIMES
    rates["columnar orjson"] = n_columnar / _median(
        lambda: [orjson.loads(message.value) for message in columnar]
    )
    rates["columnar decode"] = n_columnar / _median(lambda: decode_native_columns(columnar, SeriesTable()))
    return rates


def _to_grid(pipeline: Pipeline, batches: list[Columns]) -> list[ClosedSteps]:
    (watch,) = pipeline.watches
    watch.entities.update(pipeline.table)
    for columns in batches:
        chosen = np.flatnonzero(watch.entities.select(columns.series))
        series = columns.series[chosen]
        watch.grid.add(
            LocatedSamples(
                watch.entities.row_of[series],
                watch.entities.column_of[series],
                columns.time_ms[chosen],
                columns.value[chosen],
                watch.entities.kind[series],
            )
        )
    now_ms = int(batches[-1].time_ms.max())
    return list(watch.grid.close(now_ms, n_rows=len(watch.entities.entities), n_channels=1))


def _timed(into: list[float], work: Callable[[], T]) -> T:
    started = time.process_time()
    result = work()
    into.append(time.process_time() - started)
    return result


def _median(work: Callable[[], object], repeats: int = 5) -> float:
    seconds: list[float] = []
    for _ in range(repeats):
        _timed(seconds, work)
    return statistics.median(seconds)


def main(argv: list[str]) -> None:
    """Print the figures of each number of series; optionally write them as one flat JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(argv)
    tune_process()
    figures: dict[str, float] = {}
    for n_series in options.series:
        rates = measure(n_series)
        print(f"{n_series} series, single-sample messages; one thread, CPU time")
        for name in ("decode", "grid", "score", "alert", "render", "all"):
            share, ratio = rates["all"] / rates[name], rates[name] / rates["orjson"]
            print(
                f"  {name:8} {rates[name]:14,.0f} samples/s   "
                f"{share:6.1%} of the time   {ratio:7.3f} of orjson"
            )
        print(f"  orjson   {rates['orjson']:14,.0f} samples/s, bare loads of the same bytes")
        ratio = rates["columnar decode"] / rates["columnar orjson"]
        print(f"  columnar decode {rates['columnar decode']:,.0f} samples/s, {ratio:.3f} of orjson\n")
        figures |= {
            f"{n_series}.{name.replace(' ', '_')}_samples_per_second": rate for name, rate in rates.items()
        }
        figures[f"{n_series}.all_over_orjson"] = rates["all"] / rates["orjson"]
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
