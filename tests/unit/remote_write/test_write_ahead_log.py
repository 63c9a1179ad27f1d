from __future__ import annotations

import os
from pathlib import Path

import pytest
from full_disk import full_disk
from write_requests import logged

from monitor.errors import SourceError
from monitor.remote_write import write_ahead_log
from monitor.remote_write.write_ahead_log import LogError, LogFullError, WriteAheadLog

MOST = {"most_bytes": 1 << 30, "most_samples": 1 << 30}


@pytest.fixture
def opened(tmp_path):
    """Open the log in the test's folder, and close each."""
    logs = []

    def make(*, offset=0, max_bytes=1 << 30):
        logs.append(WriteAheadLog(tmp_path / "log", max_bytes=max_bytes, offset=offset))
        return logs[-1]

    yield make
    for wal in logs:
        wal.close()


@pytest.fixture
def small_files(monkeypatch):
    """Let every file hold one request."""
    monkeypatch.setattr(write_ahead_log, "_SEGMENT_BYTES", 1)


def numbered(*numbers):
    return [logged([float(number)]) for number in numbers]


def files(tmp_path):
    return sorted((tmp_path / "log").glob("*.log"))


def fill(wal):
    """Append until the log is full; give how many requests it took."""
    for number in range(1, 1000):
        try:
            wal.append(numbered(number))
        except LogFullError:
            return number - 1
    raise AssertionError("it is never full")


def read(wal, offset=0):
    return list(wal.read(offset, **MOST).requests)


def test_what_was_appended_is_read_in_order_from_any_offset_that_was_given(opened):
    wal = opened()
    wal.append(numbered(1, 2))
    wal.append(numbered(3))

    first = wal.read(0, most_bytes=1 << 30, most_samples=2)
    second = wal.read(first.next_offset, **MOST)

    assert list(first.requests) == numbered(1, 2)
    assert list(second.requests) == numbered(3)
    assert not wal.has_more(second.next_offset)
    assert wal.read(second.next_offset, **MOST).requests == ()


def test_reading_is_bounded_by_bytes_and_by_samples_and_gives_one_at_least(opened):
    wal = opened()
    wal.append(numbered(1, 2, 3))

    assert list(wal.read(0, most_bytes=1, most_samples=1000).requests) == numbered(1)
    assert list(wal.read(0, most_bytes=1 << 20, most_samples=1).requests) == numbered(1)


def test_it_is_read_on_after_a_restart(opened):
    wal = opened()
    wal.append(numbered(1, 2))
    offset = wal.read(0, most_bytes=1, most_samples=1).next_offset
    wal.close()

    again = opened(offset=offset)
    again.append(numbered(3))

    assert read(again, offset) == numbered(2, 3)


def test_the_samples_that_wait_are_known_also_after_a_restart(opened):
    wal = opened()
    wal.append([logged([1.0] * 5), logged([1.0] * 7)])
    assert wal.n_unread == 12
    offset = wal.read(0, most_bytes=1, most_samples=1).next_offset
    assert wal.n_unread == 7
    wal.close()

    assert opened(offset=offset).n_unread == 7


def test_files_are_deleted_once_they_are_covered_but_for_the_last(opened, tmp_path, small_files):
    wal = opened()
    for number in range(4):
        wal.append(numbered(number))
    assert len(files(tmp_path)) == 4
    offset = wal.read(0, most_bytes=1 << 20, most_samples=2).next_offset

    wal.release(offset)
    assert read(wal, offset) == numbered(2, 3)
    assert len(files(tmp_path)) == 2

    wal.release(wal.read(offset, **MOST).next_offset)
    assert len(files(tmp_path)) == 1
    wal.append(numbered(4))
    assert read(wal, offset + 2 * (offset // 2)) == numbered(4)


def test_files_before_the_offset_are_deleted_at_the_start(opened, tmp_path, small_files):
    wal = opened()
    for number in range(3):
        wal.append(numbered(number))
    offset = wal.read(0, most_bytes=1 << 20, most_samples=2).next_offset
    wal.close()

    assert read(opened(offset=offset), offset) == numbered(2)
    assert len(files(tmp_path)) == 1


def test_a_tail_that_a_crash_has_cut_is_left_out_wherever_it_was_cut(opened, tmp_path):
    wal = opened()
    wal.append(numbered(1, 2))
    wal.close()
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    size = len(whole) // 2

    for n_bytes in range(size, len(whole)):
        file.write_bytes(whole[:n_bytes])
        again = opened()
        assert read(again) == numbered(1)
        again.append(numbered(3))
        assert read(again) == numbered(1, 3)
        again.close()
        files(tmp_path)[-1].unlink()


def test_a_tail_of_zeros_or_noise_is_left_out(opened, tmp_path):
    wal = opened()
    wal.append(numbered(1))
    wal.close()
    (file,) = files(tmp_path)
    whole = file.read_bytes()

    for tail in (bytes(4096), os.urandom(4096), b"\xff" * 8):
        file.write_bytes(whole + tail)
        assert read(opened()) == numbered(1)


def test_behind_damage_reading_goes_on_in_the_next_file(opened, tmp_path, small_files, caplog):
    wal = opened()
    for number in range(3):
        wal.append(numbered(number))
    file = files(tmp_path)[1]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)

    piece = wal.read(0, **MOST)

    assert list(piece.requests) == numbered(0, 2)
    assert piece.n_damaged == 1
    assert f"log damaged file={file} position=0" in caplog.text
    wal.close()
    assert read(opened()) == numbered(0, 2)
    assert "log cut" in caplog.text


def test_a_file_that_somebody_deletes_is_skipped_and_counted(opened, tmp_path, small_files, caplog):
    wal = opened()
    for number in range(3):
        wal.append(numbered(number))
    files(tmp_path)[1].unlink()

    piece = wal.read(0, **MOST)

    assert list(piece.requests) == numbered(0, 2)
    assert piece.n_damaged == 1
    assert "log damaged" in caplog.text
    wal.release(piece.next_offset)
    wal.append(numbered(3))
    assert read(wal, piece.next_offset) == numbered(3)


def test_a_disk_that_cannot_be_read_ends_the_daemon_with_one_line(opened, monkeypatch):
    wal = opened()
    wal.append(numbered(1))

    def failing(file, mode):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", failing)

    with pytest.raises(SourceError, match="Input/output error"):
        wal.read(0, **MOST)


def test_the_offset_behind_each_request_is_given_by_writer_and_reader_alike(opened, small_files):
    wal = opened()

    written = [*wal.append(numbered(1, 2)), *wal.append(numbered(3))]

    piece = wal.read(0, **MOST)
    assert list(piece.ends) == written
    assert piece.next_offset == written[-1]


def test_an_offset_never_comes_again_even_where_the_files_were_deleted(opened, tmp_path):
    wal = opened()
    wal.append(numbered(1, 2))
    offset = wal.read(0, **MOST).next_offset
    wal.close()
    for file in files(tmp_path):
        file.unlink()

    again = opened(offset=offset)
    again.append(numbered(3))

    assert read(again, offset) == numbered(3)


def test_a_log_whose_checkpoint_was_deleted_is_read_from_its_beginning(opened):
    wal = opened()
    wal.append(numbered(1, 2))
    wal.close()

    assert read(opened(offset=0)) == numbered(1, 2)


def test_a_full_log_refuses_and_takes_again_once_there_is_room(opened, small_files):
    wal = opened(max_bytes=210)
    n_taken = fill(wal)
    assert read(wal) == numbered(*range(1, n_taken + 1))

    wal.release(wal.read(0, most_bytes=1, most_samples=1).next_offset)
    wal.append(numbered(99))

    assert read(wal)[-1:] == numbered(99)


def test_a_log_that_is_full_with_one_file_takes_again_once_that_is_covered(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(write_ahead_log, "_SEGMENTS_OF_LIMIT", 1)
    wal = opened(max_bytes=1000)
    fill(wal)
    assert len(files(tmp_path)) == 1

    offset = wal.read(0, **MOST).next_offset
    wal.release(offset)
    wal.append(numbered(2))

    assert read(wal, offset) == numbered(2)


def test_nothing_of_a_write_that_failed_is_read_and_the_next_write_succeeds(opened, tmp_path):
    wal = opened()
    wal.append(numbered(1))
    size = files(tmp_path)[0].stat().st_size

    with full_disk(size + 10), pytest.raises(LogError, match=r"cannot write to .*log: File too large"):
        wal.append(numbered(2))
    assert read(wal) == numbered(1)
    wal.append(numbered(3))

    assert read(wal) == numbered(1, 3)
    wal.close()
    assert read(opened()) == numbered(1, 3)


def test_a_disk_that_is_full_from_the_start_is_tried_again(opened):
    wal = opened()
    with full_disk(0):
        for _ in range(3):
            with pytest.raises(LogError):
                wal.append(numbered(1))
    wal.append(numbered(2))

    assert read(wal) == numbered(2)


def test_after_a_sync_that_failed_nothing_more_is_written_to_that_file(opened, tmp_path, monkeypatch):
    wal = opened()
    wal.append(numbered(1))

    def failing(descriptor):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", failing)
        with pytest.raises(LogError, match="Input/output error"):
            wal.append(numbered(2))
    wal.append(numbered(3))

    assert read(wal) == numbered(1, 3)
    assert len(files(tmp_path)) == 2


def test_after_a_sync_that_failed_the_offsets_of_what_failed_are_not_used_again(opened, monkeypatch):
    """After a crash it may turn out to be on disk all the same."""
    wal = opened()

    def failing(*arguments):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", failing)
        patched.setattr(os, "ftruncate", failing)
        with pytest.raises(LogError):
            wal.append(numbered(1))
    wal.append(numbered(2))
    wal.close()

    assert read(opened()) == numbered(1, 2)


def test_a_file_that_cannot_be_deleted_is_tried_again(opened, tmp_path, small_files, monkeypatch, caplog):
    wal = opened()
    for number in range(3):
        wal.append(numbered(number))
    offset = wal.read(0, **MOST).next_offset

    def failing(file, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", failing)
        wal.release(offset)
    assert "cannot delete" in caplog.text
    assert len(files(tmp_path)) == 3
    wal.release(offset)

    assert len(files(tmp_path)) == 1


def test_a_folder_that_cannot_be_used_ends_the_start_with_one_line(tmp_path):
    (tmp_path / "log").touch()

    with pytest.raises(SourceError, match=r"the log of received requests .* cannot be read: .*Make it"):
        WriteAheadLog(tmp_path / "log", max_bytes=1 << 20)


def test_others_cannot_read_what_was_received(opened, tmp_path):
    opened().append(numbered(1))

    assert files(tmp_path)[0].stat().st_mode & 0o077 == 0
