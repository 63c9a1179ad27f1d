"""Alerts: what names an episode, and what is stored of it."""

from dataclasses import asdict, replace

from monitor.alerting.alert import Alert, ChannelShare, LevelChange, alert_of

ALERT = Alert("w", "web1", 50, 100, 2.0, 3.0, False, (ChannelShare("load", 1.0, 5.0, 1.0, 50),))


def test_an_episode_keeps_its_identity_as_it_is_amended_and_resolves():
    amended = replace(ALERT, since_ms=40, score=9.0, revision=1, amends=True)
    resolved = replace(amended, resolved_ms=200, reason="recovered")

    assert ALERT.identity == amended.identity == resolved.identity == "w/web1/100"


def test_an_alert_comes_back_from_its_fields():
    changed = replace(ALERT, reason="level changed", levels=(LevelChange("load", 1.0, 5.0),))

    assert alert_of(asdict(ALERT)) == ALERT
    assert alert_of(asdict(changed)) == changed


def test_an_alert_written_by_an_older_version_reads_as_never_revised_and_without_levels():
    fields = asdict(ALERT)
    del fields["revision"], fields["amends"], fields["levels"]

    assert alert_of(fields) == ALERT
