import dataclasses
import errno
import hashlib
import json
import os

import numpy as np
import pytest
import torch

import models.bundle
from models.baselines import WindowPca
from models.bundle import FORMAT_VERSION, Bundle, load_bundle, save_bundle
from models.dataset import windows_of
from models.detector import Detector
from models.errors import BundleError
from models.forecast import ForecastBand, rolling_forecast
from models.network import Autoencoder
from models.raw_scores import error_windows, fit_error_scale
from models.settings import ModelSettings
from models.trained import Trained

torch.set_num_threads(1)  # threads of networks this small wait for each other longer than they work

W = 8
FILES = ("weights.safetensors", "state.safetensors", "bundle.json")


def noise(n_steps, n, n_channels, *, seed=0):
    return 20 + np.random.default_rng(seed).normal(size=(n_steps, n, n_channels))


def bundle_of(n_channels=2, *, cell="lstm", metadata=None):
    """A calibrated bundle of two entities; its network is as it was made."""
    settings = ModelSettings(
        window_length=W, hidden=8, latent=4, cell=cell, memory_windows=8, device="cpu", learning_rate=0.0125
    )
    torch.manual_seed(0)
    network = Autoencoder(n_channels, hidden=8, latent=4, cell=cell).eval()
    windows = np.random.default_rng(0).normal(size=(200, W, n_channels)).astype(np.float32)
    errors, _ = error_windows(network, windows)
    detector = Detector(
        settings,
        n_rows=2,
        resolution=np.full(n_channels, 0.1),
        step_seconds=60.0,
        block_steps=10,
        trained=Trained(
            network, fit_error_scale(errors), WindowPca.fit(windows, windows) if n_channels > 1 else None
        ),
    )
    detector.calibrate(np.arange(2), noise(130, 2, n_channels))
    channels = tuple(f"metric_{c}" for c in range(n_channels))
    return Bundle(detector, channels, ("web1", "web2"), {"steps": 130} if metadata is None else metadata)


def live(detector, values):
    """Judge and learn values (T, n, C) step by step, as serving does; all raw scores and surprise."""
    scaled = detector.scaling.apply(values)
    block, windows = detector.raw_score_block(scaled), windows_of(scaled, W)
    all_raw_scores, all_surprise = [], []
    for t in range(len(windows)):
        here = np.flatnonzero(block.index.end == t + W - 1)
        rows = block.index.row[here]
        raw_scores = detector.complete_raw_scores(rows, block.raw_scores[here], windows[t, rows])
        surprise = detector.surprise(rows, raw_scores)
        detector.learn(rows, raw_scores, windows[t, rows], surprise, np.ones(len(rows), bool))
        all_raw_scores.append(raw_scores.copy())
        all_surprise.append(surprise)
    return np.array(all_raw_scores), np.array(all_surprise), block.channel_error, block.expected


def with_right_checksums(folder):
    """Write the manifest anew, as if the files had always been as they are."""
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in FILES]
    (folder / "MANIFEST.sha256").write_text("".join(lines))


def change_about(folder, change):
    about = json.loads((folder / "bundle.json").read_text())
    change(about)
    (folder / "bundle.json").write_text(json.dumps(about))
    with_right_checksums(folder)


@pytest.fixture(scope="module")
def bundle():
    return bundle_of()


@pytest.fixture
def folder(bundle, tmp_path):
    save_bundle(bundle, tmp_path / "v1")
    return tmp_path / "v1"


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_a_loaded_bundle_scores_and_learns_bit_equal_to_the_saved_one(tmp_path, n_channels, cell):
    saved = bundle_of(n_channels, cell=cell)
    save_bundle(saved, tmp_path / "v1")

    loaded = load_bundle(tmp_path / "v1")

    values = noise(60, 2, n_channels, seed=1)
    for first, second in zip(live(saved.detector, values), live(loaded.detector, values), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_loaded_bundle_knows_all_that_the_saved_one_said_of_itself(folder, bundle):
    loaded = load_bundle(folder)

    assert (loaded.channels, loaded.entities, loaded.metadata) == (
        bundle.channels,
        bundle.entities,
        bundle.metadata,
    )
    assert loaded.detector.settings == bundle.detector.settings
    assert (loaded.detector.step_seconds, loaded.detector.block_steps) == (60.0, 10)
    np.testing.assert_array_equal(loaded.detector.resolution, bundle.detector.resolution)


def test_saving_changes_nothing_in_the_detector(tmp_path):
    bundle = bundle_of()
    before = {name: array.copy() for name, array in bundle.detector.state().items()}

    save_bundle(bundle, tmp_path / "v1")

    for name, array in bundle.detector.state().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x01
    file.write_bytes(content)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [flip_a_byte, truncate, os.remove])
def test_a_damaged_bundle_is_refused_and_its_damaged_file_named(folder, name, damage):
    damage(folder / name)

    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        load_bundle(folder)


@pytest.mark.parametrize(
    "damage",
    [flip_a_byte, os.remove, lambda file: file.write_bytes(b""), lambda file: file.write_bytes(b"\xff\x00")],
)
def test_a_bundle_without_a_right_manifest_is_refused(folder, damage):
    damage(folder / "MANIFEST.sha256")

    with pytest.raises(BundleError, match=r"Train again or roll back to another version\."):
        load_bundle(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BundleError, match="nowhere"):
        load_bundle(tmp_path / "nowhere")


def test_the_manifest_lists_the_checksum_of_every_file_as_sha256sum_reads_it(folder):
    written = (folder / "MANIFEST.sha256").read_bytes()
    with_right_checksums(folder)

    assert (folder / "MANIFEST.sha256").read_bytes() == written
    assert {file.name for file in folder.iterdir()} == {*FILES, "MANIFEST.sha256"}


def test_another_format_version_is_refused_with_both_named(folder):
    change_about(folder, lambda about: about.update(format_version=99))

    with pytest.raises(BundleError, match=f"has format 99, this program reads {FORMAT_VERSION}"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "key", ["format_version", "channels", "entities", "step_seconds", "block_steps", "settings", "made"]
)
def test_a_bundle_that_leaves_out_something_of_itself_is_refused(folder, key):
    change_about(folder, lambda about: about.pop(key))

    with pytest.raises(BundleError, match=key):
        load_bundle(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about["settings"].update(hidden=9),  # not that of the weights
        lambda about: about["settings"].update(a_setting_of_later_times=1),
        lambda about: about["channels"].append("metric_2"),
        lambda about: about["entities"].append("web3"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(folder, change):
    change_about(folder, change)

    with pytest.raises(BundleError, match="cannot be read as a bundle"):
        load_bundle(folder)


def test_a_state_of_one_entity_is_not_taken_for_that_of_two(tmp_path):
    detector = bundle_of().detector
    single_row = Detector(
        detector.settings,
        n_rows=1,
        resolution=np.full(2, 0.1),
        step_seconds=60.0,
        block_steps=10,
        trained=detector.trained,
    )
    single_row.calibrate(np.array([0]), noise(130, 1, 2))
    save_bundle(Bundle(single_row, ("metric_0", "metric_1"), ("web1", "web2"), {}), tmp_path / "v1")

    with pytest.raises(BundleError):
        load_bundle(tmp_path / "v1")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    broken = bundle_of()
    with torch.no_grad():
        broken.detector.trained.network.output.weight[0, 0] = float("nan")
    save_bundle(broken, tmp_path / "v1")

    with pytest.raises(BundleError, match="not finite"):
        load_bundle(tmp_path / "v1")


def test_an_existing_bundle_is_never_overwritten(folder):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    with pytest.raises(BundleError, match="never overwritten"):
        save_bundle(bundle_of(metadata={"by": "another"}), folder)

    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [entry.name for entry in folder.parent.iterdir()] == ["v1"]


def test_a_disk_that_is_full_leaves_nothing_behind(bundle, tmp_path, monkeypatch):
    def full_disk(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_disk)

    with pytest.raises(BundleError, match=r"No space left on device\. Nothing was changed"):
        save_bundle(bundle, tmp_path / "v1")

    assert list(tmp_path.iterdir()) == []


def test_a_save_that_cannot_be_written_as_json_leaves_nothing_behind(tmp_path):
    with pytest.raises((BundleError, TypeError)):
        save_bundle(bundle_of(metadata={"when": object()}), tmp_path / "v1")

    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_hold_a_folder_is_refused(bundle, tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(BundleError, match="cannot write the bundle"):
        save_bundle(bundle, tmp_path / "file" / "v1")

    assert (tmp_path / "file").read_text() == "in the way"


def test_a_detector_without_a_network_is_not_saved(tmp_path):
    bundle = bundle_of()
    alone = Detector(
        bundle.detector.settings, n_rows=2, resolution=np.full(2, 0.1), step_seconds=60.0, block_steps=10
    )

    with pytest.raises(BundleError, match="without a network"):
        save_bundle(Bundle(alone, bundle.channels, bundle.entities, {}), tmp_path / "v1")

    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_scores_otherwise_than_when_it_was_saved_is_refused(folder, monkeypatch):
    windows = models.bundle._smoke_windows
    monkeypatch.setattr(models.bundle, "_smoke_windows", lambda detector: windows(detector) + 1)

    with pytest.raises(BundleError, match="scores differently than when it was saved"):
        load_bundle(folder)


def forecasts(bundle):
    trained = bundle.detector.trained
    values = noise(60, 2, 2, seed=3)
    return rolling_forecast(
        trained.network, trained.forecast_band, values, bundle.detector.scaling, window_length=W
    )


def test_a_loaded_bundle_forecasts_to_the_bit_as_the_saved_one_did(tmp_path):
    bundle = bundle_of()
    detector = bundle.detector
    settings = dataclasses.replace(detector.settings, head="joint", horizon=3)
    torch.manual_seed(2)
    network = Autoencoder(2, **settings.network_options()).eval()
    torch.nn.init.normal_(network.forecast_head.weight)
    torch.nn.init.normal_(network.linear, std=0.1)
    band = ForecastBand(np.full((3, 2), -0.5), np.full((3, 2), 0.25))
    detector.settings = settings
    detector.trained = dataclasses.replace(detector.trained, network=network, forecast_band=band)
    save_bundle(bundle, tmp_path / "b")

    loaded = load_bundle(tmp_path / "b")

    assert loaded.detector.settings == settings
    for name in ("expected", "low", "high"):
        np.testing.assert_array_equal(getattr(forecasts(loaded), name), getattr(forecasts(bundle), name))


def test_a_bundle_of_before_there_were_forecasts_reconstructs_and_has_no_band(tmp_path):
    save_bundle(bundle_of(), tmp_path / "b")
    about = json.loads((tmp_path / "b" / "bundle.json").read_bytes())
    for key in ("head", "horizon"):
        del about["settings"][key]
    (tmp_path / "b" / "bundle.json").write_text(json.dumps(about))
    checksums = (
        f"{hashlib.sha256((tmp_path / 'b' / name).read_bytes()).hexdigest()}  {name}" for name in FILES
    )
    (tmp_path / "b" / "MANIFEST.sha256").write_text("\n".join(checksums))

    detector = load_bundle(tmp_path / "b").detector

    assert detector.settings.head == "reconstruct"
    assert detector.trained.forecast_band is None
    assert not detector.trained.network.horizon
