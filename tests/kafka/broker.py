"""A real Apache Kafka for tests: a broker and controller in one, on loopback, from the folder KAFKA_HOME.

An unpacked archive of the Apache project does; it needs Java 17. Tests bring their own server.properties.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


def why_not():
    """Say what a real Kafka lacks here; None where it can be started."""
    home = os.environ.get("KAFKA_HOME")
    if not home:
        return "KAFKA_HOME is not set: expected the folder of an unpacked Apache Kafka"
    if not (Path(home) / "bin" / "kafka-server-start.sh").exists():
        return f"KAFKA_HOME is {home}, which has no bin/kafka-server-start.sh"
    if shutil.which("java") is None:
        return "java is not installed (Debian's package openjdk-17-jre-headless)"
    return None


def needed(reason):
    """Skip where something is missing."""
    if reason:
        pytest.skip(reason)


def write_certificate(folder):
    """Write a certificate for localhost: `ca.pem`, its key `key.pem`, and both as `broker.pem`."""
    key, certificate = folder / "key.pem", folder / "ca.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", key, "-out", certificate]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    (folder / "broker.pem").write_text(key.read_text() + certificate.read_text())


class Kafka:
    """A broker; `properties` are more lines for its server.properties, `listeners` more addresses."""

    def __init__(self, folder, *, properties="", listeners=(), format_options=()):
        self._home = Path(os.environ["KAFKA_HOME"])
        self._folder = folder
        self._file = folder / "server.properties"
        port, controller = free_port(), free_port()
        self.servers = [f"127.0.0.1:{port}"]
        all_listeners = ",".join([f"PLAINTEXT://127.0.0.1:{port}", *listeners])
        text = _PROPERTIES.format(controller=controller, listeners=all_listeners, data=folder / "data")
        self._file.write_text(text + properties)
        cluster_id = self._tool("kafka-storage.sh", "random-uuid").strip().splitlines()[-1]
        self._tool("kafka-storage.sh", "format", "-t", cluster_id, "-c", self._file, *format_options)
        self.start()

    def start(self):
        """Start the broker, or start it again with what it had; wait until it answers."""
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._home / "bin" / "kafka-server-start.sh", self._file],
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
            )
        self._admin = AdminClient({"bootstrap.servers": self.servers[0], "log_level": 0})
        deadline = time.monotonic() + 60
        while True:
            try:
                self._admin.list_topics(timeout=1)
            except KafkaException:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
            else:
                return

    def topic(self, name, n_partitions=1, **settings):
        """Make a topic that keeps records of any age."""
        config = {"retention.ms": "-1", **{key.replace("_", "."): value for key, value in settings.items()}}
        (made,) = self._admin.create_topics(
            [NewTopic(name, num_partitions=n_partitions, replication_factor=1, config=config)]
        ).values()
        made.result(timeout=30)
        return name

    def delete_topic(self, name):
        """Delete a topic, with what is in it."""
        (gone,) = self._admin.delete_topics([name]).values()
        gone.result(timeout=30)

    def add_partitions(self, topic, n_partitions):
        """Give a topic more partitions."""
        (made,) = self._admin.create_partitions([NewPartitions(topic, n_partitions)]).values()
        made.result(timeout=30)

    def delete_records(self, topic, partition, before):
        """Delete a partition's records before an offset, as retention does."""
        file = self._folder / "delete.json"
        records = {"topic": topic, "partition": partition, "offset": before}
        file.write_text(json.dumps({"version": 1, "partitions": [records]}))
        self._tool(
            "kafka-delete-records.sh", "--bootstrap-server", self.servers[0], "--offset-json-file", file
        )

    def damage(self, topic, partition, offset):
        """Change a byte of the batch that begins at an offset, as a bad disk does; the broker starts anew."""
        self.stop()
        (segment,) = (self._folder / "data" / f"{topic}-{partition}").glob("*.log")
        log = bytearray(segment.read_bytes())
        begin = 0
        while int.from_bytes(log[begin : begin + 8], "big") != offset:  # a batch: its offset, and its length
            begin += 12 + int.from_bytes(log[begin + 8 : begin + 12], "big")
        log[begin + 12 + int.from_bytes(log[begin + 8 : begin + 12], "big") - 9] ^= 0xFF
        segment.write_bytes(log)
        self.start()

    def kill(self):
        """End the broker as a power cut does."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self):
        """End the broker in order."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=60)

    def log(self):
        """Give the end of what the broker wrote."""
        return (self._folder / "broker.log").read_text(errors="replace")[-3000:]

    def _tool(self, name, *arguments):
        ran = subprocess.run(
            [self._home / "bin" / name, *arguments],
            capture_output=True,
            text=True,
            env=self._environment(),
            timeout=120,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def _environment(self):
        return {**os.environ, "KAFKA_HEAP_OPTS": "-Xmx256m", "LOG_DIR": str(self._folder / "logs")}


def free_port():
    """Find a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
