"""A daemon that asks a real Prometheus, which goes away and comes back."""

from __future__ import annotations

import json
import re

import httpx
import pytest

pytestmark = pytest.mark.e2e

WATCH = """
data_dir = "{data_dir}"
checkpoint_seconds = 1.0

[source]
kind = "prometheus"

[source.prometheus]
mode = "query_range"
url = "{url}"
lag_seconds = 1.0
timeout_seconds = 5.0

[[watch]]
name = "server"
query = '{{job="self"}}'
metrics = ["go_goroutines", "prometheus_http_requests_total"]
match = {{ handler = "" }}
by = ["instance"]
step_seconds = 1.0
window_length = 8
lateness_seconds = 0.0
"""


class Server:
    """A Prometheus that scrapes itself every second."""

    def __init__(self, program, servers, folder, port):
        self.url = f"http://127.0.0.1:{port}"
        scrapes = {"job_name": "self", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        settings = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrapes]}
        (folder / "prometheus.yml").write_text(json.dumps(settings))
        self._servers, self._folder = servers, folder
        command = [program, "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--log.level=warn"]
        self._command = [*command, f"--web.listen-address=127.0.0.1:{port}"]

    def start(self):
        self.process = self._servers.process(self._command, self._folder / "prometheus.log", cwd=self._folder)
        self._servers.wait_for(
            "Prometheus", lambda: httpx.get(f"{self.url}/-/ready").status_code == 200, seconds=60
        )


def value(scrape, name):
    found = re.search(rf"^{re.escape(name)} (\S+)$", scrape, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("program", ["prometheus", "prometheus3"])
def test_the_daemon_judges_what_prometheus_scrapes_and_outlives_it(program, tool, servers, free_port):
    server = Server(tool(program, "prometheus"), servers, servers.folder(program), free_port())
    server.start()
    folder = servers.folder("daemon")
    (folder / "config.toml").write_text(WATCH.format(url=server.url, data_dir=folder / "data"))
    daemon = servers.daemon(folder, servers.free_address(), config=folder / "config.toml")
    daemon.start()

    def scrape():
        return httpx.get(f"{daemon.url}/metrics").text

    def samples():
        return value(scrape(), 'barograph_samples_total{result="accepted",watch="server"}')

    servers.wait_for("samples", lambda: samples() > 5, seconds=30)
    server.process.kill()
    servers.wait_for(
        "failures",
        lambda: value(scrape(), 'barograph_bad_records_total{reason="request_failed"}') > 1,
        seconds=30,
    )
    before = samples()
    server.start()
    servers.wait_for("more samples", lambda: samples() > before + 5, seconds=60)

    text = scrape()
    assert value(text, 'barograph_samples_conflicting_total{watch="server"}') == 0
    assert "server answers again" in daemon.process.log
    daemon.process.kill()
    daemon.start()
    assert "state watch=server: resumed" in daemon.process.log
    servers.wait_for("samples after the restart", lambda: samples() > 3, seconds=30)
