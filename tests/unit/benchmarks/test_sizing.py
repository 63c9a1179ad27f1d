"""The sizing benchmark measures a daemon that judges, and says what it measured."""

from __future__ import annotations

import pytest

from benchmarks.sizing import LEAST_STEPS, Cost, Size, measure, row


def test_a_size_is_read_or_refused_with_an_example():
    assert Size.parse("100x10@60") == Size(100, 10, 60)
    with pytest.raises(ValueError, match="expected ENTITIESxCHANNELS@STEP, as in 100x100@10"):
        Size.parse("100x10")


def test_a_row_has_shares_and_megabytes():
    cost = Cost(0.0725, 412_000_000, 1_260_000, 340_000, 56_000_000.0, 800)

    cells = ("10,000", "100 x 100", "10 s", "7.2%", "412 MB", "1.3 MB", "0.3 MB", "56 MB")
    assert row(Size(100, 100, 10), cost) == f"| {' | '.join(cells)} |"


def test_every_entity_is_judged_in_every_measured_step_and_leaves_state_and_history(tmp_path):
    cost = measure(Size(n_entities=2, n_channels=12, step_seconds=60), tmp_path, window=8)

    assert cost.n_judged == 2 * LEAST_STEPS
    assert 0 < cost.core_ratio < 1
    assert cost.memory_bytes > 50e6  # PyTorch alone takes more
    assert cost.checkpoint_bytes == (tmp_path / "checkpoint" / "state").stat().st_size > 0
    assert cost.model_bytes > 100_000  # at the least the weights of 64 units, forward and back
    # 1440 steps of 24 values of 8 bytes; noise of three decimals in floats packs by a half at most
    assert 0.2 < cost.history_bytes_a_day / (1440 * 24 * 8) < 8
