"""What every bundle promises the daemon, whatever network it holds and however it was kept.

The registry on disk is the only one there is. A bundle is kept in three ways: loaded as it was
saved, reached as the champion, or fallen back to from a champion that is damaged.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from models.bundle import Bundle
from models.dataset import windows_of
from models.errors import BundleError
from models.fit_detector import fit_detector
from models.registry import Registry
from models.settings import ModelSettings

torch.set_num_threads(1)  # threads of networks this small wait for each other longer than they work

W = 8
NOON = 1767268800.0  # 2026-01-01 12:00:00 UTC

KINDS = {
    "lstm, one channel": {"n_channels": 1},
    "lstm, three channels": {"n_channels": 3},
    "gru, three channels": {"n_channels": 3, "cell": "gru"},
    "rnn, one channel": {"n_channels": 1, "cell": "rnn"},
    "two layers, dropout, norm": {"n_channels": 2, "layers": 2, "dropout": 0.2, "layer_norm": True},
}


def history(n_steps, n_channels, *, seed):
    """Two entities, each channel on a level of its own, with gaps."""
    rng = np.random.default_rng(seed)
    values = 50.0 * (1 + np.arange(n_channels)) + rng.normal(size=(n_steps, 2, n_channels))
    values[rng.random(values.shape) < 0.02] = np.nan
    return values


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def trained(request):
    """A bundle that was trained, as short as can be."""
    options = dict(request.param)
    n_channels = options.pop("n_channels")
    settings = ModelSettings(
        window_length=W, hidden=4, latent=2, epochs=1, memory_windows=8, device="cpu", **options
    )
    fit = fit_detector(
        history(200, n_channels, seed=0),
        settings,
        resolution=np.full(n_channels, 0.1),
        step_seconds=60.0,
        block_steps=10,
    )
    return Bundle(
        fit.detector, tuple(f"metric_{c}" for c in range(n_channels)), ("web1", "web2"), {"n_steps": 200}
    )


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "bundles" / "w")


def loaded(registry, bundle):
    return registry.load(registry.save(bundle, now=NOON))


def champion(registry, bundle):
    registry.promote(registry.save(bundle, now=NOON))
    return serving(registry)


def fallen_back(registry, bundle):
    first = registry.save(bundle, now=NOON)
    shutil.copytree(registry.folder / first, registry.folder / "20990101T000000Z")
    registry.promote(first)
    registry.promote("20990101T000000Z")
    (registry.folder / "20990101T000000Z" / "weights.safetensors").write_bytes(b"")
    return serving(registry, n_refused=1)


def serving(registry, n_refused=0):
    refused = []
    _, bundle = Registry(registry.folder).serving(
        lambda version, error: refused.append(version)
    )  # as another process sees it
    assert len(refused) == n_refused
    return bundle


every_way = pytest.mark.parametrize("keep", [loaded, champion, fallen_back])


def judge(bundle, values):
    """Judge and learn values (T, n, C) as serving does; give every raw score and surprise."""
    detector = bundle.detector
    scaled = detector.scaling.apply(values)
    block, windows = detector.raw_score_block(scaled), windows_of(scaled, W)
    seen = [block.channel_error, block.expected]
    for t in range(len(windows)):
        here = np.flatnonzero(block.index.end == t + W - 1)
        rows = block.index.row[here]
        raw_scores = detector.complete_raw_scores(rows, block.raw_scores[here], windows[t, rows])
        surprise = detector.surprise(rows, raw_scores)
        detector.learn(rows, raw_scores, windows[t, rows], surprise, np.ones(len(rows), bool))
        seen += [raw_scores.copy(), surprise]
    return seen


@every_way
def test_it_scores_bit_equal_to_the_bundle_that_was_saved(trained, registry, keep, tmp_path):
    reference = loaded(Registry(tmp_path / "reference"), trained)  # judging teaches: each is judged once
    values = history(60, len(trained.channels), seed=1)

    for first, second in zip(judge(keep(registry, trained), values), judge(reference, values), strict=True):
        np.testing.assert_array_equal(first, second)


@every_way
def test_it_knows_its_inputs_its_rows_and_its_grid(trained, registry, keep):
    bundle = keep(registry, trained)

    assert (bundle.channels, bundle.entities, bundle.metadata) == (
        trained.channels,
        trained.entities,
        trained.metadata,
    )
    assert bundle.detector.settings == trained.detector.settings
    assert (bundle.detector.step_seconds, bundle.detector.block_steps) == (60.0, 10)
    assert bundle.detector.calibrated.tolist() == [True, True]


@every_way
def test_serving_it_changes_nothing_on_disk(trained, registry, keep):
    bundle = keep(registry, trained)
    before = {file: file.read_bytes() for file in registry.folder.rglob("*") if file.is_file()}

    judge(bundle, history(60, len(trained.channels), seed=1))

    assert {file: file.read_bytes() for file in registry.folder.rglob("*") if file.is_file()} == before


@every_way
def test_it_can_grow_by_an_entity_that_was_not_trained_on(trained, registry, keep):
    bundle = keep(registry, trained)
    n_channels = len(trained.channels)
    bundle.detector.grow(3)

    bundle.detector.calibrate(np.array([2]), history(150, n_channels, seed=2)[:, :1])

    assert bundle.detector.calibrated.tolist() == [True, True, True]
    values = np.concatenate([history(40, n_channels, seed=3), history(40, n_channels, seed=4)[:, :1]], axis=1)
    assert np.isfinite(np.concatenate(judge(bundle, values)[3::2])).all()


def test_a_version_is_never_written_twice(trained, registry):
    first, second = (registry.save(trained, now=NOON) for _ in range(2))

    assert first != second
    assert registry.versions() == [first, second]


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "state.safetensors", "bundle.json", "MANIFEST.sha256"]
)
def test_one_flipped_bit_anywhere_is_refused(trained, registry, name):
    version = registry.save(trained, now=NOON)
    file = registry.folder / version / name
    content = file.read_bytes()
    for here in np.linspace(0, len(content) - 1, 9).astype(int):
        damaged = bytearray(content)
        damaged[here] ^= 4
        file.write_bytes(damaged)

        with pytest.raises(BundleError):
            registry.load(version)
