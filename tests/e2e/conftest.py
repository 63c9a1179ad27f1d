"""Real servers on loopback ports, stopped by their process id; and a summary line of what ran."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[2]


# Tools


@pytest.fixture(scope="session")
def tool():
    """Give a function that finds a program, or skips the test and names the Debian package that has it."""

    def find(program, package):
        path = shutil.which(program)
        if path is None:
            pytest.skip(f"{program} is not installed (Debian's package {package} has it)")
        return path

    return find


@pytest.fixture(scope="session")
def free_port():
    def find():
        with socket.create_server(("127.0.0.1", 0)) as server:
            return server.getsockname()[1]

    return find


def wait_for(what, condition, *, seconds):
    """Poll a condition until it is true and give its value; fail with what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            value = condition()
            if value:
                return value
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.1)


class Process:
    """A server with its log in a file; `stop_all` stops it even if its test fails."""

    started: ClassVar[list[Process]] = []

    def __init__(self, command, log_file, *, cwd=ROOT, **environment):
        self.log_file = log_file
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, "TZ": "UTC", **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.started.append(self)

    @property
    def is_running(self):
        return self._process.poll() is None

    @property
    def log(self):
        return self.log_file.read_text(errors="replace")

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        """Stop it in order, or kill it if it does not stop."""
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.returncode

    @classmethod
    def stop_all(cls):
        for process in reversed(cls.started):
            process.stop()


# Prometheus


class Prometheus:
    """Debian's Prometheus with the shipped rules, scraping one daemon every second."""

    def __init__(self, program, folder, port, target):
        self.url = f"http://127.0.0.1:{port}"
        settings = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
        settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        settings["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        (folder / "rules").symlink_to(ROOT / "deploy/prometheus/rules")
        command = [
            program,
            "--config.file=prometheus.yml",  # relative: its pages must not show paths of this machine
            "--storage.tsdb.path=tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        self.process = Process(command, folder / "prometheus.log", cwd=folder)
        wait_for(
            "Prometheus to be ready", lambda: httpx.get(f"{self.url}/-/ready").status_code == 200, seconds=60
        )

    def api(self, path, **parameters):
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expr):
        """Give an instant query's result."""
        return self.api("query", query=expr)["result"]

    def history(self, expr, *, start, end, step_seconds=1.0):
        """Give an expression over time, as one list of `(time, value)` for each series."""
        result = self.api("query_range", query=expr, start=start, end=end, step=step_seconds)["result"]
        return [[(time, float(value)) for time, value in series["values"]] for series in result]

    def alert(self, name, **labels):
        """Give the only firing alert with this name and labels, or None."""
        wanted = {"alertname": name, **labels}
        firing = [
            alert
            for alert in self.api("alerts")["alerts"]
            if alert["state"] == "firing" and wanted.items() <= alert["labels"].items()
        ]
        assert len(firing) <= 1, firing
        return firing[0] if firing else None


# The daemon


class Daemon:
    """`barograph run` with the shipped settings, which the environment overrides."""

    def __init__(self, folder, address, *, config=None, **environment):
        self.url = f"http://{address}"
        self._folder = folder
        self._options = ["--config", str(config)] if config else []
        self._environment = {"BAROGRAPH_WEB__LISTEN": address, **environment}
        self.process = None

    def start(self):
        """Start it, and wait until it is ready."""
        self.process = Process(
            [sys.executable, "-u", "-m", "monitor", "run", *self._options],
            self._folder / "daemon.log",
            **self._environment,
        )
        wait_for("the daemon to be ready", self._is_ready, seconds=120)

    def _is_ready(self):
        assert self.process.is_running, self.process.log
        return httpx.get(f"{self.url}/-/ready").status_code == 200


# A browser


class Browser:
    """Chromium by the WebDriver protocol: four requests, too few to be worth a library."""

    def __init__(self, driver, browser, folder, port):
        Process([driver, f"--port={port}"], folder / "chromedriver.log")
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        wait_for(
            "chromedriver to be ready", lambda: self._http.get("/status").json()["value"]["ready"], seconds=60
        )
        options = {
            "binary": browser,
            # The sandbox needs user namespaces, which root and containers often lack; only our page is shown.
            "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                f"--user-data-dir={folder / 'profile'}",
            ],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        capabilities = {"capabilities": {"alwaysMatch": wanted}}
        self._session = f"/session/{self._post('/session', capabilities)['sessionId']}"

    def open(self, url):
        self._post(f"{self._session}/url", {"url": url})

    def run(self, script):
        return self._post(f"{self._session}/execute/sync", {"script": script, "args": []})

    def picture(self, width, height):
        """Give the page as PNG, in a window of a size."""
        self._post(f"{self._session}/window/rect", {"width": width, "height": height})
        return base64.b64decode(self._http.get(f"{self._session}/screenshot").json()["value"])

    def log(self):
        """Give what the page and the browser have written to the console since the last call."""
        return self._post(f"{self._session}/se/log", {"type": "browser"})

    def close(self):
        self._http.delete(self._session)
        self._http.close()

    def _post(self, path, body):
        answer = self._http.post(path, json=body).json()["value"]
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer


@pytest.fixture(scope="session")
def servers(tool, free_port, tmp_path_factory):
    """Start servers by kind; stop them at the end, last first."""
    browsers = []

    class Servers:
        def folder(self, name):
            return tmp_path_factory.mktemp(name)

        def prometheus(self, target):
            return Prometheus(
                tool("prometheus", "prometheus"), self.folder("prometheus"), free_port(), target
            )

        def process(self, command, log_file, **settings):
            return Process(command, log_file, **settings)

        def daemon(self, folder, address, **environment):
            return Daemon(folder, address, **environment)

        def browser(self):
            driver, browser = tool("chromedriver", "chromium-driver"), tool("chromium", "chromium")
            browsers.append(Browser(driver, browser, self.folder("browser"), free_port()))
            return browsers[-1]

        def free_address(self):
            return f"127.0.0.1:{free_port()}"

        wait_for = staticmethod(wait_for)

    try:
        yield Servers()
        for browser in browsers:
            browser.close()
    finally:
        Process.stop_all()


# What ran


_RAN = pytest.StashKey[str]()


def pytest_terminal_summary(terminalreporter, config):
    parts = []
    for outcome in ("passed", "skipped", "failed", "error"):
        names = [
            report.nodeid.rpartition("/")[2]
            for report in terminalreporter.stats.get(outcome, [])
            if "e2e/" in report.nodeid
        ]
        if names or outcome in ("passed", "skipped"):
            parts.append(f"{len(names)} {outcome}" + (f" ({', '.join(names)})" if names else ""))
    if any("(" in part for part in parts):
        config.stash[_RAN] = f"e2e: {'; '.join(parts)}"


def pytest_unconfigure(config):
    if _RAN in config.stash:
        sys.stdout.write(f"\n{config.stash[_RAN]}\n")
