"""A file is the old one or the new one, whatever happens between."""

from __future__ import annotations

import errno
import os

import pytest

from models.atomic_file import replace_file, replacing


def test_a_file_is_made_and_replaced(tmp_path):
    file = tmp_path / "state"

    replace_file(file, b"old")
    replace_file(file, b"new")

    assert file.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["state"]


def test_the_old_file_is_there_until_the_block_ends(tmp_path):
    file = tmp_path / "state"
    file.write_bytes(b"old")

    with replacing(file) as temporary:
        temporary.write_bytes(b"new")
        before = file.read_bytes()

    assert (before, file.read_bytes()) == (b"old", b"new")


def test_an_error_in_the_block_leaves_the_old_file_and_no_litter(tmp_path):
    file = tmp_path / "state"
    file.write_bytes(b"old")

    def write_half():
        with replacing(file) as temporary:
            temporary.write_bytes(b"ne")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        write_half()

    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state"]


def test_the_content_is_synced_before_the_move_and_the_folder_after_it(tmp_path, monkeypatch):
    file = tmp_path / "state"
    file.write_bytes(b"old")
    seen = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: seen.append((os.path.isdir(descriptor), file.read_bytes()))
    )

    replace_file(file, b"new")

    assert seen == [(False, b"old"), (True, b"new")]


def test_a_disk_that_is_full_when_it_is_synced_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "state"
    file.write_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OSError, match="No space left"):
        replace_file(file, b"new")

    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state"]


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path):
    (tmp_path / "folder").touch()

    with pytest.raises(NotADirectoryError):
        replace_file(tmp_path / "folder" / "state", b"new")
