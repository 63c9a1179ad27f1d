"""`[source.kafka]`: the cluster, the consumer group, and how records are read."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from monitor.config.table import Positive, Table

__all__ = ["KafkaConfig"]


class KafkaConfig(Table):
    """`[source.kafka]`: topics of a Kafka cluster."""

    bootstrap_servers: Annotated[list[str], Field(min_length=1)] = ["127.0.0.1:9092"]
    topics: list[str] = []
    group_id: Annotated[str, Field(min_length=1)] = "barograph"
    group_instance_id: str = ""
    client_id: str = "barograph"
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    api_version: str = ""
    start: Literal["earliest", "latest"] | Positive = "latest"
    on_gap: Literal["earliest", "latest"] = "earliest"
    idle_seconds: Positive = 10.0
    session_timeout_seconds: Positive = 45.0
    max_poll_interval_seconds: Positive = 300.0
    max_poll_records: Annotated[int, Field(ge=1)] = 5000
    max_batch_bytes: Annotated[int, Field(ge=1)] = 16 << 20
    max_batch_samples: Annotated[int, Field(ge=1)] = 500_000
    max_rebuilds_at_offset: Annotated[int, Field(ge=1)] = 5
    dead_letter_topic: str = ""
    wrong_format_run: Annotated[int, Field(ge=1)] = 100
    wrong_format_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_cafile: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    ssl_password: str = ""
    ssl_check_hostname: bool = True
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = ""
    sasl_username: str = ""
    sasl_password: str = ""
    sasl_token_file: str = ""

    @field_validator("topics", "dead_letter_topic")
    @classmethod
    def _are_names(cls, value: list[str] | str) -> list[str] | str:
        for name in value if isinstance(value, list) else filter(None, [value]):
            if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) or name in (".", ".."):
                raise ValueError(
                    f"{name!r} is no name of a topic: expected 1 to 249 letters, digits, . _ and -"
                )
        return value

    @field_validator("api_version")
    @classmethod
    def _is_version(cls, value: str) -> str:
        if value and not re.fullmatch(r"\d+(\.\d+)+", value):
            raise ValueError('expected a version of Kafka as in "2.3", or nothing to ask the broker')
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> KafkaConfig:
        if self.security_protocol.startswith("SASL") != bool(self.sasl_mechanism):
            raise ValueError(
                f'security_protocol is "{self.security_protocol}" and sasl_mechanism '
                f'"{self.sasl_mechanism}": '
                "a SASL protocol needs a mechanism, and a mechanism a SASL protocol"
            )
        if self.dead_letter_topic in self.topics:
            raise ValueError(
                f'dead_letter_topic "{self.dead_letter_topic}" is one of topics: dead letters would be '
                "read, fail again "
                "and be sent again"
            )
        if self.sasl_mechanism == "OAUTHBEARER" and not self.sasl_token_file:
            raise ValueError(
                "sasl_token_file is empty, expected the file with the current token: OAUTHBEARER sends it"
            )
        if self.sasl_mechanism not in ("", "OAUTHBEARER") and not (self.sasl_username and self.sasl_password):
            raise ValueError(
                f"sasl_mechanism {self.sasl_mechanism} needs sasl_username and sasl_password; at least "
                "one is empty"
            )
        return self

    @property
    def api_version_numbers(self) -> tuple[int, ...] | None:
        """The version in the form of kafka-python; None: ask the broker."""
        return tuple(int(part) for part in self.api_version.split(".")) if self.api_version else None
