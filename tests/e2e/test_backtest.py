"""The command as a user runs it on the shipped recording, and its report in a real browser."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from command_line import ROOT, barograph

pytestmark = pytest.mark.e2e
RECORDING = "recordings/first"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Give the folder of a report on the shipped recording, with its figures."""
    folder = tmp_path_factory.mktemp("backtest")
    options = ["--labels", f"{RECORDING}/labels.csv", "-o", folder / "r.html", "--json", folder / "r.json"]
    ran = barograph("backtest", RECORDING, "--config", ROOT / "config.toml", *options, seconds=300)
    assert ran.returncode == 0, ran.stderr
    return folder


@pytest.fixture
def served(report):
    """Serve the report, and give its address and the paths that were asked for."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, text, *about):
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(report)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/r.html", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_most_faults_are_caught_without_a_false_alert_too_many(report):
    figures = json.loads((report / "r.json").read_text())

    assert figures["labels"]["incidents"] == 11  # of twelve: the first is in the half that is learned
    assert figures["labels"]["caught"] >= 8
    assert figures["labels"]["false_alerts"] <= 2
    assert len(figures["watches"]) == 2
    for watch in figures["watches"]:
        (configured,) = [budget for budget in watch["budgets"] if budget["is_configured"]]
        assert abs(configured["alerts"] - watch["alerts"]) <= 1  # the approximation against the replay


def test_the_report_asks_for_nothing_else_and_its_console_is_empty(served, servers):
    url, asked = served
    browser = servers.browser()

    browser.open(url)

    assert browser.run("return document.title").startswith("Barograph backtest: ")
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert [entry for entry in browser.log() if entry["level"] != "INFO"] == []
    assert asked == ["/r.html"]


def test_the_slider_shows_another_budget(served, servers):
    browser = servers.browser()
    browser.open(served[0])

    shown = browser.run(
        """
        const box = document.querySelector('[data-budgets]'), slider = box.querySelector('input');
        const visible = () => [...box.querySelectorAll('[data-choice]')].filter(one => !one.hidden);
        const before = visible().map(one => one.dataset.choice);
        slider.value = 0;
        slider.dispatchEvent(new Event('input'));
        return [before, visible().map(one => one.dataset.choice), slider.getAttribute('aria-valuetext')];
        """
    )

    assert shown == [["1/day"], ["1/month"], "1/month"]


@pytest.mark.parametrize("width", [500, 1200])
def test_nothing_is_wider_than_the_window(served, servers, width):
    browser = servers.browser()
    browser.open(served[0])
    browser.picture(width, 900)

    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
