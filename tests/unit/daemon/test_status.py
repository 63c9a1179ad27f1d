"""What a checkpoint says of each watch."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monitor.config.schema import SourceConfig
from monitor.daemon.checkpoints import capture
from monitor.daemon.status import WatchStatus, watch_statuses
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.sample import concatenate
from monitor.sources.position import Position
from monitor.storage.checkpoint import Checkpoint, CheckpointError


@pytest.fixture
def checkpoint(quiet_watch, table, noise):
    """Make the checkpoint of a watch that has lost web2 at 200 s."""
    config = quiet_watch()
    watch = build_watch(config.settings(), None, live=True)
    pipeline = Pipeline([watch], table, max_future_ms=60_000)
    pipeline.process(concatenate([noise(200), noise(200, host="web2", seed=1)]), 199_000)
    pipeline.process(noise(20, start_step=200, seed=2), 219_000)
    made = capture([(config, None, watch)], source=SourceConfig(), position=Position())
    return Checkpoint(made.arrays, json.loads(json.dumps(made.about)))


def test_a_watch_is_shown_with_the_entities_that_it_lacks_and_since_when(checkpoint):
    (status,) = watch_statuses(checkpoint)

    assert status == WatchStatus(
        watch="w", n_entities=2, n_open=0, n_expected=2, missing=(("web2", 200_000),)
    )


def test_those_that_are_missing_for_longest_come_first_and_one_never_judged_has_no_time(checkpoint):
    arrays = {
        **checkpoint.arrays,
        "w/coverage/judged_ms": np.array([5000]),  # shorter than the others: a model's entity, never seen
        "w/coverage/expected": np.array([True, True]),
        "w/coverage/missing": np.array([True, True]),
    }

    (status,) = watch_statuses(Checkpoint(arrays, checkpoint.about))

    assert status.missing == (("web2", None), ("web1", 5000))


def test_a_checkpoint_of_a_version_that_saved_no_coverage_is_shown_without_it(checkpoint):
    arrays = {name: array for name, array in checkpoint.arrays.items() if "/coverage/" not in name}

    (status,) = watch_statuses(Checkpoint(arrays, checkpoint.about))

    assert (status.n_entities, status.n_expected, status.missing) == (2, None, ())


def test_a_checkpoint_that_lacks_something_is_refused(checkpoint):
    with pytest.raises(CheckpointError, match="does not hold what it should: KeyError"):
        watch_statuses(Checkpoint(checkpoint.arrays, {"watches": {"w": {}}}))
