"""Alerts and summaries in the log: one line each, at a level that fits."""

import logging
from dataclasses import replace

import pytest

from monitor.alerting.alert import Alert, ChannelShare
from monitor.alerting.alert_age import Summary
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


@pytest.mark.parametrize(
    ("changes", "beginning", "level"),
    [
        ({}, "episode opened watch=host", "WARNING"),
        ({"revision": 2}, "episode opened", "WARNING"),
        ({"revision": 1, "amends": True}, "episode amended", "INFO"),
        ({"resolved_ms": 70_000, "reason": "recovered"}, "episode resolved", "INFO"),
    ],
)
def test_an_episode_that_opens_is_a_warning_and_the_rest_is_information(caplog, changes, beginning, level):
    with caplog.at_level(logging.INFO):
        LogOutlet().deliver([replace(ALERT, **changes)])

    (record,) = caplog.records
    assert record.levelname == level
    assert record.getMessage().startswith(beginning)


def test_alerts_are_logged_in_their_order(caplog):
    with caplog.at_level(logging.INFO):
        LogOutlet().deliver([replace(ALERT, entity=entity) for entity in ("b", "a")])

    assert [record.getMessage().split()[3] for record in caplog.records] == ["entity=b", "entity=a"]


def test_a_name_with_a_percent_sign_is_logged_as_it_is(caplog):
    LogOutlet().deliver([replace(ALERT, entity="100%s")])

    assert "entity=100%s " in caplog.text


def test_a_summary_is_one_warning(caplog):
    LogOutlet().send_summary(Summary(3, ("host/web1", "host/web2"), 0, 60_000))

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("caught up episodes=3 entities=2 ")
