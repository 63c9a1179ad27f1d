"""A promoted version is noticed, prepared beside the loop, and given to it only while it is the champion."""

from __future__ import annotations

import pytest

from models.errors import BundleError


def test_a_version_that_is_promoted_takes_over_within_two_steps_and_is_counted(house):
    first = house.promote(1)
    house.begin()
    assert house.live(house.quiet(5)) == [False] * 5

    second = house.promote(2)

    assert any(house.live(house.quiet(2)))
    assert house.served.version == second
    assert house.count("barograph_model_swaps_total") == 1
    assert house.count("barograph_model_info", version=second) == 1
    assert house.count("barograph_model_info", version=first) is None


def test_a_rollback_takes_over_in_the_same_way(house):
    first = house.promote(1)
    house.promote(2)
    house.begin()
    house.registry.rollback()

    assert house.live(house.quiet(5)).count(True) == 1
    assert house.served.version == first


def test_a_version_that_was_rolled_back_meanwhile_does_not_take_over(house):
    first = house.promote(1)
    waiting = []
    house.begin(start=waiting.append)
    house.promote(2)
    house.live(house.quiet(2))
    house.registry.rollback()
    waiting.pop()()

    assert not any(house.live(house.quiet(5)))
    assert house.served.version == first


def test_a_version_is_prepared_once_however_long_that_takes(house):
    house.promote(1)
    waiting = []
    house.begin(start=waiting.append)
    house.promote(2)

    house.live(house.quiet(10))

    assert len(waiting) == 1


def test_half_a_bundle_is_refused_once_and_the_old_model_serves_on(house, caplog):
    first = house.promote(1)
    house.begin()
    scorer = house.watch.scorer
    second = house.promote(2)
    (house.registry.folder / second / "state.safetensors").write_bytes(b"half")

    assert not any(house.live(house.quiet(10)))

    assert house.watch.scorer is scorer
    assert house.served.version == first
    assert house.count("barograph_model_load_failures_total") == 1
    assert caplog.text.count(f"model refused watch=w version={second}") == 1
    assert f"{first} serves on" in caplog.text


def test_an_unreadable_pointer_changes_nothing(house, caplog):
    first = house.promote(1)
    house.begin()
    (house.registry.folder / "champion").unlink()
    (house.registry.folder / "champion").mkdir()
    with pytest.raises(BundleError):
        house.registry.champion()

    assert not any(house.live(house.quiet(3)))
    assert "champion unknown watch=w" in caplog.text
    assert house.served.version == first
