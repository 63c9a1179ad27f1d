"""A daemon that writes down every sample it reads.

    python -m tests.e2e.recording_daemon CONFIG.json SAMPLES

A line for each poll: a list of `[series, time in ms, value]`; NaN is null. It is written before the samples
are processed, so that what a killed daemon reads again stands there twice.
"""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
import threading
from pathlib import Path

from monitor.clock import SystemClock
from monitor.config.explain import parse_config
from monitor.daemon.build import build_daemon


def main(config, file):
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    daemon = build_daemon(parse_config(config, origin="test"), outlets=[], clock=SystemClock())
    source, table = daemon.loop.source, daemon.loop.pipeline.table
    poll = source.poll
    with file.open("a", buffering=1) as samples:

        def recorded(timeout_seconds):
            batch = poll(timeout_seconds)
            columns = batch.columns
            rows = zip(columns.series.tolist(), columns.time_ms.tolist(), columns.value.tolist(), strict=True)
            if len(columns):
                line = [
                    [str(table[number]), time_ms, None if math.isnan(value) else value]
                    for number, time_ms, value in rows
                ]
                samples.write(json.dumps(line) + "\n")
            return batch

        source.poll = recorded
        try:
            daemon.run(stop)
        finally:
            daemon.close()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
