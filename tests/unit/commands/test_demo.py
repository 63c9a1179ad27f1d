from __future__ import annotations

from command_line import WATCH, barograph


def test_a_folder_that_is_no_recording_ends_in_one_line(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("a"))

    ended = barograph("demo", "--recording", "nowhere", cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.startswith("barograph: nowhere is no labelled recording: ")
    assert len(ended.stderr.splitlines()) == 1
