"""Entities that count as having shown a long history, where running through one would take too long."""

from __future__ import annotations

from models.tail import TailBank

LONG_AGO = 100_000  # steps: more than a tail's memory, and than a day of steps of a second


def mature(detector):
    """Let all calibrated rows be mature: they learn nothing of a fault, and have no floor of a newcomer."""
    detector.tails.n_learned[detector.calibrated] = LONG_AGO


def mature_from_the_start(monkeypatch):
    """Let each row be mature as soon as it is calibrated."""
    start = TailBank.start

    def start_mature(tails, row, raw_scores):
        start(tails, row, raw_scores)
        tails.n_learned[row] += LONG_AGO

    monkeypatch.setattr(TailBank, "start", start_mature)
