"""A training on the history: what is read for it, and what cannot be."""

from __future__ import annotations

import json

import pytest
from waves import waves

from models.bundle import Bundle
from monitor.detection.steps import ClosedSteps
from monitor.errors import HistoryError
from monitor.storage.step_history import HistoryWriter, Retention
from monitor.storage.step_history_reader import StepRange
from monitor.testing import FakeClock
from monitor.training.from_history import history_since, read_history, retrain_from_history


@pytest.fixture
def folder(tmp_path, watch):
    """Keep 400 steps of two entities, a segment of each 100."""
    folder = tmp_path / "history" / "w"
    settings = watch.settings()
    writer = HistoryWriter(
        folder,
        Retention(segment_seconds=100.0, max_age_seconds=1e9, max_bytes=1 << 30),
        shape=settings.history_shape,
        step_ms=settings.step_ms,
        window_length=settings.window_length,
    )
    values = waves(400, n=2)
    for first in range(0, 400, 100):
        writer.add(ClosedSteps(first, 1000, values[first : first + 100]))
        writer.write(["web0", "web1"], ["a", "b", "c"], ())
    return folder


def retrained(watch, folder, registry, **options):
    options = {"clock": FakeClock(0.0), "max_steps": 50_000, "promotes": False, **options}
    return retrain_from_history(watch.settings(), folder, registry, **options)


def test_only_segments_that_reach_into_the_wanted_time_are_read(watch, folder):
    steps_read = read_history(folder, watch.settings(), channels=(), wanted=StepRange(from_ms=250_000))

    assert steps_read.n_segments == 2
    assert (steps_read.history.first_ms, len(steps_read.history.values)) == (250_000, 150)


def test_the_steps_since_a_model_was_made_are_those_it_has_not_seen(watch, folder):
    seen = Bundle(None, ("a", "b", "c"), ("web0",), {"to_ms": 390_000})
    of_unknown_age = Bundle(None, ("a", "b", "c"), ("web0",), {})

    assert len(history_since(folder, watch.settings(), seen, max_steps=1000).values) == 10
    assert len(history_since(folder, watch.settings(), of_unknown_age, max_steps=1000).values) == 400
    assert len(history_since(folder, watch.settings(), of_unknown_age, max_steps=30).values) == 30


def test_a_history_without_its_spans_is_none_to_warm_up_on(watch, folder, caplog):
    (folder / "spans.json").unlink()
    bundle = Bundle(None, ("a", "b", "c"), ("web0",), {})

    assert history_since(folder, watch.settings(), bundle, max_steps=1000) is None
    assert "history unusable watch=w" in caplog.text
    with pytest.raises(HistoryError, match="says what must not be learned"):
        read_history(folder, watch.settings(), channels=())


def test_a_model_names_its_rows_and_channels_as_the_history_does(watch, folder, registry):
    outcome = retrained(watch, folder, registry)

    bundle = registry.load(outcome.version)
    assert (bundle.entities, bundle.channels) == (("web0", "web1"), ("a", "b", "c"))


def test_the_next_models_channels_begin_with_the_champions(watch, folder, registry, champion):
    about = registry.folder / champion / "bundle.json"
    assert json.loads(about.read_text())["channels"] == ["a", "b", "c"]

    outcome = retrained(watch, folder, registry)

    assert registry.about(outcome.version)["channels"][:3] == ["a", "b", "c"]
    assert outcome.gate.opponent == champion


def test_a_training_without_the_spans_is_skipped_and_says_why(watch, folder, registry):
    (folder / "spans.json").unlink()

    outcome = retrained(watch, folder, registry)

    assert outcome.result == "skipped"
    assert "says what must not be learned" in outcome.reason


def test_a_training_tells_which_segments_it_skipped(watch, folder, registry):
    (folder / "0-99000.parquet").write_bytes(b"half")

    outcome = retrained(watch, folder, registry, until_ms=200_000)

    assert outcome.segments_skipped == {"gone": 0, "unreadable": 1, "settings": 0}
    assert outcome.reason.startswith("the history has 100 steps without an incident")
