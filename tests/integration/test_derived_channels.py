"""Derived channels, from samples to alerts: a ratio over days and nights, and the same by every way in."""

import numpy as np
import pytest

from models.bundle import Bundle
from monitor.config.schema import SourceConfig
from monitor.config.watch import WatchConfig
from monitor.daemon.checkpoints import capture, resume_watch
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.detection.swap import swap_champion
from monitor.detection.view import WatchObserver
from monitor.sample import Columns, SeriesTable, concatenate, labels_of
from monitor.sources.position import Position
from monitor.training.train import collect_history, fit_watch

STEP = 300  # seconds
PER_DAY = 86400 // STEP
ERRORS = {
    "name": "error_ratio",
    "kind": "ratio",
    "of": "http_requests_total",
    "match": {"code": "5*"},
    "over": "http_requests_total",
}
BUCKET = "http_request_duration_seconds_bucket"
LATENCY = {"name": "latency_p90_seconds", "kind": "quantile", "quantile": 0.9, "of": BUCKET}
REQUESTS = {"name": "requests", "kind": "sum", "of": "http_requests_total", "by": ["code"]}


def config(*derive, **changes):
    return WatchConfig.model_validate(
        {
            "name": "web",
            "by": ["service"],
            "metrics": ["http_*", "queue_depth"],
            "step_seconds": float(STEP),
            "lateness_seconds": 0.0,
            "revision_seconds": 10.0 * STEP,
            "budget": "1/week per entity",
            "derive": list(derive),
            **changes,
        }
    )


class Stream:
    """Samples of one moment a step, by series, through the pipeline of one watch."""

    def __init__(self, config):
        self.config = config
        self.table = SeriesTable()
        self.alerts, self.steps, self.now = [], {}, 0
        self.use(build_watch(config.settings(), None, live=True))

    def use(self, watch):
        self.watch = watch
        self.pipeline = Pipeline([watch], self.table, max_future_ms=0)
        watch.observe(WatchObserver(on_scored=self._scored, on_rescored=self._rescored))

    def _scored(self, step):
        self.steps[step.time_ms] = step.actual.copy()

    def _rescored(self, rows, step):
        self.steps[step.time_ms][rows] = step.actual

    def columns(self, samples, step):
        """Give samples {(name, labels): value} of a step as columns."""
        numbers = [self.table.intern(name, labels) for name, labels in samples]
        times = np.full(len(numbers), step * STEP * 1000, np.int64)
        return Columns(np.array(numbers, np.int32), times, np.array(list(samples.values()), np.float64))

    def send(self, samples):
        """Let a step come."""
        self.now += 1
        self.take(self.columns(samples, self.now - 1))

    def take(self, columns):
        decision = self.pipeline.process(columns, (self.now - 1) * STEP * 1000)
        self.alerts += decision.alerts

    def channel(self, name):
        number = self.watch.entities.channels.index(name)
        steps = [step for _, step in sorted(self.steps.items())]
        return [step[0, number] if number < step.shape[1] else np.nan for step in steps]

    def restart(self):
        kept = capture([(self.config, None, self.watch)], source=SourceConfig(), position=Position(None, {}))
        arrays = {name: array.copy() for name, array in kept.arrays.items()}
        watch, what = resume_watch(self.config, None, None, type(kept)(arrays, kept.about))
        assert what == "resumed"
        self.table = SeriesTable()
        self.use(watch)


def requests(code, pod="a", service="shop"):
    return "http_requests_total", labels_of({"service": service, "code": code, "pod": pod})


def daily_requests(n_steps, rng):
    """Give the requests of each step: 5000 at noon, 5 at midnight."""
    hour = np.arange(n_steps) % PER_DAY / PER_DAY * 2 * np.pi
    return rng.poisson(5 + 4995 * (0.5 - 0.5 * np.cos(hour)) ** 4)


def test_one_error_of_five_at_night_is_silent_and_the_same_share_at_noon_is_not():
    rng = np.random.default_rng(0)
    stream = Stream(config(ERRORS))
    n_steps = 7 * PER_DAY
    total = daily_requests(n_steps + PER_DAY, rng)
    failed = rng.binomial(total, 0.01)
    at_night = np.arange(n_steps, n_steps + 3)
    total[at_night], failed[at_night] = 5, 1
    at_noon = n_steps + PER_DAY // 2 + np.arange(6)
    failed[at_noon] = total[at_noon] // 5
    good, bad = np.cumsum(total - failed), np.cumsum(failed)
    for step in range(n_steps + PER_DAY):
        stream.send({requests("200"): good[step], requests("503"): bad[step]})

    onsets = [alert.since_ms // 1000 // STEP - 1 for alert in stream.alerts if alert.resolved_ms is None]
    assert set(onsets) & set(at_noon.tolist())
    # The budget allows false alarms; none is about the errors of a few.
    assert [onset for onset in onsets if total[onset] < 100] == []
    assert (failed[:n_steps] / np.maximum(total[:n_steps], 1) >= 0.2).any()  # there were such nights


def cumulative(n_steps, seed=1):
    """Give steps of counters: requests by code of two pods, and the buckets of a histogram."""
    rng = np.random.default_rng(seed)
    names = [requests(code, pod) for pod in ("a", "b") for code in ("200", "503")]
    buckets = [
        (BUCKET, labels_of({"service": "shop", "pod": pod, "le": le}))
        for pod in ("a", "b")
        for le in ("0.1", "0.5", "1", "+Inf")
    ]
    counts = rng.poisson([900, 9, 700, 7], (n_steps, 4)).cumsum(axis=0)
    each = rng.poisson([300, 200, 100, 10], (n_steps, 2, 4)).cumsum(axis=2).reshape(n_steps, 8).cumsum(axis=0)
    keys = [*names, *buckets, ("queue_depth", labels_of({"service": "shop"}))]
    values = np.column_stack([counts, each, rng.normal(50, 1, n_steps)])
    return [dict(zip(keys, of_step, strict=True)) for of_step in values.tolist()]


def stream_of(steps, **changes):
    stream = Stream(config(ERRORS, LATENCY, REQUESTS, **changes))
    for step in steps:
        stream.send(step)
    return stream


CHANNELS = [
    "error_ratio", "latency_p90_seconds", "queue_depth", 'requests{code="200"}', 'requests{code="503"}',
]  # fmt: skip


def test_series_that_a_channel_is_made_of_are_no_channels():
    stream = stream_of(cumulative(5))

    assert sorted(stream.watch.entities.channels) == CHANNELS


def test_channels_are_what_promql_would_make_of_the_rates():
    steps = cumulative(130)
    stream = stream_of(steps)
    before, newest = steps[-3], steps[-2]  # the newest closed step
    increase = {key: newest[key] - before[key] for key in newest}

    failed = sum(increase[requests("503", pod)] for pod in "ab")
    passed = sum(increase[requests("200", pod)] for pod in "ab")
    assert stream.channel('requests{code="503"}')[-1] == pytest.approx(failed / STEP)
    assert stream.channel('requests{code="200"}')[-1] == pytest.approx(passed / STEP)
    assert stream.channel("error_ratio")[-1] == pytest.approx(0.01, rel=0.5)
    of_le = {
        le: sum(value for (name, labels), value in increase.items() if dict(labels).get("le") == le)
        for le in ("0.1", "0.5", "1", "+Inf")
    }
    rank = 0.9 * of_le["+Inf"]
    expected = 0.5 + 0.5 * (rank - of_le["0.5"]) / (of_le["1"] - of_le["0.5"])
    assert stream.channel("latency_p90_seconds")[-1] == pytest.approx(expected, rel=1e-9)


def recorded(steps, config):
    """Give the history that a training makes of steps of samples."""
    table = SeriesTable()
    stream = Stream(config)
    stream.table = table
    parts = concatenate(stream.columns(step, number) for number, step in enumerate(steps))
    return collect_history(config.settings(), parts, table)


def test_a_training_sees_the_same_channels_as_the_daemon():
    steps = cumulative(130)
    stream = stream_of(steps)
    history = recorded(steps, stream.config)

    assert sorted(history.channels) == CHANNELS
    assert {"error_ratio", "latency_p90_seconds"} & history.counters == set()
    assert 'requests{code="200"}' in history.counters
    for number, name in enumerate(history.channels):
        np.testing.assert_array_equal(history.values[1:-1, 0, number], stream.channel(name)[1:])


@pytest.mark.parametrize("restart_behind", [None, 182])
def test_late_samples_change_the_channels_as_if_they_had_come_in_time(restart_behind):
    steps = cumulative(200)
    in_time = stream_of(steps)
    stream = Stream(in_time.config)
    late = {key: value for key, value in steps[180].items() if dict(key[1]).get("pod") == "a"}
    for number, step in enumerate(steps):
        stream.send({key: value for key, value in step.items() if number != 180 or key not in late})
        if number == 184:
            stream.take(stream.columns(late, 180))
        if number == restart_behind:
            stream.restart()

    assert stream.steps.keys() == in_time.steps.keys()
    for name in CHANNELS:
        np.testing.assert_allclose(stream.channel(name), in_time.channel(name), rtol=1e-12, err_msg=name)


def test_it_goes_on_behind_a_restart():
    steps = cumulative(140)
    undisturbed, stream = stream_of(steps), Stream(config(ERRORS, LATENCY, REQUESTS))
    for number, step in enumerate(steps):
        stream.send(step)
        if number in (50, 120):
            stream.restart()

    for name in CHANNELS:
        np.testing.assert_array_equal(stream.channel(name), undisturbed.channel(name), err_msg=name)


def test_a_pod_that_takes_the_cell_of_one_that_is_forgotten_begins_anew():
    stream = Stream(config(REQUESTS))
    for number in range(10):
        stream.send({requests("200", "a"): 1000 * number, requests("200", "b"): 10 * number})
    for number in range(10, 20):
        stream.send({requests("200", "b"): 10 * number})
    numbers = np.array([stream.table.intern(*requests("200", "a"))], np.int32)
    stream.table.forget()
    stream.table.intern(*requests("200", "b"))
    assert stream.table.forget().tolist() == numbers.tolist()
    stream.watch.forget_series(numbers)
    for number in range(20, 24):
        stream.send({requests("200", "b"): 10 * number, requests("200", "new"): 500_000 + 20 * number})

    rates = np.array(stream.channel('requests{code="200"}')[-4:]) * STEP
    np.testing.assert_allclose(rates, [10, 10, 30, 30])  # none from the old pod's count to the new one's
    assert stream.watch.entities.inputs.n_columns == 2


def test_a_model_of_the_derived_channels_takes_over_and_they_go_on():
    steps = cumulative(400)
    small = {"hidden": 4, "latent": 2, "epochs": 1, "windows_per_epoch": 64}
    undisturbed = stream_of(steps, model=small)
    settings = undisturbed.config.settings()
    history = recorded(steps[:300], undisturbed.config)
    bundle = Bundle(fit_watch(settings, history).detector, history.channels, history.entities, {})
    stream = Stream(undisturbed.config)
    for number, step in enumerate(steps):
        stream.send(step)
        if number == 320:
            swap_champion(stream.watch, settings, bundle)
            stream.steps.clear()
    judged = stream.watch.last_scored

    assert stream.watch.entities.channels == list(history.channels)
    assert judged.judged.all()
    for name in CHANNELS:
        expected = undisturbed.channel(name)[-len(stream.steps) :]
        np.testing.assert_allclose(stream.channel(name), expected, rtol=1e-12, err_msg=name)
