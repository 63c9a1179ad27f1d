"""The first model, made beside a running daemon: record, train, retrain; no restart, and nothing is lost.

The daemon, the recording and both commands are the real ones. Only the machine that is read is made up, and
the clock with it: a poll is a second.
"""

from __future__ import annotations

import threading

import numpy as np

from monitor.commands.main import app
from monitor.config.load import load_config
from monitor.daemon.build import build_daemon
from monitor.sample import Columns, labels_of
from monitor.sources.host import HOST_LABELS
from monitor.sources.position import Position
from monitor.sources.source import Batch
from monitor.storage.alert_history import read_episodes
from monitor.storage.data_dir import DataDir
from monitor.storage.recorder import Recorder
from monitor.testing import FakeClock

START = 1_700_000_000
N_RECORDED = 250  # steps
NOT_RECORDED = "host_processes"  # a metric that the recording lacks
# Not in the order of the alphabet, as they come from a machine; the file and the model have them sorted.
METRICS = ["host_processes", "host_load1", "host_memory_used_bytes", "host_interrupts_total", "host_load15"]
MIX = np.random.default_rng(5).normal(size=(2, len(METRICS)))
UNIT = np.array([1.0, 1.0, 1e6, 50.0, 1.0])

CONFIG = """
data_dir = "{folder}/data"
checkpoint_seconds = 20.0
[source]
kind = "host"
[web]
listen = "127.0.0.1:0"
[history]
segment_seconds = 50.0
[[watch]]
name = "host"
metrics = ["host_*"]
step_seconds = 1.0
window_length = 8
lateness_seconds = 0.0
budget = "5/day"
[watch.model]
hidden = 12
latent = 4
epochs = 30
patience = 30
learning_rate = 0.02
[watch.alert]
close_seconds = 5.0
rest_seconds = 5.0
"""


class Machine:
    """A made-up machine: a source in place of the host's, read once a second, and recorded for a while.

    `at_poll` is called before each reading with its number.
    """

    def __init__(self, clock, recorder):
        self.clock, self.recorder = clock, recorder
        self.rng = np.random.default_rng(3)
        self.step = 0
        self.count = 0.0
        self.is_faulty = False
        self.at_poll = lambda step: None

    def source(self, table, clock, **settings):
        self.table = table
        return self

    def poll(self, timeout_seconds):
        self.at_poll(self.step)
        self.clock.advance(1.0)
        now_ms = round(self.clock.now() * 1000)
        readings = self.read()
        if self.step < N_RECORDED:
            self.recorder.append(now_ms, [reading for reading in readings if reading[0] != NOT_RECORDED])
        self.step += 1
        number = np.array([self.table.intern(name, labels) for name, labels, _ in readings], np.int32)
        value = np.array([value for _, _, value in readings])
        return Batch(Columns(number, np.full(len(number), now_ms, np.int64), value), now_ms)

    def read(self):
        swing = np.sin(self.step / np.array([4.0, 9.0]))
        values = 20.0 + swing @ MIX + self.rng.normal(0, 0.2, len(METRICS))
        values[1] += 40.0 * self.is_faulty
        values *= UNIT
        self.count += values[3]
        values[3] = self.count
        labels = labels_of({"host": "web1"})
        return [(name, labels, float(value)) for name, value in zip(METRICS, values, strict=True)]

    def position(self):
        return Position()

    def commit(self, position):
        pass

    def close(self):
        pass


class Life:
    """The daemon over that machine; it may be started again."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.config_file = folder / "config.toml"
        self.config_file.write_text(CONFIG.format(folder=folder))
        self.config = load_config(self.config_file)
        self.clock = FakeClock(float(START))
        self.recording = folder / "host.parquet"
        self.recorder = Recorder(self.recording, HOST_LABELS)
        self.machine = Machine(self.clock, self.recorder)
        data_dir = DataDir(self.config.data_dir)
        self.registry, self.episodes_file = data_dir.registry("host"), data_dir.episodes_file
        self.must_judge = False
        self.not_judged = []  # steps at which the entity was not judged though a model served
        monkeypatch.setattr("monitor.daemon.build.HostSource", self.machine.source)

    def run(self, script, *, most=600):
        """Run a daemon along a script, which yields what it waits for; each is asked before every poll."""
        self.daemon = build_daemon(self.config, outlets=[], clock=self.clock)
        self.watch = self.daemon.loop.pipeline.watches[0]
        stop = threading.Event()
        waits = {"for": next(script), "since": self.machine.step}

        def at_poll(step):
            for thread in threading.enumerate():
                if thread.name == "prepare-model":
                    thread.join()
            scored = self.watch.last_scored
            if self.must_judge and scored is not None and not scored.judged.all():
                self.not_judged.append(step)
            assert step - waits["since"] < most, f"waited {most} steps in vain for {waits['for']}"
            if waits["for"]():
                try:
                    waits.update({"for": next(script), "since": step})
                except StopIteration:
                    stop.set()

        self.machine.at_poll = at_poll
        try:
            self.daemon.run(stop)
        finally:
            self.daemon.close()

    def command(self, *arguments):
        app([*arguments, "--config", str(self.config_file), "--watch", "host"], standalone_mode=False)

    def serves(self, version):
        value = self.daemon.loop.metrics.registry.get_sample_value
        return value("barograph_model_info", {"watch": "host", "version": version}) == 1

    def after(self, n_steps):
        until = self.machine.step + n_steps
        return lambda: self.machine.step >= until

    def open_identities(self):
        return [alert.identity for alert in self.watch.open_alerts.values()]


def test_record_train_and_retrain_beside_a_running_daemon_end_with_the_model_serving(
    tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO")
    life = Life(tmp_path, monkeypatch)
    machine, registry = life.machine, life.registry

    def first_run():
        yield life.after(N_RECORDED)
        life.recorder.close()
        assert life.watch.entities.channels == METRICS
        machine.is_faulty = True
        yield life.open_identities
        (life.first_fault,) = life.open_identities()
        life.command("train", str(life.recording))
        (version,) = registry.versions()
        yield lambda: life.serves(version)
        life.must_judge = True
        assert life.watch.entities.channels == sorted(set(METRICS) - {NOT_RECORDED})
        assert life.open_identities() == [life.first_fault]
        yield life.after(5)
        assert life.open_identities() == [life.first_fault]
        machine.is_faulty = False
        yield lambda: not life.open_identities()
        yield life.after(500)
        life.command("retrain")
        second = registry.champion()
        assert registry.about(second)["made"]["gate"]["opponent"] == version
        yield lambda: life.serves(second)
        yield life.after(30)

    def second_run():
        life.version = registry.champion()
        yield life.after(5)
        assert life.serves(life.version)
        machine.is_faulty = True
        yield life.open_identities
        (life.second_fault,) = life.open_identities()
        yield life.after(10)
        machine.is_faulty = False
        yield lambda: not life.open_identities()
        yield life.after(20)

    life.run(first_run())
    life.run(second_run())

    assert len(registry.versions()) == 2
    assert life.not_judged == []
    assert "state watch=host: resumed\n" in caplog.text
    assert caplog.text.count("model swapped watch=host") == 2
    assert "model refused" not in caplog.text
    assert (
        f"channels left out watch=host version={registry.versions()[0]} channels={NOT_RECORDED}:"
        in caplog.text
    )
    reasons = {episode.identity: episode.reason for episode in read_episodes(life.episodes_file)}
    assert life.first_fault != life.second_fault
    assert (reasons[life.first_fault], reasons[life.second_fault]) == ("recovered", "recovered")
    assert "lost" not in reasons.values()
