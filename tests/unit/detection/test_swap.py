"""Another model takes over a running watch between two steps."""

from __future__ import annotations

import numpy as np
import pytest

from models.bundle import Bundle
from monitor.config.schema import SourceConfig
from monitor.daemon.checkpoints import capture, resume_watch
from monitor.detection.build import build_watch, known_entities
from monitor.detection.report import WatchReport
from monitor.detection.steps import ClosedSteps
from monitor.detection.swap import ChannelChange, align_rows, swap_champion
from monitor.detection.view import WatchObserver
from monitor.errors import ConfigError, SwapError
from monitor.sources.position import Position
from monitor.storage.step_history import History
from monitor.training.train import fit_watch

NAN = np.nan


@pytest.fixture
def watch(quiet_watch):
    return quiet_watch(model={"hidden": 4, "latent": 2, "epochs": 2})


def noise(n_steps, n=1, *, seed=0, level=100.0):
    return level + np.random.default_rng(seed).normal(0, 1, (n_steps, n, 2))


def bundle_of(watch, *, entities=("web1",), channels=("a", "b"), level=100.0, seed=0, n_steps=400):
    """Train a small model on quiet noise."""
    shape = (n_steps, len(entities), len(channels))
    values = level + np.random.default_rng(seed).normal(0, 1, shape)
    fit = fit_watch(watch.settings(), History(entities, channels, values, 0, 1000 * n_steps))
    return Bundle(fit.detector, channels, entities, {"to_ms": 1000 * n_steps})


def running(watch, champion, *, entities=None):
    return build_watch(watch.settings(), champion, entities=entities)


def live(pipeline, values, *, first_step):
    """Judge steps one after the other; give scores (T, n) and alerts."""
    scores, alerts = [], []

    def keep(scored):
        scores.append((scored.time_ms, scored.score.copy()))

    pipeline.observe(WatchObserver(on_scored=keep))
    for at in range(len(values)):
        alerts += pipeline.judge(ClosedSteps(first_step + at, 1000, values[at : at + 1]), WatchReport())
    return scores, alerts


# One unit


def test_weights_scaling_tails_and_limit_are_all_the_new_models(watch):
    old, new = bundle_of(watch, seed=1), bundle_of(watch, seed=2, level=101.0)
    pipeline = running(watch, old)
    live(pipeline, noise(200), first_step=400)
    kept = {name: array.copy() for name, array in pipeline.scorer.detector.state().items()}

    swap_champion(pipeline, watch.settings(), new)

    detector = pipeline.scorer.detector
    assert detector.trained is new.detector.trained
    for name in (
        "scaling.centre",
        "scaling.scale",
        "tails.counts",
        "tails.median",
        "tails.threshold",
        "tails.scale",
        "peaks",
        "gaussian.mean",
    ):
        np.testing.assert_array_equal(detector.state()[name], new.detector.state()[name], err_msg=name)
        assert not np.array_equal(detector.state()[name], kept[name]), f"{name} is the same in both models"


def test_the_next_step_is_judged_as_by_a_daemon_that_had_the_new_model_from_the_start(watch):
    old, new = bundle_of(watch, seed=1), bundle_of(watch, seed=2)
    values = noise(40)
    swapped, undisturbed = running(watch, old), running(watch, align_rows(new, new.entities))
    live(swapped, values[:20], first_step=400)
    swap_champion(swapped, watch.settings(), new)
    # It has the same newest window behind it, and has learned nothing from it yet.
    undisturbed.judge(ClosedSteps(413, 1000, values[13:20]), WatchReport())
    aligned = align_rows(new, new.entities)
    scorer = build_watch(watch.settings(), aligned, entities=undisturbed.entities).scorer
    undisturbed.swap(scorer, np.array([0, 1]))

    after, _ = live(swapped, values[20:], first_step=420)
    as_expected, _ = live(undisturbed, values[20:], first_step=420)

    np.testing.assert_array_equal([score for _, score in after], [score for _, score in as_expected])
    assert not np.isnan(after[0][1]).any()  # nothing warms up


def test_the_promoted_bundle_itself_learns_nothing(watch):
    new = bundle_of(watch, seed=2)
    before = new.detector.tails.counts.copy()
    pipeline = running(watch, bundle_of(watch))
    swap_champion(pipeline, watch.settings(), new)

    live(pipeline, noise(100), first_step=400)

    np.testing.assert_array_equal(new.detector.tails.counts, before)


# Episodes


def test_an_open_episode_stays_open_and_is_frozen_anew(watch):
    pipeline = running(watch, bundle_of(watch, seed=1))
    fault = noise(30) + np.array([30.0, 0.0])
    _, opened = live(pipeline, fault[:15], first_step=400)
    limit_before = pipeline.scorer.limits()[0]

    swap_champion(pipeline, watch.settings(), bundle_of(watch, seed=2))
    scores, during = live(pipeline, fault[15:], first_step=415)

    assert [alert.resolved_ms for alert in opened] == [None]
    assert during == []
    assert pipeline.scorer.detector.tails.frozen.tolist() == [True]
    assert pipeline.scorer.limits()[0] == pipeline.scorer.limit.value != limit_before
    assert min(score[0] for _, score in scores) >= 1.0
    _, resolved = live(pipeline, noise(30, seed=5), first_step=430)
    assert [(alert.identity, alert.reason) for alert in resolved] == [(opened[0].identity, "recovered")]
    assert pipeline.scorer.detector.tails.frozen.tolist() == [False]


# Entities and channels


def test_rows_keep_their_numbers_whatever_the_models_order(watch):
    old = bundle_of(watch, entities=("web1", "web2"), seed=1)
    new = bundle_of(watch, entities=("web3", "web2"), seed=2)
    pipeline = running(watch, old)
    live(pipeline, noise(120, 2), first_step=400)

    swap_champion(pipeline, watch.settings(), new)

    detector = pipeline.scorer.detector
    assert pipeline.entities.entities == ["web1", "web2", "web3"]
    np.testing.assert_array_equal(detector.scaling.centre[[1, 2]], new.detector.scaling.centre[[1, 0]])
    np.testing.assert_array_equal(detector.tails.counts[[1, 2]], new.detector.tails.counts[[1, 0]])


def test_an_entity_that_the_model_does_not_know_is_calibrated_at_once_from_the_newest_steps(watch):
    pipeline = running(watch, bundle_of(watch, entities=("web1", "web2"), seed=1))
    live(pipeline, noise(200, 2), first_step=400)

    swap_champion(pipeline, watch.settings(), bundle_of(watch, seed=2))
    scores, _ = live(pipeline, noise(5, 2, seed=3), first_step=600)

    assert pipeline.scorer.detector.calibrated.tolist() == [True, True]
    assert not np.isnan([score for _, score in scores]).any()


def test_an_entity_of_which_too_little_was_seen_goes_on_warming_up(watch):
    pipeline = running(watch, bundle_of(watch, seed=1))
    values = noise(60, 2)
    pipeline.entities.adopt(["web2"], ["a", "b"])
    live(pipeline, values, first_step=400)

    swap_champion(pipeline, watch.settings(), bundle_of(watch, seed=2))

    assert pipeline.scorer.missing_steps().tolist() == [0, 48]


def test_a_channel_that_only_the_model_knows_comes_behind_and_its_series_are_accepted(watch, table, noise):
    columns = noise(20)  # two metrics, a and b
    pipeline = running(watch, bundle_of(watch, channels=("a",)))
    pipeline.process(columns, table, 19_000, latest_ms=19_000, finished=False)
    assert pipeline.entities.n_ignored == 1

    swap_champion(pipeline, watch.settings(), bundle_of(watch, channels=("a", "b")))
    _, report = pipeline.process(noise(20, start_step=20), table, 39_000, latest_ms=39_000, finished=False)

    assert pipeline.entities.n_ignored == 0
    assert report.n_samples == 40
    assert not np.isnan(pipeline.last_scored.actual).any()


def test_a_model_judges_the_same_in_whatever_order_the_running_channels_came(watch):
    new, values = bundle_of(watch, seed=2), noise(300)
    in_order, as_they_came = (
        running(watch, None, entities=known_entities(watch.settings(), ["web1"], channels, fixed=False))
        for channels in (["a", "b"], ["b", "a"])
    )
    live(in_order, values[:200], first_step=400)
    live(as_they_came, values[:200, :, ::-1], first_step=400)

    change = swap_champion(as_they_came, watch.settings(), new)
    swap_champion(in_order, watch.settings(), new)
    after, _ = live(as_they_came, values[200:], first_step=600)
    expected, _ = live(in_order, values[200:], first_step=600)

    assert change == ChannelChange()
    assert as_they_came.entities.channels == ["a", "b"]
    np.testing.assert_array_equal([score for _, score in after], [score for _, score in expected])
    assert not np.isnan([score for _, score in after]).any()


@pytest.mark.parametrize(
    ("channels", "change"),
    [
        (("a",), ChannelChange(left_out=("b",))),
        (("a", "c", "b"), ChannelChange(awaited=("c",))),
        (("c", "b"), ChannelChange(left_out=("a",), awaited=("c",))),  # as if `a` had been renamed
    ],
)
def test_a_model_of_more_or_fewer_channels_judges_at_once_those_that_both_know(watch, channels, change):
    pipeline = running(watch, bundle_of(watch, seed=1))
    values = noise(40)
    live(pipeline, values, first_step=400)

    assert swap_champion(pipeline, watch.settings(), bundle_of(watch, channels=channels)) == change

    shared = [name for name in channels if name != "c"]
    assert pipeline.entities.channels == list(channels)
    recent = pipeline.scorer.recent.values
    for name in channels:
        of_channel = recent[-40:, 0, channels.index(name)]
        np.testing.assert_array_equal(of_channel, values[:, 0, "ab".index(name)] if name in shared else NAN)
    more = np.full((5, 1, len(channels)), NAN)
    more[:, :, [channels.index(name) for name in shared]] = 100.0
    scores, _ = live(pipeline, more, first_step=440)
    assert not np.isnan([score for _, score in scores]).any()


def test_an_open_episode_ends_behind_a_model_that_has_its_channel_elsewhere(watch):
    pipeline = running(watch, bundle_of(watch, seed=1))
    _, opened = live(pipeline, noise(15) + np.array([30.0, 0.0]), first_step=400)

    swap_champion(pipeline, watch.settings(), bundle_of(watch, channels=("c", "b", "a"), seed=2))
    in_order = np.full((60, 1, 3), NAN)
    in_order[:, :, 2:0:-1] = noise(60, seed=3)
    in_order[:15, :, 2] += 30.0
    scores, resolved = live(pipeline, in_order, first_step=415)

    assert min(score[0] for _, score in scores[:15]) >= 1.0
    assert [(alert.identity, alert.reason) for alert in resolved] == [(opened[0].identity, "recovered")]


def test_a_model_that_knows_no_running_channel_is_refused_and_nothing_changes(watch):
    pipeline = running(watch, bundle_of(watch, seed=1))
    live(pipeline, noise(20), first_step=400)
    scorer = pipeline.scorer

    expected = (
        r"watch w: the model knows none of the running channels \(a, b\), only c0, c1, c2, c3, c4 and "
        "1 more: it would judge nothing. Train one with `barograph retrain`, or from files"
    )
    with pytest.raises(SwapError, match=expected):
        swap_champion(
            pipeline, watch.settings(), bundle_of(watch, channels=tuple(f"c{number}" for number in range(6)))
        )

    assert pipeline.scorer is scorer
    assert (pipeline.entities.entities, pipeline.entities.channels) == (["web1"], ["a", "b"])


def test_samples_that_were_not_judged_yet_go_on_under_another_order(watch, table, noise):
    pipeline = running(watch, bundle_of(watch, channels=("b", "a")))
    pipeline.process(noise(20), table, 19_000, latest_ms=19_000, finished=False)  # the last step is open
    observed = []
    pipeline.observe(WatchObserver(on_rearranged=lambda order: observed.append(order.tolist())))

    swap_champion(pipeline, watch.settings(), bundle_of(watch, channels=("a", "b")))
    more = noise(20, seed=1, start_step=20)
    pipeline.process(more, table, 39_000, latest_ms=39_000, finished=True)

    by_channel = {
        table[number].name: more.value[more.series == number] for number in set(more.series.tolist())
    }
    first = noise(20)
    before = {
        table[number].name: first.value[first.series == number] for number in set(first.series.tolist())
    }
    for column, name in enumerate("ab"):
        np.testing.assert_array_equal(
            pipeline.scorer.recent.values[-40:, 0, column], np.concatenate([before[name], by_channel[name]])
        )
    assert observed == [[1, 0]]


def test_a_model_of_another_window_is_refused(watch, quiet_watch):
    pipeline = running(watch, bundle_of(watch, seed=1))
    other = quiet_watch(window_length=10, model={"hidden": 4, "latent": 2, "epochs": 1})

    with pytest.raises(ConfigError, match="window_length is 8, but its model was trained with 10"):
        swap_champion(pipeline, watch.settings(), bundle_of(other))


def test_companions_give_way_to_the_first_model(watch):
    entities = known_entities(watch.settings(), ["web1"], ["a", "b"], fixed=False)
    pipeline = running(watch, None, entities=entities)
    live(pipeline, noise(150), first_step=0)

    swap_champion(pipeline, watch.settings(), bundle_of(watch))
    scores, _ = live(pipeline, noise(5), first_step=150)

    assert pipeline.scorer.detector.trained is not None
    assert not np.isnan([score for _, score in scores]).any()


# A restart in between


def test_a_restart_with_another_model_goes_on_with_the_episode_and_judges_at_once(watch):
    pipeline = running(watch, bundle_of(watch, seed=1))
    _, opened = live(pipeline, noise(120) + np.array([30.0, 0.0]), first_step=400)
    checkpoint = capture([(watch, "v1", pipeline)], source=SourceConfig(), position=Position())
    new, refreshed = bundle_of(watch, seed=2), []

    resumed, what = resume_watch(
        watch, "v2", new, checkpoint, refresh=lambda bundle: refreshed.append(bundle) or bundle
    )

    assert (what, refreshed) == ("resumed with another model", [new])
    assert [alert.identity for alert in resumed.open_alerts.values()] == [opened[0].identity]
    assert resumed.scorer.detector.trained is new.detector.trained
    scores, resolved = live(resumed, noise(30, seed=5), first_step=520)
    assert not np.isnan(scores[0][1]).any()
    assert [(alert.identity, alert.reason) for alert in resolved] == [(opened[0].identity, "recovered")]


def test_a_restart_with_the_first_model_goes_on_from_the_companions(watch):
    entities = known_entities(watch.settings(), ["web1"], ["a", "b"], fixed=False)
    pipeline = running(watch, None, entities=entities)
    live(pipeline, noise(150), first_step=0)
    checkpoint = capture([(watch, None, pipeline)], source=SourceConfig(), position=Position())

    resumed, what = resume_watch(watch, "v1", bundle_of(watch), checkpoint)

    assert what == "resumed with another model"
    scores, _ = live(resumed, noise(3), first_step=150)
    assert not np.isnan([score for _, score in scores]).any()


@pytest.mark.parametrize("version", ["v2", "v1"])
@pytest.mark.parametrize("channels", [("b", "a"), ("b", "c", "a"), ("a",)])
def test_a_restart_with_a_model_of_other_channels_loses_no_episode(watch, channels, version):
    pipeline = running(watch, bundle_of(watch, seed=1))
    _, opened = live(pipeline, noise(120) + np.array([30.0, 0.0]), first_step=400)
    checkpoint = capture([(watch, "v1", pipeline)], source=SourceConfig(), position=Position())

    resumed, what = resume_watch(watch, version, bundle_of(watch, channels=channels, seed=2), checkpoint)

    assert what == "resumed with another model"
    assert resumed.entities.channels == list(channels)
    assert [alert.identity for alert in resumed.open_alerts.values()] == [opened[0].identity]
    normal = np.full((40, 1, len(channels)), NAN)
    for column, name in enumerate(channels):
        if name != "c":
            normal[:, 0, column] = noise(40, seed=5)[:, 0, "ab".index(name)]
    scores, resolved = live(resumed, normal, first_step=520)
    assert not np.isnan(scores[0][1]).any()
    assert [(alert.identity, alert.reason) for alert in resolved] == [(opened[0].identity, "recovered")]


@pytest.mark.parametrize("champion", [None, "no channel of these"])
def test_a_restart_with_a_model_that_does_not_fit_starts_anew(watch, champion, caplog):
    pipeline = running(watch, bundle_of(watch, seed=1))
    live(pipeline, noise(20), first_step=400)
    checkpoint = capture([(watch, "v1", pipeline)], source=SourceConfig(), position=Position())
    other = bundle_of(watch, channels=("c", "d")) if champion else None

    anew, what = resume_watch(watch, "v2" if champion else None, other, checkpoint)

    assert what == "model changed"
    assert anew.entities.channels == (["c", "d"] if champion else [])
    assert ("episodes and newest steps are lost" in caplog.text) == bool(champion)
