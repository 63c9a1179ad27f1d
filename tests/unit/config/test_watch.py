from __future__ import annotations

import pytest
from parsed_config import error_of, errors_of, parsed

from models.limits import Budget


def test_a_watch_needs_a_name_only():
    watch = parsed().watch[0]

    assert (watch.name, watch.step_seconds, watch.budget, watch.by) == ("web", 60.0, "1/week", ["host"])


def test_a_whole_number_will_do_for_seconds():
    assert parsed(watch={"step_seconds": 10}).watch[0].step_ms == 10_000


def test_by_labels_or_each_series_on_its_own():
    assert parsed(watch={"by": ["host", "pod"]}).watch[0].settings().entity_labels == ("host", "pod")
    assert parsed(watch={"by": "series"}).watch[0].settings().entity_labels == ()


def test_the_policy_and_the_models_settings_are_what_was_written():
    tables = {"model": {"hidden": 32, "cell": "gru"}, "alert": {"hold_seconds": 5, "rest_seconds": 7}}

    settings = parsed(watch={"window_length": 16, **tables}).watch[0].settings()

    assert (settings.model.window_length, settings.model.hidden, settings.model.cell) == (16, 32, "gru")
    assert (settings.alert.hold_seconds, settings.alert.rest_seconds) == (5, 7)


def test_an_episode_closes_and_rests_for_half_a_window_each_where_that_is_not_set():
    watch = {"step_seconds": 10, "window_length": 24}

    unset = parsed(watch=watch).watch[0].settings()
    one_set = parsed(watch={**watch, "alert": {"close_seconds": 50}}).watch[0].settings()

    assert (unset.alert.close_seconds, unset.alert.rest_seconds, unset.block_steps) == (120, 120, 24)
    assert (one_set.alert.close_seconds, one_set.alert.rest_seconds) == (50, 120)


def test_a_block_is_as_long_as_an_episode_and_its_rest_and_never_shorter_than_a_window():
    times = {"close_seconds": 100, "rest_seconds": 220}

    assert (
        parsed(watch={"step_seconds": 10, "window_length": 8, "alert": times}).watch[0].settings().block_steps
        == 32
    )
    assert (
        parsed(watch={"step_seconds": 10, "window_length": 64, "alert": times})
        .watch[0]
        .settings()
        .block_steps
        == 64
    )


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("1/week", Budget(1.0, 604_800.0)),
        ("3/day", Budget(3.0, 86_400.0)),
        ("0.5/hour per entity", Budget(0.5, 3600.0, per_entity=True)),
        (" 2 / month ", Budget(2.0, 2_592_000.0)),
    ],
)
def test_a_budget_is_a_count_in_a_period(text, budget):
    assert Budget.parse(parsed(watch={"budget": text}).watch[0].budget) == budget


@pytest.mark.parametrize("by", [[], "host"])
def test_by_is_labels_or_series(by):
    assert error_of(by=by).startswith("config.toml: watch.web.by")


@pytest.mark.parametrize("text", ["1/fortnight", "often", "0/week", "-1/day", "1/week per host", ""])
def test_what_is_no_budget_is_told_with_one_that_is(text):
    line = error_of(budget=text)

    assert line.startswith(f"config.toml: watch.web.budget: found {text!r}: ")
    assert '"1/week"' in line


def test_histories_and_checkpoints_from_before_there_were_kinds_still_fit_and_others_do_not():
    keys = frozenset({"name", "by"})
    plain = parsed(watch={"counters": [], "gauges": []}).watch[0]
    counting = parsed(watch={"counters": ["jobs_*"]}).watch[0]

    # sha256 of {"name":"web","by":["host"]}
    assert plain.hash_of(keys) == "5890f5cb05abc86ff0643f4be05f4846011c1a4536cfb3a0c6ac84868fe7de7b"
    assert counting.hash_of(keys) != plain.hash_of(keys)
    assert counting.settings().history_shape != plain.settings().history_shape


def test_a_lateness_of_a_whole_window_is_refused_with_the_reason_and_the_way_out():
    line = error_of(step_seconds=10, window_length=8, lateness_seconds=80)

    assert line == (
        "config.toml: watch.web: lateness_seconds is 80, expected less than one window (80 s): "
        "every alert would come a window late. Lower lateness_seconds or raise window_length"
    )
    assert parsed(watch={"step_seconds": 10, "window_length": 8, "lateness_seconds": 79.9}).watch


def test_more_steps_than_are_kept_cannot_be_judged_again():
    line = error_of(step_seconds=10, revision_seconds=1001)

    assert line.startswith(
        "config.toml: watch.web: revision_seconds is 1001, expected at most 100 steps (1000 s): "
    )
    assert (
        parsed(watch={"step_seconds": 10, "revision_seconds": 1000}).watch[0].settings().revision_steps == 100
    )


@pytest.mark.parametrize(
    ("settings", "n_steps"),
    [
        ({}, 5),
        ({"step_seconds": 7.0}, 30),
        ({"step_seconds": 7.0, "revision_seconds": 300.0}, 43),
        ({"revision_seconds": 0}, 0),
    ],
)
def test_by_default_five_minutes_are_judged_again_or_thirty_steps(settings, n_steps):
    assert parsed(watch={"lateness_seconds": 0, **settings}).watch[0].settings().revision_steps == n_steps


@pytest.mark.parametrize("mode", ["hold", "zero", "interpolate"])
def test_filling_gaps_without_a_bound_of_a_step_is_refused(mode):
    line = error_of(gap_mode=mode, step_seconds=10, max_gap_seconds=9, lateness_seconds=0)

    wrong = f'config.toml: watch.web: gap_mode is "{mode}" with max_gap_seconds 9'
    assert line.startswith(f"{wrong}, expected at least one step (10 s)")


def test_a_step_below_a_millisecond_is_refused():
    assert "step_seconds is 0.0004, expected at least 0.001" in error_of(
        step_seconds=0.0004, lateness_seconds=0
    )


@pytest.mark.parametrize("name", ["", "../web", "web watch", ".", "web/db", "w" * 65])
def test_a_name_must_do_as_a_folders_name(name):
    (line,) = errors_of({"watch": [{"name": name}]})

    assert ".name: found " in line


def test_nothing_is_retrained_unless_it_is_asked_for():
    assert not parsed().watch[0].retrain.is_scheduled
    assert parsed(watch={"retrain": {"interval_seconds": 86400}}).watch[0].retrain.is_scheduled
    assert parsed(watch={"retrain": {"cron": "30 3 * * sun"}}).watch[0].retrain.is_scheduled


@pytest.mark.parametrize(
    ("interval", "reason"),
    [
        (-1, "found -1, expected greater than or equal to 0"),
        (float("inf"), "found inf, expected a finite number"),
        ("daily", "found 'daily', expected"),
        (
            9.9,
            "found 9.9: expected 0 (off) or at least 10 s: a training would still run when the next is due",
        ),
    ],
)
def test_a_wrong_interval_is_refused_with_its_place(interval, reason):
    assert error_of(retrain={"interval_seconds": interval}).startswith(
        f"config.toml: watch.web.retrain.interval_seconds: {reason}"
    )


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("daily", "Wrong number of fields; got 1, expected 5"),
        ("0 25 * * *", "expected minute, hour, day, month and weekday in UTC"),
        ("x 3 * * *", "expected minute, hour, day, month and weekday in UTC"),
        ("0 3 * * 0", "expected days of the week by their names"),
        ("0 3 30 2 *", "expected a date that exists: this one never comes"),
    ],
)
def test_a_wrong_cron_expression_is_refused_with_its_place(cron, reason):
    line = error_of(retrain={"cron": cron})

    assert line.startswith(f"config.toml: watch.web.retrain.cron: found {cron!r}: ")
    assert reason in line


def test_an_interval_and_a_cron_expression_together_are_refused():
    line = error_of(retrain={"interval_seconds": 60, "cron": "0 3 * * *"})

    wrong = 'config.toml: watch.web.retrain: interval_seconds is 60 and cron "0 3 * * *"'
    assert line == f"{wrong}, expected one of the two"


RATIO = {"name": "error_ratio", "kind": "ratio", "of": "a_total", "over": "b_total"}


@pytest.mark.parametrize(
    ("derive", "reason"),
    [
        ({**RATIO, "over": ""}, 'kind is "ratio", and `over` is not set'),
        ({**RATIO, "name": "errors"}, 'a ratio is named "errors", expected a name that ends in _ratio'),
        ({**RATIO, "quantile": 0.5}, '`quantile` belongs to kind = "quantile", and this is a "ratio"'),
        ({"name": "a", "kind": "sum", "of": "a", "over": "b"}, '`over` belongs to kind = "ratio"'),
        ({"name": "a", "kind": "quantile", "of": "a_bucket"}, "and `quantile` is not set"),
        ({"name": "a", "kind": "quantile", "of": "a", "quantile": 0.5, "by": ["le"]}, "`by` names le"),
    ],
)
def test_a_derived_channel_that_does_not_fit_its_kind_is_refused(derive, reason):
    assert reason in error_of(derive=[derive])


def test_derived_channels_of_one_name_or_of_no_entity_are_refused():
    assert 'two derived channels are named "error_ratio"' in error_of(derive=[RATIO, RATIO])
    assert 'by is "series", and there are `derive` tables' in error_of(derive=[RATIO], by="series")


def test_histories_and_states_differ_with_derived_channels_and_stay_the_same_without():
    plain, derived = parsed().watch[0], parsed(watch={"derive": [RATIO]}).watch[0]

    assert plain.settings().history_shape != derived.settings().history_shape
    # As versions had it that knew no derived channels.
    assert plain.settings().history_shape == (
        "5be63378c49b49a199548927aaee7b9e25a04edf2cbd87007e3eb0fb25c87296"
    )
    (rule,) = derived.settings().derive
    assert (rule.name, rule.kind, rule.of, rule.over, rule.by) == (*RATIO.values(), ())
