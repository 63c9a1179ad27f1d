"""When a watch resumes from a checkpoint, and when the state is another watch's or another model's."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.config.schema import ReplayConfig, SourceConfig
from monitor.daemon.checkpoints import capture, continues, resume_watch
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.sources.position import Position

REPLAY = SourceConfig(kind="replay", replay=ReplayConfig(paths=["a.csv"]))


@pytest.fixture
def checkpoint(quiet_watch, table, noise):
    """State of 200 steps, judged by the model called v1 (there is none: the baselines judged)."""
    config = quiet_watch()
    watch = build_watch(config.settings(), None)
    Pipeline([watch], table, max_future_ms=60_000).process(noise(200), 199_000)
    return capture([(config, "v1", watch)], source=REPLAY, position=Position(199_000))


def n_seen(watch):
    return watch.scorer.state()["n_seen"].tolist()


def test_the_same_watch_with_the_same_model_continues(quiet_watch, checkpoint):
    watch, what = resume_watch(quiet_watch(), "v1", None, checkpoint)

    assert what == "resumed"
    assert (n_seen(watch), watch.grid.next_step, watch.entities.entities) == ([199], 199, ["web1"])
    assert watch.scorer.detector.calibrated.tolist() == [True]


def test_another_model_does_not_take_over_tails_that_its_reads_were_not_fitted_by(quiet_watch, checkpoint):
    watch, what = resume_watch(quiet_watch(), "v2", None, checkpoint)

    assert what == "model changed"
    assert (n_seen(watch), watch.grid.next_step, watch.scorer.detector) == ([], None, None)


@pytest.mark.parametrize(
    "settings",
    [
        {"step_seconds": 2.0},
        {"window_length": 16},
        {"by": "series"},
        {"metrics": ["a"]},
        {"gap_mode": "hold", "max_gap_seconds": 5.0},
    ],
)
def test_settings_under_which_the_state_means_something_else_start_anew(quiet_watch, checkpoint, settings):
    watch, what = resume_watch(quiet_watch(**settings), "v1", None, checkpoint)

    assert what == "settings changed"
    assert watch.scorer.detector is None


@pytest.mark.parametrize(
    "settings",
    [
        {"budget": "1/week"},
        {"alert": {"hold_seconds": 3.0}},
        {"lateness_seconds": 1.0},
        {"model": {"epochs": 3}},
    ],
)
def test_settings_that_mean_the_same_to_the_state_change_freely(quiet_watch, checkpoint, settings):
    _, what = resume_watch(quiet_watch(**settings), "v1", None, checkpoint)

    assert what == "resumed"


def test_a_watch_of_another_name_has_no_state(quiet_watch, checkpoint):
    assert resume_watch(quiet_watch(name="other"), "v1", None, checkpoint)[1] == "no state"


def test_only_the_same_source_continues_and_no_replay_that_had_ended(checkpoint):
    ended = capture([], source=REPLAY, position=Position())
    live = capture([], source=SourceConfig(), position=Position())

    assert continues(checkpoint, REPLAY)
    assert not continues(checkpoint, SourceConfig(kind="replay", replay=ReplayConfig(paths=["b.csv"])))
    assert not continues(ended, REPLAY)
    assert continues(live, SourceConfig())


def test_what_is_resumed_is_a_copy(quiet_watch, checkpoint, table, noise):
    watch, _ = resume_watch(quiet_watch(), "v1", None, checkpoint)
    before = {name: array.copy() for name, array in checkpoint.arrays.items()}

    Pipeline([watch], table, max_future_ms=60_000).process(noise(50, start_step=200), 249_000)

    for name, array in checkpoint.arrays.items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
