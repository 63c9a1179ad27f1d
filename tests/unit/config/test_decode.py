from __future__ import annotations

import pytest
from parsed_config import errors_of, parsed

from monitor.decode.formats import FormatSettings
from monitor.decode.graphite import Template
from monitor.decode.mapped_json import JsonMapping
from monitor.decode.record import Limits


def test_what_decoders_are_built_with_is_what_was_written():
    decode = {
        "max_record_bytes": 100,
        "max_label_bytes": 10,
        "native_sample": {"time": "ts"},
        "influx": {"precision": "s"},
        "telegraf_json": {"time_unit": "ms"},
        "collectd": {"store_rates": False},
        "graphite": {"templates": ["{host}.**"]},
        "mapped": {"mine": {"values": ["v"], "kinds": {"d": "delta"}}},
    }

    settings = parsed(decode=decode).decode.settings

    assert settings.limits == Limits(max_record_bytes=100, max_label_bytes=10)
    assert (settings.native_sample.time, settings.native_sample.name) == ("ts", "name")
    assert (settings.influx_precision, settings.telegraf_time_unit, settings.collectd_store_rates) == (
        "s",
        "ms",
        False,
    )
    assert settings.graphite_templates == (Template(("{host}", "**")),)
    assert settings.mappings == {"mine": JsonMapping(name="{name}", values=("v",), kinds={"d": "delta"})}


def test_formats_are_auto_unless_named():
    assert parsed().decode.format == "auto"
    assert parsed().decode.settings == FormatSettings()
    assert parsed(decode={"topics": {"a-*": "influx"}}).decode.topics == {"a-*": "influx"}


@pytest.mark.parametrize(
    ("decode", "expected"),
    [
        ({"format": "inflx"}, 'decode: format: "inflx" is no format, expected one of auto, native_columns, '),
        ({"topics": {"a": "json"}}, 'decode: topics."a": "json" is no format, expected one of auto, '),
        (
            {"format": "mapped"},
            'decode: format: "mapped" needs to name one mapping: '
            "expected a [decode.mapped.<name>] table first",
        ),
        (
            {"format": "mapped:x", "mapped": {"y": {}}},
            'decode: format: "mapped:x" is no format, expected one of auto, ',
        ),
        ({"format": "mapped", "mapped": {"x": {}, "y": {}}}, 'expected "mapped:x", "mapped:y"'),
        (
            {"graphite": {"templates": ["a.b"]}},
            "decode.graphite.templates: found ['a.b']: \"a.b\" keeps no part of a path as its name",
        ),
        (
            {"mapped": {"x": {"name": "{a"}}},
            'decode.mapped.x: name is "{a", expected {path}, {path?} or {*} in braces',
        ),
        (
            {"mapped": {"x": {"valeus": []}}},
            "decode.mapped.x.valeus: unknown key; the nearest known one is values",
        ),
        (
            {"influx": {"precison": "s"}},
            "decode.influx.precison: unknown key; the nearest known one is precision",
        ),
        ({"max_record_bytes": 0}, "decode.max_record_bytes: found 0, expected greater than or equal to 1"),
    ],
)
def test_a_format_that_could_not_be_built_is_refused_at_the_start(decode, expected):
    (line,) = errors_of({"decode": decode, "watch": [{"name": "web"}]})

    assert expected in line
