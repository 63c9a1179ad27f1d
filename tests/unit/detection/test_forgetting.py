"""Entities that come and go: those that are gone are dropped, the others judged as if nothing had happened.

Steps are 1 s, windows 8 steps; an entity is stale after 10 s, and gone 40 s later.
"""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.parser import text_string_to_metric_families

from models.bundle import Bundle
from monitor.config.schema import SourceConfig
from monitor.daemon.checkpoints import capture, resume_watch
from monitor.detection.build import build_watch
from monitor.detection.entities import VACANT
from monitor.detection.pipeline import Pipeline
from monitor.detection.scored_step import Reason
from monitor.detection.view import WatchObserver
from monitor.metrics.exposition import Exposition
from monitor.metrics.instruments import Metrics
from monitor.sample import Columns, SeriesTable, concatenate, labels_of
from monitor.sources.position import Position
from monitor.storage.step_history import History, HistoryWriter, Retention, list_segments
from monitor.storage.step_history_reader import read_steps
from monitor.testing import samples
from monitor.training.train import fit_watch

RETENTION = Retention(segment_seconds=300.0, max_age_seconds=1e9, max_bytes=1 << 30)

N_STEPS = 500
FORGET_AT_LEAST = "monitor.detection.watch._FORGET_AT_LEAST"
GONE_STEPS = 52  # 10 until it is stale, 40 until it is gone, and the step itself


@pytest.fixture(autouse=True)
def _forget_a_few(monkeypatch):
    monkeypatch.setattr(FORGET_AT_LEAST, 5)


def life(n_steps=N_STEPS):
    """Give who lives from which step to which: three hosts throughout, and a pod every 15 steps for 130."""
    pods = {f"pod{number}": (15 * number, 15 * number + 130) for number in range((n_steps - 130) // 15)}
    return {
        "host1": (0, n_steps),
        **dict(list(pods.items())[:4]),
        "host2": (0, n_steps),
        "host3": (120, n_steps),
        **pods,
    }


def values_of(names):
    """Give the two metrics (T, 2) of each: quiet noise, with faults of two hosts and two pods.

    One of the pods dies in its fault.
    """
    values = {}
    for number, name in enumerate(sorted(names)):
        values[name] = 100 + np.random.default_rng(number).normal(0, 1, (N_STEPS, 2))
    values["host1"][300:420, 0] += 40  # an episode that is open while others are forgotten
    values["host2"][450:470, 1] += 40
    values["pod12"][295:305, 0] += 40
    values["pod10"][270:, 1] += 40  # lives until 280
    return values


class Run:
    """One watch over that stream, a step a batch."""

    def __init__(self, config, *, forgets, champion=None):
        self.config = config
        self.table = SeriesTable()
        self.of = life()
        self.values = values_of(self.of)
        self.scores, self.alerts, self.forgot, self.states = {}, [], [], []
        self.use(build_watch(config.settings(), champion, live=forgets))

    def use(self, watch):
        self.watch = watch
        watch.observe(WatchObserver(on_scored=self.take))
        self.pipeline = Pipeline([watch], self.table, max_future_ms=60_000)

    def take(self, scored):
        for row, name in enumerate(self.watch.entities.entities[: len(scored.reason)]):
            shown = (
                scored.reason[row],
                scored.score[row].tobytes(),
                scored.channel_error[row].tobytes(),
                scored.expected[row].tobytes(),
            )
            self.scores[scored.time_ms, name] = shown

    def columns(self, step):
        parts = []
        for name, (first, last) in self.of.items():
            if first <= step < last:
                numbers = np.array(
                    [self.table.intern(metric, labels_of({"host": name})) for metric in "ab"], np.int32
                )
                parts.append(Columns(numbers, np.full(2, step * 1000), self.values[name][step]))
        return concatenate(parts)

    def go(self, first=0, last=N_STEPS, *, keeps=False):
        for step in range(first, last):
            before = self.state() if keeps else None
            decision = self.pipeline.process(self.columns(step), step * 1000)
            self.alerts += decision.alerts
            if decision.reports["w"].n_forgotten:
                self.forgot.append((step, decision.reports["w"].n_forgotten))
                self.states += [(step, before), (step + 1, self.state())] if keeps else []
        return self

    def state(self):
        # Through text, as through a file: nothing is shared with what runs on.
        state = capture([(self.config, None, self.watch)], source=SourceConfig(), position=Position(0))
        arrays = {name: array.copy() for name, array in state.arrays.items()}
        about = {**state.about["watches"]["w"], "entities": list(state.about["watches"]["w"]["entities"])}
        return type(state)(arrays, {**state.about, "watches": {"w": about}})


def settings(quiet_watch, **more):
    return quiet_watch(
        stale_seconds=10.0,
        alert={"close_seconds": 5.0, "rest_seconds": 5.0, "accept_after_seconds": 40.0},
        **more,
    )


def champion_of(config):
    """Train on two hosts, of which one never comes."""
    values = 100 + np.random.default_rng(5).normal(0, 1, (400, 2, 2))
    fit = fit_watch(config.settings(), History(("absent", "host2"), ("a", "b"), values, 0, 400_000))
    return Bundle(fit.detector, ("a", "b"), ("absent", "host2"), {})


@pytest.mark.parametrize("kind", ["by host", "by series", "with a model"])
def test_those_that_are_left_are_judged_bit_equal_to_a_run_that_forgets_nobody(quiet_watch, kind):
    config = settings(
        quiet_watch,
        by="series" if kind == "by series" else ["host"],
        model={"hidden": 4, "latent": 2, "epochs": 2},
    )
    forgets, keeps = (
        Run(
            config, forgets=forgets_gone, champion=champion_of(config) if kind == "with a model" else None
        ).go()
        for forgets_gone in (True, False)
    )

    assert len(forgets.forgot) >= 2
    assert len(forgets.watch.entities.entities) < len(keeps.watch.entities.entities) / 2
    assert len(keeps.alerts) >= 6
    assert list(map(repr, forgets.alerts)) == list(
        map(repr, keeps.alerts)
    )  # as text: NaN is equal to itself there
    assert {key: keeps.scores[key] for key in forgets.scores} == forgets.scores
    missing = {shown[0] for key, shown in keeps.scores.items() if key not in forgets.scores}
    assert missing == {Reason.STALE}
    if kind == "with a model":
        assert forgets.watch.entities.entities[:2] == ["absent", "host2"]  # whom it knows


def test_an_episode_is_resolved_before_its_entity_is_forgotten_and_an_open_one_stays(quiet_watch):
    run = Run(settings(quiet_watch, by=["host"]), forgets=True)
    open_at = []
    for step in range(N_STEPS):
        run.go(step, step + 1)
        if run.forgot and run.forgot[-1][0] == step:
            open_at.append({alert.entity for alert in run.watch.open_alerts.values()})

    notified = [(alert.entity, alert.reason) for alert in run.alerts]
    assert notified.index(("pod10", "gone")) > notified.index(("pod10", None))
    assert any("host1" in names for names in open_at)
    assert ("host1", "recovered") in notified or ("host1", "accepted") in notified
    assert "pod10" not in run.watch.entities.entities


def test_a_checkpoint_from_just_before_or_behind_is_gone_on_from(quiet_watch):
    config = settings(quiet_watch, by=["host"])
    undisturbed = Run(config, forgets=True).go(keeps=True)

    assert len(undisturbed.states) >= 6
    for step, state in undisturbed.states[2:6]:
        resumed = Run(config, forgets=True)
        resumed.use(resume_watch(config, None, None, state)[0])
        resumed.go(step)
        assert resumed.scores == {
            key: shown for key, shown in undisturbed.scores.items() if key in resumed.scores
        }
        assert resumed.forgot == [(at, n) for at, n in undisturbed.forgot if at >= step]
        behind = [
            alert for alert in undisturbed.alerts if (alert.resolved_ms or alert.opened_ms) >= step * 1000
        ]
        assert list(map(repr, resumed.alerts)) == list(map(repr, behind))


def test_who_comes_back_warms_up_as_a_new_one(quiet_watch):
    run = Run(settings(quiet_watch, by=["host"]), forgets=True).go()
    assert "pod0" not in run.watch.entities.entities

    back = concatenate(
        samples(" ".join(["1"] * 150), run.table, name=name, start_ms=N_STEPS * 1000, host="pod0")
        for name in ("a", "b")
    )
    scores_before = dict(run.scores)
    for at in range(150):
        now = back.time_ms == (N_STEPS + at) * 1000
        run.pipeline.process(
            Columns(back.series[now], back.time_ms[now], back.value[now]), (N_STEPS + at) * 1000
        )

    reasons = [shown[0] for key, shown in run.scores.items() if key not in scores_before and key[1] == "pod0"]
    assert reasons == [Reason.WARMING] * (1 + 108) + [Reason.JUDGED] * (
        149 - 108
    )  # 1: the step that was open as it came back


def test_who_comes_back_just_before_being_forgotten_is_not(quiet_watch, monkeypatch):
    monkeypatch.setattr(FORGET_AT_LEAST, 1000)
    run = Run(settings(quiet_watch, by=["host"]), forgets=True)
    run.of = {"host1": (0, N_STEPS), **{f"pod{number}": (0, 120) for number in range(8)}}
    run.values = {name: np.full((N_STEPS, 2), 100.0) for name in run.of}
    run.go(0, 120 + GONE_STEPS + 5)
    monkeypatch.setattr(FORGET_AT_LEAST, 5)
    run.of["pod3"] = (120 + GONE_STEPS + 5, N_STEPS)

    run.go(120 + GONE_STEPS + 5, 120 + GONE_STEPS + 6)  # its sample waits in the open step

    assert run.forgot == [(120 + GONE_STEPS + 5, 7)]
    assert run.watch.entities.entities == ["host1", "pod3"]
    run.go(120 + GONE_STEPS + 6, 120 + GONE_STEPS + 8)
    assert (
        run.scores[(120 + GONE_STEPS + 6) * 1000, "pod3"][0] == Reason.GAP
    )  # known, and its window nearly empty


def test_what_is_exported_is_that_of_a_run_that_forgets_nobody(quiet_watch):
    disable_created_metrics()
    shown = []
    for forgets in (True, False):
        run = Run(settings(quiet_watch, by=["host"]), forgets=forgets)
        exposition = Exposition(Metrics(CollectorRegistry(), ["w"]), 10_000, all_channels=True)
        for step in range(0, N_STEPS, 50):
            run.go(step, step + 50)
            exposition.render([run.watch.view()])
        shown.append([
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(exposition.text.decode())
            for sample in family.samples
            if "entity" in sample.labels
        ])  # fmt: skip

    assert shown[0] == shown[1]
    assert {labels["entity"] for _, labels, _ in shown[0]} >= {"host1", "host2", "host3"}
    assert not any(labels["entity"] == "pod0" for _, labels, _ in shown[0])


def test_the_history_that_is_collected_keeps_its_names(quiet_watch, tmp_path):
    histories = []
    for forgets in (True, False):
        run = Run(settings(quiet_watch, by=["host"]), forgets=forgets)
        folder = tmp_path / str(forgets)
        writer = HistoryWriter(folder, RETENTION, shape="", step_ms=1000, window_length=8)
        run.watch.observe(WatchObserver(on_closed=writer.add, on_forgotten=writer.keep_rows))
        run.go(0, 400)
        writer.write(run.watch.entities.entities, run.watch.entities.channels, [])
        history = read_steps(list_segments(folder), [], shape="", step_ms=1000, window_length=8).history
        histories.append(
            {name: history.values[:, row].tobytes() for row, name in enumerate(history.entities)}
        )
        assert bool(run.forgot) == forgets

    forgetting, retention = histories
    assert len(forgetting) < len(retention)
    assert {name: retention[name] for name in forgetting} == forgetting


def test_room_that_becomes_free_is_given_to_those_that_were_refused(quiet_watch):
    run = Run(settings(quiet_watch, by=["host"], max_series=2 * 12), forgets=True)  # of twelve entities
    run.go(0, 250)
    refused = run.watch.entities.n_refused
    assert refused > 0

    run.go(250)

    living = {name for name, (first, last) in run.of.items() if first <= N_STEPS - 100 and last == N_STEPS}
    assert living <= set(run.watch.entities.entities)
    assert len(run.watch.entities.entities) <= 12


def test_series_that_no_longer_come_lose_their_numbers_and_those_that_come_keep_their_places(quiet_watch):
    watch = build_watch(quiet_watch(by=["host"]).settings(), None)
    table = SeriesTable(max_series=3)
    pipeline = Pipeline([watch], table, max_future_ms=60_000, forgets_series=True)

    def step(second, *hosts):
        columns = concatenate(
            samples("1", table, name="load", start_ms=second * 1000, host=host) for host in hosts
        )
        return pipeline.process(columns, second * 1000), columns.series.tolist()

    step(0, "web1", "web2", "web3")
    step(3600, "web1")  # all have come within this hour
    assert table.n_known == 3
    decision, _ = step(3700, "web4")
    assert decision.rejected["over_limit"] == 1
    step(5000, "web2")
    step(7200, "web1")
    assert table.n_known == 2  # web3 did not come within this hour
    decision, numbers = step(7201, "web2", "web5")

    assert (decision.rejected["over_limit"], numbers) == (0, [1, 2])  # the number of web3
    assert [watch.entities.entities[row] for row in watch.entities.row_of[numbers]] == ["web2", "web5"]


def test_a_number_that_is_free_has_no_place_also_when_all_are_placed_anew(quiet_watch):
    watch = build_watch(quiet_watch(by="series").settings(), None)
    table = SeriesTable()
    numbers = [table.intern(name, ()) for name in "ab"]
    watch.entities.update(table)
    table.forget()
    table.intern("b", ())
    watch.entities.forget_series(table.forget())

    watch.entities.adopt([], ["value"])
    watch.entities.update(table)

    assert watch.entities.row_of[numbers].tolist() == [VACANT, 1]
    assert watch.entities.entities == ["a", "b"]
