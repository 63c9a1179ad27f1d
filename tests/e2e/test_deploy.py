"""The tools' own checks of the files in deploy/."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from monitor.config.load import load_config
from monitor.decode.record import Record
from monitor.decode.topic_decoders import TopicDecoders
from monitor.detection.entities import EntityTable
from monitor.sample import Kind, SeriesTable

DEPLOY = Path(__file__).parents[2] / "deploy"
pytestmark = pytest.mark.e2e


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)


def assert_good(checked):
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_takes_the_scrape_configuration_and_the_rules_it_names(tool):
    checked = run(tool("promtool", "prometheus"), "check", "config", DEPLOY / "prometheus/prometheus.yml")

    assert_good(checked)
    assert "1 rule files found" in checked.stdout


@pytest.mark.parametrize(
    "file", sorted((DEPLOY / "prometheus/rules").glob("*.yml")), ids=lambda file: file.name
)
def test_prometheus_takes_every_rule_file_without_a_warning(tool, file):
    checked = run(tool("promtool", "prometheus"), "check", "rules", "--lint=all", "--lint-fatal", file)

    assert_good(checked)


@pytest.mark.parametrize(
    "file", sorted((DEPLOY / "prometheus/tests").glob("*.yml")), ids=lambda file: file.name
)
def test_the_rules_do_what_their_tests_say(tool, file):
    assert_good(run(tool("promtool", "prometheus"), "test", "rules", file))


def test_prometheus_can_read_every_expression_of_the_dashboard(tool, tmp_path):
    dashboard = json.loads((DEPLOY / "grafana/dashboards/barograph.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    expressions += [layer["expr"] for layer in dashboard["annotations"]["list"]]
    rules = [
        {"record": f"panel:{number}", "expr": expr.replace("$__rate_interval", "1m")}
        for number, expr in enumerate(expressions)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    assert_good(run(tool("promtool", "prometheus"), "check", "rules", file))


def test_alertmanager_takes_its_configuration(tool):
    assert_good(
        run(
            tool("amtool", "prometheus-alertmanager"),
            "check-config",
            DEPLOY / "alertmanager/alertmanager.yml",
        )
    )


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=BarographWatchdog", "severity=none"), "heartbeat"),
        (("alertname=BarographAnomaly", "severity=ticket"), "tickets"),
        (("alertname=BarographOutOfRange", "severity=page"), "pages"),
    ],
)
def test_alertmanager_sends_each_alert_to_its_receiver(tool, labels, receiver):
    file = DEPLOY / "alertmanager/alertmanager.yml"
    routed = run(
        tool("amtool", "prometheus-alertmanager"),
        "config",
        "routes",
        "test",
        f"--config.file={file}",
        *labels,
    )

    assert (routed.returncode, routed.stdout.strip()) == (0, receiver)


def test_systemd_takes_the_unit_with_the_installed_command(tool, tmp_path):
    command = Path(sys.executable).with_name("barograph")
    unit = (DEPLOY / "systemd/barograph.service").read_text()
    copy = tmp_path / "barograph.service"
    copy.write_text(unit.replace("/opt/barograph/bin/barograph", str(command)))

    checked = run(tool("systemd-analyze", "systemd"), "verify", copy)

    assert str(command) in copy.read_text()
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_unit_is_as_closed_as_it_can_be(tool):
    unit = DEPLOY / "systemd/barograph.service"
    checked = run(tool("systemd-analyze", "systemd"), "security", "--offline=true", "--threshold=30", unit)

    assert_good(checked)  # an exposure of at most 3.0 of 10; a unit without any protection has 9.2


@pytest.fixture
def telegraf():
    path = shutil.which("telegraf")
    if path is None:
        pytest.skip("telegraf is not on PATH (InfluxData publishes it)")
    return path


@pytest.mark.kafka
def test_telegraf_takes_its_configuration(telegraf):
    assert_good(
        run(telegraf, "config", "check", "--config", DEPLOY / "kafka/telegraf.conf", "--strict-env-handling")
    )


@pytest.mark.kafka
def test_what_telegraf_gathers_is_what_barograph_watches(telegraf, tmp_path):
    """Gather once into a file, in the format that goes to Kafka, and read it with the daemon's settings."""
    settings = tomllib.loads((DEPLOY / "kafka/telegraf.conf").read_text())
    (output,) = settings["outputs"]["kafka"]
    conf = (DEPLOY / "kafka/telegraf.conf").read_text().partition("[[outputs.kafka]]")[0]
    payloads = tmp_path / "payloads"
    units = output["json_timestamp_units"]
    to_file = (
        f'[[outputs.file]]\n  files = ["{payloads}"]\n  data_format = "{output["data_format"]}"\n'
        f'  json_timestamp_units = "{units}"\n'
    )
    (tmp_path / "telegraf.conf").write_text(conf + to_file)
    assert_good(run(telegraf, "--once", "--quiet", "--config", tmp_path / "telegraf.conf"))
    config = load_config(DEPLOY / "kafka/barograph.toml")
    table = SeriesTable()
    decoders = TopicDecoders(config.decode.settings, config.decode.topics, config.decode.format)

    decoded = decoders.of(output["topic"])(
        [Record(line) for line in payloads.read_bytes().splitlines()], table
    )

    (watch,) = config.watch
    rules = EntityTable(
        metrics=watch.metrics, match=watch.match, by=watch.settings().entity_labels, ignore=watch.ignore
    )
    rules.update(table)
    names = {table[number].name: table[number].kind for number in range(len(table))}
    assert decoded.rejections == ()
    assert set(names) >= {"mem_used_percent", "disk_used_percent", "net_bytes_recv"}
    assert {kind for name, kind in names.items() if name.startswith("net_")} == {Kind.COUNTER}
    assert {kind for name, kind in names.items() if not name.startswith("net_")} == {Kind.GAUGE}
    assert (rules.row_of >= 0).all()
    assert len(rules.entities) == 1
