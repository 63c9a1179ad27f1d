"""The watch that files would need."""

import numpy as np

from monitor.offline.suggested_watch import suggested_watch
from monitor.sample import Columns, SeriesTable, labels_of


def table_of(*labels):
    table = SeriesTable()
    for number, series_labels in enumerate(labels):
        table.intern(f"cpu{number}", labels_of(series_labels))
    return table


def test_the_likeliest_common_label_makes_the_entities_and_the_samples_the_step():
    table = table_of({"job": "x", "instance": "a"}, {"job": "x", "instance": "b", "mode": "c"})
    times = np.array([0, 0, 15_000, 15_000, 30_000, 30_000])
    columns = Columns(np.array([0, 1] * 3, np.int32), times, np.zeros(6))

    assert suggested_watch(table, columns) == (
        'Their series are cpu0{instance="a",job="x"}, cpu1{instance="b",job="x",mode="c"}: a [[watch]] '
        'with a name, metrics = ["*"], by = ["instance"] and step_seconds = 15 takes them '
        "(docs/files.md has an example)."
    )


def test_series_without_a_common_label_are_watched_each_on_its_own():
    assert 'by = "series" takes' in suggested_watch(table_of({"a": "1"}, {}))
    assert "and 2 more" in suggested_watch(table_of(*[{"a": "1"}] * 5))
    assert suggested_watch(SeriesTable()) == "There is no series in them."
