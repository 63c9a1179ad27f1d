from __future__ import annotations

import csv
import io

from command_line import WATCH, barograph


def test_rows_go_to_stdout_and_everything_else_to_stderr(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("web1"))
    rows = "".join(f"{1000 * step},{step % 7}\n" for step in range(20))
    (tmp_path / "web1.csv").write_text(f"timestamp,a\n{rows}")

    ended = barograph("score", "web1.csv", cwd=tmp_path)

    assert ended.returncode == 0
    assert len(list(csv.DictReader(io.StringIO(ended.stdout)))) == 20
    assert "watch web1 has no model: its baselines judge alone" in ended.stderr
    assert ended.stderr.splitlines()[-1] == "wrote 20 rows to stdout"
