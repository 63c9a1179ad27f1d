from __future__ import annotations

import pytest
from parsed_config import errors_of, parsed


def kafka_errors(**settings):
    return errors_of(
        {
            "source": {"kind": "kafka", "kafka": {"topics": ["metrics"], **settings}},
            "watch": [{"name": "web"}],
        }
    )


@pytest.mark.parametrize("start", ["earliest", "latest", 3600, 0.5])
def test_a_new_group_starts_at_an_end_or_so_many_seconds_back(start):
    assert (
        parsed(source={"kind": "kafka", "kafka": {"topics": ["metrics"], "start": start}}).source.kafka.start
        == start
    )


def test_a_version_of_kafka_is_numbers_or_nothing():
    assert parsed(source={"kafka": {"api_version": "2.3"}}).source.kafka.api_version_numbers == (2, 3)
    assert parsed().source.kafka.api_version_numbers is None
    (line,) = kafka_errors(api_version="two")
    assert line.startswith(
        "config.toml: source.kafka.api_version: found 'two': expected a version of Kafka as in \"2.3\""
    )


@pytest.mark.parametrize("topic", ["", "a b", "a/b", "x" * 250])
def test_what_cannot_name_a_topic_is_refused(topic):
    (line,) = kafka_errors(topics=["metrics", topic])

    assert line.startswith("config.toml: source.kafka.topics: ")
    assert "1 to 249 letters, digits, . _ and -" in line


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"security_protocol": "SASL_SSL"}, "a SASL protocol needs a mechanism"),
        (
            {"sasl_mechanism": "PLAIN", "sasl_username": "u", "sasl_password": "p"},
            "and a mechanism a SASL protocol",
        ),
        (
            {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "u"},
            "needs sasl_username and sasl_password",
        ),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}, "sasl_token_file is empty"),
        ({"start": "now"}, "found 'now', expected"),
        ({"start": 0}, "found 0, expected"),
    ],
)
def test_security_settings_that_do_not_fit_are_told(settings, expected):
    (line,) = kafka_errors(**settings)

    assert expected in line
