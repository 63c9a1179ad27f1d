from __future__ import annotations

import socket

from command_line import ROOT, WATCH, barograph


def test_a_folder_that_is_no_recording_ends_in_one_line(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("a"))

    ended = barograph("demo", "--recording", "nowhere", cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.startswith("barograph: nowhere is no labelled recording: ")
    assert len(ended.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_found_before_the_training(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (tmp_path / "config.toml").write_text(f'[web]\nlisten = "{address}"\n' + WATCH.format("demo"))

        ended = barograph("demo", "--exit", "--recording", ROOT / "recordings/first", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"barograph: cannot listen on {address}: Address already in use. ")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()
