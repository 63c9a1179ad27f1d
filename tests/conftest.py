"""Which skips a run may have: with REQUIRE_SERVERS set, as in CI, none but those of tests marked `gpu`."""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and os.environ.get("REQUIRE_SERVERS") and item.get_closest_marker("gpu") is None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, where REQUIRE_SERVERS allows it for tests marked gpu only: {reason}"
    return report
