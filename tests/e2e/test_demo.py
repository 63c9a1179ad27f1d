"""The shipped recording, the shipped settings, the real command: what `make demo` promises."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.e2e


def test_what_is_exported_passes_promtool(served_demo, tool):
    promtool = tool("promtool", "prometheus")

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=_get(served_demo.address, "/metrics"), capture_output=True
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_scores_limits_and_on_request_expected_values_of_both_watches_are_exported(served_demo):
    text = _get(served_demo.address, "/metrics").decode()

    for metric in ("barograph_limit", "barograph_judged", "barograph_anomaly"):
        for watch, entity in (("host", "demo"), ("service", "shop")):
            assert f'{metric}{{watch="{watch}",entity="{entity}"}} ' in text
    assert 'barograph_expected{watch="service",entity="shop",channel="service_latency_p50_seconds"} ' in text
    assert (
        'barograph_actual{watch="host",entity="demo",channel="host_cpu_seconds_total{mode=\\"user\\"}"} '
        in text
    )


def test_most_faults_are_caught_and_few_alarms_are_false(served_demo):
    figures = json.loads(served_demo.figures.read_text())

    assert figures["faults"] == 12
    assert figures["caught"] >= 10
    assert figures["caught_while_active"] >= 8
    assert figures["false_episodes"] <= 2
    assert all(episode["channels"] for episode in figures["episodes"])


def test_ctrl_c_ends_the_demo_cleanly(served_demo):
    assert _get(served_demo.address, "/-/ready") == b"ready\n"

    served_demo.process.send_signal(signal.SIGINT)

    assert served_demo.process.wait(timeout=20) == 0


class _Served:
    def __init__(self, process, address, figures):
        self.process = process
        self.address = address
        self.figures = figures


@pytest.fixture(scope="module")
def served_demo(tmp_path_factory):
    """The demo after its replay, still serving; on a free port."""
    folder = tmp_path_factory.mktemp("demo")
    config = folder / "config.toml"
    text = (ROOT / "config.toml").read_text().replace("127.0.0.1:9469", "127.0.0.1:0")
    config.write_text(text.replace("export_all_channels = false", "export_all_channels = true"))
    figures = folder / "figures.json"
    command = [
        sys.executable,
        "-u",
        "-m",
        "monitor",
        "demo",
        "--config",
        str(config),
        "--data-dir",
        str(folder / "data"),
        "--json",
        str(figures),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    address = None
    for line in process.stdout:
        if "stays up until Ctrl-C" in line:
            address = line.split()[0].removeprefix("http://").removesuffix("/metrics")
            break
    assert address is not None, "the demo ended before it served"
    yield _Served(process, address, figures)
    if process.poll() is None:
        process.kill()
    process.wait()
    process.stdout.close()


def _get(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        return answer.read()
