import math
import time

import pytest
from command_line import barograph
from fake_prometheus import FakePrometheus


@pytest.fixture
def server():
    fake = FakePrometheus()
    yield fake
    fake.close()


def fill(server, *, hours):
    now_ms = round(time.time()) * 1000
    times = range(now_ms - hours * 3_600_000, now_ms + 600_000, 300_000)
    for host in ("a", "b"):
        server.add("node_load1", [(t, math.sin(t / 3e6)) for t in times], job="node", instance=host)


def test_init_writes_a_configuration_that_check_config_accepts(server, tmp_path):
    fill(server, hours=30)

    ended = barograph("init", "--prometheus", server.url, "-o", "mine.toml", cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert "watch node (node exporter): 2 entities by instance, 2 series" in ended.stderr
    checked = barograph("check-config", "--config", "mine.toml", cwd=tmp_path)
    assert checked.stdout == "mine.toml: good; source prometheus, watches node\n"


def test_matchers_may_stand_in_braces_as_in_promql(server, tmp_path):
    fill(server, hours=30)

    for match in ('{job="node"}', 'job="node"'):
        ended = barograph(
            "init", "--prometheus", server.url, "--match", match, "-o", "m.toml", "--force", cwd=tmp_path
        )
        assert ended.returncode == 0, ended.stderr
    none = barograph("init", "--prometheus", server.url, "--match", 'job="x"', "-o", "n.toml", cwd=tmp_path)

    assert none.returncode == 1
    assert 'has no series that matches {job="x"} at this time' in none.stderr


def test_init_overwrites_nothing_unless_forced(server, tmp_path):
    fill(server, hours=30)
    (tmp_path / "mine.toml").write_text("precious")

    refused = barograph("init", "--prometheus", server.url, "-o", "mine.toml", cwd=tmp_path)

    assert (refused.returncode, (tmp_path / "mine.toml").read_text()) == (2, "precious")
    assert "use --force" in refused.stderr
    assert (
        barograph("init", "--prometheus", server.url, "-o", "mine.toml", "--force", cwd=tmp_path).returncode
        == 0
    )


def test_a_password_is_written_as_a_reference_and_sent(server, tmp_path):
    fill(server, hours=30)
    (tmp_path / "secret").write_text("open sesame\n")
    options = ["--username", "u", "--password-file", "secret", "-o", "mine.toml"]

    ended = barograph("init", "--prometheus", server.url, *options, cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    text = (tmp_path / "mine.toml").read_text()
    assert "sesame" not in text + ended.stderr
    assert "from_file" in text
    assert all(headers["Authorization"].startswith("Basic ") for _, _, headers in server.requests)


def test_less_than_a_day_of_history_is_one_line_with_the_way_out(server, tmp_path):
    fill(server, hours=5)

    ended = barograph("quickstart", server.url, cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(f"barograph: {server.url} holds 5.")
    assert "needs a day" in ended.stderr
    assert not (tmp_path / "barograph").exists()


def test_a_server_that_is_no_prometheus_is_one_line(server, tmp_path):
    ended = barograph("quickstart", f"{server.url}/elsewhere", cwd=tmp_path)

    assert ended.returncode == 1
    assert "Set the address to what comes before /api/v1" in ended.stderr


def test_an_address_that_is_none_is_a_settings_error(tmp_path):
    ended = barograph("quickstart", "prom", cwd=tmp_path)

    assert ended.returncode == 2
    assert "expected an address" in ended.stderr


def test_a_configuration_for_another_server_is_not_used(tmp_path):
    (tmp_path / "barograph").mkdir()
    (tmp_path / "barograph/config.toml").write_text(
        '[source.prometheus]\nurl = "http://other:9090"\n[[watch]]\nname = "a"\n'
    )

    ended = barograph("quickstart", "http://prom:9090", cwd=tmp_path)

    assert ended.returncode == 2
    assert "is for http://other:9090: name another folder with --output, or use --force" in ended.stderr


SMALL = """
data_dir = "barograph/data"

[source]
kind = "prometheus"

[source.prometheus]
mode = "query_range"
url = "{url}"
"""
WATCH = """
[[watch]]
name = "{0}"
metrics = ["{0}"]
query = '{{__name__="{0}"}}'
by = ["instance"]
step_seconds = 60.0
window_length = 8

[watch.model]
hidden = 8
latent = 4
epochs = 1
windows_per_epoch = 64
"""


def test_a_configuration_that_is_there_is_used_and_a_watch_without_history_is_named(server, tmp_path):
    now_ms = round(time.time()) * 1000
    for name, hours in (("depth", 26), ("young", 1)):
        times = range(now_ms - hours * 3_600_000, now_ms, 60_000)
        server.add(name, [(t, math.sin(t / 3e6) + t % 7 / 50) for t in times], instance="a")
    (tmp_path / "barograph").mkdir()
    config = SMALL.format(url=server.url) + WATCH.format("depth") + WATCH.format("young")
    (tmp_path / "barograph/config.toml").write_text(config)

    ended = barograph("quickstart", server.url, "--days", "2", cwd=tmp_path, seconds=120)
    again = barograph("quickstart", server.url, "--days", "2", cwd=tmp_path, seconds=120)

    for ran in (ended, again):
        assert ran.returncode == 0, ran.stderr
        assert "is used as it is" in ran.stderr
        assert "young" in ran.stderr
        assert "its baselines judge until `barograph retrain`" in ran.stderr
        assert ran.stdout.splitlines()[-1] == "barograph run --config barograph/config.toml"
    assert "it goes on there" in again.stderr
    assert (tmp_path / "barograph/config.toml").read_text() == config
    assert (tmp_path / "barograph/data/bundles/depth/champion").exists()
