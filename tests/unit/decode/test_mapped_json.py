"""JSON of other shapes, read as a mapping says."""

import json

import pytest

from monitor.decode.mapped_json import JsonMapping, decode_mapped

TIME = 1_700_000_000


def flat(**changed):
    """Write what Telegraf's transformation makes flat, some keys changed; None leaves one out."""
    keys = {
        "at": TIME,
        "dc": "eu-1",
        "host": "web1",
        "measurement": "cpu",
        "cpu": "cpu0",
        "usage_idle": 97.5,
        **changed,
    }
    return json.dumps({key: value for key, value in keys.items() if value is not None})


FLAT = JsonMapping(name="{measurement}_{*}", values=("*",), labels=("dc", "host", "cpu"), time="at")

VECTOR = JsonMapping(
    name="{namespace?}_{name}",
    values=("gauge.value", "counter.value"),
    labels=("tags.*",),
    kind_from="kind",
    kinds={"incremental": "delta"},
)
VENEUR = JsonMapping(name="{name}", labels=("tags.*",), kind_from="type", kinds={"counter": "delta"})


# The shapes that the documentation names


def test_telegraf_s_flat_form_tells_tags_from_fields_by_their_names(read):
    payload = flat(ok=True, processes=42, uptime_format=" 0:20")

    got = read(decode_mapped, payload, mapping=FLAT)

    labels = '{cpu="cpu0",dc="eu-1",host="web1"}'
    assert got.samples == [
        (f"cpu_usage_idle{labels}", TIME * 1000, 97.5),
        (f"cpu_ok{labels}", TIME * 1000, 1.0),
        (f"cpu_processes{labels}", TIME * 1000, 42.0),
    ]
    assert got.rejected == {}


def test_a_flat_message_of_nothing_but_text_is_read_and_holds_no_sample(read):
    got = read(decode_mapped, flat(usage_idle=None, uptime_format=" 0:20"), mapping=FLAT)

    assert (got.samples, got.rejected, got.series) == ([], {}, [])


def test_vector_s_gauges_and_counters(read):
    gauge = {
        "name": "load1",
        "namespace": "host",
        "tags": {"host": "web1"},
        "timestamp": "2023-11-14T22:13:20.000000011Z",
        "kind": "absolute",
        "gauge": {"value": 0.5},
    }
    counter = {"name": "hits", "tags": {"host": "web1"}, "kind": "incremental", "counter": {"value": 3}}
    total = {"name": "hits_total", "kind": "absolute", "counter": {"value": 9}}
    other = {"name": "sizes", "kind": "incremental", "distribution": {"samples": []}}

    got = read(
        decode_mapped,
        *(json.dumps(metric) for metric in (gauge, counter, total, other)),
        mapping=VECTOR,
        time_ms=5,
    )

    assert got.samples == [
        ('host_load1{host="web1"}', TIME * 1000, 0.5),
        ('hits{host="web1"}', 5, 3.0),
        ("hits_total", 5, 9.0),
    ]
    assert got.kinds == {"host_load1": "gauge", "hits": "delta", "hits_total": "counter"}
    assert got.rejected == {"wrong_schema": 1}


def test_veneur_s_tags_are_a_list_of_names_and_values(read):
    payload = {
        "name": "req",
        "timestamp": TIME,
        "value": 1.5,
        "tags": ["env:prod", "url:http://x", "canary"],
        "type": "gauge",
    }

    got = read(decode_mapped, json.dumps(payload), mapping=VENEUR)

    assert got.samples == [('req{canary="true",env="prod",url="http://x"}', TIME * 1000, 1.5)]


def test_readings_in_a_list_take_what_they_share_from_the_message(read):
    mapping = JsonMapping(
        each="readings",
        name="{/site.id}_{what}",
        values=("v",),
        labels=("building=/site.building", "room"),
        time="/sent",
        time_unit="s",
    )
    payload = {
        "site": {"id": "s7", "building": "west"},
        "sent": TIME,
        "readings": [{"what": "temp", "room": "a", "v": 21.5}, {"what": "co2", "room": "b", "v": 600}],
    }

    got = read(decode_mapped, json.dumps(payload), mapping=mapping)

    assert got.samples == [
        ('s7_temp{building="west",room="a"}', TIME * 1000, 21.5),
        ('s7_co2{building="west",room="b"}', TIME * 1000, 600.0),
    ]


# Values


def test_named_values_are_called_after_their_paths(read):
    payload = {
        "timestamp": TIME,
        "cpu": {"user": {"pct": 0.5}, "idle": {"pct": "0.25"}},
        "list": [1, 7],
        "a.b": 3,
        "note": "x",
        "no": None,
    }
    paths = ("cpu.user.pct", "cpu.idle.pct", "list.1", "list.9", "a.b", "note", "no", "absent.value")

    got = read(decode_mapped, json.dumps(payload), mapping=JsonMapping(name="m.{*}", values=paths))

    assert [(name, value) for name, _, value in got.samples] == [
        ("m.cpu.user.pct", 0.5), ("m.cpu.idle.pct", 0.25), ("m.list.1", 7.0), ("m.a.b", 3.0), ("m.no", None),
    ]  # fmt: skip
    assert got.rejected == {}


def test_all_numbers_of_an_object_but_the_excluded_ones(read):
    mapping = JsonMapping(name="{*}", values=("fields.*",), exclude=("fields.n_*", "fields.id"))
    payload = {
        "timestamp": TIME,
        "fields": {"a": 1, "b": 0.5, "n_rows": 3, "id": 4, "text": "x", "none": None, "list": [1]},
        "c": 5,
    }

    got = read(decode_mapped, json.dumps(payload), mapping=mapping)

    assert [(name, value) for name, _, value in got.samples] == [("a", 1.0), ("b", 0.5)]


def test_what_the_mapping_names_otherwise_is_no_value_of_all(read):
    mapping = JsonMapping(name="{id}_{*}", values=("*",), labels=("port",), kind_from="type")
    payload = {"timestamp": TIME, "id": 7, "port": 8080, "type": 1, "v": 2}

    assert read(decode_mapped, json.dumps(payload), mapping=mapping).samples == [
        ('7_v{port="8080"}', TIME * 1000, 2.0)
    ]


# Labels


def test_all_text_that_is_left_makes_labels(read):
    mapping = JsonMapping(name="{name}", values=("v",), labels=("*",), exclude=("note",))
    payload = {
        "name": "m",
        "v": 1,
        "timestamp": TIME,
        "host": "web1",
        "note": "x",
        "n": 3,
        "inner": {"a": "b"},
    }

    assert read(decode_mapped, json.dumps(payload), mapping=mapping).series == ['m{host="web1"}']


def test_labels_of_other_types_are_written_as_text(read):
    mapping = JsonMapping(name="m", values=("v",), labels=("tags.*", "rank=/n"))
    payload = {
        "v": 1,
        "timestamp": TIME,
        "n": 3,
        "tags": {"on": True, "load": 0.5, "roles": ["a", "b"], "none": None},
    }

    assert read(decode_mapped, json.dumps(payload), mapping=mapping).series == [
        'm{load="0.5",on="true",rank="3",roles="a,b"}'
    ]


def test_what_comes_later_stands_and_constants_come_last(read):
    mapping = JsonMapping(
        name="m", values=("v",), labels=("tags.*", "host"), constant={"source": "sensors", "zone": "z"}
    )
    payload = {"v": 1, "timestamp": TIME, "host": "outer", "tags": {"host": "inner", "zone": "inner"}}

    assert read(decode_mapped, json.dumps(payload), mapping=mapping).series == [
        'm{host="outer",source="sensors",zone="z"}'
    ]


# Time, kind


@pytest.mark.parametrize(
    "time", [TIME, TIME * 1000, str(TIME), "2023-11-14T22:13:20Z", "2023-11-14T22:13:20"]
)
def test_a_time_is_a_number_or_text(read, time):
    assert read(decode_mapped, flat(at=time), mapping=FLAT).samples[0][1] == TIME * 1000


def test_without_a_time_the_record_s_own_counts(read):
    untimed = JsonMapping(name="{measurement}_{*}", values=("usage_idle",), time="")

    assert read(decode_mapped, flat(at=None), mapping=FLAT, time_ms=7).samples[0][1] == 7
    assert read(decode_mapped, flat(), mapping=untimed, time_ms=7).samples[0][1] == 7
    assert read(decode_mapped, flat(at=None), mapping=FLAT).rejected == {"bad_time": 1}


def test_a_kind_is_constant_or_told_by_a_field_or_by_the_name(read):
    def kind(kind_of_message, **settings):
        payload = json.dumps({"timestamp": TIME, "v": 1, "t": kind_of_message})
        return read(
            decode_mapped, payload, mapping=JsonMapping(name="m_total", values=("v",), **settings)
        ).kinds["m_total"]

    assert kind("x") == "counter"
    assert kind("x", kind="gauge") == "gauge"
    assert kind("d", kind_from="t", kinds={"d": "delta"}) == "delta"
    assert kind("x", kind="gauge", kind_from="t", kinds={"d": "delta"}) == "gauge"
    assert kind(["d"], kind_from="t", kinds={"d": "delta"}) == "counter"


# Bad input


def test_a_list_is_read_as_so_many_messages_and_a_bad_one_rejected_alone(read):
    got = read(
        decode_mapped,
        f"[{flat(usage_idle=1)},3,{flat(at=-1)},{flat(measurement=None)},{flat(usage_idle=2)}]",
        mapping=FLAT,
    )

    assert [value for _, _, value in got.samples] == [1.0, 2.0]
    assert got.rejected == {"wrong_schema": 2, "bad_time": 1}


BAD = [
    pytest.param("", "invalid_json", id="nothing"),
    pytest.param(flat()[:-1], "invalid_json", id="cut off"),
    pytest.param(flat() + "x", "invalid_json", id="garbage behind"),
    pytest.param("[" * 100_000, "invalid_json", id="nested too deep"),
    pytest.param('{"a":' * 900 + "1" + "}" * 900, "bad_time", id="nested deep, without a time"),
    pytest.param('"text"', "wrong_schema", id="text"),
    pytest.param(flat(measurement=[1]), "wrong_schema", id="a list for the name"),
    pytest.param(flat(measurement=True), "wrong_schema", id="truth for the name"),
    pytest.param(flat(host={"a": 1}), "wrong_schema", id="an object for a label"),
    pytest.param(flat(host=[1]), "wrong_schema", id="a list of numbers for a label"),
    pytest.param(flat(host="x" * 2**20), "label_too_long", id="a label of 1 MB"),
    pytest.param(flat(measurement="x" * 2**20), "label_too_long", id="a name of 1 MB"),
    pytest.param(flat(at="noon"), "bad_time", id="a word for a time"),
    pytest.param(flat(at=-1), "bad_time", id="a time before 1970"),
    pytest.param(flat(at=[TIME]), "bad_time", id="a list for a time"),
]


@pytest.mark.parametrize(("payload", "reason"), BAD)
def test_a_bad_message_is_rejected_and_counted_under_its_reason(read, payload, reason):
    got = read(decode_mapped, flat(), payload, flat(), mapping=FLAT)

    assert got.rejected == {reason: 1}
    assert len(got.samples) == 2
    assert len(got.series) == 1


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (["a:1", "a:2"], "duplicate_label"),
        ([":1"], "bad_label"),
        ([3], "wrong_schema"),
        ("a:1", "wrong_schema"),
        ({"a": {}}, "wrong_schema"),
    ],
)
def test_bad_tags_are_rejected_under_their_reason(read, tags, reason):
    payload = json.dumps({"name": "req", "timestamp": TIME, "value": 1, "tags": tags})

    assert read(decode_mapped, payload, mapping=VENEUR).rejected == {reason: 1}


def test_a_message_without_the_list_or_without_any_value_is_rejected(read):
    mapping = JsonMapping(name="m", each="readings", values=("v",))

    got = read(
        decode_mapped,
        '{"v": 1}',
        '{"readings": 3}',
        '{"readings": [{"w": 1}]}',
        '{"readings": []}',
        mapping=mapping,
        time_ms=1,
    )

    assert got.rejected == {"wrong_schema": 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "{name?}"}, "always there"),
        ({"name": ""}, "always there"),
        ({"name": "{name"}, "in braces"),
        ({"name": "m", "values": ()}, "values is empty"),
        ({"name": "m", "values": ("a..b",)}, "no path"),
        ({"name": "m", "labels": ("host=",)}, "no path"),
    ],
)
def test_a_mapping_that_could_read_nothing_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        JsonMapping(**settings)
