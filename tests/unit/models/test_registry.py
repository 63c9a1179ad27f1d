import dataclasses
import errno
import os

import numpy as np
import pytest
import torch
from full_disk import full_disk

from models.bundle import Bundle
from models.detector import Detector
from models.errors import BundleError
from models.network import Autoencoder
from models.raw_scores import ErrorScale
from models.registry import Registry
from models.settings import ModelSettings
from models.trained import Trained

NOON = 1767268800.0  # 2026-01-01 12:00:00 UTC


def bundle_of(name="web1"):
    """The smallest bundle there is; nothing in it was learned."""
    torch.manual_seed(0)
    network = Autoencoder(2, hidden=2, latent=2).eval()
    scale = ErrorScale(np.ones(2), np.ones(2), np.empty(0), np.empty((0, 0)))
    detector = Detector(
        ModelSettings(window_length=4, hidden=2, latent=2, memory_windows=2, device="cpu"),
        n_rows=1,
        resolution=np.ones(2),
        step_seconds=60.0,
        block_steps=4,
        trained=Trained(network, scale, None),
    )
    return Bundle(detector, ("a", "b"), (name,), {})


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "bundles" / "hosts")


def test_a_watch_that_was_never_trained_has_no_versions_and_no_champion(registry):
    assert registry.versions() == []
    assert registry.champion() is None
    assert not registry.folder.exists()


def test_a_version_is_named_after_its_time(registry):
    assert registry.save(bundle_of(), now=NOON) == "20260101T120000Z"
    assert registry.versions() == ["20260101T120000Z"]


def test_versions_are_listed_oldest_first_in_whatever_order_they_were_saved(registry):
    for hours in (5, 0, 300, 24):
        registry.save(bundle_of(), now=NOON + 3600 * hours)

    assert registry.versions() == [
        "20260101T120000Z",
        "20260101T170000Z",
        "20260102T120000Z",
        "20260114T000000Z",
    ]


def test_versions_saved_in_the_same_second_are_all_kept_oldest_first(registry):
    saved = [registry.save(bundle_of(f"web{number}"), now=NOON) for number in range(11)]

    assert len(set(saved)) == 11
    assert registry.versions() == saved
    assert [registry.load(version).entities for version in saved] == [
        (f"web{number}",) for number in range(11)
    ]


def test_saving_does_not_make_a_champion(registry):
    registry.save(bundle_of(), now=NOON)

    assert registry.champion() is None


def test_promoting_switches_the_champion_back_and_forth(registry):
    first, second = registry.save(bundle_of(), now=NOON), registry.save(bundle_of(), now=NOON + 1)

    for version in (first, second, first):
        registry.promote(version)
        assert registry.champion() == version
        assert Registry(registry.folder).champion() == version  # another process sees the same

    assert registry.versions() == [first, second]


def test_until_the_new_pointer_is_safe_on_disk_the_old_champion_serves(registry, monkeypatch):
    first, second = registry.save(bundle_of(), now=NOON), registry.save(bundle_of(), now=NOON + 1)
    registry.promote(first)
    seen = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(registry.champion()))

    registry.promote(second)

    assert seen[0] == first
    assert registry.champion() == second


def test_a_reader_that_has_the_pointer_open_reads_the_old_version_whole(registry):
    first, second = registry.save(bundle_of(), now=NOON), registry.save(bundle_of(), now=NOON + 1)
    registry.promote(first)

    with (registry.folder / "champion").open() as pointer:
        registry.promote(second)
        assert pointer.read().strip() == first
    assert registry.champion() == second


def test_a_promotion_that_fails_leaves_the_old_champion(registry, monkeypatch):
    first, second = registry.save(bundle_of(), now=NOON), registry.save(bundle_of(), now=NOON + 1)
    registry.promote(first)

    def failing_sync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", failing_sync)

    with pytest.raises(BundleError, match=r"No space left on device\. The old champion stays"):
        registry.promote(second)
    assert registry.champion() == first
    assert registry.versions() == [first, second]


def test_promoting_an_unknown_version_names_the_known_ones(registry):
    first, second = registry.save(bundle_of(), now=NOON), registry.save(bundle_of(), now=NOON + 1)
    registry.promote(first)

    with pytest.raises(BundleError, match=f"has no version 20200101T000000Z; it has {first}, {second}"):
        registry.promote("20200101T000000Z")
    assert registry.champion() == first


def test_promoting_where_nothing_was_saved_says_that_there_is_none(registry):
    with pytest.raises(BundleError, match="it has none"):
        registry.promote("20200101T000000Z")


@pytest.mark.parametrize("name", [".new-abc", "champion", ".", ".."])
def test_what_is_no_version_cannot_be_promoted(registry, name):
    registry.promote(registry.save(bundle_of(), now=NOON))
    (registry.folder / ".new-abc").mkdir()  # a save that was killed half-way

    assert registry.versions() == ["20260101T120000Z"]
    with pytest.raises(BundleError, match="has no version"):
        registry.promote(name)


def test_each_version_is_loaded_as_it_was_saved(registry):
    versions = [
        registry.save(bundle_of(name), now=NOON + seconds) for seconds, name in enumerate(["web1", "web2"])
    ]

    assert [registry.load(version).entities for version in versions] == [("web1",), ("web2",)]


def test_loading_a_version_that_is_gone_is_refused(registry):
    with pytest.raises(BundleError, match="20260101T120000Z"):
        registry.load("20260101T120000Z")


def test_a_pointer_that_cannot_be_read_is_an_error_and_not_an_absent_champion(registry):
    registry.save(bundle_of(), now=NOON)
    (registry.folder / "champion").mkdir()

    with pytest.raises(BundleError, match="cannot read"):
        registry.champion()


def test_a_champion_that_is_refused_leaves_the_serving_to_the_version_before_it(registry):
    for number in range(2):
        registry.promote(registry.save(bundle_of(f"web{number}"), now=NOON + number))
    first, second = registry.versions()
    weights = registry.folder / second / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    refused = []

    version, bundle = registry.serving(lambda name, error: refused.append((name, str(error))))

    assert (version, bundle.entities) == (first, ("web0",))
    assert [name for name, _ in refused] == [second]
    assert "differs from its checksum" in refused[0][1]


def test_going_back_twice_goes_forward_again(registry):
    for number in range(2):
        registry.promote(registry.save(bundle_of(f"web{number}"), now=NOON + number))
    first, second = registry.versions()

    assert [registry.rollback(), registry.rollback()] == [first, second]
    assert registry.champion() == second


def test_there_is_no_going_back_from_the_first(registry):
    registry.promote(registry.save(bundle_of(), now=NOON))

    with pytest.raises(BundleError, match="no version to roll back to"):
        registry.rollback()


def test_a_pointer_that_is_no_text_leaves_the_serving_to_the_version_before_it(registry):
    first, second = (registry.save(bundle_of(f"web{number}"), now=NOON + number) for number in range(2))
    registry.promote(first)
    registry.promote(second)
    (registry.folder / "champion").write_bytes(b"\xff\x00\xfe")
    refused = []

    version, _ = registry.serving(lambda name, error: refused.append(str(error)))

    assert version == first
    assert len(refused) == 1
    registry.promote(second)  # which mends the pointer, and does not take what it held for a version
    assert (registry.champion(), registry.previous()) == (second, first)


def test_a_pointer_that_cannot_be_read_leaves_the_serving_to_the_version_before_it(registry):
    first, second = (registry.save(bundle_of(f"web{number}"), now=NOON + number) for number in range(2))
    registry.promote(first)
    registry.promote(second)
    (registry.folder / "champion").unlink()
    (registry.folder / "champion").mkdir()
    refused = []

    version, _ = registry.serving(lambda name, error: refused.append((name, str(error))))

    assert version == first
    assert refused == [("champion", f"cannot read {registry.folder / 'champion'}: Is a directory")]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"channels": [], "entities": []}'])
def test_a_version_that_says_nothing_of_itself_is_refused_by_name(registry, content):
    version = registry.save(bundle_of(), now=NOON)
    (registry.folder / version / "bundle.json").write_bytes(content)

    with pytest.raises(BundleError, match=f"{version} cannot be read"):
        registry.about(version)


def test_a_full_disk_keeps_the_last_epoch_that_was_kept_and_leaves_no_litter(registry):
    registry.keep_training(b"first epoch")

    with full_disk(100), pytest.raises(BundleError, match="File too large"):
        registry.keep_training(b"x" * 1000)

    assert registry.interrupted() == b"first epoch"
    assert os.listdir(registry.folder) == [".training"]


def test_a_full_disk_leaves_the_old_champion_and_no_litter(registry):
    first, second = registry.save(bundle_of(), now=NOON), registry.save(bundle_of(), now=NOON + 1)
    registry.promote(first)

    with full_disk(3), pytest.raises(BundleError, match="File too large"):
        registry.promote(second)

    assert registry.champion() == first
    assert sorted(os.listdir(registry.folder)) == sorted(["champion", first, second])


def test_made_at_is_of_the_newest_version_whether_it_serves_or_not(registry):
    assert registry.made_at() is None
    for seconds in (5.0, 7.5):
        registry.save(dataclasses.replace(bundle_of(), metadata={"at": seconds}), now=NOON + seconds)

    assert registry.made_at() == 7.5


def test_made_at_of_a_damaged_version_is_that_of_the_version_before_it(registry):
    for seconds in (5.0, 7.5):
        registry.save(dataclasses.replace(bundle_of(), metadata={"at": seconds}), now=NOON + seconds)
    (registry.folder / registry.versions()[1] / "bundle.json").write_text("half")

    assert registry.made_at() == 5.0


def test_the_oldest_versions_beyond_those_to_keep_go_but_none_that_serves_or_served(registry):
    versions = [registry.save(bundle_of(), now=NOON + number) for number in range(6)]
    registry.promote(versions[0])
    registry.promote(versions[2])

    assert registry.prune(2) == [versions[1], versions[3]]
    assert registry.versions() == [versions[0], versions[2], versions[4], versions[5]]
    assert registry.prune(2) == []
