"""Which client library the settings name; it is loaded when it is asked for."""

from __future__ import annotations

from typing import assert_never

from monitor.config import KafkaConfig
from monitor.sources.kafka_client import KafkaLibrary

__all__ = ["library_of"]


def library_of(config: KafkaConfig) -> KafkaLibrary:
    """Give the library that `client` names."""
    if config.client == "kafka-python":
        from monitor.sources import kafka_python

        return kafka_python
    assert_never(config.client)
