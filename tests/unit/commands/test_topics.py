from __future__ import annotations

from command_line import barograph


def test_looking_at_a_broker_that_is_away_ends_in_one_line_that_says_so():
    ended = barograph("topics", "--servers", "127.0.0.1:1", "--timeout", "1")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert (
        ended.stderr
        == "barograph: 127.0.0.1:1: connection refused. Is the broker up, and is this its address?\n"
    )


def test_a_suggestion_never_overwrites_a_file(tmp_path):
    (tmp_path / "mine.toml").write_text("precious")

    ended = barograph("topics", "--servers", "127.0.0.1:1", "-o", str(tmp_path / "mine.toml"))

    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "this file exists and is not overwritten" in ended.stderr
    assert (tmp_path / "mine.toml").read_text() == "precious"
