"""The decoder of each topic, by its configured format."""

import pytest
from payloads import PAYLOADS, decoded

from monitor.decode.formats import FormatSettings
from monitor.decode.mapped_json import JsonMapping
from monitor.decode.topic_decoders import TopicDecoders, build_decoder

MAPPING = JsonMapping(name="m", values=("v",))


def test_a_mapping_is_a_format_by_its_name_or_as_the_only_one():
    settings = FormatSettings(mappings={"mine": MAPPING})
    payload = b'{"v": 2, "timestamp": 1700000000}'

    for name in ("mapped:mine", "mapped"):
        assert decoded(build_decoder(name, settings), payload).columns.value.tolist() == [2.0]


@pytest.mark.parametrize(
    ("name", "mappings", "message"),
    [
        ("json", {}, '"json" is no format, expected one of auto, native_columns, native_sample, influx'),
        ("mapped", {}, "a \\[decode.mapped.<name>\\] table first"),
        ("mapped", {"a": MAPPING, "b": MAPPING}, 'expected "mapped:a", "mapped:b"'),
        ("mapped:c", {"a": MAPPING}, '"mapped:c" is no format, expected one of auto, .*, mapped:a'),
    ],
)
def test_an_unknown_format_is_refused_with_the_known_ones(name, mappings, message):
    with pytest.raises(ValueError, match=message):
        build_decoder(name, FormatSettings(mappings=mappings))


def test_each_topic_has_one_decoder_of_the_first_format_whose_pattern_fits():
    topics = TopicDecoders(FormatSettings(), {"tele-*": "influx", "*-json": "telegraf_json"})

    assert [topics.format_of(topic) for topic in ("tele-json", "x-json", "other")] == [
        "influx",
        "telegraf_json",
        "auto",
    ]
    assert topics.of("other") is topics.of("other")
    assert topics.of("other") is not topics.of("another")


def test_the_formats_in_use_are_told():
    topics = TopicDecoders(FormatSettings(), {"tele-*": "influx"})

    for topic in ("tele-a", "known", "unknown"):
        topics.of(topic)
    decoded(topics.of("known"), PAYLOADS["graphite"])

    assert topics.in_use() == {"tele-a": "influx", "known": "graphite", "unknown": None}


def test_a_default_other_than_auto_is_for_every_topic_without_a_format():
    assert TopicDecoders(FormatSettings(), {}, "influx").format_of("any") == "influx"
