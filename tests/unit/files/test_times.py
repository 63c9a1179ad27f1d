"""Times of a column: units, ISO, patterns, zones."""

import pandas as pd
import pytest
from file_reading import START_S, FileRead

from monitor.errors import SourceError

FACTORS = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}


def times(tmp_path, *written, **layout):
    """Read times, as ms after the start; and what was said."""
    rows = "".join(f'"{time}",1\n' for time in written)
    read = FileRead(tmp_path / "web1.csv", f"time,cpu\n{rows}", **layout)
    return [time_ms for time_ms, _ in read.series['cpu{entity="web1"}']], read


@pytest.mark.parametrize("unit", FACTORS)
def test_the_unit_is_found_by_the_size_of_the_numbers_and_said(tmp_path, unit):
    factor = FACTORS[unit]

    read_ms, read = times(tmp_path, START_S * factor, (START_S + 60) * factor)

    assert read_ms == [0, 60_000]
    assert f"times in {unit} since the epoch" in read.read_as


@pytest.mark.parametrize("year", [1990, 2099])
@pytest.mark.parametrize("unit", FACTORS)
def test_from_1990_to_2100_no_unit_is_taken_for_another(tmp_path, year, unit):
    seconds = int(pd.Timestamp(f"{year}-06-01", tz="UTC").timestamp())

    assert times(tmp_path, seconds * FACTORS[unit])[0] == [(seconds - START_S) * 1000]


@pytest.mark.parametrize("first", ["1000", "0", "99999999999999999999", "3"])
def test_numbers_that_are_no_times_of_today_are_an_error_that_shows_the_first_and_names_the_setting(
    tmp_path, first
):
    with pytest.raises(SourceError, match=rf"the first is '{first}'.*Set source\.replay\.time_unit"):
        times(tmp_path, first)


def test_an_explicit_unit_wins(tmp_path):
    assert times(tmp_path, "1000", time_unit="ms")[0] == [1000 - START_S * 1000]


def test_two_units_in_a_column_are_an_error(tmp_path):
    with pytest.raises(SourceError, match=r"not all in one unit: 2 of 3 look like s, but \d{13} does not"):
        times(tmp_path, START_S, START_S * 1000, START_S + 60)


def test_a_damaged_time_among_many_is_counted(tmp_path):
    read_ms, read = times(tmp_path, *[START_S + 60 * k for k in range(10)], "17675", "noon")

    assert len(read_ms) == 10
    assert read.n_bad == {"bad_time": 2}


def test_nanoseconds_are_exact(tmp_path):
    assert times(tmp_path, f"{START_S}123000000")[0] == [123]


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-05T00:00:00Z", "2026-01-05 00:00:00", "2026/01/05 00:00:00", "2026-01-05T01:00:00+01:00",
        "2026-01-05 00:00:00 UTC", "2026-01-05 00:00:00 +0000 UTC", "2026-01-05 00:00:00,000",
        "2026-01-05T00:00:00.000000000Z", "2026-01-05 01:00:00+01",
    ],
)  # fmt: skip
def test_the_spellings_of_iso_are_read(tmp_path, written):
    assert times(tmp_path, written)[0] == [0]


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ("05.01.2026 00:00:00", "%d.%m.%Y %H:%M:%S"),
        ("01/05/2026, 12:00:00 AM", "%m/%d/%Y, %I:%M:%S %p"),
        ("05-01-2026 00:00", "%d-%m-%Y %H:%M"),
    ],
)
def test_a_local_order_of_day_and_month_is_an_error_that_names_the_pattern_which_then_reads_it(
    tmp_path, written, pattern
):
    with pytest.raises(SourceError) as caught:
        times(tmp_path, written)

    assert f'"{pattern}"' in str(caught.value)
    assert times(tmp_path, written, time_unit=pattern)[0] == [0]


def test_a_local_time_is_in_the_configured_zone_which_is_said(tmp_path):
    read_ms, read = times(tmp_path, "2026-01-05 01:00:00", time_zone="Europe/Berlin")

    assert read_ms == [0]
    assert "local times in Europe/Berlin (source.replay.time_zone)" in read.read_as
    assert "local times in UTC" in times(tmp_path, "2026-01-05 00:00:00")[1].read_as


def test_the_hour_of_a_clock_change_is_counted_and_the_setting_named(tmp_path):
    read_ms, read = times(
        tmp_path, "2026-03-29 01:59:00", "2026-03-29 02:30:00", "2026-10-25 02:30:00", "2026-10-25 03:00:00",
        time_zone="Europe/Berlin",
    )  # fmt: skip

    assert len(read_ms) == 2
    assert read.n_bad == {"bad_time": 2}
    assert "skips or that comes twice in Europe/Berlin" in read.warnings[0]
    assert "source.replay.time_zone" in read.warnings[0]


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_timestamps_of_parquet_are_read_with_and_without_zone(tmp_path, zone):
    frame = pd.DataFrame({"time": pd.to_datetime(["2026-01-05"]).tz_localize(zone), "cpu": [1.0]})
    frame.to_parquet(tmp_path / "frame.parquet")

    read = FileRead(tmp_path / "web1.parquet", (tmp_path / "frame.parquet").read_bytes())

    assert read.series == {'cpu{entity="web1"}': [(-3_600_000 if zone else 0, 1.0)]}
