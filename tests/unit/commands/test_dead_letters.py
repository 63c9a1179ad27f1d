from __future__ import annotations

from command_line import WATCH, barograph


def test_without_a_topic_for_them_there_are_no_dead_letters_to_show(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("a"))

    ended = barograph("dead-letters", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("config.toml: source.kafka.dead_letter_topic is empty")
    assert len(ended.stderr.splitlines()) == 1
