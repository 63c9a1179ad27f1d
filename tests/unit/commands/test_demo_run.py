from __future__ import annotations

import numpy as np

from monitor.commands.demo_recording import Recording
from monitor.commands.demo_run import three_sigma
from monitor.config.explain import parse_config

N_FAULT_FREE, N_STEPS, SPIKE = 100, 160, 120


def test_the_three_sigma_rule_raises_an_episode_where_a_metric_leaves_its_band(tmp_path):
    values = np.random.default_rng(0).normal(100, 1, N_STEPS)
    values[SPIKE : SPIKE + 5] = 200
    rows = "".join(f"{1000 * step},{value},7\n" for step, value in enumerate(values))
    file = tmp_path / "web1.csv"
    file.write_text(f"timestamp,load,constant\n{rows}")
    watch = {"name": "w", "by": ["entity"], "step_seconds": 1.0, "window_length": 8, "lateness_seconds": 0.0}
    watch["alert"] = {"close_seconds": 5.0, "rest_seconds": 5.0}
    source = {"kind": "replay", "replay": {"paths": [str(file)], "time_unit": "ms"}}
    config = parse_config({"source": source, "watch": [watch]}, origin="test")

    episodes = three_sigma(config.watch[0], Recording((file,), (), N_FAULT_FREE * 1000), config)

    assert [(episode.entity, episode.opened_ms) for episode in episodes] == [("web1", (SPIKE + 1) * 1000)]
    assert SPIKE + 5 <= episodes[0].resolved_ms / 1000 <= SPIKE + 15
