"""Topics of native samples, and the watches that are suggested for them."""

from __future__ import annotations

import json

from monitor.decode.record import Record
from monitor.decode.topic_decoders import build_decoder
from monitor.discovery.suggest import suggest_watches
from monitor.discovery.survey import Survey
from monitor.sample import SeriesTable

T0 = 1_700_000_000_000


def sample(second, name, value=0.0, **labels):
    """Write a sample as a record."""
    document = {"name": name, "labels": labels, "time": T0 + second * 1000, "value": value}
    return Record(json.dumps(document).encode())


def series(name, *, step=10, n=5, values=None, **labels):
    """Write the samples of a series that goes up and down, unless its values are given."""
    return [sample(step * k, name, (values or [1, 2, 1, 2, 1])[k], **labels) for k in range(n)]


def suggest(*topics):
    """Suggest watches for topics, each given as the records of a partition; give the series' table too."""
    table = SeriesTable()
    surveys = []
    for number, records in enumerate(topics):
        survey = Survey(f"t{number}", "native_sample", build_decoder("native_sample"), table)
        survey.add(0, records, n_keyed=0, n_empty=0)
        surveys.append(survey)
    return suggest_watches(surveys, table), table
