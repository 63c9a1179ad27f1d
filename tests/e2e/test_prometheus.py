"""The shipped rules in a real Prometheus, over a daemon that replays two faults and is killed in the first.

The stages follow each other, each a fixture: fired, restarted, resolved, ended. Replays are faster than real
time, so that the first episode lasts one minute instead of two.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from monitor.commands.demo_recording import load_recording

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.e2e

RECORDING = load_recording(ROOT / "recordings/first")
FIRST, SECOND = RECORDING.faults[:2]
FILE = next(str(file) for file in RECORDING.files if file.stem == "service")
STEP_SECONDS = 2.0  # of watch.service in config.toml
SPEED, SPEED_OF_THE_END = 2.0, 1.5
LEAD_IN_MS = 45_000  # more than a window: nothing is judged before it is full
SHOP = {"watch": "service", "entity": "shop"}


def test_the_shipped_alert_fires_with_the_right_entity_and_explains_itself(fired):
    assert fired["labels"] == {"alertname": "BarographAnomaly", "severity": "ticket", **SHOP}
    summary, description = fired["annotations"]["summary"], fired["annotations"]["description"]
    shows = r"service_\w+ is [\d.e+-]+\w*, usually [\d.e+-]+\w*, (since|at) \d\d:\d\d UTC"
    assert re.fullmatch(f"shop: {shows}", summary)
    assert description.startswith("shop (watch service) has an open episode, with a score of up to ")
    assert re.search(rf"{shows} \(0\.\d\d of the error\)\.", description)
    assert "%!" not in summary + description  # what Go prints for a value that does not fit its format


def test_prometheus_shows_the_alert_to_a_person(fired, story, browser):
    browser.open(f"{story.prometheus.url}/classic/alerts")
    browser.run("localStorage.hideInactiveAlerts = 'true'")
    browser.open(f"{story.prometheus.url}/classic/alerts")
    browser.run(
        "$('.alert_header').filter((_, row) => $(row).text().includes('BarographAnomaly')).click();"
        "$('div.show-annotations').click();"
    )
    text = browser.run("return document.body.innerText")
    picture = browser.picture(1250, browser.run("return document.body.scrollHeight") + 150)

    assert 'entity="shop"' in text
    # The page may show a later moment than the one that was asked for: the values go on.
    assert re.search(r"shop: service_\w+ is \S.*, usually \S.*, (since|at) \d\d:\d\d UTC", text)
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">I", picture[16:20])[0] >= 1200  # its width
    if os.environ.get("PICTURE"):
        Path(os.environ["PICTURE"]).write_bytes(picture)


def test_the_alert_stays_one_and_the_same_while_the_daemon_is_killed_and_restarted(fired, restarted):
    assert restarted["labels"] == fired["labels"]
    assert restarted["activeAt"] == fired["activeAt"]


def test_the_alert_resolves_and_was_never_interrupted(fired, resolved, story):
    (up,) = story.raw('up{job="barograph"}', resolved)
    (alerts,) = story.raw('ALERTS{alertname="BarographAnomaly",alertstate="firing"}', resolved)
    (anomaly,) = story.raw('barograph_anomaly{watch="service",entity="shop"}', resolved)
    fired_at = seconds_of(fired["activeAt"])
    from_firing = [value for time_s, value in anomaly if time_s >= fired_at]

    up_since = [value for time_s, value in up if time_s >= fired_at]
    assert 0.0 in up_since  # a scrape saw that the daemon was down
    assert max(later - earlier for (earlier, _), (later, _) in itertools.pairwise(alerts)) < 3.0
    assert alerts[-1][0] - alerts[0][0] > 20.0
    assert from_firing == sorted(from_firing, reverse=True)  # 1 until the end, also right after the restart
    assert from_firing[-1] == 0.0
    assert "reason=recovered" in story.first_daemon.process.log


def test_blindness_is_told_within_three_steps_of_the_end_of_the_input_and_the_open_alert_stays(ended):
    assert ended.blind["labels"] == {"alertname": "BarographBlind", "severity": "ticket", "watch": "service"}
    assert seconds_of(ended.blind["activeAt"]) - ended.time_s <= 3 * STEP_SECONDS / SPEED_OF_THE_END
    assert ended.blind["annotations"]["summary"] == "No data for shop (1 of 1 entities of watch service)."
    assert ended.blind["annotations"]["description"].startswith("shop has not been judged since ")
    assert ended.open_after["labels"] == {"alertname": "BarographAnomaly", "severity": "ticket", **SHOP}
    assert ended.open_after["activeAt"] == ended.open_before["activeAt"]


def test_every_expression_of_dashboard_and_grafana_alert_shows_what_the_run_produced(ended, story):
    # This run replays files, and no other model takes over.
    elsewhere = "barograph_(kafka|dead_letters|model_swaps)_"
    not_here = [expr for expr in grafana_expressions() if re.search(elsewhere, expr)]
    still = [
        expr
        for expr in grafana_expressions()
        if expr not in not_here and not story.produced(in_this_run(expr))
    ]

    assert still == []
    assert len(not_here) < len(grafana_expressions()) / 2


def grafana_expressions():
    """Give every expression of the dashboard and of Grafana's alert."""
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/barograph.json").read_text())
    alerting = yaml.safe_load((ROOT / "deploy/grafana/provisioning/alerting/barograph.yml").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    expressions += [layer["expr"] for layer in dashboard["annotations"]["list"]]
    expressions += [
        query["model"]["expr"]
        for group in alerting["groups"]
        for rule in group["rules"]
        for query in rule["data"]
        if "expr" in query["model"]
    ]
    assert len(expressions) > 20
    return expressions


def in_this_run(expr):
    """Replace Grafana's variables by this run's values."""
    values = {"watch": "service", "entity": "shop", "channel": ".*", "__rate_interval": "10s"}
    for name, value in values.items():
        expr = expr.replace(f"${name}", value)
    assert "$" not in expr
    return expr


def seconds_of(text):
    return datetime.fromisoformat(text).timestamp()


class Story:
    """What the stages share."""

    def __init__(self, prometheus, first_daemon, second_daemon):
        self.prometheus = prometheus
        self.first_daemon = first_daemon
        self.second_daemon = second_daemon
        self.began = time.time()

    def raw(self, selector, until):
        """Give the samples of each series of a selector, as Prometheus stored them, up to a time."""
        span = f"{math.ceil(until - self.began)}s"
        result = self.prometheus.api("query", query=f"{selector}[{span}]", time=until)["result"]
        return [[(time_s, float(value)) for time_s, value in series["values"]] for series in result]

    def produced(self, expr):
        """Tell whether an expression showed anything in this run that is not zero."""
        lines = self.prometheus.history(expr, start=self.began, end=time.time())
        return any(value and math.isfinite(value) for line in lines for _, value in line)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train the shop's model on the time before the faults, with the shipped settings; give the data_dir."""
    data_dir = str(tmp_path_factory.mktemp("data"))
    command = [
        sys.executable,
        "-m",
        "monitor",
        "train",
        FILE,
        "--watch",
        "service",
        "--end",
        str(RECORDING.fault_free_until_ms),
    ]
    training = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "BAROGRAPH_DATA_DIR": data_dir},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert training.returncode == 0, training.stderr
    return data_dir


@pytest.fixture(scope="module")
def unreadable(tmp_path_factory):
    """Write a file that a daemon must tolerate: a channel unknown to the model, no values, and bad times."""
    rows = [
        f"{time_ms},service_unknown,,shop"
        for time_ms in range(FIRST.start_ms - LEAD_IN_MS, SECOND.end_ms, 1000)
    ]
    file = tmp_path_factory.mktemp("unreadable") / "unreadable.csv"
    file.write_text(
        "\n".join(["time,name,value,service", *rows, *["never,service_unknown,1,shop"] * 3]) + "\n"
    )
    return str(file)


@pytest.fixture(scope="module")
def story(servers, trained, unreadable):
    address = servers.free_address()

    def daemon(name, start_ms, end_ms, speed):
        replay = {"paths": [FILE, unreadable], "start": str(start_ms), "end": str(end_ms), "speed": speed}
        environment = {
            f"BAROGRAPH_SOURCE__REPLAY__{key.upper()}": json.dumps(value) for key, value in replay.items()
        }
        return servers.daemon(
            servers.folder(name),
            address,
            BAROGRAPH_DATA_DIR=trained,
            BAROGRAPH_SOURCE__KIND="replay",
            **environment,
        )

    return Story(
        servers.prometheus(address),
        daemon("first", FIRST.start_ms - LEAD_IN_MS, SECOND.start_ms, SPEED),
        daemon("second", SECOND.start_ms - LEAD_IN_MS, SECOND.start_ms + 25_000, SPEED_OF_THE_END),
    )


@pytest.fixture(scope="module")
def browser(servers):
    return servers.browser()


@pytest.fixture(scope="module")
def fired(story, servers):
    """Give the alert of the first fault as it fired."""
    story.first_daemon.start()
    return servers.wait_for(
        "the alert to fire", lambda: story.prometheus.alert("BarographAnomaly"), seconds=120
    )


@pytest.fixture(scope="module")
def restarted(fired, story, servers):
    """Kill the daemon as a crash or the kernel would, start it again, and give the alert after that."""
    story.first_daemon.process.kill()
    servers.wait_for(
        "Prometheus to miss the daemon",
        lambda: story.prometheus.query('up{job="barograph"} == 0'),
        seconds=30,
    )
    story.first_daemon.start()
    servers.wait_for(
        "Prometheus to find the daemon again",
        lambda: story.prometheus.query('up{job="barograph"} == 1'),
        seconds=30,
    )
    return story.prometheus.alert("BarographAnomaly", **SHOP)


@pytest.fixture(scope="module")
def resolved(restarted, story, servers):
    """Give the time at which the alert had resolved."""
    servers.wait_for(
        "the alert to resolve", lambda: not story.prometheus.alert("BarographAnomaly"), seconds=300
    )
    return time.time()


@pytest.fixture(scope="module")
def ended(resolved, story, servers):
    """Let the input end while the second fault is open; give both alerts, and when it ended."""

    class Ended:
        pass

    def end_of_input():
        return re.search(r"^(\S+ \S+) INFO source ended$", story.second_daemon.process.log, re.MULTILINE)

    stages = Ended()
    story.first_daemon.process.stop()
    story.second_daemon.start()
    stages.open_before = servers.wait_for(
        "the second alert", lambda: story.prometheus.alert("BarographAnomaly"), seconds=120
    )
    servers.wait_for("sight", lambda: not story.prometheus.alert("BarographBlind"), seconds=5)
    assert end_of_input() is None, "the input ended before its episode could be seen"
    logged = servers.wait_for("the input to end", end_of_input, seconds=60).group(1)
    stages.time_s = datetime.strptime(logged, "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC).timestamp()
    stages.blind = servers.wait_for(
        "the blind alert", lambda: story.prometheus.alert("BarographBlind"), seconds=30
    )
    stages.open_after = story.prometheus.alert("BarographAnomaly")
    return stages
