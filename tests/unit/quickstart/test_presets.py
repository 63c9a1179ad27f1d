from pathlib import Path

import pytest

from monitor.quickstart.presets import load_presets

PAGE = Path(__file__).parents[3] / "docs" / "quickstart.md"
NODE = {"node_cpu_seconds_total", "node_load1", "node_uname_info", "node_network_receive_errs_total"}


def preset(name):
    return next(preset for preset in load_presets() if preset.name == name)


def test_an_exporter_is_identified_by_its_metrics():
    assert preset("node").identifies(NODE)
    assert not preset("redis").identifies(NODE)


def test_what_is_watched_begins_with_what_matters_most():
    chosen = preset("node").chosen(NODE)

    assert chosen == ["node_cpu_seconds_total", "node_load1", "node_network_receive_errs_total"]


def test_no_two_presets_watch_the_same_metric():
    names = [pattern for preset in load_presets() for pattern in preset.metrics]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("preset", load_presets(), ids=lambda preset: preset.name)
def test_each_preset_watches_what_identifies_it_or_more(preset):
    assert preset.metrics
    assert not set(preset.by) & set(preset.keep)


@pytest.mark.parametrize("preset", load_presets(), ids=lambda preset: preset.name)
def test_the_page_lists_each_preset_and_whether_it_was_tried(preset):
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{preset.name}` |")]

    assert preset.title in row
    assert row.endswith("| yes |") == preset.tried
