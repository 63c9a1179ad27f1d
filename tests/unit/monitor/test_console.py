from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from monitor.console import alert_text, outcome_tables
from monitor.demo import Episode, Fault, judge_episodes
from monitor.pipeline import Alert, ChannelShare

ALERT = Alert(
    watch="host",
    entity="web[1]",
    since_ms=0,
    opened_ms=10_000,
    score=2.5,
    limit=4.0,
    provisional=False,
    channels=(ChannelShare('cpu{mode="user"}', 0.75, 1.5, 0.25, 5_000),),
)


@pytest.fixture
def shown():
    def render(what):
        console = Console(width=120, no_color=True)
        with console.capture() as captured:
            console.print(what)
        return captured.get()

    return render


def test_an_alert_shows_entity_channel_actual_expected_and_since_when(shown):
    text = shown(alert_text(ALERT))

    assert "host/web[1] score 2.5" in text
    assert 'cpu{mode="user"} 75% actual 1.5 expected 0.25 since 00:00:05' in text


def test_a_resolved_alert_shows_its_reason_and_what_was_at_its_peak(shown):
    text = shown(alert_text(replace(ALERT, resolved_ms=60_000, reason="recovered")))

    assert "resolved 1970-01-01T00:01:00Z host/web[1] recovered, highest score 2.5 with" in text
    assert 'cpu{mode="user"} 75% actual 1.5 expected 0.25' in text


def test_missed_and_late_catches_are_told_apart(shown):
    faults = [Fault("cpu_hog", 0, 30_000), Fault("fork_burst", 300_000, 330_000)]
    ours = judge_episodes(faults, [Episode("a", 40_000, 50_000)])
    theirs = judge_episodes(faults, [Episode("a", 5_000, 6_000), Episode("a", 200_000, 201_000)])

    text = "".join(shown(table) for table in outcome_tables(ours, theirs, train_seconds=1.0, replay_seconds=2.0))

    assert "40 s (after its end)" in text
    assert "missed" in text
    assert "1 of 2" in text
    assert "training 1.0 s, replay 2.0 s" in text
