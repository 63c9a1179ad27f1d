import numpy as np
import pytest
import torch

from models.baselines import WindowPca
from models.dataset import windows_of
from models.detector import Detector, calibration_episodes
from models.limits import Budget
from models.network import Autoencoder
from models.raw_scores import error_windows, fit_error_scale
from models.settings import ModelSettings
from models.trained import Trained

torch.set_num_threads(1)  # threads of networks this small wait for each other longer than they work

W = 8
SETTINGS = ModelSettings(window_length=W, hidden=8, latent=4, memory_windows=8, device="cpu")
AT_TAIL = 1.69897  # surprise where a tail starts
KINDS = ("baselines alone", "one channel", "three channels")


def noise(n_steps, n, n_channels, *, seed=0):
    """History of n entities in their own units: each channel around its own level; shape (T, n, C)."""
    level = 10.0 * (1 + np.arange(n)[:, None] + 3 * np.arange(n_channels)[None, :])
    return level + np.random.default_rng(seed).normal(size=(n_steps, n, n_channels))


def untrained(n_channels, *, seed=0):
    """A network as it is made, measured on noise: what it is good for does not matter here."""
    torch.manual_seed(seed)
    network = Autoencoder(n_channels, hidden=8, latent=4).eval()
    windows = np.random.default_rng(seed).normal(size=(300, W, n_channels)).astype(np.float32)
    errors, _ = error_windows(network, windows)
    return Trained(
        network, fit_error_scale(errors), WindowPca.fit(windows, windows) if n_channels > 1 else None
    )


def detector_of(kind, *, n_rows=2, block_steps=10):
    n_channels = 3 if kind == "three channels" else 1
    return Detector(
        SETTINGS,
        n_rows=n_rows,
        resolution=np.full(n_channels, 0.1),
        step_seconds=60.0,
        block_steps=block_steps,
        trained=None if kind == "baselines alone" else untrained(n_channels),
    )


def calibrated(kind, *, n_rows=2, **changes):
    detector = detector_of(kind, n_rows=n_rows, **changes)
    detector.calibrate(np.arange(n_rows), noise(150, n_rows, len(detector.resolution)))
    return detector


def live(detector, values, *, free=None):
    """Judge and learn values (T, n, C) step by step, as serving does; give each step's rows and scores."""
    scaled = detector.scaling.apply(values)
    block, windows = detector.raw_score_block(scaled), windows_of(scaled, W)
    seen = []
    for t in range(len(windows)):
        here = np.flatnonzero(block.index.end == t + W - 1)
        rows = block.index.row[here]
        raw_scores = detector.complete_raw_scores(rows, block.raw_scores[here], windows[t, rows])
        surprise = detector.surprise(rows, raw_scores)
        detector.learn(
            rows,
            raw_scores,
            windows[t, rows],
            surprise,
            np.ones(len(rows), bool) if free is None else free[rows],
        )
        seen.append((rows.tolist(), raw_scores.copy(), surprise))
    return seen


def mature(detector):
    """Let all rows have shown more than a tail's memory holds, so that they are young no longer."""
    detector.tails.n_learned += 10_000
    return detector


def assert_bit_equal(first, second):
    assert len(first) == len(second) > 0
    for (rows_1, raw_scores_1, surprise_1), (rows_2, raw_scores_2, surprise_2) in zip(
        first, second, strict=True
    ):
        assert rows_1 == rows_2
        np.testing.assert_array_equal(raw_scores_1, raw_scores_2)
        np.testing.assert_array_equal(surprise_1, surprise_2)


def copied(detector):
    return {name: array.copy() for name, array in detector.state().items()}


def with_plain_tails(detector):
    """Tails with median 0 and threshold 1, so that a raw score of 1 has the surprise at which tails start."""
    detector.tails.median[:], detector.tails.threshold[:] = 0.0, 1.0
    return detector


# What errors are measured by.


def unlike(n_steps):
    """Two entities; the first channel of the first is ten times as hard to rebuild as that of the second."""
    history = noise(n_steps, 2, 3)
    history[::7, 0, 0] += 10.0  # outliers: the scale is that of the rest
    return history


def test_an_error_counts_by_what_is_usual_for_its_entity():
    detector = detector_of("three channels")
    detector.calibrate(np.arange(2), unlike(400), held_out_from=np.array([100, 100]))
    steps = np.zeros((W, 2, 3), np.float32)
    steps[:, :, 0] = 5.0

    block = detector.raw_score_block(steps)

    assert detector.error_scales.window[0, 0] > 2 * detector.error_scales.window[1, 0]
    assert block.channel_error[1, 0] > 2 * block.channel_error[0, 0]


def test_steps_of_chosen_rows_are_measured_by_their_rows_scales():
    detector = detector_of("three channels")
    detector.calibrate(np.arange(2), unlike(400), held_out_from=np.array([100, 100]))
    steps = np.random.default_rng(3).normal(size=(W + 5, 2, 3)).astype(np.float32)

    of_second = detector.raw_score_block(steps[:, [1]], np.array([1]))

    both = detector.raw_score_block(steps)
    np.testing.assert_array_equal(of_second.raw_scores, both.raw_scores[both.index.row == 1])


# What a surprise is made of.


@pytest.mark.parametrize(
    ("raw_scores", "share"),
    [
        ([1, 1, 1, 1, 1], 1),
        ([1, 1, 1, 0, 0], 1 / 3),  # window, tail and Mahalanobis: together a third
        ([1, 0, 0, 0, 0], 1 / 9),
        ([0, 0, 0, 1, 0], 1 / 3),  # the neighbour
        ([0, 0, 0, 0, 1], 1 / 3),  # the Gaussian
        ([0, 0, 0, np.nan, 1], 1 / 2),  # of the two thirds that are there
        ([np.nan, np.nan, np.nan, 1, 0], 1 / 2),
    ],
)
def test_with_one_channel_network_neighbour_and_gaussian_weigh_a_third_each(raw_scores, share):
    detector = with_plain_tails(detector_of("one channel"))

    assert detector.surprise(np.array([1]), np.array([raw_scores], float)).item() == pytest.approx(
        AT_TAIL * share, rel=1e-5
    )


def test_without_a_network_neighbour_and_gaussian_weigh_half_each():
    detector = with_plain_tails(detector_of("baselines alone"))

    surprise = detector.surprise(np.array([0, 1]), np.array([[1, 0], [0, 1]], float))
    assert surprise.tolist() == pytest.approx([AT_TAIL / 2] * 2, rel=1e-5)


def test_with_several_channels_network_and_pca_judge_and_all_together_weigh_one():
    detector = with_plain_tails(detector_of("three channels"))
    rows = np.zeros(4, np.int64)

    surprise = detector.surprise(rows, np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float))

    assert surprise[0] == pytest.approx(AT_TAIL, rel=1e-5)
    assert surprise[1:].sum() == pytest.approx(AT_TAIL, rel=1e-5)
    assert surprise[1:].min() > 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_any_raw_score_has_no_surprise(kind):
    detector = detector_of(kind)
    nothing = np.full((1, len(detector.weights)), np.nan)

    assert np.isnan(detector.surprise(np.array([0]), nothing)).all()


# Calibration.


@pytest.mark.parametrize("kind", KINDS)
def test_calibrated_rows_know_their_own_scale_and_the_others_stay_uncalibrated(kind):
    detector = detector_of(kind, n_rows=3)
    history = noise(150, 2, len(detector.resolution))

    detector.calibrate(np.array([2, 0]), history)

    assert detector.calibrated.tolist() == [True, False, True]
    np.testing.assert_array_equal(detector.scaling.centre[[2, 0]], np.median(history, axis=0))


@pytest.mark.parametrize("kind", KINDS)
def test_after_calibration_normal_steps_surprise_little_and_a_level_shift_much(kind):
    detector = mature(calibrated(kind))
    later = noise(60, 2, len(detector.resolution), seed=1)
    later[40:, 0] += 12.0

    surprise = np.array(
        [step_surprise for _, _, step_surprise in live(detector, later)]
    )  # the first step is number 7

    assert np.median(surprise[:33]) < 1
    assert surprise[40:, 0].min() > 2 * surprise[:, 1].max()


def raw_scores_that_start_the_tails(detector, history, **changes):
    """Calibrate, and give the number of raw scores that each row's tails were started from; shape (n, R)."""
    n_raw_scores, start = {}, detector.tails.start

    def start_and_count(row, raw_scores):
        n_raw_scores[row] = np.isfinite(raw_scores).sum(axis=0).tolist()
        start(row, raw_scores)

    detector.tails.start = start_and_count
    detector.calibrate(np.arange(history.shape[1]), history, **changes)
    return [n_raw_scores[row] for row in range(history.shape[1])]


def test_raw_scores_of_windows_that_the_network_was_trained_on_do_not_calibrate_it():
    detector = detector_of("one channel", n_rows=2)

    n_raw_scores = raw_scores_that_start_the_tails(
        detector, noise(200, 2, 1), held_out_from=np.array([150, 180])
    )

    # 193 windows; those that lie wholly in the newest 50 and 20 steps: 43 and 13. The baselines were
    # trained on nothing: all count, except the neighbour's first, without an earlier window to compare with.
    assert n_raw_scores == [[43, 43, 43, 192, 193], [13, 13, 13, 192, 193]]
    assert detector.peaks.n_blocks == 4 + 1  # blocks of ten steps


def test_what_the_pca_was_fitted_on_does_not_calibrate_it_either():
    n_raw_scores = raw_scores_that_start_the_tails(
        detector_of("three channels", n_rows=1), noise(200, 1, 3), held_out_from=np.array([150])
    )

    assert n_raw_scores == [[43, 43, 43]]


def test_rows_that_the_network_never_saw_are_calibrated_from_all_their_history():
    detector = detector_of("one channel", n_rows=1)

    assert raw_scores_that_start_the_tails(detector, noise(200, 1, 1)) == [[193, 193, 193, 192, 193]]
    assert detector.peaks.n_blocks == 19


@pytest.mark.parametrize("kind", KINDS)
def test_a_history_with_a_step_at_which_nothing_came_can_be_calibrated_from(kind):
    detector = detector_of(kind)
    history = noise(150, 2, len(detector.resolution))
    history[90] = np.nan

    detector.calibrate(np.arange(2), history)

    assert detector.calibrated.all()


# Reading.


@pytest.mark.parametrize("kind", KINDS)
def test_steps_in_which_nothing_can_be_judged_give_no_raw_scores(kind):
    detector = calibrated(kind)
    silence = np.full((W, 2, len(detector.resolution)), np.nan, np.float32)

    block = detector.raw_score_block(silence)

    assert len(block.index) == 0
    assert block.raw_scores.shape == (0, len(detector.weights))


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_without_any_judged_row_passes_without_a_trace(kind):
    detector = calibrated(kind)
    before = copied(detector)
    nobody, windows = np.empty(0, np.int64), np.empty((0, W, len(detector.resolution)), np.float32)

    raw_scores = detector.complete_raw_scores(nobody, np.empty((0, len(detector.weights))), windows)
    surprise = detector.surprise(nobody, raw_scores)
    detector.learn(nobody, raw_scores, windows, surprise, np.empty(0, bool))

    assert surprise.shape == (0,)
    for name, array in detector.state().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_a_block_of_steps_scores_as_each_of_its_windows_does():
    detector = calibrated("three channels")
    scaled = detector.scaling.apply(noise(20, 2, 3, seed=2))
    scaled[12, 1] = np.nan

    block = detector.raw_score_block(scaled)

    assert list(zip(block.index.end.tolist(), block.index.row.tolist(), strict=True)) == [
        (end, row) for end in range(7, 20) for row in (0, 1) if (end, row) != (12, 1)
    ]
    for end in (7, 13, 19):
        alone = detector.raw_score_block(scaled[end - 7 : end + 1])
        here = np.flatnonzero(block.index.end == end)
        np.testing.assert_allclose(block.raw_scores[here], alone.raw_scores, atol=1e-5)
        np.testing.assert_allclose(block.channel_error[here], alone.channel_error, atol=1e-5)
        np.testing.assert_allclose(block.expected[here], alone.expected, atol=1e-5)


# Learning.


def test_rows_in_an_episode_teach_their_tails_and_nothing_else():
    detector = mature(calibrated("one channel"))
    before = copied(detector)

    live(detector, noise(30, 2, 1, seed=3) + 5, free=np.array([True, False]))

    after = detector.state()
    for name in (
        "gaussian.mean",
        "gaussian.variance",
        "gaussian.n_seen",
        "neighbour.kept",
        "neighbour.n_kept",
        "neighbour.n_seen",
    ):
        np.testing.assert_array_equal(after[name][1], before[name][1], err_msg=name)
    for name in ("gaussian.mean", "neighbour.n_seen"):
        assert not np.array_equal(after[name][0], before[name][0]), name
    assert (after["tails.n_learned"] - before["tails.n_learned"]).tolist() == [23, 23]
    assert not np.array_equal(after["tails.counts"][1], before["tails.counts"][1])


def test_young_rows_learn_out_of_an_episode_and_mature_ones_do_not():
    young, old = calibrated("baselines alone"), mature(calibrated("baselines alone"))
    values = np.tile(noise(100, 2, 1, seed=3) + 5, (2, 1, 1))
    surprise = []

    for detector in (young, old):
        for row in (0, 1):
            detector.tails.freeze(row)
        live(detector, values, free=np.zeros(2, bool))
        for row in (0, 1):
            detector.tails.thaw(row, keep=False)
        surprise.append(np.mean([each for _, _, each in live(detector, values[:20])]))

    assert surprise[0] < 1.7 < surprise[1]


def test_without_a_network_the_limit_comes_down_until_a_period_of_the_budget_was_shown():
    alone, with_network = calibrated("baselines alone"), calibrated("one channel")
    budget = Budget.parse("1/day per entity")
    floor = alone.records.floor(budget.rate_per_second(1) * 60)
    alone.tails.n_learned[:] = [360, 1440]  # a quarter of a day, and a day

    np.testing.assert_allclose(alone.min_limits(budget), np.maximum(floor, [4.5, 0]))
    assert (floor < 4.5).all()
    np.testing.assert_array_equal(
        with_network.min_limits(budget), with_network.records.floor(budget.rate_per_second(1) * 60)
    )


def test_the_episodes_of_a_calibration_are_compared_with_those_allowed_in_its_time():
    detector = mature(calibrated("one channel", block_steps=10))
    detector.records.calibrated[:] = 0.0
    detector.records.calibrated[0, :3] = 9.0, 5.0, 2.0
    detector.records.n_calibrated[:] = [1440, 720]
    budget = Budget.parse("2/day")

    n_over, n_allowed = calibration_episodes(detector, budget, 4.0)

    assert (n_over, n_allowed) == (2, pytest.approx(1.5))  # a day and half a day: three quarters of one
    assert calibration_episodes(detector, budget, 10.0)[0] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_only_rows_whose_channels_all_rest_have_a_least_threshold(kind):
    detector = detector_of(kind)
    history = noise(150, 2, len(detector.resolution))
    history[:, 1] = 7.0

    detector.calibrate(np.arange(2), history)

    assert (detector.tails.min_threshold[0] == 0).all()
    assert (detector.tails.min_threshold[1] > 0).all()


def test_a_full_block_of_steps_gives_one_peak_for_each_row():
    detector = calibrated("baselines alone", block_steps=10)
    before = detector.peaks.n_blocks

    live(detector, noise(7 + 19, 2, 1, seed=4))
    assert detector.peaks.n_blocks == before + 2  # nineteen steps: one block each, and nine steps of the next

    live(detector, noise(7 + 1, 2, 1, seed=5))
    assert detector.peaks.n_blocks == before + 4


def test_the_peak_of_a_block_is_its_highest_surprise():
    detector = detector_of("baselines alone", n_rows=1, block_steps=3)
    before = detector.peaks.counts.copy()
    windows, raw_scores = np.zeros((1, W, 1), np.float32), np.zeros((1, 2))

    for surprise in (0.3, 1.22, 0.4):
        detector.learn(np.array([0]), raw_scores, windows, np.array([surprise]), np.array([True]))

    added = detector.peaks.counts - before
    assert np.flatnonzero(added).tolist() == [24]
    assert added.sum() == 1


def test_an_episode_starts_the_block_over_and_gives_no_peak():
    detector = detector_of("baselines alone", n_rows=1, block_steps=3)
    before = detector.peaks.n_blocks
    windows, raw_scores = np.zeros((1, W, 1), np.float32), np.zeros((1, 2))

    for surprise, free in [(0.3, True), (0.3, True), (9.0, False), (0.2, True), (0.2, True)]:
        detector.learn(np.array([0]), raw_scores, windows, np.array([surprise]), np.array([free]))
    assert detector.peaks.n_blocks == before

    detector.learn(np.array([0]), raw_scores, windows, np.array([0.2]), np.array([True]))
    assert detector.peaks.n_blocks == before + 1
    assert detector.peaks.counts[180] == 0  # the episode's 9.0


# Keeping and growing.


@pytest.mark.parametrize("kind", KINDS)
def test_a_detector_that_took_over_a_state_goes_on_bit_equal(kind):
    original, restored = calibrated(kind), detector_of(kind)
    live(original, noise(40, 2, len(original.resolution), seed=6))

    restored.load_state(original.state())

    later = noise(70, 2, len(original.resolution), seed=7)
    assert_bit_equal(live(original, later), live(restored, later))
    np.testing.assert_array_equal(original.peaks.counts, restored.peaks.counts)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_taken_over_is_a_copy(kind):
    original, restored = calibrated(kind), detector_of(kind)
    restored.load_state(original.state())
    before = copied(restored)

    live(original, noise(60, 2, len(original.resolution), seed=8))

    for name, array in restored.state().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_a_state_of_another_number_of_rows_is_refused_rather_than_spread_over_all_of_them():
    first, second = calibrated("one channel", n_rows=1), detector_of("one channel", n_rows=2)

    with pytest.raises(ValueError, match="shape"):
        second.load_state(first.state())


def test_a_refused_state_names_the_array_and_changes_nothing():
    detector, other = calibrated("baselines alone"), calibrated("baselines alone", n_rows=2)
    before = copied(detector)
    live(other, noise(60, 2, len(other.resolution), seed=8))
    damaged = other.state() | {"neighbour.n_kept": other.neighbour.n_kept.astype(float)}

    with pytest.raises(ValueError, match=r"neighbour\.n_kept has dtype float64, expected int64"):
        detector.load_state(damaged)
    with pytest.raises(ValueError, match=r"tails\.saved\.rows is missing"):
        detector.load_state({name: array for name, array in damaged.items() if name != "tails.saved.rows"})

    for name, array in detector.state().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_growing_makes_room_and_the_old_rows_go_on_bit_equal(kind):
    grown, plain = calibrated(kind), calibrated(kind)
    live(grown, noise(40, 2, len(grown.resolution), seed=9))
    live(plain, noise(40, 2, len(grown.resolution), seed=9))

    grown.grow(5)

    assert grown.n_rows == 5
    assert grown.calibrated.tolist() == [True, True, False, False, False]
    later = noise(70, 2, len(grown.resolution), seed=10)
    with_room = np.concatenate([later, np.full((70, 3, later.shape[2]), np.nan)], axis=1)
    assert_bit_equal(live(grown, with_room), live(plain, later))
    np.testing.assert_array_equal(grown.peaks.counts, plain.peaks.counts)


def test_a_row_that_was_grown_can_be_calibrated():
    detector = calibrated("one channel")
    detector.grow(3)

    detector.calibrate(np.array([2]), noise(150, 1, 1, seed=11))

    assert detector.calibrated.all()
    assert np.isfinite(detector.tails.threshold).all()


def test_growing_while_a_row_is_frozen_leaves_it_frozen():
    detector = mature(calibrated("one channel"))
    detector.tails.freeze(1)
    before = detector.tails.threshold[1].copy()

    detector.grow(3)
    for _ in range(100):
        detector.tails.learn(np.array([0, 1]), np.full((2, 5), 40.0))

    np.testing.assert_array_equal(detector.tails.threshold[1], before)
    detector.tails.thaw(1, keep=False)
    np.testing.assert_allclose(detector.tails.threshold[1], before)


def test_a_state_taken_over_while_a_row_is_frozen_leaves_it_frozen():
    original, restored = calibrated("one channel"), detector_of("one channel")
    original.tails.freeze(1)
    strange = noise(70, 2, 1, seed=12) + np.array([[0.0], [40.0]])
    live(original, strange, free=np.array([True, False]))

    restored.load_state(original.state())

    assert_bit_equal(
        live(original, strange, free=np.array([True, False])),
        live(restored, strange, free=np.array([True, False])),
    )
    for detector in (original, restored):
        detector.tails.thaw(1, keep=False)
    np.testing.assert_array_equal(restored.tails.counts, original.tails.counts)


# Rows of one detector as those of another.


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_taken_judge_bit_equal_in_any_order_and_more_than_once(kind):
    detector = calibrated(kind, n_rows=2)
    n_channels = len(detector.resolution)
    live(detector, noise(40, 2, n_channels, seed=9))
    later = noise(60, 2, n_channels, seed=10)

    taken = detector.take(np.array([1, 0, 1]))

    of_taken, plain = live(taken, later[:, [1, 0, 1]]), live(detector, later)
    for (_, raw_scores, _), (_, plain_raw_scores, _) in zip(of_taken, plain, strict=True):
        np.testing.assert_array_equal(raw_scores, plain_raw_scores[[1, 0, 1]])
    np.testing.assert_array_equal(
        of_taken[0][2], plain[0][2][[1, 0, 1]]
    )  # later fits are renewed at times that go by the row


def test_a_row_that_nobody_knows_is_uncalibrated():
    detector = calibrated("three channels", n_rows=2)

    taken = detector.take(np.array([-1, 1]))

    assert taken.calibrated.tolist() == [False, True]
    np.testing.assert_array_equal(taken.scaling.centre[1], detector.scaling.centre[1])
    assert taken.peaks.n_blocks == detector.peaks.n_blocks


def test_what_is_taken_learns_on_its_own_and_is_not_frozen():
    detector = calibrated("three channels", n_rows=2)
    detector.tails.freeze(0)
    before = copied(detector)

    taken = detector.take(np.array([0, 1]))
    live(taken, noise(60, 2, 3, seed=10))

    assert not detector.take(np.array([0])).tails.is_frozen(0)
    for name, array in detector.state().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


# The season.


def test_a_state_from_before_there_was_a_season_loads_and_knows_nothing_of_it():
    old, new = calibrated("one channel"), calibrated("one channel")
    state = {name: array for name, array in copied(old).items() if not name.startswith("season.")}
    values = noise(40, 2, 1, seed=3)
    new.season.start(np.arange(2), new.scaling.apply(values), np.arange(40)[:, None] + np.zeros((1, 2), int))

    new.load_state(state)

    assert (new.season.slot == -2).all()
    assert_bit_equal(live(new, values), live(old, values))


def test_steps_are_judged_again_without_a_season_by_snapshots_from_before_there_was():
    detector = calibrated("one channel")
    limit = detector.season.limit.copy()
    snapshot = {name: array for name, array in detector.snapshot().items() if not name.startswith("season.")}

    detector.restore(snapshot, begins=True)

    np.testing.assert_array_equal(detector.season.limit, limit)
