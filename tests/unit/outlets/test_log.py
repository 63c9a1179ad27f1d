from __future__ import annotations

import logging
import math
from dataclasses import replace

import pytest

from monitor.alerting.alert import Alert, ChannelShare
from monitor.alerting.text import number_text
from monitor.outlets.log import LogOutlet

ALERT = Alert(
    watch="host",
    entity="web1",
    since_ms=0,
    opened_ms=10_000,
    score=2.5,
    limit=4.0,
    provisional=True,
    channels=(ChannelShare("cpu", 0.75, 1.5, 0.25, 5_000),),
)


def test_an_opening_says_who_what_expected_and_actual(caplog):
    with caplog.at_level(logging.INFO):
        LogOutlet().deliver([ALERT])

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "episode opened watch=host entity=web1 since=1970-01-01T00:00:00Z score=2.50 limit=4.00 provisional=yes "
        "channels=[cpu 75% actual 1.5 expected 0.25]"
    )


def test_a_resolution_says_when_and_why(caplog):
    with caplog.at_level(logging.INFO):
        LogOutlet().deliver([replace(ALERT, resolved_ms=70_000, reason="recovered")])

    assert "resolved=1970-01-01T00:01:10Z reason=recovered channels=[cpu 75%" in caplog.records[0].getMessage()


@pytest.mark.parametrize(
    ("changes", "beginning", "level"),
    [
        ({"revision": 1, "amends": True}, "episode amended", "INFO"),
        ({"revision": 2, "amends": True, "resolved_ms": 70_000, "reason": "recovered"}, "episode amended", "INFO"),
        ({"revision": 2, "resolved_ms": 70_000, "reason": "recovered"}, "episode resolved", "INFO"),
        ({"revision": 2, "resolved_ms": 70_000, "reason": "retracted"}, "episode retracted", "INFO"),
        ({"revision": 2, "amends": True, "resolved_ms": 70_000, "reason": "retracted"}, "episode retracted", "INFO"),
        ({"revision": 2}, "episode opened", "WARNING"),
    ],
)
def test_a_revision_says_what_it_is_and_its_number(caplog, changes, beginning, level):
    with caplog.at_level(logging.INFO):
        LogOutlet().deliver([replace(ALERT, **changes)])

    (record,) = caplog.records
    assert record.levelname == level
    assert record.getMessage().startswith(f"{beginning} watch=host entity=web1 since=1970-01-01T00:00:00Z score=2.50 revision=")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0001, "0"), (0.25, "0.25"), (1234.0, "1.23k"), (2.5e9, "2.5G"), (-3e6, "-3M"), (math.nan, "-"), (999.0, "999")],
)
def test_numbers_are_short(value, text):
    assert number_text(value) == text
