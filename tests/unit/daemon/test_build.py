"""What is built from a configuration, and what is given back where that fails."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from monitor.config.explain import parse_config
from monitor.daemon.build import build_daemon, build_source, training_command
from monitor.errors import ConfigError, LockedError, MonitorError
from monitor.prometheus.polling import PollingSource
from monitor.sources.host import HostSource
from monitor.sources.position import Position
from monitor.sources.replay import ReplaySource
from monitor.testing import FakeClock


def config(folder, **changes):
    document = {
        "data_dir": str(folder / "data"),
        "web": {"listen": "127.0.0.1:0"},
        "watch": [{"name": "w", "max_series": 7}],
        **changes,
    }
    return parse_config(document, origin="test")


@pytest.fixture
def built(tmp_path):
    """Build daemons, and close them."""
    daemons = []

    def make(*, changes=None, **options):
        options = {"outlets": [], "clock": FakeClock(1000.0), **options}
        daemons.append(build_daemon(config(tmp_path, **(changes or {})), **options))
        return daemons[-1]

    yield make
    for daemon in daemons:
        daemon.close()


def test_a_watch_is_built_with_its_limit_and_without_a_model(built, caplog):
    daemon = built()

    (watch,) = daemon.loop.pipeline.watches
    assert (watch.name, watch.entities.max_series) == ("w", 7)
    assert "no model watch=w: the baselines judge alone until `barograph train` has made one" in caplog.text
    value = daemon.loop.metrics.registry.get_sample_value
    assert value("barograph_model_loaded", {"watch": "w"}) == 0


def test_without_state_nothing_is_written_but_the_lock(built, tmp_path):
    daemon = built(keeps_state=False)

    assert daemon.loop.retraining is None
    assert sorted(path.name for path in (tmp_path / "data").rglob("*")) == ["lock"]


def test_one_daemon_holds_a_data_directory(built):
    built()

    with pytest.raises(LockedError, match="Stop it, or set data_dir to another folder"):
        built()


def test_a_start_that_fails_releases_the_data_directory(built):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(MonitorError, match="cannot listen on"):
            built(changes={"web": {"listen": address}})

    built()


def test_a_watch_without_a_schedule_is_never_trained(built, tmp_path, caplog):
    caplog.set_level("INFO")

    built(config_file=tmp_path / "config.toml")

    assert "training scheduled" not in caplog.text


def test_a_schedule_needs_the_file_of_the_settings(built, tmp_path, caplog):
    caplog.set_level("INFO")
    changes = {"watch": [{"name": "w", "retrain": {"interval_seconds": 3600.0}}]}

    built(changes=changes).close()
    assert "training scheduled" not in caplog.text

    built(changes=changes, config_file=tmp_path / "config.toml")
    assert "training scheduled watch=w first=1970-01-01T00:31:40+00:00" in caplog.text


def test_the_source_is_of_the_configured_kind(tmp_path, table):
    (tmp_path / "web1.csv").write_text("timestamp,load\n1767571200000,1.0\n")
    replay = {"kind": "replay", "replay": {"paths": [str(tmp_path / "web1.csv")]}}
    clock = FakeClock(0.0)

    host = build_source(config(tmp_path), table, clock, resumed=None)
    replayed = build_source(config(tmp_path, source=replay), table, clock, resumed=None)

    assert isinstance(host, HostSource)
    assert isinstance(replayed, ReplaySource)


def test_a_training_is_a_command_of_this_program_that_promotes_nothing_itself():
    command = training_command(Path("my/config.toml"), "host", Path("data/training/host.json"))

    assert command[:3] == [sys.executable, "-m", "monitor"]
    assert {"--candidate", "--background"} <= set(command)
    assert command[command.index("--watch") + 1] == "host"
    assert command[command.index("--config") + 1] == "my/config.toml"
    assert command[command.index("--result") + 1] == "data/training/host.json"


@pytest.mark.parametrize(
    ("web", "cap", "all_channels"), [({}, 70, False), ({"max_exported_series": 5}, 5, True)]
)
def test_a_scrape_has_room_for_what_the_watches_have_room_for_unless_a_number_is_set(
    built, web, cap, all_channels
):
    settings = {"listen": "127.0.0.1:0", "export_all_channels": all_channels, **web}
    daemon = built(changes={"web": settings})  # max_series is 7

    exposition = daemon.loop.exposition
    assert (exposition.max_series, exposition.all_channels) == (cap, all_channels)


def test_a_prometheus_that_is_asked_is_polled_for_the_queries_of_the_watches(tmp_path, table):
    source = {"kind": "prometheus", "prometheus": {"mode": "query_range", "url": "http://127.0.0.1:1"}}
    changes = {"source": source, "watch": [{"name": "w", "query": "up"}, {"name": "other"}]}
    built = build_source(config(tmp_path, **changes), table, FakeClock(1000.0), resumed=Position(500_000))
    try:
        assert isinstance(built, PollingSource)
        assert built.position() == Position(500_000)
    finally:
        built.close()


def test_a_mode_that_is_not_built_in_stops_the_start(tmp_path, table):
    changes = {"source": {"kind": "prometheus"}, "watch": [{"name": "w", "query": "up"}]}

    with pytest.raises(
        ConfigError, match=r'source.prometheus.mode is "remote_write", expected "query_range"'
    ):
        build_source(config(tmp_path, **changes), table, FakeClock(1000.0), resumed=None)
