"""`barograph init` on real Prometheus servers: pods that a release replaces, and a real exporter."""

from __future__ import annotations

import json
import math
import subprocess
import time
import tomllib

import httpx
import pytest
from command_line import barograph

pytestmark = pytest.mark.e2e
HOUR = 3600
PODS = {  # by workload: before and behind the release
    "web": (
        ("web-7d4b9c6f5d-x2x4z", "web-7d4b9c6f5d-9kq7m"),
        ("web-5f6d8b7c9c-bb4lt", "web-5f6d8b7c9c-vvw2k"),
    ),
    "agent": (("agent-x9x4z",), ("agent-k2k7m",)),
}


def write_release(file, start):
    """Write two metrics of the pods of two workloads, all of which are replaced after half of 26 hours."""
    lines = ["# TYPE container_memory_working_set_bytes gauge", "# TYPE container_cpu_usage_seconds counter"]
    memory, cpu = [], []
    for before, behind in PODS.values():
        for pods, hours in ((before, range(13)), (behind, range(13, 26))):
            for pod in pods:
                labels = f'namespace="shop",pod="{pod}",container="main",job="kubelet",instance="n1:10250"'
                count = 0.0
                for t in range(start + hours[0] * HOUR, start + (hours[-1] + 1) * HOUR, 60):
                    count += 30 + 10 * math.sin(t / 9000)
                    memory.append(f"container_memory_working_set_bytes{{{labels}}} {1e8 + 1e6 * (t % 7)} {t}")
                    cpu.append(f"container_cpu_usage_seconds_total{{{labels}}} {count:.3f} {t}")
    file.write_text("\n".join([lines[0], *memory, lines[1], *cpu, "# EOF"]) + "\n")


@pytest.fixture(scope="module", params=["prometheus", "prometheus3"])
def cluster(request, tool, servers, free_port):
    """Start a server over the samples of a release; give its address and when the samples begin."""
    program = tool(request.param, "prometheus")
    folder = servers.folder(request.param)
    start = (round(time.time()) // HOUR - 25) * HOUR
    write_release(folder / "samples.om", start)
    promtool = [tool("promtool", "prometheus"), "tsdb", "create-blocks-from", "--max-block-duration=48h"]
    command = [*promtool, "openmetrics", "samples.om", "tsdb"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return serve(servers, program, folder, {}, free_port()), start


def serve(servers, program, folder, settings, port):
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    command = [program, "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--log.level=warn"]
    options = ["--storage.tsdb.retention.time=90d", f"--web.listen-address=127.0.0.1:{port}"]
    servers.process([*command, *options], folder / "prometheus.log", cwd=folder)
    url = f"http://127.0.0.1:{port}"
    servers.wait_for("Prometheus", lambda: httpx.get(f"{url}/-/ready").status_code == 200, seconds=60)
    return url


def query_at(url, query, seconds):
    answer = httpx.get(f"{url}/api/v1/query", params={"query": query, "time": seconds}, timeout=30).json()
    assert answer["status"] == "success", answer
    return {
        tuple(sorted(series["metric"].items())): float(series["value"][1])
        for series in answer["data"]["result"]
    }


def test_a_release_leaves_the_same_entities(cluster, tmp_path):
    url, start = cluster

    ended = barograph("init", "--prometheus", url, "-o", tmp_path / "config.toml")

    assert ended.returncode == 0, ended.stderr
    text = (tmp_path / "config.toml").read_text()
    (watch,) = tomllib.loads(text)["watch"]
    assert (watch["name"], watch["by"]) == ("containers", ["namespace", "workload"])
    assert "it outlives its pods" in text
    before, behind = (query_at(url, watch["query"], start + hours * HOUR) for hours in (10, 20))
    assert before.keys() == behind.keys()
    assert {dict(labels)["workload"] for labels in before} == {"web", "agent"}
    rates = {
        dict(labels)["workload"]: value
        for labels, value in behind.items()
        if dict(labels)["__name__"] == "container_cpu_usage_seconds_rate"
    }
    assert rates["web"] == pytest.approx(2 * rates["agent"], rel=1e-6)  # two pods, and one


def test_this_machines_exporter_is_found(tool, servers, tmp_path, free_port):
    exporter = tool("prometheus-node-exporter", "prometheus-node-exporter")
    address = f"127.0.0.1:{free_port()}"
    servers.process([exporter, f"--web.listen-address={address}"], tmp_path / "exporter.log")
    target = {"job_name": "node", "static_configs": [{"targets": [address]}]}
    settings = {"global": {"scrape_interval": "1s"}, "scrape_configs": [target]}
    url = serve(servers, tool("prometheus", "prometheus"), tmp_path, settings, free_port())
    query = "count_over_time(node_load1[1h]) > 30"  # three points of `init`, which are 9 s apart
    servers.wait_for("samples", lambda: query_at(url, query, time.time()), seconds=60)

    ended = barograph("init", "--prometheus", url, "-o", tmp_path / "config.toml")

    assert ended.returncode == 0, ended.stderr
    (watch,) = tomllib.loads((tmp_path / "config.toml").read_text())["watch"]
    assert (watch["name"], watch["by"]) == ("node", ["instance"])
    assert {"node_cpu_seconds_rate", "node_memory_MemAvailable_bytes"} <= set(watch["metrics"])
    found = query_at(url, watch["query"], time.time())
    assert {dict(labels)["__name__"] for labels in found} == set(watch["metrics"])
