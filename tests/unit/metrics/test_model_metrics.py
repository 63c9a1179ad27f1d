from __future__ import annotations

import pytest
from scraped import of

from monitor.metrics.model_metrics import ModelMetrics

RESULTS = ("promoted", "refused", "failed", "timed_out", "skipped")


@pytest.fixture
def models(declared):
    return declared(ModelMetrics, ["w"])


def test_a_swap_shows_the_new_version_alone(models):
    metrics, scrape = models
    metrics.loaded("w", "v1")
    metrics.swapped("w", "v1", "v2")
    shown = scrape()

    assert shown[of("barograph_model_info", watch="w", version="v2")] == 1
    assert of("barograph_model_info", watch="w", version="v1") not in shown
    assert shown[of("barograph_model_loaded", watch="w")] == 1
    assert shown[of("barograph_model_swaps_total", watch="w")] == 1


def test_a_watch_without_a_model_shows_that_none_is_loaded(models):
    metrics, scrape = models
    metrics.loaded("w", None)
    metrics.refused("w")

    assert scrape()[of("barograph_model_loaded", watch="w")] == 0
    assert scrape()[of("barograph_model_load_failures_total", watch="w")] == 1


def test_only_a_decision_counts_as_the_last_training(models):
    metrics, scrape = models
    metrics.training_known("w", 5.0)
    metrics.training_done("w", "failed", duration_seconds=3.0, now=10.0)
    failed = scrape()
    metrics.training_done("w", "refused", duration_seconds=4.0, now=20.0)
    metrics.training_skipped("w")
    refused = scrape()

    assert failed[of("barograph_training_last_success_timestamp_seconds", watch="w")] == 5.0
    assert refused[of("barograph_training_last_success_timestamp_seconds", watch="w")] == 20.0
    assert refused[of("barograph_training_duration_seconds", watch="w")] == 4.0
    runs = {
        result: refused[of("barograph_training_runs_total", watch="w", result=result)] for result in RESULTS
    }
    assert runs == {"promoted": 0, "refused": 1, "failed": 1, "timed_out": 0, "skipped": 1}


def test_a_number_that_the_opponent_does_not_have_is_left_out(models):
    metrics, scrape = models
    metrics.gate_decided(
        "w", error={"challenger": 0.5, "opponent": None}, over_limit={}, caught={"opponent": 0.25}
    )
    shown = scrape()

    assert shown[of("barograph_gate_error_ratio", watch="w", role="challenger")] == 0.5
    assert of("barograph_gate_error_ratio", watch="w", role="opponent") not in shown
    assert shown[of("barograph_gate_caught_ratio", watch="w", role="opponent")] == 0.25
