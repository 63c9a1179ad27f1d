"""docs/formats.md: its configurations load, and do what the page says."""

import re
import tomllib
from pathlib import Path

import pytest

from monitor.config.explain import parse_config
from monitor.decode.formats import FORMATS
from monitor.decode.record import Record
from monitor.decode.topic_decoders import build_decoder
from monitor.sample import SeriesTable

PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")
BLOCKS = [block for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if block.startswith("[decode")]
TIME = 1_700_000_000


def settings_of(block):
    """Give what decoders are built with under a block of the page."""
    return parse_config(
        {**tomllib.loads(block), "watch": [{"name": "web"}]}, origin="docs/formats.md"
    ).decode.settings


def read_by(mapping, payload):
    """Read a payload by a mapping of the page: series and values."""
    (settings,) = (candidate for candidate in map(settings_of, BLOCKS) if mapping in candidate.mappings)
    table = SeriesTable()
    columns = build_decoder(f"mapped:{mapping}", settings)([Record(payload)], table).columns
    assert set(columns.time_ms.tolist()) == {TIME * 1000}
    return [
        (str(table[number]), value)
        for number, value in zip(columns.series.tolist(), columns.value.tolist(), strict=True)
    ]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_every_configuration_of_the_page_loads(block):
    settings_of(block)


def test_the_page_names_every_format():
    named = set(
        re.findall(r"`([a-z_]+)`", "\n".join(line for line in PAGE.splitlines() if line.startswith("| `")))
    )

    assert set(FORMATS) <= named


def test_the_mapping_for_telegraf_s_flat_form():
    payload = (
        b'{"at":1700000000,"dc":"eu-1","host":"b","humidity":40,"measurement":"sensor","room":"kitchen",'
        b'"note":"x","dry":false}'
    )

    labels = '{dc="eu-1",host="b",room="kitchen"}'
    assert read_by("telegraf_flat", payload) == [
        (f"sensor_humidity{labels}", 40.0),
        (f"sensor_dry{labels}", 0.0),
    ]


def test_the_mapping_for_vector():
    payload = (
        b'{"name":"load1","namespace":"host","tags":{"host":"a"},"timestamp":"2023-11-14T22:13:20Z",'
        b'"kind":"absolute","gauge":{"value":0.5}}'
    )

    assert read_by("vector", payload) == [('host_load1{host="a"}', 0.5)]


def test_the_mapping_for_veneur():
    payload = b'{"name":"req","timestamp":1700000000,"value":1.0,"tags":["env:prod"],"type":"gauge"}'

    assert read_by("veneur", payload) == [('req{env="prod"}', 1.0)]


def test_the_mapping_for_readings_in_a_list():
    example, expected = re.search(r"^reads `(.*)` as\n`(.*)`\.$", PAGE, re.MULTILINE).groups()

    assert read_by("sensors", example.encode()) == [(expected, 21.5)]
