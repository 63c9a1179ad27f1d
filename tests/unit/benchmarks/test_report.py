"""The card puts results side by side: means and spreads, ranks, and everything that was measured."""

import json

import pytest

from benchmarks.card.picture import draw
from benchmarks.card.report import as_data, collect, markdown
from benchmarks.card.sets import LARGE_SETS


def write(folder, contender, of, seed=0, **measures):
    result = {
        "contender": contender, "set": of, "seed": seed, "ap": 0.5, "vus_pr": 0.5, "chance": 0.1,
        "event_recall": 0.5, "episode_precision": 0.5, "event_f1": 0.5, "false_episodes": 3,
        "false_over_budget": 1.5,
        "delay_seconds": 600.0, "named": 0, "top_channel_right": None, "episodes": 6, "segments": 4,
        "entity_weeks": 2.0, "fit_seconds": 1.0, "microseconds_a_row": 50.0, "notes": [],
        "rows": [{"entity": "e"}],
    }  # fmt: skip
    (folder / f"{of}-{contender}-{seed}.json").write_text(json.dumps(result | measures))


@pytest.fixture
def units(tmp_path):
    folder = tmp_path / "units"
    folder.mkdir()
    write(folder, "product", "asd", 0, ap=0.4, event_f1=0.8)
    write(folder, "product", "asd", 1, ap=0.6, event_f1=0.6)
    write(folder, "gaussian", "asd", ap=0.2, event_f1=0.1)
    write(folder, "random", "asd", ap=0.1, event_f1=0.1)
    return folder


def test_a_cell_is_the_mean_of_the_seeds_with_their_spread(units):
    text = markdown(collect(units, None))

    assert "| **whole product** | 0.500 ±0.200 |" in text
    assert "| windowed Gaussian | 0.200 |" in text
    assert "| labelled share | 0.100 |" in text


def test_ranks_are_shared_where_values_are_equal(units):
    card = collect(units, None)

    assert card.ranks("asd", "event_f1") == {"gaussian": 2.5, "product": 1.0, "random": 2.5}
    assert card.mean_ranks() == {"gaussian": 2.25, "product": 1.0, "random": 2.75}
    assert card.contenders == ["product", "gaussian", "random"]


def test_on_nab_the_standard_score_ranks(units):
    for contender, standard in (("product", 40.0), ("gaussian", 50.0)):
        scores = {"standard": standard, "reward_low_FP_rate": 1.0, "reward_low_FN_rate": 2.0}
        write(units, contender, "nab", nab={"own_limit": scores, "swept": {**scores, "standard": 60.0}})

    card = collect(units, None)

    assert card.ranks("nab", "nab.own_limit.standard") == {"gaussian": 1.0, "product": 2.0}
    assert "| windowed Gaussian | 50.0 | 1.0 | 2.0 | 60.0 | 1.0 | 2.0 | 10.0 |" in markdown(card)


def test_published_detectors_on_the_same_files_stand_beside(units, tmp_path):
    names = ("numenta", "ARTime", "contextOSE", "windowedGaussian", "randomCutForest", "silent")
    profiles = ("standard", "reward_low_FP_rate", "reward_low_FN_rate")
    cases = {name: {profile: {"score": 66.64} for profile in profiles} for name in names}
    (tmp_path / "nab" / "scoring").mkdir(parents=True)
    (tmp_path / "nab" / "scoring" / "expected.json").write_text(json.dumps(cases))
    scores = dict.fromkeys(profiles, 1.0)
    write(units, "product", "nab", nab={"own_limit": scores, "swept": scores})

    text = markdown(collect(units, tmp_path))

    assert "| numenta | 66.6 | 66.6 | 66.6 |" in text
    assert "silent" not in text


def test_notes_and_what_was_left_out_are_said(units):
    write(units, "product", LARGE_SETS[0], notes=["not trained: too short"])

    text = markdown(collect(units, None))

    assert "Note: not trained: too short" in text
    assert f"On {LARGE_SETS[0]}, everything runs with one seed" in text


def test_scenarios_become_tables(units):
    life = {
        "life": "daily",
        "daemon": "fresh",
        "budget": "1/day",
        "told": 9,
        "allowed": 4.0,
        "weeks": 2,
        "silent": 0,
    }
    broken = {"contender": "product", "relation": "lag", "caught": 3, "faults": 4, "false": 1}
    for name, row in (
        ("life-daily-fresh", life),
        ("relations-product", broken),
        ("second-product", {"what": "return told", "told": 1, "of": 4}),
    ):
        (units / f"scenario-{name}-0.json").write_text(json.dumps({"rows": [row]}))

    text = markdown(collect(units, None))

    assert "| daily | fresh | 1/day | 9 | 4.00 | 2.25 | 1 to 8 | 0 of 2 | **no** |" in text
    assert "| **whole product** | lag | 3 | 4 | 1 | 75 |" in text
    assert "| return told | 1 | 4 |" in text


def test_data_and_picture_hold_every_result(units, tmp_path):
    card = collect(units, None)

    draw(card, tmp_path / "card.png")

    results = as_data(card)["results"]
    assert len(results) == 4
    assert all("rows" not in result for result in results)
    assert (tmp_path / "card.png").read_bytes().startswith(b"\x89PNG")
