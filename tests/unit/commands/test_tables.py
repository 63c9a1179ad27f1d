from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from models.forecast_baselines import Accuracy
from models.limits import Limit
from monitor.alerting.alert import Alert, ChannelShare
from monitor.alerting.mutes import OperatorRequest
from monitor.commands.demo_recording import Episode, Fault, judge_episodes
from monitor.commands.tables import (
    accuracy_table,
    alert_text,
    answers_table,
    demo_tables,
    episodes_table,
    models_table,
    mutes_table,
    outcome_text,
    samples_table,
    status_tables,
    training_table,
)
from monitor.daemon.status import WatchStatus
from monitor.offline.forecast_files import Question
from monitor.sample import STALE_NAN, SeriesTable
from monitor.storage.alert_history import LatestValues, StoredEpisode
from monitor.testing import samples
from monitor.training.gate import TrainingOutcome

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
    def render(what, width=120):
        console = Console(width=width, no_color=True, soft_wrap=True)
        with console.capture() as captured:
            console.print(what)
        return captured.get()

    return render


def test_an_alert_shows_entity_channel_actual_expected_and_since_when(shown):
    text = shown(alert_text(ALERT))

    assert "host/web[1] score 2.5" in text
    assert 'cpu{mode="user"} is 1.5, usually 0.25, since 00:00:05 UTC (75%)' in text


def test_a_resolved_alert_shows_its_reason_and_what_was_at_its_peak(shown):
    text = shown(alert_text(replace(ALERT, resolved_ms=60_000, reason="recovered")))

    assert "resolved 1970-01-01T00:01:00Z host/web[1] recovered, highest score 2.5 with" in text
    assert 'cpu{mode="user"} is 1.5, usually 0.25, since 00:00:05 UTC' in text


def test_an_amended_alert_does_not_look_like_a_new_one(shown):
    assert shown(alert_text(replace(ALERT, amends=True))).startswith(
        "amended  1970-01-01T00:00:10Z host/web[1] score 2.5"
    )
    assert shown(alert_text(replace(ALERT, amends=True, resolved_ms=60_000, reason="retracted"))).startswith(
        "amended  1970-01-01T00:01:00Z"
    )


def test_missed_and_late_catches_differ(shown):
    faults = [Fault("cpu_hog", 0, 30_000), Fault("fork_burst", 300_000, 330_000)]
    ours = judge_episodes(faults, [Episode("a", 40_000, 50_000)])
    three_sigma = judge_episodes(faults, [Episode("a", 5_000, 6_000), Episode("a", 200_000, 201_000)])

    text = "".join(
        shown(table) for table in demo_tables(ours, three_sigma, train_seconds=1.0, replay_seconds=2.0)
    )

    assert "40 s (after its end)" in text
    assert "missed" in text
    assert "1 of 2" in text
    assert "training 1.0 s, replay 2.0 s" in text


def test_samples_show_their_series_time_and_value_or_what_stands_for_it(shown):
    table = SeriesTable()
    columns = samples("1.5 2 3", table, name="load", start_ms=1_700_000_000_123, path="[red]\x1b[31m")
    columns.value[1], columns.value[2] = float("nan"), STALE_NAN

    lines = shown(samples_table(columns, table, shows_all=False)).splitlines()

    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if "load" in line]
    assert rows == [
        ['load{path="[red]\\x1b[31m"}', "2023-11-14T22:13:20.123Z", "1.5"],
        ['load{path="[red]\\x1b[31m"}', "2023-11-14T22:13:21.123Z", "gap"],
        ['load{path="[red]\\x1b[31m"}', "2023-11-14T22:13:22.123Z", "stale"],
    ]


def test_only_the_first_samples_are_shown_unless_all_are_asked_for(shown):
    table = SeriesTable()
    columns = samples("7 " * 30, table, name="load")

    assert shown(samples_table(columns, table, shows_all=True)).count("load") == 30
    few = shown(samples_table(columns, table, shows_all=False))
    assert few.count("load") == 20
    assert "10 more rows: --all shows them" in few


def test_an_episode_shows_whether_there_was_a_notification(shown):
    episode = StoredEpisode(
        identity="host/web1/10000",
        watch="host",
        entity="web1",
        since_ms=0,
        opened_ms=10_000,
        resolved_ms=40_000,
        reason="recovered",
        score=2.5,
        limit=4.0,
        provisional=False,
        revision=0,
        channels=(),
        notified=True,
        number=7,
    )

    text = shown(episodes_table([episode, replace(episode, entity="web2", notified=False, muted=True)]))

    rows = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "web" in line
    ]
    assert rows[0] == ["7", "1970-01-01T00:00:10Z", "30 s", "recovered", "host", "web1", "2.5", "", "yes"]
    assert rows[1][-1] == "no, muted"


def test_an_accepted_episode_shows_who_and_why_and_a_mute_until_when(shown):
    episode = StoredEpisode(
        "host/web1/0", "host", "web1", 0, 0, 40_000, "accepted by operator", 2.5, 4.0, False, 0, (), True,
        note="anna: [new] release",
    )  # fmt: skip
    mute = OperatorRequest(
        id="a", kind="mute", watch="host", entity="web[1]", who="anna", why="disk", asked_at=0.0, until=60.0
    )

    listed = " ".join(shown(episodes_table([episode])).replace("│", " ").split())

    assert "accepted by" in listed
    assert "[new]" in listed
    assert cells(shown(mutes_table([mute])), "host") == [
        "host", "web[1]", "1970-01-01T00:01:00Z", "anna", "disk"
    ]  # fmt: skip


def test_an_open_episode_shows_how_long_it_has_lasted_and_its_newest_values(shown):
    share = ChannelShare("cpu", 0.9, 49.0, 0.1, 3_600_000, 3_600_000)
    episode = StoredEpisode(
        identity="host/web1/0",
        watch="host",
        entity="web1",
        since_ms=0,
        opened_ms=0,
        resolved_ms=None,
        reason=None,
        score=16.7,
        limit=4.0,
        provisional=False,
        revision=0,
        channels=(share,),
        notified=True,
        latest=LatestValues(7_500_000, 1.25, {"cpu": 12.0}),
    )
    unjudged = replace(episode, latest=LatestValues(60_000, None, {"cpu": None}))

    rows = [" ".join(shown(episodes_table([one])).replace("│", " ").split()) for one in (episode, unjudged)]

    assert "2 h 5 min so" in rows[0]
    assert "16.7, now" in rows[0]
    assert "60 s so far" in rows[1]
    assert "; now" not in rows[1]


def accuracy_of(forecast, seasonal, period):
    array = np.array(forecast)
    return Accuracy(
        array,
        2 * array,
        np.array(seasonal),
        3 * array,
        np.full(array.shape, 0.9),
        np.full(array.shape, 10),
        np.array(period),
    )


def cells(text, name):
    (line,) = (line for line in text.splitlines() if f" {name} " in line)
    return [cell.strip() for cell in line.strip("\u2502 ").split("\u2502")]


def test_the_accuracy_of_a_channel_is_the_mean_over_its_entities_and_that_of_all_over_everything(shown):
    accuracy = accuracy_of(
        [[1.0, 3.0], [2.0, np.nan]], seasonal=[[0.5, np.nan], [np.nan, np.nan]], period=[[24, 0], [0, 0]]
    )

    text = shown(accuracy_table("w", ["load", "disk"], accuracy, step_seconds=60.0))

    assert cells(text, "load") == ["load", "20", "1.500", "3.000", "0.500", "1440 s", "4.500", "90%"]
    assert cells(text, "disk") == ["disk", "20", "3.000", "6.000", "-", "-", "9.000", "90%"]
    assert cells(text, "all") == ["all", "40", "2.000", "4.000", "0.500", "-", "6.000", "90%"]


def test_a_single_channel_has_no_row_for_all(shown):
    accuracy = accuracy_of([[1.0]], seasonal=[[np.nan]], period=[[0]])

    assert " all " not in shown(accuracy_table("w", ["load"], accuracy, step_seconds=60.0)).split("\n", 1)[1]


def test_an_answer_stands_beside_its_question(shown):
    text = shown(answers_table([("web[1]", Question("load", 95.0), "in 3 h 10 min")]))

    assert cells(text, "load") == ["web[1]", "load", "95", "in 3 h 10 min"]


def test_a_trainings_limit_is_shown_beside_the_episodes_it_raises_and_those_allowed(shown):
    epochs = [SimpleNamespace(loss=0.5), SimpleNamespace(loss=0.25)]
    training = SimpleNamespace(epochs=epochs, best_epoch=1, validation_loss=0.3, seconds=2.0)
    trained = SimpleNamespace(
        watch="web",
        version="v1",
        history=SimpleNamespace(values=np.zeros((300, 2, 1))),
        fit=SimpleNamespace(training=training, explained_ratio=0.9),
        limit=Limit(3.5, provisional=True),
        n_over_limit=2,
        n_allowed=0.54321,
    )

    text = " ".join(shown(training_table([trained])).split())

    assert "3.50" in text
    assert "web: in the held-out steps the limit would have raised 2 episodes; the budget allows 0.54" in text


def test_a_status_lists_how_many_are_judged_and_the_first_of_those_without_data(shown):
    hosts = WatchStatus(
        watch="host",
        n_entities=5,
        n_open=1,
        n_expected=4,
        missing=(("web[2]", None), ("web3", 1000), ("web4", 2000)),
    )
    older = WatchStatus(watch="old", n_entities=7, n_open=0, n_expected=None, missing=())

    watches, missing = (shown(table) for table in status_tables([hosts, older], n_most=2))

    rows = [line.replace("│", "").split() for line in watches.splitlines()]
    assert ["host", "5", "1", "of", "4", "1"] in rows
    assert ["old", "7", "-", "0"] in rows
    assert "web[2]" in missing
    assert "before the daemon's state begins" in missing
    assert "1970-01-01T00:00:01Z" in missing
    assert "and 1 more: --all shows them" in missing
    assert "web4" in shown(status_tables([hosts], n_most=None)[1])


def test_a_status_without_missing_entities_has_one_table(shown):
    status = WatchStatus(watch="host", n_entities=5, n_open=0, n_expected=5, missing=())

    assert len(status_tables([status], n_most=10)) == 1


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_version_that_promote_needs_is_whole_on_a_terminal_of_any_width(shown, width):
    versions = ["20260131T120000Z", "20260131T120000Z-2"]
    about = {"made": {"n_steps": 1200}, "entities": ["web1"] * 12, "channels": ["load"] * 140}
    registry = SimpleNamespace(
        previous=lambda: None,
        champion=lambda: versions[0],
        versions=lambda: versions,
        about=lambda version: about,
    )

    lines = shown(models_table({"front-end-hosts": registry}), width).splitlines()

    for version in versions:
        assert any(f" {version} " in line and " front-end-hosts " in line for line in lines)


def test_why_a_model_serves_stands_in_its_outcome_and_why_it_does_not_is_left_to_the_error(shown):
    promoted = TrainingOutcome(watch="a", result="promoted", reason="no worse", version="v1", seconds=2.0)
    skipped = TrainingOutcome(watch="a", result="skipped", reason="too short")

    assert shown(outcome_text(promoted)) == "watch a: promoted v1 after 2.0 s: no worse\n"
    assert shown(outcome_text(skipped)) == "watch a: skipped after 0.0 s\n"
