"""collectd's JSON: parallel lists, names, and what rates and totals are."""

import json

import pytest

from monitor.decode.collectd import decode_collectd_json

TIME_MS = 1_700_000_000_863


def value_list(**changed):
    """Write a good value list as an object, some of its keys changed; None leaves one out."""
    keys = {
        "values": [42],
        "dstypes": ["gauge"],
        "dsnames": ["value"],
        "time": 1_700_000_000.863,
        "interval": 10.0,
        "host": "web1",
        "plugin": "memory",
        "plugin_instance": "",
        "type": "memory",
        "type_instance": "used",
        **changed,
    }
    return {key: value for key, value in keys.items() if value is not None}


def message(*lists):
    return json.dumps(list(lists))


def test_a_value_list_is_a_sample_named_after_plugin_type_and_dsname(read):
    disk = value_list(
        plugin="disk", plugin_instance="vda", type="disk_octets", type_instance="",
        values=[1, 2], dsnames=["read", "write"], dstypes=["derive", "derive"],
    )  # fmt: skip
    load = value_list(plugin="load", type="load", type_instance="", values=[0.5], dsnames=["shortterm"])
    cpu = value_list(plugin="cpu", plugin_instance="0", type="percent", type_instance="idle", values=[97.5])

    got = read(decode_collectd_json, message(value_list(), disk, load, cpu))

    assert got.samples == [
        ('memory{host="web1",type_instance="used"}', TIME_MS, 42.0),
        ('disk_disk_octets_read{host="web1",plugin_instance="vda"}', TIME_MS, 1.0),
        ('disk_disk_octets_write{host="web1",plugin_instance="vda"}', TIME_MS, 2.0),
        ('load_shortterm{host="web1"}', TIME_MS, 0.5),
        ('cpu_percent{host="web1",plugin_instance="0",type_instance="idle"}', TIME_MS, 97.5),
    ]


def test_a_rate_that_is_not_known_yet_is_a_gap(read):
    got = read(
        decode_collectd_json,
        message(value_list(values=[None, 3], dsnames=["rx", "tx"], dstypes=["derive", "derive"])),
    )

    assert [value for _, _, value in got.samples] == [None, 3.0]
    assert got.rejected == {}


def test_more_keys_as_meta_change_nothing(read):
    assert len(read(decode_collectd_json, message(value_list(meta={"network:received": True}))).samples) == 1


ALL_TYPES = message(
    *(
        value_list(type=f"x_{dstype}", dstypes=[dstype])
        for dstype in ("gauge", "derive", "counter", "absolute")
    )
)


def test_stored_rates_are_levels_whatever_their_type_is_called(read):
    assert set(read(decode_collectd_json, ALL_TYPES).kinds.values()) == {"gauge"}


def test_without_stored_rates_a_total_is_a_counter_and_an_absolute_an_increase(read):
    assert read(decode_collectd_json, ALL_TYPES, store_rates=False).kinds == {
        "memory_x_gauge": "gauge",
        "memory_x_derive": "counter",
        "memory_x_counter": "counter",
        "memory_x_absolute": "delta",
    }


def test_a_bad_value_list_is_rejected_alone(read):
    got = read(
        decode_collectd_json, message(value_list(values=[1]), value_list(time=-1), 3, value_list(values=[2]))
    )

    assert [value for _, _, value in got.samples] == [1.0, 2.0]
    assert got.rejected == {"bad_time": 1, "wrong_schema": 1}


BAD = [
    pytest.param("", "invalid_json", id="nothing"),
    pytest.param(message(value_list())[:-1], "invalid_json", id="cut off"),
    pytest.param(json.dumps(value_list()), "wrong_schema", id="no list around it"),
    pytest.param(message(value_list(values=[1, 2])), "wrong_schema", id="more values than names"),
    pytest.param(message(value_list(dstypes=[])), "wrong_schema", id="fewer types than values"),
    pytest.param(message(value_list(values=None)), "wrong_schema", id="no values"),
    pytest.param(message(value_list(values=3)), "wrong_schema", id="values no list"),
    pytest.param(message(value_list(values=[[1]])), "wrong_schema", id="a list for a value"),
    pytest.param(message(value_list(dsnames=[["value"]])), "wrong_schema", id="a list for a dsname"),
    pytest.param(message(value_list(dsnames=[3])), "wrong_schema", id="a number for a dsname"),
    pytest.param(message(value_list(plugin=None)), "wrong_schema", id="no plugin"),
    pytest.param(message(value_list(host=3)), "wrong_schema", id="a number for the host"),
    pytest.param(message(value_list(host={})), "wrong_schema", id="an object for the host"),
    pytest.param(message(value_list(host="x" * 2**20)), "label_too_long", id="a host of 1 MB"),
    pytest.param(message(value_list(time=None)), "bad_time", id="no time"),
    pytest.param(message(value_list(time="noon")), "bad_time", id="a word for a time"),
    pytest.param(message(value_list(time=1_700_000_000_863)), "bad_time", id="milliseconds"),
]


@pytest.mark.parametrize(("payload", "reason"), BAD)
def test_a_bad_message_is_rejected_and_counted_under_its_reason(read, payload, reason):
    got = read(decode_collectd_json, message(value_list()), payload, message(value_list()))

    assert got.rejected == {reason: 1}
    assert len(got.samples) == 2
    assert len(got.series) == 1
