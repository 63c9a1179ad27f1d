"""Names and labels that are made to break a reader: what is exported can be parsed whatever they say."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.parser import text_string_to_metric_families

from monitor.config.watch import WatchConfig
from monitor.decode.native import decode_native_samples
from monitor.decode.record import Record
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.metrics.exposition import ENTITY_METRICS, Exposition
from monitor.metrics.instruments import Metrics
from monitor.sample import SeriesTable

TEXTS = {
    "a line break": "a\nb",
    "two more": "a\r\n\u2028b",
    "quotes": 'say "hi"',
    "backslashes": "\\a\\",
    "what ends a label": '"} 1\nfake_metric{x="',
    "nothing but a space": " ",
    "a zero byte": "a\x00b",
    "control characters": "\x1b[31m\t\x7f",
    "right to left": "\u202eabc",
    "many planes": "é中🛰",
    "sixteen thousand bytes": "x" * 16_000,
    "a comment": "# HELP barograph_score x",
    "a number": "NaN",
}
RESERVED = (
    "__name__",
    "le",
    "quantile",
    "watch",
    "entity",
    "channel",
    "instance",
    "job",
    "reason",
    "",
    "a b",
    'q"',
    "n\nl",
)


def sample(name, labels, second):
    return Record(
        json.dumps({"name": name, "labels": labels, "time": second, "value": 100 + second % 3}).encode()
    )


def records(second):
    """Write a sample of every kind; without a name, a host or a label's name it belongs to no entity."""
    for text in TEXTS.values():
        yield sample("load", {"host": text}, second)
    for number, text in enumerate(TEXTS.values()):
        yield sample(text, {"host": "web1"}, second)
        yield sample("disk", {"host": "web1", "path": text}, second)
        yield sample("net", {"host": "web1", text[:100]: str(number)}, second)
    for name in RESERVED:
        yield sample("odd", {"host": "web1", name: "x"}, second)
        yield sample(name, {"host": "web1"}, second)
    yield sample("load", {"host": "x" * 1_000_000}, second)
    yield sample("load", {"host": ""}, second)
    yield Record(sample("load", {"host": "SURROGATE"}, second).value.replace(b"SURROGATE", b"\\ud800"))
    yield Record(sample("load", {"host": "LATIN"}, second).value.replace(b"LATIN", b"\xe9\xff"))


@pytest.mark.parametrize("by", ["series", ["host"]])
def test_what_is_exported_can_be_parsed_whatever_names_and_labels_say(by):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    disable_created_metrics()
    watch = build_watch(
        WatchConfig(name="w", by=by, step_seconds=1.0, window_length=8, lateness_seconds=0.0).settings(), None
    )
    table = SeriesTable()
    pipeline = Pipeline([watch], table, max_future_ms=60_000)
    rejected: dict[str, int] = {}
    for second in range(115):
        decoded = decode_native_samples(list(records(second)), table)
        rejected = decoded.rejected
        pipeline.process(decoded.columns, second * 1000)
    exposition = Exposition(Metrics(CollectorRegistry(), ["w"]), 10_000, all_channels=True)
    exposition.render([watch.view()])

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=exposition.text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
    shown = [
        one.labels["entity"]
        for family in text_string_to_metric_families(exposition.text.decode())
        for one in family.samples
        if family.name in ENTITY_METRICS
    ]
    assert set(shown) <= set(watch.entities.entities)
    if by == ["host"]:
        assert set(shown) == {"web1", *TEXTS.values()}
    assert rejected == {"bad_label": 1, "wrong_schema": 1, "label_too_long": 1, "invalid_json": 2}
    assert not any(
        family.name == "fake_metric" for family in text_string_to_metric_families(exposition.text.decode())
    )
