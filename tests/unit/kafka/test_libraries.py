"""The settings name the client library; another one is not imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from monitor.config.kafka import KafkaConfig
from monitor.errors import SourceError
from monitor.kafka.libraries import library_of


@pytest.mark.parametrize(
    ("client", "module"), [("kafka-python", "kafka_python_client"), ("confluent", "confluent_client")]
)
def test_the_module_of_the_named_library_is_given(client, module):
    library = library_of(KafkaConfig(topics=["m"], client=client))

    assert library.__name__ == f"monitor.kafka.{module}"


def test_a_library_that_is_not_installed_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)  # an import of it fails
    monkeypatch.delitem(sys.modules, "monitor.kafka.confluent_client", raising=False)
    monkeypatch.delattr("monitor.kafka.confluent_client", raising=False)

    with pytest.raises(
        SourceError,
        match=r"package confluent-kafka cannot be imported .*`pip install 'barograph\[confluent\]'`",
    ):
        library_of(KafkaConfig(topics=["m"], client="confluent"))


def test_neither_library_is_loaded_before_it_is_asked_for():
    code = "import sys, monitor.kafka.source; print({'kafka', 'confluent_kafka'} & set(sys.modules))"

    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ran.returncode, ran.stdout.strip()) == (0, "set()"), ran.stderr
