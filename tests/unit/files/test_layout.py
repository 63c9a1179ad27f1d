"""The tally of what was read."""

from pathlib import Path

from monitor.files.layout import FileLayout, Reading, Tally, few, stem_of
from monitor.sample import SeriesTable


def test_files_that_were_read_alike_share_a_line():
    tally = Tally()
    for name in ("a.csv", "b.csv"):
        reading = Reading(Path(name), FileLayout(), SeriesTable(), tally)
        reading.say("times in s")
        reading.say("times in s")
        reading.finish("table")

    assert tally.how_files_were_read() == ("read as table: times in s (a.csv, b.csv)",)


def test_what_a_table_turned_out_to_be_is_said():
    tally = Tally()
    reading = Reading(Path("a.csv"), FileLayout(), SeriesTable(), tally)
    reading.recognise("grafana")
    reading.recognise("")
    reading.finish("table")

    assert tally.how_files_were_read() == ("read as grafana (a.csv)",)


def test_a_stem_has_no_ending_and_a_long_list_is_cut():
    assert stem_of(Path("x/web-1.2.csv.gz")) == "web-1.2"
    assert few(["a"] * 7) == ["a"] * 5 + ["and 2 more"]
