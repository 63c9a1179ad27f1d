"""Changes of level through a whole watch; steps are 1 s, windows 8 steps, levels are measured by 32 steps.

An episode is asked for new levels from 768 steps behind its onset on. Entities are mature (tests/support).
"""

import numpy as np
import pytest
from maturity import mature
from metric_stream import Stream, watch
from stage_settings import alert_policy

from models.bundle import Bundle
from monitor.alerting.text import alert_text
from monitor.detection.build import build_watch
from monitor.detection.levels import RecordedLevels, level_changes
from monitor.detection.pipeline import Pipeline
from monitor.detection.report import WatchReport
from monitor.detection.steps import ClosedSteps
from monitor.detection.swap import align_rows, swap_champion
from monitor.detection.view import WatchObserver
from monitor.storage.step_history import History
from monitor.training.train import fit_watch

FAULT = 15  # standard deviations of the channel


def reasons(stream):
    return [alert.reason for alert in stream.alerts]


@pytest.mark.parametrize("batch_steps", [1, 7, 1000])
def test_a_step_for_good_ends_as_level_changed_and_names_both_levels(batch_steps):
    stream = Stream(seed=5, batch_steps=batch_steps).run(400).mature().run(900, load=FAULT)

    opened, changed = stream.alerts
    assert changed.reason == "level changed"
    assert 768_000 <= changed.resolved_ms - opened.since_ms <= 784_000
    (level,) = changed.levels
    assert level.channel == "load"
    assert (level.before, level.after) == (pytest.approx(50, abs=1), pytest.approx(65, abs=1))
    assert f"levels=[load {level.before:.3g} -> {level.after:.3g}]" in alert_text(changed)


@pytest.mark.parametrize("seed", range(3))
def test_twice_the_change_is_an_episode_of_its_own_and_both_ways_back_are_silent(seed):
    stream = Stream(seed=seed).run(400).mature().run(820, load=FAULT)
    stream.run(820, load=2 * FAULT).run(150, load=FAULT).run(300)

    assert reasons(stream) == [None, "level changed", None, "level changed"]
    assert 1_221_000 <= stream.alerts[2].since_ms <= 1_225_000


def test_the_same_fault_is_caught_again_behind_a_return():
    stream = Stream(seed=5).run(400).mature()
    for _ in range(3):
        stream.run(820, load=FAULT).run(150)

    assert reasons(stream) == [None, "level changed"] * 3


def test_a_level_that_has_lasted_is_normal_and_may_come_again():
    policy = alert_policy(close_seconds=10, rest_seconds=10, accept_after_seconds=300)
    stream = Stream(watch(policy=policy), seed=5).run(400).mature().run(600, load=FAULT)

    stream.run(200).run(200, load=FAULT)

    assert reasons(stream) == [None, "level changed"]


def test_a_fault_in_another_channel_is_caught_around_the_new_level():
    stream = Stream(seed=6).run(400).mature().run(820, load=FAULT).run(40, load=FAULT, queue_depth=FAULT)

    assert reasons(stream) == [None, "level changed", None]
    assert stream.alerts[2].channels[0].channel == "queue_depth"
    assert stream.alerts[2].channels[0].actual > 240


def test_a_return_with_a_fault_in_another_channel_is_no_return():
    stream = Stream(seed=6).run(400).mature().run(820, load=FAULT).run(40, queue_depth=2 * FAULT)

    assert reasons(stream)[:3] == [None, "level changed", None]


def test_over_limit_scores_of_a_return_are_counted():
    stream = Stream(seed=5, batch_steps=1).run(400).mature().run(820, load=FAULT)
    counted = []
    process = stream.pipeline.process

    def counting(*arguments, **options):
        decision = process(*arguments, **options)
        counted.append(decision.reports["web"].suppressed.get("return", 0))
        return decision

    stream.pipeline.process = counting
    stream.run(50)

    assert sum(counted) == 1
    assert reasons(stream) == [None, "level changed"]


# A second fault inside an open episode


def test_a_second_fault_in_another_channel_ends_the_episode_and_opens_another():
    stream = Stream(seed=6).run(400).mature().run(100, load=FAULT)
    stream.run(40, load=FAULT, queue_depth=FAULT)

    assert reasons(stream) == [None, "another fault", None]
    ended, opened = stream.alerts[1:]
    assert 501_000 <= opened.since_ms == ended.resolved_ms <= 503_000
    assert {share.channel for share in opened.channels} >= {"queue_depth"}
    assert [alert.identity for alert in stream.watch.open_alerts.values()] == [opened.identity]


@pytest.mark.parametrize("seed", range(3))
def test_the_same_channel_that_moves_again_as_far_is_a_second_fault(seed):
    stream = Stream(seed=seed).run(400).mature().run(100, load=FAULT).run(60, load=2 * FAULT)

    assert reasons(stream) == [None, "another fault", None]


@pytest.mark.parametrize(
    "then",
    [
        [{}],  # the way back
        [{"load": 0.5 * FAULT}],  # half of it
        [{"load": 1.2 * FAULT}],  # a little more of the same
        [{"load": FAULT * (1 + 0.02 * step)} for step in range(40)],  # a fault that grows
        [{"load": FAULT * (step % 2)} for step in range(20)],  # one that comes and goes
    ],
)
def test_what_only_continues_a_fault_is_no_second_one(then):
    stream = Stream(seed=6).run(400).mature().run(100, load=FAULT)
    for shift in then:
        stream.run(40 // len(then) or 1, **shift)

    assert "another fault" not in reasons(stream)


def test_a_fault_that_grows_within_its_first_steps_is_one():
    stream = Stream(seed=6).run(400).mature().run(10, load=FAULT).run(20, load=3 * FAULT)

    assert reasons(stream) == [None]


def test_a_second_fault_is_held_as_long_as_a_first_one():
    policy = alert_policy(hold_seconds=5, close_seconds=10, rest_seconds=10, accept_after_seconds=86400)
    found = {}
    for n_steps in (3, 20):
        stream = Stream(watch(policy=policy), seed=6).run(400).mature().run(100, load=FAULT)
        found[n_steps] = reasons(stream.run(n_steps, load=FAULT, queue_depth=FAULT).run(5, load=FAULT))

    assert found == {3: [None], 20: [None, "another fault", None]}


def test_the_way_back_behind_a_second_fault_is_silent_and_the_fault_is_caught_again():
    stream = Stream(seed=6).run(400).mature().run(100, load=FAULT)
    stream.run(40, load=FAULT, queue_depth=FAULT).run(100).run(40, load=FAULT)

    assert reasons(stream) == [None, "another fault", None, "recovered", None]


# What an operator accepts


def accepted(stream, note="anna: release"):
    (alert,) = stream.watch.open_alerts.values()
    resolved = stream.watch.accept(alert.identity, note)
    stream.alerts.append(resolved)
    return resolved


@pytest.mark.parametrize("n_steps", [4, 20, 100])
def test_a_level_that_an_operator_accepts_is_normal_at_once_and_so_is_the_way_back(n_steps):
    stream = Stream(seed=5, batch_steps=1).run(400).mature().run(n_steps, load=FAULT)
    resolved = accepted(stream)
    stream.run(150, load=FAULT).run(150)

    assert reasons(stream) == [None, "accepted by operator"]
    assert (resolved.note, resolved.resolved_ms) == ("anna: release", 1000 * (400 + n_steps - 1))
    (level,) = resolved.levels
    assert (level.channel, level.before) == ("load", pytest.approx(50, abs=2))
    assert level.after == pytest.approx(65, abs=2)
    assert stream.watch.open_alerts == {}


def test_another_fault_is_caught_around_a_level_that_an_operator_accepted():
    stream = Stream(seed=5, batch_steps=1).run(400).mature().run(20, load=FAULT)
    accepted(stream)
    stream.run(60, load=FAULT).run(30, load=FAULT, queue_depth=FAULT)

    assert reasons(stream) == [None, "accepted by operator", None]
    assert stream.alerts[-1].channels[0].channel == "queue_depth"


def test_a_pattern_that_an_operator_accepts_raises_nothing_that_is_no_higher():
    stream = Stream(seed=4, batch_steps=1).run(400).mature()
    swing = (FAULT, -FAULT, FAULT, -FAULT)
    for shift in swing * 4:
        stream.run(3, load=shift)
    resolved = accepted(stream)
    for shift in swing * 8:
        stream.run(3, load=shift)

    assert (resolved.reason, resolved.levels) == ("accepted by operator", ())
    assert reasons(stream) == [None, "accepted by operator"]


def test_an_episode_that_is_not_open_cannot_be_accepted():
    stream = Stream(seed=5).run(400)

    assert stream.watch.accept("web/web1/1", "anna") is None


@pytest.mark.parametrize("n_before_restart", [20, 780, 825, 850])
def test_levels_go_on_behind_a_restart(n_before_restart):
    def story(stream, n_steps):
        """Let the given number of steps pass: 820 around a new level, then back."""
        for _ in range(n_steps):
            is_back = stream.now - 400 >= 820
            stream.run(1, load=0 if is_back else FAULT)
        return stream

    undisturbed = story(Stream(seed=5, batch_steps=1).run(400).mature(), 920)
    stream = story(Stream(seed=5, batch_steps=1).run(400).mature(), n_before_restart)
    arrays = {name: array.copy() for name, array in stream.watch.state().items()}
    restarted = watch()
    restarted.entities.update(stream.table, np.arange(len(stream.table)))
    restarted.entities.fix_channels()
    restarted.load_state(arrays, dict(stream.watch.open_alerts))
    stream.pipeline = Pipeline([restarted], stream.table, max_future_ms=60_000)

    story(stream, 920 - n_before_restart)

    assert reasons(undisturbed) == [None, "level changed"]
    assert stream.alerts == undisturbed.alerts


def test_a_state_from_before_there_were_levels_is_taken_over():
    stream = Stream(seed=5).run(450).mature()
    arrays = {name: array for name, array in stream.watch.state().items() if "levels." not in name}

    stream.watch.load_state(arrays, {})
    stream.run(820, load=FAULT)

    assert reasons(stream) == [None, "level changed"]


def test_changes_are_worded_with_the_largest_first():
    window = np.array([[9.0, 100.0, 1.0], [10.0, 101.0, 1.0], [11.0, 102.0, 1.0]])

    levels = level_changes(np.array([2.0, -50.0, 0.0]), window, ["a", "b", "c"])

    assert [(level.channel, level.before, level.after) for level in levels] == [
        ("b", 151.0, 101.0),
        ("a", 8.0, 10.0),
    ]


def test_recorded_levels_answer_as_the_first_time():
    shifts = np.zeros((8, 2, 2))
    shifts[5, 1, 1] = 3.0
    followed_ms = np.zeros((8, 2), np.int64)
    followed_ms[3, 0] = 30_000
    recorded, rows, limits = RecordedLevels(shifts, followed_ms), np.array([0, 1]), np.ones(2)

    answers, second = [], []
    for t in range(8):
        recorded.at_step(t)
        second.append(recorded.second_since_ms(None, rows, np.zeros(2, bool), limits).tolist())
        answers.append((recorded.due(None, rows).tolist(), recorded.returning(None, rows).tolist()))

    assert [due for due, _ in answers] == [[], [], [], [], [], [1], [], []]
    assert [returning[1] for _, returning in answers] == [False, False, True, True, True, True, False, False]
    assert not any(returning[0] for _, returning in answers)
    assert second == [[30_000 if t == 3 else 0, 0] for t in range(8)]
    recorded.at_step(5)
    assert recorded.changes(None, np.array([1])).tolist() == [[0.0, 3.0]]


# With a model


@pytest.fixture
def model(quiet_watch):
    """Give the settings of a watch and a small model of its quiet noise."""
    config = quiet_watch(model={"hidden": 4, "latent": 2, "epochs": 2})
    values = np.random.default_rng(0).normal(100, 1, (600, 1, 2))
    fit = fit_watch(config.settings(), History(("web1",), ("a", "b"), values, 0, 600_000))
    return config.settings(), Bundle(fit.detector, ("a", "b"), ("web1",), {"to_ms": 600_000})


def judged(model, levels, *, block_steps):
    """Judge noise around the levels (T,) of the first channel; give scores, alerts and the watch."""
    settings, bundle = model
    watch = build_watch(settings, align_rows(bundle, ["web1"]))  # a detector of its own
    mature(watch.scorer.detector)
    scores, alerts = [], []
    watch.observe(WatchObserver(on_scored=lambda scored: scores.append(scored.score[0])))
    values = np.random.default_rng(1).normal(100, 1, (len(levels), 1, 2))
    values[:, 0, 0] += levels
    for start in range(0, len(values), block_steps):
        closed = ClosedSteps(600 + start, 1000, values[start : start + block_steps])
        alerts += watch.judge(closed, WatchReport())
    return np.array(scores), alerts, watch


def test_a_model_sees_a_new_level_as_it_saw_the_old_in_blocks_of_any_size(model):
    levels = np.repeat([0.0, 9.0, 18.0, 9.0, 0.0], [100, 900, 40, 100, 100])
    scores, alerts, watch = judged(model, levels, block_steps=1)
    whole_scores, whole_alerts, _ = judged(model, levels, block_steps=1000)

    assert [alert.reason for alert in alerts] == [None, "level changed", None, "recovered"]
    assert 1_601_000 <= alerts[2].since_ms <= 1_603_000
    assert (scores[900:1000] < 1.0).all()
    assert watch.scorer.detector.scaling.centre[0, 0] == pytest.approx(100, abs=0.5)
    assert alerts == whole_alerts
    np.testing.assert_array_equal(scores, whole_scores)


def test_a_new_model_judges_an_entity_around_the_levels_of_its_own_training(model):
    settings, bundle = model
    _, _, watch = judged(model, np.repeat([0.0, 9.0], [100, 820]), block_steps=50)
    shifted = watch.scorer.detector.scaling.centre[0, 0]

    swap_champion(watch, settings, bundle)

    assert shifted == pytest.approx(109, abs=1)
    assert watch.scorer.detector.scaling.centre[0, 0] == bundle.detector.scaling.centre[0, 0]
    assert not watch.scorer.levels.rows.offset.any()
