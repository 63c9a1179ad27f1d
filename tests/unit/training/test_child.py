"""How a child process that trains may end; children are real ones: small Python programs."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from gates import PASSED
from prometheus_client import CollectorRegistry

from models.bundle import Bundle
from models.registry import Registry
from monitor.config.watch import RetrainConfig
from monitor.daemon.retraining import report_training
from monitor.metrics.instruments import Metrics
from monitor.storage.step_history import History
from monitor.training.child import run_child, train_in_child
from monitor.training.gate import TrainingOutcome
from monitor.training.train import fit_watch

HOUR = 3600.0


def python(code):
    return [sys.executable, "-c", code]


def run(code, *, timeout_seconds=30.0, stop=None):
    return run_child(python(code), timeout_seconds=timeout_seconds, stop=stop or threading.Event())


def test_a_child_that_ends_by_itself_tells_its_code_and_the_last_line_of_its_stderr():
    ended = run("import sys; print('first\\n\\nlast words\\n', file=sys.stderr); sys.exit(3)")

    assert (ended.ended_by, ended.code, ended.last_line, ended.how) == (
        "itself",
        3,
        "last words",
        "ended with exit code 3",
    )


def test_a_child_that_is_killed_tells_by_what():
    assert run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").how == "was killed by SIGKILL"


def test_a_child_computes_on_one_thread():
    shown = "os.environ['OMP_NUM_THREADS'], os.environ['OMP_WAIT_POLICY'], os.getsid(0) == os.getpid()"

    assert run(f"import os, sys; print({shown}, file=sys.stderr)").last_line == "1 PASSIVE True"


HANG = "import sys, time; print('up', file=sys.stderr, flush=True); time.sleep(600)"


def test_a_child_that_hangs_is_ended_when_its_time_is_over():
    started = time.monotonic()

    ended = run(HANG, timeout_seconds=0.5)

    assert ended.ended_by == "timeout"
    assert time.monotonic() - started < 10.0


def test_a_child_that_does_not_listen_is_killed_and_its_children_with_it(tmp_path):
    code = f"""
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    stop = threading.Event()

    def stop_once_it_is_up():
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        stop.set()

    waiting = threading.Thread(target=stop_once_it_is_up)
    waiting.start()
    ended = run(code, stop=stop)
    waiting.join()

    assert (ended.ended_by, ended.how) == ("stop", "was killed by SIGKILL")
    grandchild = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10.0
    while _is_alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _is_alive(grandchild)


def _is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# A training in a child: what the daemon makes of it


@pytest.fixture
def watch(quiet_watch):
    return quiet_watch(model={"hidden": 4, "latent": 2, "epochs": 1}).model_copy(
        update={"retrain": RetrainConfig(interval_seconds=HOUR, timeout_seconds=20.0)}
    )


class Trained:
    """A registry with a champion and a candidate, a place for results, and metrics."""

    def __init__(self, watch, tmp_path):
        self.watch = watch
        self.registry = Registry(tmp_path / "bundles" / "w")
        fit = fit_watch(
            watch.settings(),
            History(("web1",), ("a", "b"), np.random.default_rng(0).normal(size=(300, 1, 2)), 0, 300_000),
        )
        bundle = Bundle(fit.detector, ("a", "b"), ("web1",), {"at": 5.0})
        self.champion = self.registry.save(bundle, now=0.0)
        self.registry.promote(self.champion)
        self.candidate = self.registry.save(bundle, now=60.0)
        self.result_file = tmp_path / "training" / "w.json"
        self.metrics = Metrics(CollectorRegistry(), ["w"])

    def train(self, code, *, stop=None, watch=None):
        """Run a child, which finds the result file's name in its arguments, and count what came of it."""
        command = [*python(code), str(self.result_file)]
        timeout_seconds = (watch or self.watch).retrain.timeout_seconds
        stop = stop or threading.Event()
        ended = train_in_child(
            "w", command, self.result_file, self.registry, timeout_seconds=timeout_seconds, stop=stop
        )
        report_training(ended, self.registry, self.metrics, keep_versions=5, now=1000.0)
        return ended

    def train_to(self, *, before="", **changes):
        """Run a child that writes an outcome."""
        candidate = TrainingOutcome(
            watch="w", result="candidate", reason="no worse", version=self.candidate, gate=PASSED
        )
        return self.train(
            f"import sys\n{before}\nopen(sys.argv[1], 'w').write({replace(candidate, **changes).to_json()!r})"
        )

    def count(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, {"watch": "w", **labels})


@pytest.fixture
def trained(watch, tmp_path):
    return Trained(watch, tmp_path)


def assert_untouched(trained, ended, result, reason, caplog):
    """See that a training changed nothing, and that it is told why, in log and metric."""
    assert ended.result == result
    assert reason in ended.reason
    assert reason in caplog.text
    assert trained.count("barograph_training_runs_total", result=result) == 1
    assert trained.registry.champion() == trained.champion
    assert trained.count("barograph_training_runs_total", result="promoted") == 0


@pytest.fixture(autouse=True)
def _log(caplog):
    caplog.set_level("INFO")


def test_a_good_candidate_is_promoted_and_its_numbers_are_shown(trained, caplog):
    ended = trained.train_to(segments_skipped={"gone": 2, "unreadable": 0, "settings": 1})

    assert ended.result == "promoted"
    assert trained.registry.champion() == trained.candidate
    assert trained.registry.previous() == trained.champion
    assert trained.count("barograph_training_runs_total", result="promoted") == 1
    assert trained.count("barograph_training_last_success_timestamp_seconds") == 1000.0
    assert trained.count("barograph_training_duration_seconds") > 0
    assert trained.count("barograph_gate_error_ratio", role="challenger") == 1.0
    assert trained.count("barograph_gate_caught_ratio", role="opponent") == 0.9
    assert trained.count("barograph_gate_over_limit_ratio", role="allowed") == 0.01
    assert trained.count("barograph_history_segments_skipped_total", reason="gone") == 2
    assert f"training promoted watch=w version={trained.candidate}" in caplog.text


def test_the_daemon_decides_by_the_numbers_and_not_by_the_childs_word(trained, caplog):
    ended = trained.train_to(gate=replace(PASSED, caught=0.5))

    assert_untouched(trained, ended, "refused", "it catches 50.0% of 200 injected faults", caplog)
    assert (
        trained.count("barograph_training_last_success_timestamp_seconds") == 1000.0
    )  # it came to a decision


def test_a_refusal_of_the_childs_is_a_refusal(trained, caplog):
    assert_untouched(trained, trained.train_to(result="refused", reason="worse"), "refused", "worse", caplog)


def test_a_candidate_without_numbers_is_a_failure(trained, caplog):
    assert_untouched(trained, trained.train_to(gate=None), "failed", "the candidate has no numbers", caplog)


def test_half_a_bundle_is_a_failure(trained, caplog):
    weights = trained.registry.folder / trained.candidate / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])

    assert_untouched(trained, trained.train_to(), "failed", "differs from its checksum", caplog)


def test_a_bundle_that_is_not_there_is_a_failure(trained, caplog):
    assert_untouched(
        trained, trained.train_to(version="20990101T000000Z"), "failed", "is not a complete bundle", caplog
    )


def test_a_training_that_is_killed_is_a_failure(trained, caplog):
    ended = trained.train("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")

    assert_untouched(
        trained, ended, "failed", "the training was killed by SIGKILL, and left no result", caplog
    )
    assert trained.count("barograph_training_last_success_timestamp_seconds") is None


def test_a_training_that_runs_out_of_memory_is_a_failure(trained, caplog):
    code = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (1 << 26, 1 << 26)); bytearray(1 << 30)"

    assert_untouched(trained, trained.train(code), "failed", "left no result: MemoryError", caplog)


def test_a_training_that_runs_out_of_time_is_ended(trained, watch, caplog):
    short = watch.model_copy(update={"retrain": RetrainConfig(interval_seconds=HOUR, timeout_seconds=0.3)})

    ended = trained.train(HANG, watch=short)

    assert_untouched(trained, ended, "timed_out", "not over after 0.3 s. Raise timeout_seconds", caplog)


def test_a_training_that_crashes_gives_the_last_line_of_its_stderr(trained, caplog):
    assert_untouched(
        trained,
        trained.train("raise ValueError('odd')"),
        "failed",
        "ended with exit code 1, and left no result: ValueError: odd",
        caplog,
    )


def test_an_old_result_is_not_taken_for_a_new_one(trained, caplog):
    trained.result_file.parent.mkdir(parents=True)
    trained.result_file.write_text(
        TrainingOutcome(
            watch="w", result="candidate", reason="", version=trained.candidate, gate=PASSED
        ).to_json()
    )

    assert_untouched(
        trained, trained.train("pass"), "failed", "left no result: it wrote nothing to stderr", caplog
    )


def test_half_a_result_is_a_failure(trained, caplog):
    ended = trained.train("""import sys; open(sys.argv[1], 'w').write('{"watch": "w", "res')""")

    assert_untouched(trained, ended, "failed", "ended with exit code 0, and left no result", caplog)


def test_a_command_that_is_not_there_is_a_failure(trained, caplog):
    stop = threading.Event()
    ended = train_in_child(
        "w", ["/nowhere/python"], trained.result_file, trained.registry, timeout_seconds=20.0, stop=stop
    )
    report_training(ended, trained.registry, trained.metrics, keep_versions=5, now=0.0)

    assert_untouched(trained, ended, "failed", "the training could not be started", caplog)


def test_a_daemon_that_stops_leaves_a_training_out(trained, caplog):
    stop = threading.Event()
    stop.set()

    assert_untouched(trained, trained.train(HANG, stop=stop), "skipped", "the daemon was stopped", caplog)


def test_a_champion_that_was_promoted_meanwhile_is_not_replaced_by_what_was_not_compared_with_it(trained):
    other = trained.registry.save(trained.registry.load(trained.champion), now=120.0)
    point = trained.registry.folder / "champion"

    ended = trained.train_to(before=f"open({str(point)!r}, 'w').write({other!r})")

    assert ended.result == "skipped"
    assert f"{other} was promoted meanwhile" in ended.reason
    assert trained.registry.champion() == other


def test_versions_beyond_those_to_keep_are_deleted_but_none_that_may_serve(trained):
    more = [
        trained.registry.save(trained.registry.load(trained.champion), now=100.0 + number)
        for number in range(4)
    ]

    report_training(
        TrainingOutcome(watch="w", result="refused", reason="because"),
        trained.registry,
        trained.metrics,
        keep_versions=2,
        now=0.0,
    )

    assert trained.registry.versions() == [trained.champion, *more[-2:]]
    assert sorted(os.listdir(trained.registry.folder)) == sorted([trained.champion, *more[-2:], "champion"])
