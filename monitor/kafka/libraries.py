"""The client library that the settings name; it is imported when it is asked for."""

from __future__ import annotations

from monitor.config.kafka import KafkaConfig
from monitor.errors import SourceError
from monitor.kafka.client import KafkaLibrary

__all__ = ["library_of"]


def library_of(config: KafkaConfig) -> KafkaLibrary:
    """Give the library that `source.kafka.client` names.

    Raises
    ------
    SourceError
        If it is not installed.
    """
    if config.client == "kafka-python":
        from monitor.kafka import kafka_python_client

        return kafka_python_client
    try:
        from monitor.kafka import confluent_client
    except ImportError as error:
        raise SourceError(
            'source.kafka.client is "confluent", but the package confluent-kafka cannot be imported '
            f"({error}). Install it with `pip install 'barograph[confluent]'`, "
            'or set client to "kafka-python".'
        ) from error
    return confluent_client
