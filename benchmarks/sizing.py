"""What a daemon costs: share of a core, memory and disk, for so many series at such a step.

    python benchmarks/sizing.py
    python benchmarks/sizing.py --size 1000x10@60 --json figures.json

Each size runs in a process of its own: the whole daemon with default settings and a model, its clock set
forward second by second. Records are InfluxDB lines as Telegraf sends them, in each step one for ten channels
of an entity. Counted is the CPU time of the whole process: decoding, judging, the step history, checkpoints
(every 10 s, or at 5 MB/s) and a rendered `/metrics` every second; not counted are the Kafka client and
trainings.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from models.baselines import WindowPca
from models.bundle import Bundle
from models.detector import Detector
from models.network import Autoencoder
from models.raw_scores import error_windows, fit_error_scale
from models.trained import Trained
from monitor.config.explain import parse_config
from monitor.config.schema import Config
from monitor.daemon.build import build_daemon
from monitor.decode.influx import decode_influx
from monitor.decode.record import Record
from monitor.sample import SeriesTable, no_samples
from monitor.sources.host import HostSource
from monitor.sources.source import Batch
from monitor.storage.data_dir import DataDir
from monitor.testing import FakeClock

START = 1_700_000_000
CHANNELS_IN_A_LINE = 10
SIZES = ("1x100@2", "10x100@10", "100x100@10", "1000x10@10", "10000x1@60", "500x100@60")
LEAST_SECONDS = 60  # measured, behind the warm-up: six checkpoints of up to 50 MB
LEAST_STEPS = 4
SEGMENT_STEPS = 8  # of the history that the bytes of a step are measured in, at least


@dataclass(frozen=True)
class Size:
    """So many entities, each with so many channels, at such a step."""

    n_entities: int
    n_channels: int
    step_seconds: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read `ENTITIESxCHANNELS@STEP`."""
        found = re.fullmatch(r"(\d+)x(\d+)@(\d+)", text)
        if found is None:
            raise ValueError(f"{text}: expected ENTITIESxCHANNELS@STEP, as in 100x100@10")
        return cls(*map(int, found.groups()))


@dataclass(frozen=True)
class Cost:
    """What a size costs; `n_judged` are the windows that were judged while it was measured."""

    core_ratio: float
    memory_bytes: int  # the process's peak
    checkpoint_bytes: int  # written again and again, every `checkpoint_seconds` or at 5 MB/s
    model_bytes: int
    history_bytes_a_day: float
    n_judged: int


class TelegrafSource(HostSource):
    """A record for each ten channels of each entity in each step; its clock passes as it is polled.

    Parameters
    ----------
    measured : range
        Steps in which time passes second by second; otherwise step by step.
    """

    def __init__(self, size: Size, table: SeriesTable, clock: FakeClock, measured: range) -> None:
        super().__init__(table, clock, interval_seconds=1.0, host="")
        self.step = 0
        self.making_seconds = 0.0  # of CPU time, for what a producer would do
        self._table, self._clock, self._measured, self._size = table, clock, measured, size
        self._rng = np.random.default_rng(0)
        numbers = range(size.n_channels)
        self._groups = [
            numbers[first : first + CHANNELS_IN_A_LINE] for first in numbers[::CHANNELS_IN_A_LINE]
        ]

    def poll(self, timeout_seconds: float) -> Batch:
        """Let time pass, and give the samples of the step that has come."""
        self._clock.advance(1.0 if self.step in self._measured else float(self._size.step_seconds))
        seconds = round(self._clock.now()) - START
        columns = no_samples()
        if seconds % self._size.step_seconds == 0:
            self.step = seconds // self._size.step_seconds
            before = time.process_time()
            records = self._records(START + seconds)
            self.making_seconds += time.process_time() - before
            columns = decode_influx(records, self._table).columns
        return Batch(columns, round(self._clock.now() * 1000))

    def _records(self, time_seconds: int) -> list[Record]:
        size = self._size
        values = np.round(self._rng.normal(50, 5, (size.n_entities, size.n_channels)), 3).tolist()
        return [
            Record(
                f"app,host={entity_name(number)} {','.join(f'm{c}={values[number][c]}' for c in group)} "
                f"{time_seconds}000000000".encode()
            )
            for number in range(size.n_entities)
            for group in self._groups
        ]


class StopBehind(threading.Event):
    """A stop signal that notes the CPU time where the measured steps begin and end."""

    def __init__(self, source: TelegrafSource, measured: range, last_step: int, note: Callable[[], None]):
        super().__init__()
        self._source, self._last_step, self._note = source, last_step, note
        self._due = [measured.start, measured.stop]

    def is_set(self) -> bool:
        """Tell whether the last step is done: the loop asks before each turn."""
        if self._due and self._source.step >= self._due[0]:
            self._due.pop(0)
            self._note()
        return self._source.step >= self._last_step


def entity_name(number: int) -> str:
    """Give the value of the label `host`."""
    return f"web-{number:05d}.example.org"


def measure(size: Size, folder: Path, *, window: int = 32) -> Cost:
    """Run a daemon of this size in a folder, and measure it behind its warm-up."""
    segment_seconds = max(300, SEGMENT_STEPS * size.step_seconds)
    watch = {
        "name": "w",
        "by": ["host"],
        "step_seconds": float(size.step_seconds),
        "window_length": window,
        "lateness_seconds": 0.0,
    }
    document = {
        "data_dir": str(folder),
        "web": {"listen": "127.0.0.1:0"},
        "history": {"segment_seconds": float(segment_seconds)},
        "watch": [watch],
    }
    config = parse_config(document, origin="benchmark")
    save_model(config, size)
    clock = FakeClock(float(START))
    daemon = build_daemon(config, outlets=[], clock=clock)
    n_measured = max(LEAST_STEPS, -(-LEAST_SECONDS // size.step_seconds))
    measured = range(window + 2, window + 2 + n_measured)
    last_step = max(measured.stop, 2 * segment_seconds // size.step_seconds + 1)
    source = TelegrafSource(size, daemon.loop.pipeline.table, clock, measured)
    daemon.loop.source = source
    notes: list[tuple[float, float]] = []

    def note() -> None:
        n_judged = daemon.loop.metrics.registry.get_sample_value(
            "barograph_windows_scored_total", {"watch": "w"}
        )
        notes.append((time.process_time() - source.making_seconds, n_judged or 0.0))

    try:
        daemon.run(StopBehind(source, measured, last_step, note))
    finally:
        daemon.close()
    (cpu_from, judged_from), (cpu_to, judged_to) = notes
    history = folder / "history" / "w"
    n_stored = sum(pq.read_metadata(segment).num_rows for segment in history.glob("*.parquet"))
    history_bytes_a_step = bytes_below(history) / (n_stored / size.n_entities)
    return Cost(
        core_ratio=(cpu_to - cpu_from) / (n_measured * size.step_seconds),
        memory_bytes=peak_memory_bytes(),
        checkpoint_bytes=bytes_below(folder / "checkpoint"),
        model_bytes=bytes_below(folder / "bundles"),
        history_bytes_a_day=history_bytes_a_step * 86400 / size.step_seconds,
        n_judged=int(judged_to - judged_from),
    )


def save_model(config: Config, size: Size) -> None:
    """Save a calibrated model with random weights, which cost the same, and let it serve."""
    rng = np.random.default_rng(1)
    (watch,) = config.watch
    settings = watch.settings()
    model = settings.model
    network = Autoencoder(size.n_channels, hidden=model.hidden, latent=model.latent).eval()
    normal = rng.normal(0, 1, (256, model.window_length, size.n_channels)).astype(np.float32)
    errors, _ = error_windows(network, normal)
    detector = Detector(
        model,
        n_rows=size.n_entities,
        resolution=np.full(size.n_channels, 0.1),
        step_seconds=size.step_seconds,
        block_steps=settings.block_steps,
        # A model of several channels always has a PCA, and then no memory of neighbours.
        trained=Trained(
            network, fit_error_scale(errors), WindowPca.fit(normal, normal) if size.n_channels > 1 else None
        ),
    )
    history = rng.normal(50, 5, (model.window_length + 100, size.n_entities, size.n_channels))
    for first in range(0, size.n_entities, 1000):
        rows = np.arange(first, min(first + 1000, size.n_entities))
        detector.calibrate(rows, history[:, rows])
    channels = tuple(sorted(f"app_m{number}" for number in range(size.n_channels)))
    entities = tuple(map(entity_name, range(size.n_entities)))
    data_dir = DataDir(config.data_dir)
    data_dir.prepare()
    registry = data_dir.registry(watch.name)
    registry.promote(registry.save(Bundle(detector, channels, entities, {}), now=float(START)))


def peak_memory_bytes() -> int:
    """Give the most memory that this process has had."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def bytes_below(folder: Path) -> int:
    """Give the size of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def row(size: Size, cost: Cost) -> str:
    """Write a line of the table in the README."""
    cells = (
        f"{size.n_entities * size.n_channels:,}",
        f"{size.n_entities:,} x {size.n_channels}",
        f"{size.step_seconds} s",
        f"{cost.core_ratio:.1%}",
        f"{cost.memory_bytes / 1e6:,.0f} MB",
        f"{cost.checkpoint_bytes / 1e6:,.1f} MB",
        f"{cost.model_bytes / 1e6:,.1f} MB",
        f"{cost.history_bytes_a_day / 1e6:,.0f} MB",
    )
    return f"| {' | '.join(cells)} |"


HEAD = """\
| series | entities x channels | step | of a core | memory | checkpoint | model | history a day |
|---:|---:|---:|---:|---:|---:|---:|---:|"""


def main(argv: list[str]) -> None:
    """Measure each size in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", action="append", help="ENTITIESxCHANNELS@STEP; may be repeated")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--here", help="measure this size in this process, and print its figures as JSON")
    options = parser.parse_args(argv)
    if options.here:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asdict(measure(Size.parse(options.here), Path(folder)))))
        return
    figures = {}
    print(HEAD)
    for text in options.size or SIZES:
        command = [sys.executable, __file__, "--here", text]
        ended = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        figures[text] = json.loads(ended.stdout)
        print(row(Size.parse(text), Cost(**figures[text])), flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
