"""What is counted on simulated series."""

import pytest

from benchmarks.card import scenarios
from benchmarks.card.measures import Episode
from benchmarks.card.product import Judged
from benchmarks.card.scenarios import (
    budget_table,
    poisson_interval,
    pooled,
    relations,
    second_faults,
    unlabelled,
)
from benchmarks.card.simulated import DAY, HOUR, labelled_trial, level_changes


def row(told, allowed, budget="1/week"):
    return {
        "life": "daily", "daemon": "fresh", "budget": budget, "told": told, "allowed": allowed, "weeks": 8,
        "silent": 8 - min(told, 8),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mean", "interval"), [(0.5, (0, 2)), (1.0, (0, 3)), (4.0, (1, 8)), (28.0, (18, 39)), (224.0, (195, 254))]
)
def test_poisson_intervals_are_those_of_the_tables(mean, interval):
    assert poisson_interval(mean) == interval


def test_a_budget_of_few_episodes_holds_within_the_interval():
    assert [budget_table([row(told, 4.0)])[0]["holds"] for told in (0, 8, 9)] == ["yes", "yes", "**no**"]


def test_a_budget_of_many_episodes_holds_up_to_half_as_many_again():
    assert [budget_table([row(told, 20.0)])[0]["holds"] for told in (30, 31)] == ["yes", "**no**"]


def test_seeds_are_pooled_before_the_budget_is_judged():
    (total,) = budget_table([row(9, 4.0), row(0, 4.0)])

    assert (total["told"], total["allowed"], total["entity-weeks without"]) == (9, 8.0, "8 of 16")
    assert total["holds"] == "yes"


def test_numbers_are_added_up_by_key():
    rows = [
        {"what": "a", "told": 1, "of": 2},
        {"what": "b", "told": 0, "of": 1},
        {"what": "a", "told": 1, "of": 1},
    ]

    assert pooled(rows, ("what",)) == [{"what": "a", "told": 2, "of": 3}, {"what": "b", "told": 0, "of": 1}]


def test_only_episodes_beside_labels_spend_the_budget(monkeypatch):
    trial = labelled_trial(seed=0)
    first, _ = trial.test_span(0)
    start = int(trial.label[:, 0].argmax())
    episodes = [[Episode(first, first + 1), Episode(start + 1, start + 3)], []]
    monkeypatch.setattr(scenarios, "judge", lambda *args, **options: Judged(episodes, None, 0.0, 0.0))
    monkeypatch.setattr(scenarios, "_trained", lambda trial, seed: "a detector")

    found = unlabelled([trial], seed=0)

    assert {(part["daemon"], part["told"]) for part in found} == {("trained", 1), ("fresh", 1)}
    (per_entity,) = (
        part for part in found if part["budget"] == "1/week per entity" and part["daemon"] == "fresh"
    )
    n_weeks = (trial.test & ~trial.label).sum() * 300 / 604800
    assert per_entity["allowed"] == pytest.approx(n_weeks)
    assert (per_entity["weeks"], per_entity["silent"]) == (2, 1)


def test_a_contender_without_channels_side_by_side_sees_no_broken_relation():
    found = {part["relation"]: part for part in relations("gaussian", seed=0, quick=True)}

    assert sum(part["faults"] for part in found.values()) == 14
    assert sum(part["caught"] for part in found.values()) <= 3


def test_a_second_fault_is_told_by_an_episode_that_opens_for_it(monkeypatch):
    made = {"n_train": 7 * DAY, "n_test": 13 * DAY, "n_entities": 2, "seed": 0}
    trial, incidents = level_changes(**made)
    episodes = [[], []]
    for incident in incidents:
        if incident.kind == "change":  # one long episode for each change of level, and one for each return
            episodes[incident.row].append(Episode(incident.start, incident.end))
            episodes[incident.row].append(Episode(incident.end + HOUR, incident.end + 2 * HOUR))
        elif incident.kind == "second other":
            episodes[incident.row].append(Episode(incident.start + 1, incident.end))
    episodes[0].append(Episode(trial.test_span(0)[0] + 1, trial.test_span(0)[0] + 2))
    judged = {"product": Judged(episodes, trial.values[:, :, 0], 0.0, 0.0)}
    monkeypatch.setattr(scenarios, "judge_product", lambda trial, seed, parts: judged)

    told = {part["what"]: (part["told"], part["of"]) for part in second_faults(seed=0, quick=True)}

    assert told["change of level told"] == told["return told"] == (4, 4)
    assert told["second other fault told"] == (2, 2)
    assert told["second same fault told"] == (0, 2)
    assert told["episodes about nothing"] == (1, 11)
