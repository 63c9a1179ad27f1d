from __future__ import annotations

import pandas as pd
from command_line import barograph


def test_repeating_the_command_extends_the_recording(tmp_path):
    for _ in range(2):
        ended = barograph("record", "host.csv", "--step", 0.1, "--duration", 0.2, "--host", "a", cwd=tmp_path)
        assert (ended.returncode, ended.stdout) == (0, "")

    assert ended.stderr.splitlines()[-1].startswith("wrote ")
    rows = pd.read_csv(tmp_path / "host.csv")
    assert set(rows["host"]) == {"a"}
    assert rows["time"].is_monotonic_increasing
