from __future__ import annotations

import numpy as np
import pytest
from forecasters import HORIZON, W, forecaster

from models.forecast import Forecast
from models.forecast_baselines import compare
from monitor.errors import ConfigError, MonitorError
from monitor.offline.forecast_files import (
    FileForecast,
    Question,
    answers,
    check_forecasts,
    forecast_files,
    parse_question,
    rows_of,
)
from monitor.sample import Columns, concatenate, labels_of


@pytest.fixture
def recorded(table):
    """Make the samples of entities that each show a series, in steps of 1 s from a time on."""

    def make(start_s=0, **series):
        parts = []
        for host, values in series.items():
            number = table.intern("load", labels_of({"host": host}))
            times = 1000 * (start_s + np.arange(len(values), dtype=np.int64))
            parts.append(Columns(np.full(len(values), number, np.int32), times, np.array(values, float)))
        return concatenate(parts)

    return make


@pytest.fixture
def made(quiet_watch, table):
    """Forecast samples by a model that predicts a change of 1 a step, and a band of 0.5 around that."""

    def make(columns, n_steps=6, **options):
        bundle = forecaster(1.0, half_width=0.5, entities=("web1", "web2"))
        return forecast_files(quiet_watch(), bundle, columns, table, n_steps=n_steps, **options)

    return make


def test_known_steps_are_predicted_from_the_window_before_their_block(made, recorded):
    found = made(recorded(web1=range(100, 100 + W + 2 * HORIZON)))

    assert (found.entities, found.channels) == (("web1",), ("load",))
    assert found.time_ms.tolist() == [1000 * step for step in range(W + 2 * HORIZON)]
    assert np.isnan(found.past.expected[:W]).all()
    np.testing.assert_allclose(found.past.expected[W:], found.values[W:])  # it does rise by 1 a step


def test_what_follows_is_predicted_behind_each_entitys_newest_step(made, recorded):
    found = made(recorded(web1=[100.0] * 20, web2=[50.0] * 15))

    assert found.newest_ms.tolist() == [19_000, 14_000]
    ahead = found.future.expected[:, :, 0]
    np.testing.assert_allclose(ahead[0], [101, 102, 103, 104, 105, 106])
    np.testing.assert_allclose(ahead[1], [51, 52, 53, 54, 55, 56])


def test_an_entity_that_the_model_does_not_know_is_scaled_by_its_first_steps(made, recorded):
    level = np.tile([1000.0, 1000.0, 1020.0, 1020.0], 30)
    found = made(recorded(web9=level))

    # Its interquartile range is 20: a change of 1 a step is one of 20 / 1.349 here.
    first = float(found.future.expected[0, 0, 0] - level[-1])
    assert found.entities == ("web9",)
    assert first == pytest.approx(20 / 1.349, rel=1e-3)


def test_an_entity_whose_newest_window_has_too_many_gaps_has_no_future(made, recorded):
    found = made(concatenate([recorded(web1=[100.0] * 40, web2=[100.0] * 9), recorded(39, web2=[100.0])]))

    assert not np.isnan(found.future.expected[0]).any()
    assert np.isnan(found.future.expected[1]).all()
    assert [text for _, _, text in answers(found, [Question("load", 105.0)])][1].startswith("unknown")


def test_a_given_season_is_that_of_every_series(made, recorded):
    found = made(recorded(web1=np.sin(np.arange(100))), season_seconds=20.0)

    assert found.accuracy.period.tolist() == [[20]]


def test_a_file_shorter_than_a_window_says_what_it_has_and_what_is_needed(made, recorded):
    with pytest.raises(MonitorError, match=f"the files have {W - 1} steps of 1 s .* window of {W}"):
        made(recorded(web1=[1.0] * (W - 1)))


def test_files_that_end_in_gaps_alone_are_refused(made, recorded):
    with pytest.raises(MonitorError, match="no entity of watch w ends with a window of 8 steps"):
        made(concatenate([recorded(web1=[1.0] * 3), recorded(30, web1=[1.0])]))


def test_a_watch_without_a_model_or_a_head_says_what_to_set_and_what_to_run(quiet_watch):
    without_head = forecaster(1.0)
    without_head.detector.trained = None

    for champion, found in ((None, "watch w has no model"), (without_head, "watch w has no forecast head")):
        with pytest.raises(MonitorError, match=f'{found}.*head = "joint".*`barograph train --watch w`'):
            check_forecasts(quiet_watch(), champion)


def test_a_model_of_another_window_than_is_configured_is_refused(quiet_watch):
    with pytest.raises(ConfigError, match="window_length is 16"):
        check_forecasts(quiet_watch(window_length=16), forecaster(1.0))


def test_a_model_that_fits_is_given_back(quiet_watch):
    bundle = forecaster(1.0)

    assert check_forecasts(quiet_watch(), bundle) is bundle


def test_the_value_of_a_question_is_behind_its_last_equals_sign():
    assert parse_question('cpu{mode="user"}=0.5') == Question('cpu{mode="user"}', 0.5)


@pytest.mark.parametrize("text", ["load", "=5", "load=", "load=high", "load=nan", "load=inf"])
def test_another_form_of_a_question_is_an_error_with_an_example(text):
    with pytest.raises(ConfigError, match="expected CHANNEL=VALUE, as in --until disk_used_percent=95"):
        parse_question(text)


def answer_of(made, columns, value, **options):
    ((entity, question, text),) = answers(made(columns, **options), [Question("load", value)])
    assert (entity, question.value) == ("web1", value)
    return text


def test_a_value_ahead_is_reached_at_a_time_with_that_of_the_bands_edges(made, recorded):
    text = answer_of(made, recorded(web1=[100.0] * 20), 102.2)

    # The newest step begins at 19 s. 103 at 22 s is the first above, and its band of 102.5 to 103.5 is wholly
    # above; that of one step before reaches up to 102.5.
    assert text == (
        "in 3 s (at 1970-01-01T00:00:22Z; earliest 1970-01-01T00:00:21Z, latest 1970-01-01T00:00:22Z)"
    )


def test_a_value_that_only_the_band_reaches_has_an_earliest_time(made, recorded):
    text = answer_of(made, recorded(web1=[100.0] * 20), 103.3, n_steps=3)

    assert text == "not within 3 steps (3 s); earliest 1970-01-01T00:00:22Z"


def test_a_value_beyond_the_forecast_is_not_reached_within_its_steps(made, recorded):
    assert answer_of(made, recorded(web1=[100.0] * 20), 9000.0, n_steps=5000) == (
        "not within 5000 steps (1 h 23 min)"
    )


@pytest.mark.parametrize("last", [105.0, 110.0])
def test_a_value_that_is_passed_only_now_is_reached_already(made, recorded, last):
    assert answer_of(made, recorded(web1=[100.0] * 20 + [last]), 105.0) == f"already, it is {last:g}"


def test_a_channel_that_is_not_there_is_an_error_that_names_those_that_are(made, recorded):
    found = made(recorded(web1=[100.0] * 20))

    with pytest.raises(ConfigError, match="--until lod: no channel has that name; there are load"):
        list(answers(found, [Question("lod", 1.0)]))


def test_a_series_that_is_its_own_entity_is_asked_for_by_its_name():
    values = np.full((12, 2, 1), 5.0)
    ahead = Forecast(np.full((2, 3, 1), 6.0), np.full((2, 3, 1), 6.0), np.full((2, 3, 1), 6.0))
    past = Forecast(values, values, values)
    made = FileForecast(
        entities=("load", "disk"),
        channels=("value",),
        values=values,
        time_ms=1000 * np.arange(12),
        past=past,
        future=ahead,
        newest_ms=np.array([11_000, 11_000]),
        accuracy=compare(values, past, np.zeros((2, 1), int), window_length=W, horizon=HORIZON),
        step_ms=1000,
    )

    ((entity, _, text),) = answers(made, [Question("disk", 5.5)])

    assert entity == "disk"
    assert text.startswith("in 1 s ")


def test_the_rows_are_known_steps_and_behind_them_what_is_forecast(made, recorded):
    found = made(recorded(web1=[100.0] * 9, web2=[50.0] * 9), n_steps=2)

    columns = rows_of(found)

    assert list(columns) == ["entity", "time_ms", "load.actual", "load.forecast", "load.low", "load.high"]
    assert {len(column) for column in columns.values()} == {2 * 9 + 2 * 2}
    rows = list(zip(*columns.values(), strict=True))
    assert rows[1][:3] == ("web2", 0, 50.0)
    np.testing.assert_allclose(rows[16][2:], [100, 101, 100.5, 101.5])
    assert [row[0] for row in rows[18:]] == ["web1", "web1", "web2", "web2"]
    assert [row[1] for row in rows[18:]] == [9000, 10_000, 9000, 10_000]
    np.testing.assert_allclose([row[3] for row in rows[18:]], [101, 102, 51, 52])
    assert np.isnan([row[2] for row in rows[18:]]).all()
