from __future__ import annotations

from command_line import barograph


def test_a_data_directory_that_cannot_be_used_stops_the_start(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "config.toml").write_text(
        'data_dir = "file/below"\n[web]\nlisten = "127.0.0.1:0"\n[[watch]]\nname = "h"\n'
    )

    ended = barograph("run", cwd=tmp_path)

    assert ended.returncode == 1
    assert "data_dir file/below cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr
