"""Runs a training as a child process: its limits, its end, and its outcome."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from models.errors import BundleError
from models.registry import Registry
from monitor.training.gate import Result, TrainingOutcome, refusals

__all__ = ["ChildEnd", "run_child", "train_in_child"]

_POLL_SECONDS = 0.2  # real time between two checks of a child
_GRACE_SECONDS = 3.0  # from SIGTERM to SIGKILL: a training has nothing to clean up
_LAST_BYTES = 4096  # of a child's stderr, in which its last line stands


def train_in_child(
    watch: str,
    command: Sequence[str],
    result_file: Path,
    registry: Registry,
    *,
    timeout_seconds: float,
    stop: threading.Event,
) -> TrainingOutcome:
    """Run a training as a child process, read its outcome, and promote the candidate if the gate allows it.

    Parameters
    ----------
    watch : str
        The watch's name, for the outcome of a training that wrote none.
    command : sequence of str
        Writes an outcome to `result_file`.
    """

    def ended(result: Result, reason: str) -> TrainingOutcome:
        return TrainingOutcome(watch=watch, result=result, reason=reason, seconds=time.monotonic() - started)

    started = time.monotonic()
    try:
        champion = registry.champion()
        result_file.parent.mkdir(parents=True, exist_ok=True)
        result_file.unlink(missing_ok=True)
        child = run_child(command, timeout_seconds=timeout_seconds, stop=stop)
    except (OSError, BundleError) as error:
        return ended("failed", f"the training could not be started: {error}")
    if child.ended_by == "stop":
        return ended("skipped", "the daemon was stopped")
    if child.ended_by == "timeout":
        return ended(
            "timed_out",
            f"not over after {timeout_seconds:g} s. Raise timeout_seconds, or lower max_steps or epochs.",
        )
    try:
        outcome = TrainingOutcome.from_json(result_file.read_bytes())
    except (OSError, ValueError):
        last_line = child.last_line or "it wrote nothing to stderr"
        return ended("failed", f"the training {child.how}, and left no result: {last_line}")
    return _decided(replace(outcome, seconds=time.monotonic() - started), registry, champion)


def _decided(outcome: TrainingOutcome, registry: Registry, champion: str | None) -> TrainingOutcome:
    """Decide on a candidate by its numbers, and promote it where they are good."""
    if outcome.result != "candidate":
        return outcome
    if outcome.version is None or outcome.gate is None:
        return replace(outcome, result="failed", reason="the candidate has no numbers")
    against = refusals(outcome.gate)
    if against:
        return replace(outcome, result="refused", reason="; ".join(against))
    try:
        newer = registry.champion()
        if newer != champion:
            reason = f"{newer} was promoted meanwhile: the candidate was not compared with it"
            return replace(outcome, result="skipped", reason=reason)
        registry.load(outcome.version)  # whole, and scoring as it did when it was saved
        registry.promote(outcome.version)
    except BundleError as error:
        return replace(outcome, result="failed", reason=str(error))
    return replace(outcome, result="promoted")


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child process ended."""

    ended_by: str  # "itself", "timeout", "stop"
    code: int  # its exit code; negative: the signal that killed it
    last_line: str  # of its stderr

    @property
    def how(self) -> str:
        """Say how it ended, in words."""
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with exit code {self.code}"


def run_child(command: Sequence[str], *, timeout_seconds: float, stop: threading.Event) -> ChildEnd:
    """Run a command in its own session until it ends, its time is over, or `stop` is set; then end its group.

    Raises
    ------
    OSError
        If it cannot be started.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with tempfile.TemporaryFile() as stderr:
        child = subprocess.Popen(  # noqa: S603 - our own command line
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            env=environment,
        )
        deadline = time.monotonic() + timeout_seconds
        ended_by = "itself"
        while child.poll() is None:
            if stop.wait(_POLL_SECONDS):
                ended_by = "stop"
            elif time.monotonic() >= deadline:
                ended_by = "timeout"
            if ended_by != "itself":
                _end_group(child)
                break  # even where the kernel has not ended it yet: the daemon's end does not wait for that
        code = child.poll()
        return ChildEnd(ended_by, -signal.SIGKILL if code is None else code, _last_line(stderr))


def _end_group(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(_GRACE_SECONDS)
        except ProcessLookupError:
            child.wait()  # it has just ended by itself
            return
        except subprocess.TimeoutExpired:
            continue


def _last_line(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_BYTES))
    lines = file.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
