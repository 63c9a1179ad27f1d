"""Text of Prometheus: OpenMetrics, the exposition format with times, and what `promtool tsdb dump` writes."""

from __future__ import annotations

import re

import numpy as np

from monitor.errors import SourceError
from monitor.files.cells import read_value
from monitor.files.label_text import SELECTOR, parse_labels
from monitor.files.layout import Reading
from monitor.files.times import read_times
from monitor.sample import Columns, Kind, labels_of

__all__ = ["is_openmetrics", "read_openmetrics"]

_LINE = re.compile(rf"[ \t]*({SELECTOR})[ \t]+(\S+)(?:[ \t]+(\S+))?[ \t]*(?:#.*)?")
_HISTOGRAM = re.compile(r"\{.*\}\s+\{.*count:.*\}\s+\S+")
_KINDS = {
    "counter": Kind.COUNTER,
    "gauge": Kind.GAUGE,
    "histogram": Kind.COUNTER,
    "summary": Kind.COUNTER,
    "unknown": None,
    "untyped": None,
}
_SUFFIXES = ("_total", "_bucket", "_count", "_sum")
_N_SNIFFED = 20


def is_openmetrics(text: str) -> bool:
    """Tell whether a text is in one of these formats, by its comments or by its first samples."""
    lines = [line for line in text[:100_000].splitlines()[:_N_SNIFFED] if line.strip()]
    if any(re.match(r"# (HELP|TYPE|UNIT) \S|# EOF$", line) for line in lines):
        return True
    samples = [_LINE.fullmatch(line) for line in lines if not line.startswith("#")]
    whole = samples[:-1] or samples  # the last may be cut
    are_samples = all(match is not None and read_value(match[4]) is not None for match in whole)
    # Without comments or labels it may as well be Graphite's.
    return are_samples and any(match is not None and match[3] is not None for match in whole)


def read_openmetrics(text: str, reading: Reading) -> Columns:
    """Read samples with times; `# TYPE` says which series are counters.

    Times are s in OpenMetrics, which ends in `# EOF`, and otherwise ms or s, as their size says.

    Raises
    ------
    SourceError
        If no sample has a time, as in the answer of a scrape.
    """
    import pyarrow as pa

    lines = text.splitlines()
    kinds = _types(lines)
    known: dict[str, int | None] = {}
    numbers: list[int] = []
    times: list[str] = []
    values: list[float] = []
    n_without = n_bad = n_histograms = 0
    for line in lines:
        if not line or line.startswith("#") or line.isspace():
            continue
        match = _LINE.fullmatch(line)
        value = read_value(match[4]) if match else None
        number = None
        if match is not None and value is not None:
            if match[1] not in known:
                known[match[1]] = _intern(match, kinds, reading)
            number = known[match[1]]
        if match is None or value is None or number is None:
            is_histogram = _HISTOGRAM.fullmatch(line) is not None
            n_histograms += is_histogram
            n_bad += not is_histogram
        elif match[5] is None:
            n_without += 1
        else:
            numbers.append(number)
            times.append(match[5])
            values.append(value)
    _count(reading, n_without, n_bad, n_histograms)
    if not times:
        if n_without:
            raise SourceError(
                f"{reading.file}: none of {n_without} samples has a time: it is the answer of one scrape. "
                "Give a file with times, as `promtool tsdb dump-openmetrics` writes it."
            )
        reading.tally.remarks.append(f"{reading.file} has no samples")
    is_open = any(line.strip() == "# EOF" for line in lines[-3:])
    unit = "s" if is_open and reading.layout.time_unit == "auto" else ""
    if unit:
        reading.say("times in s since the epoch")
    read = read_times(pa.array(times, pa.string()), reading, unit=unit)
    return Columns(
        np.array(numbers, np.int32)[read.good], read.time_ms, np.array(values, np.float64)[read.good]
    )


def _count(reading: Reading, n_without: int, n_bad: int, n_histograms: int) -> None:
    reading.tally.count_bad("no_time", n_without)
    reading.tally.count_bad("invalid_line", n_bad)
    reading.tally.count_bad("unsupported_type", n_histograms)


def _types(lines: list[str]) -> dict[str, str]:
    typed = {}
    for line in lines:
        words = line.split() if line.startswith("# TYPE ") else ()
        if len(words) == 4:
            typed[words[2].strip('"')] = words[3]
    return typed


def _intern(match: re.Match[str], kinds: dict[str, str], reading: Reading) -> int | None:
    labels = parse_labels(match[3] or "")
    if labels is None:
        return None
    name = match[2] or labels.get("__name__", "")
    if not name:
        return None
    labels = {key: value for key, value in labels.items() if key != "__name__"}
    if not labels:
        labels = {"entity": reading.stem}
    return reading.table.intern(name, labels_of(labels), _kind_of(name, kinds))


def _kind_of(name: str, kinds: dict[str, str]) -> Kind | None:
    if name in kinds:
        kind = kinds[name]
        # The quantiles of a summary carry its own name: they are levels.
        return Kind.GAUGE if kind == "summary" else _KINDS.get(kind)
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and name.removesuffix(suffix) in kinds:
            return _KINDS.get(kinds[name.removesuffix(suffix)])
    return None
