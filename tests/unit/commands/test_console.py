from __future__ import annotations

from models.training import Epoch
from monitor.commands.console import backfill_progress, scoring_progress, training_progress


def test_progress_goes_to_stderr_and_a_training_that_stops_early_fills_its_bar(capfd):
    with training_progress("web", 10) as on_epoch:
        on_epoch(Epoch(0, 0.5, 0.25, 1.0))

    written = capfd.readouterr()
    assert written.out == ""
    assert "training web" in written.err
    assert "1/1 epochs, loss 0.5000, held out 0.2500" in written.err


def test_a_training_that_never_began_leaves_no_bar_and_no_figures(capfd):
    with training_progress("web", 10):
        pass

    assert capfd.readouterr().err.strip() == ""


def test_the_share_of_files_that_are_scored_is_shown(capfd):
    with scoring_progress("web") as show:
        show(0.25)

    written = capfd.readouterr()
    assert written.out == ""
    assert "scoring web" in written.err
    assert "25%" in written.err


def test_what_is_read_of_the_past_is_shown_with_the_time_left(capfd):
    with backfill_progress("out.parquet") as show:
        show(0.25, 1234)

    written = capfd.readouterr()
    assert written.out == ""
    assert "reading out.parquet" in written.err
    assert "25%" in written.err
    assert "1234 samples" in written.err
