"""The verifier finds what is planted: nothing it is used for may pass because it cannot see."""

from __future__ import annotations

import json

import pytest

from tests.kafka.verifiable import METRICS, STEP_MS, Workload, verify_alerts, verify_windows

SMALL = Workload(n_hosts=2, n_steps=20)


def windows(workload=SMALL):
    """Write every closed step, as a daemon that nothing disturbs does."""
    return [
        {
            "time_ms": workload.start_ms + (step + 1) * STEP_MS,
            "values": {
                f"host{host}": workload.values[host, :, step].tolist() for host in range(workload.n_hosts)
            },
        }
        for step in range(workload.n_steps)
    ]


def lines(objects):
    return [json.dumps(item) for item in objects]


def test_a_faultless_run_is_faultless():
    verdict = verify_windows(lines(windows()), SMALL)

    assert verdict.faultless
    assert verdict.repeated == 0


def test_every_lost_step_and_host_is_found():
    some = windows()
    del some[7]
    del some[11]["values"]["host1"]

    verdict = verify_windows(lines(some), SMALL)

    assert verdict.missing == [("host0", 7), ("host1", 7), ("host1", 12)]
    assert not verdict.faultless


@pytest.mark.parametrize("wrong", [None, 99.0])
def test_every_wrong_value_is_found(wrong):
    some = windows()
    some[3]["values"]["host1"][0] = wrong

    assert [entry[:2] for entry in verify_windows(lines(some), SMALL).wrong] == [("host1", 3)]


def test_a_value_of_another_moment_or_series_is_found():
    some = windows()
    some[3]["values"]["host1"] = some[4]["values"]["host1"]
    some[5]["values"]["host0"] = some[5]["values"]["host1"]

    assert [entry[:2] for entry in verify_windows(lines(some), SMALL).wrong] == [("host1", 3), ("host0", 5)]


def test_a_doubled_window_is_counted_and_one_that_contradicts_the_first_is_wrong():
    some = windows()
    again = json.loads(json.dumps(some[3]))
    assert verify_windows(lines([*some, again]), SMALL).repeated == 2

    again["values"]["host0"][1] += 1
    assert [entry[:2] for entry in verify_windows(lines([*some, again]), SMALL).wrong] == [("host0", 3)]


def test_what_was_never_sent_is_found():
    never = {"time_ms": SMALL.start_ms + 25 * STEP_MS, "values": {"host0": [1.0, 2.0]}}

    assert verify_windows(lines([*windows(), never]), SMALL).unexpected == [("host0", 24)]


def alert(identity, reason=None, score=2.0, revision=0, *, amends=False):
    return {"identity": identity, "reason": reason, "score": score, "revision": revision, "amends": amends}


ALERTS = [alert("a"), alert("b"), alert("a", "recovered"), alert("b", "recovered")]


def test_the_same_alerts_are_faultless():
    assert verify_alerts(lines(ALERTS), lines(ALERTS)).faultless


def test_a_lost_alert_and_a_lost_resolution_are_found():
    assert verify_alerts(lines(ALERTS[1:]), lines(ALERTS)).missing == [("a", None, 0, False)]
    assert verify_alerts(lines(ALERTS[:3]), lines(ALERTS)).missing == [("b", "recovered", 0, False)]


def test_an_open_alert_sent_again_is_no_new_one_but_it_is_counted():
    verdict = verify_alerts(lines([ALERTS[0], *ALERTS]), lines(ALERTS))

    assert verdict.faultless
    assert verdict.repeated == 1


def test_an_alert_raised_again_behind_its_end_is_found():
    verdict = verify_alerts(lines([*ALERTS, ALERTS[0]]), lines(ALERTS))

    assert verdict.raised_again == [("a", None, 0, False)]
    assert not verdict.faultless


def test_an_episode_that_comes_under_another_name_is_found():
    verdict = verify_alerts(lines([alert("a2"), *ALERTS]), lines(ALERTS))

    assert verdict.unexpected == [("a2", None, 0, False)]
    assert not verdict.faultless


def test_an_alert_that_says_something_else_is_found():
    verdict = verify_alerts(lines([alert("a", score=3.0), *ALERTS[1:]]), lines(ALERTS))

    assert [entry[0] for entry in verdict.wrong] == [("a", None, 0, False)]


def test_a_revision_is_an_alert_of_its_own_and_raises_nothing_again():
    revised = [
        alert("a"),
        alert("a", score=3.0, revision=1, amends=True),
        alert("a", "retracted", 3.0, 2),
        alert("a", score=3.0, revision=3),
    ]

    assert verify_alerts(lines(revised), lines(revised)).faultless
    assert verify_alerts(lines([revised[0], *revised[2:]]), lines(revised)).missing == [("a", None, 1, True)]
    assert verify_alerts(lines([*revised[:3], revised[1], revised[3]]), lines(revised)).raised_again == [
        ("a", None, 1, True)
    ]


def test_the_workload_is_the_same_each_time_and_sends_every_sample():
    first, second = list(Workload(n_steps=50).records()), list(Workload(n_steps=50).records())
    sent = [json.loads(payload) for _, payload in first]

    assert first == second
    assert len({(message["labels"]["host"], message["time_ms"][0]) for message in sent}) == 6 * 50
    assert len(sent) > 6 * 50  # some twice
    assert {tuple(message["metrics"]) for message in sent} == {METRICS}
    times = [message["time_ms"][0] for message in sent]
    assert times != sorted(times)
    assert all(time_ms >= max(times[: at + 1]) - 2000 for at, time_ms in enumerate(times))
