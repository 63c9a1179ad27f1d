"""Series in Prometheus' notation."""

import pytest

from monitor.files.label_text import name_and_labels, parse_labels


@pytest.mark.parametrize(
    ("text", "name", "labels"),
    [
        ('cpu{host="a",mode="b"}', "cpu", {"host": "a", "mode": "b"}),
        ('{__name__="cpu", host="a}b"}', "cpu", {"host": "a}b"}),
        ('{host="a"}', "value", {"host": "a"}),
        ('{"disk.used", host="a"}', "disk.used", {"host": "a"}),
        ('cpu{path="C:\\\\x\\"y"}', "cpu", {"path": 'C:\\x"y'}),
        ("cpu web-1", "cpu web-1", {}),
        ("cpu {web-1}", "cpu {web-1}", {}),
        ("cpu{host=a}", "cpu", {"host": "a"}),
    ],
)
def test_a_name_and_labels_are_split(text, name, labels):
    assert name_and_labels(text) == (name, labels)


def test_labels_that_cannot_be_read_are_none():
    assert parse_labels('a="b" c') is None
