from __future__ import annotations

import re

from command_line import WATCH, barograph


def test_options_for_one_watch_are_refused_for_several(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("a") + WATCH.format("b"))

    for option in (["--background"], ["--result", "r.json"]):
        ended = barograph("retrain", *option, cwd=tmp_path)

        assert ended.returncode == 2
        assert ended.stderr == "--result and --background are for one watch: name it with --watch (a, b)\n"


def test_a_watch_without_a_history_is_a_failure_that_says_why(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("a"))

    ended = barograph("retrain", "--result", "r.json", cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.strip().startswith("barograph: watch a skipped: the history has 0 steps")
    assert re.fullmatch(r"watch a: skipped after \d+\.\d s\n", ended.stdout)
    assert "nan" not in ended.stdout + ended.stderr
    assert '"result": "skipped"' in (tmp_path / "r.json").read_text()
