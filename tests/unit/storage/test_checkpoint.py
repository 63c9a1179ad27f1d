from __future__ import annotations

import os
import resource
import signal

import numpy as np
import pytest

from monitor.storage.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint

CHECKPOINT = Checkpoint(
    {"w/a": np.arange(6.0).reshape(2, 3), "w/b": np.empty((0, 4), np.int32)},
    {"watches": {"w": {"entities": ["web1"]}}},
)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    save_checkpoint(CHECKPOINT, tmp_path / "deep" / "state")

    loaded = load_checkpoint(tmp_path / "deep" / "state")

    assert loaded.about == CHECKPOINT.about
    assert set(loaded.arrays) == {"w/a", "w/b"}
    np.testing.assert_array_equal(loaded.arrays["w/a"], CHECKPOINT.arrays["w/a"])
    assert loaded.arrays["w/b"].shape == (0, 4)


def test_none_where_there_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "state") is None


@pytest.mark.parametrize("at", [0.02, 0.3, 0.6, 0.99])
def test_a_flipped_bit_anywhere_is_refused(tmp_path, at):
    file = tmp_path / "state"
    save_checkpoint(CHECKPOINT, file)
    content = bytearray(file.read_bytes())
    content[int(at * len(content))] ^= 4
    file.write_bytes(content)

    with pytest.raises(CheckpointError):
        load_checkpoint(file)


@pytest.mark.parametrize("length", [0, 10, 200, -1])
def test_a_truncated_one_is_refused(tmp_path, length):
    file = tmp_path / "state"
    save_checkpoint(CHECKPOINT, file)
    file.write_bytes(file.read_bytes()[:length])

    with pytest.raises(CheckpointError, match=r"state"):
        load_checkpoint(file)


def test_another_format_is_refused_with_both_numbers(tmp_path):
    file = tmp_path / "state"
    save_checkpoint(CHECKPOINT, file)
    file.write_bytes(file.read_bytes().replace(b'"format_version": 2', b'"format_version": 9', 1))

    with pytest.raises(CheckpointError, match="has format 9, this program reads 2"):
        load_checkpoint(file)


def test_a_full_disk_leaves_the_previous_one_and_no_litter(tmp_path):
    file = tmp_path / "state"
    save_checkpoint(CHECKPOINT, file)
    before = file.read_bytes()
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(CheckpointError, match="The previous one stays"):
            save_checkpoint(Checkpoint({"big": np.zeros(100_000)}, {}), file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)

    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["state"]


def test_a_file_where_its_folder_should_be_is_a_failure_like_any_other(tmp_path):
    (tmp_path / "checkpoint").touch()

    with pytest.raises(CheckpointError, match="cannot write the checkpoint"):
        save_checkpoint(CHECKPOINT, tmp_path / "checkpoint" / "state")
    with pytest.raises(CheckpointError, match=r"cannot read the checkpoint .*Not a directory"):
        load_checkpoint(tmp_path / "checkpoint" / "state")
