"""The first command that most people type, on a real Prometheus over a simulated fleet with two faults."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import datetime

import httpx
import pytest
from command_line import barograph
from simulated_fleet import BUSY_CPU, FULL_DISK_QUEUE, HOSTS, Fleet

pytestmark = pytest.mark.e2e
AHEAD_SECONDS = 3000  # samples for the daemon that runs at the end


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Give three hosts' last three days, and the folder with their blocks."""
    return Fleet(time.time() - 3 * 86_400, 3, ahead=AHEAD_SECONDS), tmp_path_factory.mktemp("fleet")


@pytest.fixture(scope="module")
def url(tool, servers, fleet, free_port):
    """Start a Prometheus over the fleet's samples, and give its address."""
    samples, folder = fleet
    samples.write(folder / "samples.om")
    promtool = [tool("promtool", "prometheus"), "tsdb", "create-blocks-from", "--max-block-duration=48h"]
    subprocess.run(
        [*promtool, "openmetrics", "samples.om", "tsdb"], cwd=folder, check=True, capture_output=True
    )
    (folder / "prometheus.yml").write_text("global: {}\n")
    url = f"http://127.0.0.1:{free_port()}"
    command = [tool("prometheus", "prometheus"), "--config.file=prometheus.yml", "--log.level=warn"]
    options = ["--storage.tsdb.path=tsdb", "--storage.tsdb.retention.time=90d"]
    servers.process(
        [*command, *options, f"--web.listen-address={url.removeprefix('http://')}"],
        folder / "prometheus.log",
        cwd=folder,
    )
    servers.wait_for("Prometheus", lambda: httpx.get(f"{url}/-/ready").status_code == 200, seconds=60)
    return url


@pytest.fixture(scope="module")
def quickstarted(url, tmp_path_factory):
    """Type the command in an empty folder; give the folder and what was printed."""
    folder = tmp_path_factory.mktemp("here")
    ended = barograph("quickstart", url, cwd=folder, seconds=600)
    assert ended.returncode == 0, ended.stderr
    return folder, ended


def test_it_prints_the_report_and_the_two_lines_that_start_the_daemon(quickstarted):
    folder, ended = quickstarted

    report, check, run = ended.stdout.splitlines()[-3:]
    assert report == "report: barograph/report.html"
    assert (folder / "barograph/report.html").stat().st_size > 10_000
    assert check == "barograph check-config --config barograph/config.toml"
    assert run == "barograph run --config barograph/config.toml"
    assert "[4/4] took" in ended.stderr


def test_both_faults_are_found_and_hardly_anything_else(quickstarted, fleet):
    folder, _ = quickstarted
    episodes = json.loads((folder / "barograph/report.json").read_text())["episodes"]

    for fault in (BUSY_CPU, FULL_DISK_QUEUE):
        begin, end = fleet[0].interval_of(fault)
        opened = [
            datetime.fromisoformat(episode["opened"]).timestamp()
            for episode in episodes
            if episode["entity"] == fault[0]
        ]
        assert sum(begin <= time <= end for time in opened) == 1, episodes
    assert len(episodes) <= 3


def test_the_configuration_watches_what_moves(quickstarted):
    text = (quickstarted[0] / "barograph/config.toml").read_text()

    assert "# node exporter: 3 entities" in text
    for left_out in ("go_goroutines", "node_boot_time", "node_uname_info", "MemTotal"):
        assert left_out not in text


def test_a_second_call_goes_on_and_leaves_the_configuration_alone(quickstarted, url):
    folder, _ = quickstarted
    file = folder / "barograph/config.toml"
    file.write_text(file.read_text() + "# mine\n")

    ended = barograph("backfill", "--config", file, "-o", folder / "barograph/history.parquet", seconds=120)

    assert ended.returncode == 0, ended.stderr
    assert "it goes on there" in ended.stderr
    other = barograph("quickstart", "http://127.0.0.1:1", cwd=folder)
    assert (other.returncode, "# mine" in file.read_text()) == (2, True)


def test_the_daemon_starts_with_it_and_judges_all_hosts(quickstarted, servers):
    folder, ended = quickstarted
    check, run = (line.split()[1:] for line in ended.stdout.splitlines()[-2:])
    checked = barograph(*check, cwd=folder)
    assert checked.stdout == "barograph/config.toml: good; source prometheus, watches node\n"

    daemon = servers.daemon(folder, servers.free_address(), config=folder / run[-1])
    daemon.start()
    entities = [f'entity="{host}"' for host in HOSTS]

    def scores():
        scrape = httpx.get(f"{daemon.url}/metrics").text
        lines = [line for line in scrape.splitlines() if line.startswith("barograph_score{")]
        return all(any(entity in line for line in lines) for entity in entities)

    servers.wait_for("scores of all hosts", scores, seconds=60)
    assert daemon.process.stop() == 0
    assert "Traceback" not in daemon.process.log
