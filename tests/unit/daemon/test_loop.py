"""The loop over a made-up source: what is done with a batch, and in which order."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from monitor.alerting.alert_age import AlertAgeFilter
from monitor.daemon.checkpoints import CheckpointKeeper
from monitor.daemon.judging_log import JudgingLog
from monitor.daemon.limit_log import LimitLog
from monitor.daemon.loop import Loop
from monitor.daemon.notifier import Notifier
from monitor.daemon.watch_log import WatchLog
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.metrics.exposition import Exposition
from monitor.metrics.instruments import Metrics
from monitor.sample import concatenate, no_samples
from monitor.sources.source import Batch
from monitor.testing import FakeClock, ListSource
from monitor.web.server import Health


class Outlet:
    def __init__(self, fails=False):
        self.alerts = []
        self._fails = fails

    def deliver(self, alerts):
        if self._fails and alerts:
            raise ConnectionError
        self.alerts += alerts


class TickingSource(ListSource):
    """Some time passes before each batch."""

    def __init__(self, batches, clock, tick_seconds):
        super().__init__(batches)
        self._clock, self._tick_seconds = clock, tick_seconds

    def poll(self, timeout_seconds):
        self._clock.advance(self._tick_seconds)
        return super().poll(timeout_seconds)


class Checkpoints(CheckpointKeeper):
    """Calls `on_save` in place of a file."""

    def __init__(self, clock, every_seconds, on_save):
        super().__init__(
            None, [], AlertAgeFilter({}), source=None, metrics=None, clock=clock, every_seconds=every_seconds
        )
        self._on_save = on_save

    def save(self, position, undelivered=()):
        super().save(position, undelivered)
        self._on_save(position, undelivered)


class History:
    """Calls `on_record` in place of a database."""

    wants_progress = True

    def __init__(self, on_record):
        self.record = on_record
        self.progress = []

    def update_open(self, progress):
        self.progress.append([of_episode.alert for of_episode in progress])

    def catch_up(self):
        pass


@pytest.fixture
def loop(quiet_watch, table):
    def start(
        batches,
        outlet,
        *,
        stop=None,
        exit_at_end=True,
        tick_seconds=1.0,
        source=None,
        clock=None,
        save=lambda position, undelivered: None,
        save_seconds=math.inf,
        record=lambda alerts, notified: None,
        undelivered=(),
        by=("host",),
        requests=None,
    ):
        metrics = Metrics(CollectorRegistry(), ["w"])
        clock = clock or FakeClock(1000.0)
        checkpoints = Checkpoints(clock, save_seconds, save)
        notifier = Notifier(
            [outlet], checkpoints, AlertAgeFilter({}), alert_history=History(record), undelivered=undelivered
        )
        watch = build_watch(quiet_watch(by=list(by)).settings(), None)
        parts = Loop(
            source=source or TickingSource(batches, clock, tick_seconds),
            pipeline=Pipeline([watch], table, max_future_ms=60_000),
            notifier=notifier,
            checkpoints=checkpoints,
            retraining=None,
            metrics=metrics,
            exposition=Exposition(metrics, 1000),
            health=Health(ticked_at=-1.0),
            limit_log=LimitLog(clock),
            watch_log=WatchLog(clock),
            judging_log=JudgingLog(lambda watch: None),
            clock=clock,
            operator_requests=None if requests is None else requests(watch),
        )
        parts.run(stop or threading.Event(), exit_at_end=exit_at_end)
        return parts.source, parts.exposition, parts.health

    return start


def batches_with_a_fault(noise):
    parts = [noise(200), noise(20, start_step=200, shift=50.0, seed=1), noise(40, start_step=220, seed=2)]
    return [Batch(columns, int(columns.time_ms.max())) for columns in parts]


def test_alerts_reach_the_outlet_as_they_open_and_resolve(loop, noise):
    outlet = Outlet()

    loop(batches_with_a_fault(noise), outlet)

    assert [(alert.entity, alert.reason) for alert in outlet.alerts] == [
        ("web1", None),
        ("web1", "recovered"),
    ]
    assert outlet.alerts[0].identity == outlet.alerts[1].identity


def test_an_outlet_that_fails_is_not_passed_over_in_silence(loop, noise):
    with pytest.raises(ConnectionError):
        loop(batches_with_a_fault(noise), Outlet(fails=True))


def test_the_loop_ends_where_the_source_does_and_leaves_the_last_state_to_scrape(loop, noise):
    _, exposition, health = loop(batches_with_a_fault(noise), Outlet())

    assert b'barograph_episodes_opened_total{watch="w"} 1.0' in exposition.text
    assert health.ready
    assert health.ticked_at >= 0


def test_the_end_of_the_source_is_logged_once_with_its_totals(loop, noise, caplog):
    caplog.set_level("INFO")
    batches = batches_with_a_fault(noise)
    batches[-1] = replace(batches[-1], finished=True)

    loop(batches, Outlet())

    lines = [record.getMessage() for record in caplog.records]
    assert [line.split("=")[0] for line in lines if line.startswith(("replayed", "source"))] == [
        "replayed samples",
        "replayed watch",
        "source ended",
    ]
    assert " episodes_opened=1 " in next(line for line in lines if line.startswith("replayed watch"))


def test_a_stop_that_is_set_ends_the_loop_before_the_next_poll(loop, noise):
    stop = threading.Event()
    stop.set()

    source, _, health = loop(batches_with_a_fault(noise), Outlet(), stop=stop, exit_at_end=False)

    assert len(source.poll(0.0).columns) == 400  # the first batch is still there
    assert not health.ready


def test_state_is_kept_behind_the_outlets_as_soon_as_episodes_open_and_resolve(loop, noise):
    outlet, kept = Outlet(), []
    age_filter = [
        Batch(noise(1, start_step=260 + step, seed=3 + step), (260 + step) * 1000) for step in range(10)
    ]

    loop(
        [*batches_with_a_fault(noise), *age_filter],
        outlet,
        save=lambda *_: kept.append(len(outlet.alerts)),
        save_seconds=1000.0,
    )

    assert kept == [1, 2, 2]  # opened, resolved, and the end of the loop


class SlowSource(ListSource):
    """Takes three seconds for each poll, and tells a diary what it is asked."""

    def __init__(self, batches, clock, diary):
        super().__init__(batches)
        self._clock = clock
        self._diary = diary

    def poll(self, timeout_seconds):
        self._clock.advance(3.0)
        self._diary.append("poll")
        return super().poll(timeout_seconds)

    def commit(self, position):
        self._diary.append(f"commit {position.partitions['list/0'].offset}")
        super().commit(position)


class DiaryOutlet(Outlet):
    def __init__(self, diary):
        super().__init__()
        self._diary = diary

    def deliver(self, alerts):
        self._diary.append("deliver")
        super().deliver(alerts)


def test_outlets_come_before_the_state_is_kept_and_that_before_the_source_is_told(loop, noise):
    clock, diary = FakeClock(1000.0), []
    source = SlowSource(batches_with_a_fault(noise), clock, diary)

    loop(
        [], DiaryOutlet(diary), source=source, clock=clock,
        save=lambda position, _: diary.append(f"save {position.partitions['list/0'].offset}"),
        save_seconds=3.0,
    )  # fmt: skip

    # one episode opens in the second batch and resolves in the third
    first, second, third = (
        ["poll", "save 1", "commit 1"],
        ["poll", "deliver", "save 2", "commit 2"],
        ["poll", "deliver", "save 3", "commit 3"],
    )
    assert diary == [
        *first,
        *second,
        *third,
        "poll",
        "save 3",
        "save 3",
        "commit 3",
    ]  # once more as the loop ends


def test_an_end_is_told_only_when_its_opening_has_been_kept_as_told(loop, noise):
    whole = concatenate(
        [noise(200), noise(20, start_step=200, shift=50.0, seed=1), noise(40, start_step=220, seed=2)]
    )
    batches = [Batch(whole, int(whole.time_ms.max()))]  # as when a daemon catches up
    outlet, kept = Outlet(), []

    def save(position, undelivered):
        kept.append(([alert.reason for alert in outlet.alerts], [alert.reason for alert in undelivered]))

    loop(batches, outlet, save=save)

    assert kept == [([None], ["recovered"]), ([None, "recovered"], []), ([None, "recovered"], [])]


def test_what_an_earlier_run_did_not_tell_any_more_is_told_first_and_kept_as_told(loop, noise):
    before, outlet, kept = Outlet(), Outlet(), []
    loop(batches_with_a_fault(noise), before)

    loop(
        [],
        outlet,
        undelivered=before.alerts[1:],
        save=lambda _, undelivered: kept.append((len(outlet.alerts), list(undelivered))),
    )

    assert outlet.alerts == before.alerts[1:]
    assert kept == [(1, []), (1, [])]


def test_what_outlets_are_told_is_written_down_before(loop, noise):
    outlet, written = Outlet(), []

    loop(
        batches_with_a_fault(noise),
        outlet,
        record=lambda alerts, notified: written.append((len(outlet.alerts), list(alerts), notified)),
    )

    assert written == [(0, outlet.alerts[:1], True), (1, outlet.alerts[1:], True)]


def test_what_is_kept_is_committed_every_five_seconds_and_nothing_newer(loop, noise):
    clock, diary = FakeClock(1000.0), []
    age_filter = [Batch(noise(1, start_step=step), step * 1000) for step in range(3)]
    source = SlowSource(age_filter, clock, diary)

    loop([], Outlet(), source=source, clock=clock, save_seconds=1e9)

    # polls end at 3, 6, 9, 12 s; nothing has been kept but where the loop began, and in the end all
    assert diary == ["poll", "poll", "commit 0", "poll", "poll", "commit 3"]


def test_what_was_alerted_is_kept_at_once(loop, noise):
    clock, diary = FakeClock(1000.0), []
    source = SlowSource(batches_with_a_fault(noise), clock, diary)

    loop([], Outlet(), source=source, clock=clock, save=lambda *_: diary.append("save"), save_seconds=1e9)

    # one episode opens in the second batch and resolves in the third
    assert diary == [
        "poll",
        "poll",
        "save",
        "commit 2",
        "poll",
        "save",
        "commit 3",
        "poll",
        "save",
        "commit 3",
    ]


def test_an_outlet_that_fails_leaves_the_batch_uncommitted(loop, noise):
    clock, diary = FakeClock(1000.0), []
    source = SlowSource(batches_with_a_fault(noise), clock, diary)

    with pytest.raises(ConnectionError):
        loop([], Outlet(fails=True), source=source, clock=clock, save_seconds=0.0)

    assert diary == ["poll", "commit 1", "poll"]  # the fault is in the second batch


def test_the_daemon_is_ready_while_its_source_is(loop, noise):
    batches = [Batch(noise(3), 2000, ready=True), Batch(noise(3, start_step=3), 5000, ready=False)]

    _, exposition, health = loop(batches, Outlet(), stop=StopAfter(2), exit_at_end=False, tick_seconds=0.4)

    assert not health.ready
    assert (
        b"barograph_source_ready 1.0" in exposition.text
    )  # as rendered with the first batch, a moment before


def test_a_series_that_is_refused_is_told_by_name_once_in_ten_minutes(loop, noise, table, caplog):
    columns = noise(5)
    table.max_series = 2
    for number in range(3):
        columns = concatenate([columns, noise(1, start_step=5, host=f"new{number}\n")])

    loop([Batch(columns, 5000)] * 700, Outlet())

    notified = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(notified) == 2
    assert notified[0].startswith(
        'series refused series=b{host="new2\\n"}: 2 are known, and source.max_series allows no more; '
        "known series are not affected."
    )
    assert notified[1].endswith("(and 599 times before)")


def test_a_watch_that_no_series_matches_is_logged_while_the_loop_goes_on(loop, noise, caplog):
    loop([Batch(noise(1, start_step=at), at * 1000) for at in range(12)], Outlet(), by=("hostname",))

    assert [record.getMessage() for record in caplog.records if "no matching" in record.getMessage()] == [
        "watch w: no matching series: 2 seen, none with label `hostname`; "
        "labels seen: host; the nearest is `host`"
    ]


def test_a_host_that_falls_silent_is_logged_by_name_and_so_is_its_return(loop, noise, caplog):
    caplog.set_level("INFO")
    silent = [Batch(no_samples(), second * 1000) for second in range(200, 210)]
    back = [Batch(noise(1, start_step=second, seed=second), second * 1000) for second in range(210, 225)]

    loop([Batch(noise(200), 199_000), *silent, *back], Outlet())

    lines = [record.getMessage() for record in caplog.records if record.name.endswith("watch_log")]
    assert [line.partition(" watch=")[0] for line in lines] == [
        "no data for web1 (1 of 1 entities)",
        "data again for web1",
    ]


@pytest.mark.parametrize("jump_seconds", [3600.0, -3600.0])
def test_a_wall_clock_that_jumps_fires_no_timer_and_puts_none_off(loop, noise, jump_seconds):
    """A poll takes a second: a checkpoint every 10, a commit every 5, whatever the wall clock says."""

    def kept(jumps_at):
        clock, diary = FakeClock(1e6), []

        class Source(ListSource):
            def poll(self, timeout_seconds):
                clock.advance(1.0)
                if self._n_done == jumps_at:
                    clock.jump(jump_seconds)
                return super().poll(timeout_seconds)

            def commit(self, position):
                diary.append(("commit", round(clock.monotonic())))

        source = Source([Batch(noise(1, start_step=at), at * 1000) for at in range(40)])
        loop(
            [],
            Outlet(),
            source=source,
            clock=clock,
            save=lambda *_: diary.append(("save", round(clock.monotonic()))),
            save_seconds=10.0,
        )
        return diary

    undisturbed = kept(jumps_at=None)
    assert [second for what, second in undisturbed if what == "save"] == [10, 20, 30, 40, 41]
    assert kept(jumps_at=15) == undisturbed


class StopAfter(threading.Event):
    """A stop signal that comes after some turns of the loop."""

    def __init__(self, n_turns):
        super().__init__()
        self._n_left = n_turns

    def is_set(self):
        self._n_left -= 1
        return self._n_left < 0


class Requests:
    """Accepts what is open before one of the batches, and mutes entities from the first batch on."""

    def __init__(self, watch, lines, *, accepts_before=None, muted=frozenset()):
        self._watch, self._lines, self._muted = watch, lines, muted
        self._accepts_before = accepts_before
        self._n_batches = 0

    def take(self):
        self._n_batches += 1
        still_open = [alert.identity for alert in self._watch.open_alerts.values()]
        if self._n_batches != self._accepts_before:
            return []
        return [self._watch.accept(identity, "anna") for identity in still_open]

    def muted(self):
        return self._muted

    def finish(self):
        self._lines.append("finish")


def test_an_accepted_episode_is_notified_and_saved_before_its_request_goes(loop, noise):
    outlet, lines = Outlet(), []

    loop(
        batches_with_a_fault(noise),
        outlet,
        save=lambda position, undelivered: lines.append("save"),
        requests=lambda watch: Requests(watch, lines, accepts_before=3),
    )

    assert [(alert.reason, alert.note) for alert in outlet.alerts] == [
        (None, ""),
        ("accepted by operator", "anna"),
    ]
    assert lines[:5] == ["finish", "save", "finish", "save", "finish"]


def test_an_accepted_episode_of_a_muted_entity_is_saved_before_its_request_goes(loop, noise):
    outlet, lines = Outlet(), []

    loop(
        batches_with_a_fault(noise),
        outlet,
        record=lambda alerts, notified, muted=False: None,
        save=lambda position, undelivered: lines.append("save"),
        requests=lambda watch: Requests(watch, lines, accepts_before=3, muted={("w", "web1")}),
    )

    assert outlet.alerts == []
    assert lines[:4] == ["finish", "finish", "save", "finish"]


def test_nobody_is_notified_of_a_muted_entity_and_no_scrape_shows_its_episode_as_open(loop, noise):
    outlet, recorded = Outlet(), []
    fault = noise(5, start_step=200, shift=50.0, seed=1)
    batches = [batches_with_a_fault(noise)[0], Batch(fault, int(fault.time_ms.max()))]

    _, exposition, _ = loop(
        batches,
        outlet,
        record=lambda alerts, notified, muted=False: recorded.append((len(alerts), notified, muted)),
        requests=lambda watch: Requests(watch, [], muted={("w", "web1")}),
    )

    assert outlet.alerts == []
    assert recorded == [(1, False, True)]
    assert b'barograph_anomaly{watch="w",entity="web1"} 0.0' in exposition.text
    assert b'barograph_entities_muted{watch="w"} 1.0' in exposition.text
    assert b'barograph_episodes_opened_total{watch="w"} 1.0' in exposition.text
    assert b"barograph_episode_score{" not in exposition.text
    assert b'barograph_episodes_resolved_total{reason="recovered",watch="w"} 0.0' in exposition.text
