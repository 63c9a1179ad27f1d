"""Settings of a process, each in a child: they cannot be taken back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are settings of Linux")


def run(code):
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def test_a_lowered_process_comes_last_and_may_be_given_less_memory():
    code = (
        "from monitor.daemon.process import lower_priority; lower_priority(1 << 33); import os, resource; "
        "adjusted = open('/proc/self/oom_score_adj').read().strip(); "
        "is_batch = os.sched_getscheduler(0) == os.SCHED_BATCH; "
        "print(os.nice(0), is_batch, resource.getrlimit(resource.RLIMIT_DATA)[0], adjusted)"
    )

    assert run(code) == ["19", "True", str(1 << 33), "500"]


def test_a_lowered_process_without_a_limit_has_none():
    code = (
        "from monitor.daemon.process import lower_priority; import resource\n"
        "before = resource.getrlimit(resource.RLIMIT_DATA); lower_priority()\n"
        "print(resource.getrlimit(resource.RLIMIT_DATA) == before)"
    )

    assert run(code) == ["True"]


def test_a_tuned_process_computes_on_one_thread():
    code = (
        "from monitor.daemon.process import tune_process; tune_process(); import sys, torch\n"
        "print(torch.get_num_threads(), 'numpy.ma' in sys.modules)"
    )

    assert run(code) == ["1", "True"]
