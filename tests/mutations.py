"""Deliberate mistakes, each of which a test must notice: `make mutations`.

Each is put into a copy of the tree, alone, and the tests that must notice it are run there.
Exit code 1 if one survives, or if what it changes is not in the file exactly once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 300  # the slowest of the named tests takes some ten


@dataclass(frozen=True, slots=True)
class Mutation:
    """`new` stands in the place of `old`; one of `tests` must fail then."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def in_module(file: str, test_file: str, *changes: tuple[str, str, str]) -> list[Mutation]:
    """List mutations of one module that one test file must notice, each as (old, new, test)."""
    return [Mutation(file, old, new, (f"tests/{test_file}::{test}",)) for old, new, test in changes]


MUTATIONS = [
    *in_module(
        "monitor/remote_write/write_ahead_log.py",
        "unit/remote_write/test_write_ahead_log.py",
        (
            "if segment.end <= offset and segment is not self._written",
            "if segment.end <= offset",
            "test_files_are_deleted_once_they_are_covered_but_for_the_last",
        ),
        (
            "self.close()  # so that",
            "pass  # so that",
            "test_a_log_that_is_full_with_one_file_takes_again_once_that_is_covered",
        ),
        (
            "self._next_start = segment.end + n_bytes",
            "self._next_start = segment.end",
            "test_after_a_sync_that_failed_the_offsets_of_what_failed_are_not_used_again",
        ),
        (
            "zlib.crc32(rest) != checksum",
            "False",
            "test_behind_damage_reading_goes_on_in_the_next_file",
        ),
    ),
    *in_module(
        "monitor/remote_write/write_ahead_log.py",
        "unit/remote_write/test_receiver.py",
        (
            "os.fdatasync(descriptor)",
            "pass",
            "test_nothing_is_acknowledged_before_it_is_on_disk",
        ),
    ),
    *in_module(
        "monitor/remote_write/watermark.py",
        "unit/remote_write/test_watermark.py",
        (
            "min(reached_ms, clock_ms)",
            "reached_ms",
            "test_it_never_goes_back_and_never_passes_the_clock",
        ),
        (
            "self._last_at = now  # a sender",
            "self._last_at = -1e9  # a sender",
            "test_a_sender_that_catches_up_is_not_overtaken_by_the_clock",
        ),
    ),
    *in_module(
        "monitor/remote_write/source.py",
        "unit/remote_write/test_source.py",
        (
            "else:\n                decode_records()\n",
            "else:\n",
            "test_requests_come_in_their_order_whether_they_are_decoded_already_or_not",
        ),
    ),
    *in_module(
        "monitor/remote_write/receiver.py",
        "unit/remote_write/test_receiver.py",
        (
            "self._n_waiting_bytes -= len(body)",
            "self._n_waiting_bytes += len(body)",
            "test_what_was_answered_no_longer_counts_as_waiting",
        ),
        (
            "if len(body) + len(chunk) > self._max_request_bytes:",
            "if len(chunk) > self._max_request_bytes:",
            "test_a_body_over_the_limit_is_refused_with_and_without_its_length_declared",
        ),
    ),
    *in_module(
        "monitor/config/toml_text.py",
        "unit/config/test_toml_text.py",
        ('.replace("\\x7f", "\\\\u007f")', "", "test_a_setting_reads_back_as_it_was"),
    ),
    *in_module(
        "monitor/quickstart/workload.py",
        "unit/quickstart/test_workload.py",
        (
            "1 - len(first & last) / len(first | last)",
            "0.0",
            "test_churn_is_the_share_of_values_at_one_end_only",
        ),
        (
            "if not first or not last:",
            "if not last:",
            "test_churn_is_the_share_of_values_at_one_end_only",
        ),
    ),
    *in_module(
        "monitor/quickstart/choose.py",
        "unit/quickstart/test_choose.py",
        (
            "or entity.pod_label or entity.is_coarser",
            "",
            "test_pods_of_a_release_are_summed_to_their_workload",
        ),
        (
            "if n_series + count > max_series",
            "if n_series > max_series",
            "test_what_finds_no_room_is_cut_off_at_the_end_of_a_preset",
        ),
    ),
    *in_module(
        "monitor/discovery/survey.py",
        "unit/discovery/test_survey.py",
        (
            "return [int(number) for number in numbers[counts > 1]]",
            "return [int(number) for number in numbers[counts > 0]]",
            "test_series_on_several_partitions_are_found",
        ),
        (
            "times = self._columns.time_ms[self._partition_of == partition]",
            "times = self._columns.time_ms",
            "test_how_far_a_sample_is_behind_is_measured_in_its_own_partition",
        ),
        (
            "frozenset(grows - falls - levels - counts)",
            "frozenset(grows - levels - counts)",
            "test_a_metric_that_falls_in_one_series_does_not_only_grow",
        ),
        (
            "& (columns.series >= 0)",
            "| (columns.series >= 0)",
            "test_the_mark_of_a_series_end_is_no_sample_of_it",
        ),
    ),
    *in_module(
        "monitor/discovery/suggest.py",
        "unit/discovery/test_suggest.py",
        (
            "growing = names - level - counters",
            "growing = names - counters",
            "test_what_grows_in_one_topic_and_is_not_in_another_is_ignored_and_what_falls_in_one_is_not",
        ),
        (
            "longest = step * WINDOW_LENGTH / 2",
            "longest = step * WINDOW_LENGTH",
            "test_lateness_covers_twice_what_was_seen_and_stays_below_a_window",
        ),
        (
            "if step >= 0.9 * interval",
            "if step >= interval",
            "test_the_step_is_a_round_number_not_shorter_than_the_interval",
        ),
    ),
    *in_module(
        "monitor/discovery/suggested_settings.py",
        "unit/discovery/test_suggested_settings.py",
        (
            "if isinstance(kafka.get(key), str):",
            "if kafka.get(key) is None:",
            "test_no_secret_is_copied_and_a_reference_stays_one",
        ),
    ),
    *in_module(
        "monitor/discovery/cluster.py",
        "unit/discovery/test_cluster.py",
        (
            "bound.end - offsets.get(number, bound.first)",
            "bound.end - offsets.get(number, bound.end)",
            "test_lag_is_what_the_group_has_not_committed",
        ),
        (
            "starts = {number: max(offset, newest[number])",
            "starts = {number: min(offset, newest[number])",
            "test_the_last_minute_is_read_where_something_came_in_it",
        ),
    ),
    *in_module(
        "monitor/detection/grid.py",
        "unit/detection/test_grid.py",
        (
            "on_time = step >= self.next_step",
            "on_time = step > self.next_step",
            "test_a_sample_exactly_at_the_boundary_of_the_open_steps_is_on_time",
        ),
        (
            "self._carried = self._carried.in_order(order)",
            "pass",
            "test_open_steps_counters_and_held_values_follow_their_channel",
        ),
        (
            "max(newest_ms - self._lateness_ms, now_ms",
            "max(newest_ms + self._lateness_ms, now_ms",
            "test_the_watermark_trails_the_newest_sample_by_the_lateness",
        ),
        (
            "watermark_ms = max(self.watermark_ms, watermark_ms)",
            "pass",
            "test_the_watermark_never_goes_back",
        ),
        (
            "until = watermark_ms // self.step_ms - self._rules.n_ahead",
            "until = watermark_ms // self.step_ms + 1 - self._rules.n_ahead",
            "test_a_step_closes_at_the_millisecond_at_which_the_watermark_reaches_its_end",
        ),
        (
            "self._carried.aged(self._rules.max_gap_steps + 1)",
            "self._carried",
            "test_a_value_is_not_held_across_a_skipped_silence",
        ),
    ),
    *in_module(
        "monitor/detection/steps.py",
        "unit/detection/test_steps.py",
        (
            "return (self.first_step + t + 1) * self.step_ms",
            "return (self.first_step + t) * self.step_ms",
            "test_a_step_ends_where_the_next_begins",
        ),
        (
            "np.lexsort((samples.value, samples.time_ms",
            "np.lexsort((-samples.value, samples.time_ms",
            "test_of_two_samples_at_one_time_the_larger_stands",
        ),
    ),
    *in_module(
        "monitor/detection/rates.py",
        "unit/detection/test_rates.py",
        (
            "np.where(raw < before, raw, raw - before)",
            "np.where(raw < before, 0.0, raw - before)",
            "test_a_counter_that_falls_was_reset_and_grew_by_its_new_count",
        ),
    ),
    *in_module(
        "monitor/detection/rates.py",
        "unit/detection/test_grid.py",
        (
            "return Carried.of(count=nothing,",
            "return Carried.of(count=self.count,",
            "test_a_counter_has_no_rate_across_a_clock_that_was_set_back",
        ),
    ),
    *in_module(
        "monitor/detection/grid.py",
        "unit/detection/test_late_samples.py",
        (
            "is_kept = ~on_time & (step >=",
            "is_kept = ~on_time & (step >",
            "test_what_is_later_than_the_span_is_counted_and_dropped",
        ),
        (
            "self._carried = self._carried.grown(shape).with_rows(revision.reclosed.rows, revision.carried)",
            "pass",
            "test_a_late_count_changes_the_rate_of_a_step_that_is_still_open",
        ),
    ),
    *in_module(
        "monitor/detection/late_samples.py",
        "unit/detection/test_late_samples.py",
        (
            "if index > n_before:",
            "if False:",
            "test_what_is_late_goes_on_from_what_was_late_before",
        ),
    ),
    *in_module(
        "monitor/alerting/episodes.py",
        "unit/alerting/test_episodes.py",
        (
            "over = judged & (score >= 1.0)",
            "over = judged & (score > 1.0)",
            "test_an_episode_opens_when_the_score_reaches_one",
        ),
        (
            "low = judged & (score < policy.close_score)",
            "low = judged & (score <= policy.close_score)",
            "test_a_score_at_the_close_score_is_not_below_it",
        ),
        (
            "self._below_since_ms[is_open & ~low] = 0",
            "self._below_since_ms[is_open & judged & ~low] = 0",
            "test_behind_missing_data_the_time_below_the_close_score_starts_over",
        ),
        (
            "= time_ms + policy.rest_ms",
            "= time_ms",
            "test_at_rest_nothing_opens_and_what_would_have_is_counted",
        ),
        (
            'suppressed["hold"] += int(self._n_held[lapsed].sum())',
            'suppressed["hold"] += 0',
            "test_too_short_a_rise_lapses_and_its_scores_are_counted_as_suppressed",
        ),
        (
            "self._rest_until_ms -= n_ms",
            "self._rest_until_ms += n_ms",
            "test_a_rest_ends_in_its_time_after_the_clock_was_set_back",
        ),
    ),
    *in_module(
        "models/levels.py",
        "unit/models/test_levels.py",
        (
            "is_stable | ~has_moved",
            "is_stable | has_moved",
            "test_none_has_changed_as_long_as_a_blamed_channel_still_moves",
        ),
        (
            "(goes_back | ~has_much).all(axis=1)",
            "(goes_back | has_much).any(axis=1)",
            "test_a_fall_by_the_change_is_a_return_and_any_other_is_none",
        ),
        (
            "np.where(is_nearer, moved, before)",
            "moved",
            "test_a_return_moves_the_steps_before_it",
        ),
    ),
    *in_module(
        "monitor/detection/levels.py",
        "unit/detection/test_levels.py",
        (
            "detector.scaling.move(row, shift)",
            "detector.scaling.move(row, 0 * shift)",
            "test_twice_the_change_is_an_episode_of_its_own_and_both_ways_back_are_silent",
        ),
    ),
    *in_module(
        "monitor/detection/metric_rules.py",
        "unit/detection/test_metric_rules.py",
        (
            "np.sign(difference) == self._side[:n]",
            "np.sign(difference) != self._side[:n]",
            "test_only_the_stated_side_counts",
        ),
        (
            "(step.actual > self._valid_max[:n])",
            "(step.actual >= self._valid_max[:n])",
            "test_a_value_outside_its_valid_range_is_broken",
        ),
    ),
    *in_module(
        "monitor/detection/scorer.py",
        "unit/detection/test_scorer.py",
        (
            "self._rows.frozen_limit[row] = self.limits()[row]",
            "self._rows.frozen_limit[row] = np.nan",
            "test_a_frozen_entity_keeps_its_limit_and_its_tail",
        ),
        (
            "n_kept = self._window + WARMING_STEPS",
            "n_kept = self._window - 2",
            "test_scores_do_not_depend_on_how_steps_are_cut_into_blocks",
        ),
        (
            "(seen.last_seen == newest_step) & (seen.n_seen >= self._window",
            "(seen.last_seen == newest_step) & (seen.n_seen > self._window",
            "test_nothing_is_judged_before_a_window_and_a_hundred_steps",
        ),
    ),
    *in_module(
        "monitor/detection/scored_step.py",
        "unit/detection/test_scorer.py",
        (
            "which = np.flatnonzero(ordered.index.end == t + window - 1)",
            "which = np.flatnonzero(ordered.index.end == t + window - 2)",
            "test_scores_do_not_depend_on_how_steps_are_cut_into_blocks",
        ),
    ),
    *in_module(
        "monitor/detection/pipeline.py",
        "unit/detection/test_pipeline.py",
        (
            "future = columns.time_ms > latest_ms",
            "future = columns.time_ms >= latest_ms",
            "test_a_sample_is_from_the_future_beyond_the_bound_and_not_at_it",
        ),
        (
            "usable = in_range(columns.value)",
            "usable = np.isfinite(columns.value)",
            "test_a_value_beyond_what_float32_holds_is_counted_as_not_finite_and_left_out",
        ),
    ),
    *in_module(
        "monitor/detection/judge.py",
        "unit/detection/test_judge.py",
        (
            "self.scorer.learn(scored, self.book.frozen)",
            "self.scorer.learn(scored, self.book.frozen & False)",
            "test_a_fault_that_outlasts_what_is_remembered_stays_open_throughout",
        ),
    ),
    *in_module(
        "monitor/detection/coverage.py",
        "unit/detection/test_coverage.py",
        (
            "is_due = (judged_ms > 0) | (",
            "is_due = (judged_ms >= 0) | (",
            "test_an_entity_that_is_just_expected_is_not_missing_before_it_can_have_been_judged",
        ),
        (
            "np.argsort(self.since_ms[rows]",
            "np.argsort(-self.since_ms[rows]",
            "test_who_is_missing_is_known_since_its_newest_judged_step_and_the_longest_missing_comes_first",
        ),
    ),
    *in_module(
        "monitor/detection/entities.py",
        "unit/detection/test_entities.py",
        (
            "& (self.row_of != VACANT)",
            "& True",
            "test_series_that_have_lost_their_numbers_match_no_more",
        ),
    ),
    *in_module(
        "monitor/daemon/watch_log.py",
        "unit/daemon/test_watch_log.py",
        (
            "entity not in logged]",
            "True]",
            "test_what_changes_within_a_minute_is_logged_together_at_its_end",
        ),
        (
            "logged.difference_update(back)",
            "pass",
            "test_hosts_that_return_are_logged_and_so_are_those_given_up",
        ),
    ),
    *in_module(
        "monitor/metrics/exposition.py",
        "unit/metrics/test_exposition.py",
        (
            "(score[rows] >= _NOTABLE_SCORE)",
            "(score[rows] > _NOTABLE_SCORE)",
            "test_values_are_those_of_entities_with_an_open_episode_or_half_the_limit",
        ),
        (
            "is_open[list(hidden_rows)] = False",
            "pass",
            "test_values_of_an_episode_whose_score_has_fallen_are_shown_until_it_ends_unless_it_is_withheld",
        ),
    ),
    *in_module(
        "monitor/detection/watch.py",
        "unit/detection/test_watch.py",
        (
            "self.grid.watermark_ms > latest_ms",
            "self.grid.watermark_ms > now_ms",
            "test_a_clock_set_back_by_less_than_a_sample_may_be_ahead_makes_samples_late_and_no_step_anew",
        ),
        (
            "self.book.shift_time(report.n_steps_back * self.grid.step_ms)",
            "self.book.shift_time(0)",
            "test_a_rest_that_is_under_way_when_the_clock_is_set_back_ends_in_its_time",
        ),
    ),
    *in_module(
        "monitor/alerting/corrections.py",
        "unit/alerting/test_corrections.py",
        (
            "return not first_ends_before and not second_ends_before",
            "return not second_ends_before",
            "test_one_that_is_found_where_none_was_opens_late",
        ),
        (
            'if alert.reason != "retracted"]',
            "]",
            "test_what_was_retracted_is_remembered_and_notified_once",
        ),
        (
            "elif episode.resolved_ms is None and correction.is_open is None:",
            "elif False:",
            "test_one_that_was_notified_as_over_stays_over_though_it_is_found_open",
        ),
        (
            "revision=retracted.revision + 1",
            "revision=0",
            "test_one_that_was_retracted_and_is_found_again_goes_on_counting_its_revisions",
        ),
        (
            "amends=not ends",
            "amends=True",
            "test_an_open_episode_that_is_found_over_ends_by_that",
        ),
    ),
    *in_module(
        "monitor/detection/rescorer.py",
        "unit/detection/test_rescorer.py",
        (
            "begins=t == 0",
            "begins=True",
            "test_what_came_late_is_judged_as_if_it_had_come_in_time_given_the_same_tails_and_memories",
        ),
    ),
    *in_module(
        "models/baselines.py",
        "unit/detection/test_rescorer.py",
        (
            "self.kept[row] = _NOWHERE",
            "pass",
            "test_what_is_judged_again_unchanged_has_the_very_same_scores_whatever_was_learned_since",
        ),
    ),
    *in_module(
        "monitor/detection/rejudge.py",
        "integration/test_revision.py",
        (
            "for row in rows[is_frozen & ~was_frozen].tolist():",
            "for row in []:",
            "test_a_fault_that_comes_late_opens_late_and_once",
        ),
        (
            "notifies = now_ms > self._notified_until_ms",
            "notifies = True",
            "test_what_an_earlier_run_has_told_is_corrected_in_silence",
        ),
    ),
    *in_module(
        "monitor/storage/checkpoint.py",
        "unit/storage/test_checkpoint.py",
        (
            'if not newline or head["sha256"] != _checksum(body, head["about"]):',
            "if not newline:",
            "test_a_flipped_bit_anywhere_is_refused",
        ),
        (
            'if head["format_version"] != FORMAT_VERSION:',
            "if False:",
            "test_another_format_is_refused_with_both_numbers",
        ),
    ),
    *in_module(
        "monitor/daemon/checkpoints.py",
        "unit/daemon/test_resume_watch.py",
        (
            'same = about["version"] == version',
            "same = True",
            "test_another_model_does_not_take_over_tails_that_its_reads_were_not_fitted_by",
        ),
        (
            'if about["settings"] != _fingerprint(config):',
            "if False:",
            "test_settings_under_which_the_state_means_something_else_start_anew",
        ),
    ),
    *in_module(
        "monitor/sources/replay.py",
        "unit/sources/test_replay.py",
        (
            'after_ms, side="right"',
            'after_ms, side="left"',
            "test_a_replay_goes_on_with_the_first_sample_behind_its_position",
        ),
    ),
    *in_module(
        "monitor/files/metric_files.py",
        "unit/files/test_metric_files.py",
        (
            "columns.time_ms < layout.end_ms",
            "columns.time_ms <= layout.end_ms",
            "test_the_start_belongs_to_what_is_taken_and_the_end_does_not",
        ),
        ("if file not in in_folder:", "if False:", "test_the_labels_are_an_error_where_they_are_named"),
        (
            'order = np.argsort(joined.time_ms, kind="stable")',
            "order = np.arange(len(joined))",
            "test_unsorted_files_are_put_in_order_and_merged",
        ),
    ),
    *in_module(
        "models/dataset.py",
        "unit/models/test_dataset.py",
        (
            "[index.end - window_length + 1, index.row]",
            "[index.end - window_length, index.row]",
            "test_gathered_windows_are_those_of_the_index_and_a_copy",
        ),
        (
            "return WindowIndex(end + window_length - 1, row)",
            "return WindowIndex(end + window_length, row)",
            "test_windows_are_found_by_their_newest_step",
        ),
        (
            "in_window.sum(axis=-1) >= MIN_KNOWN_SHARE",
            "in_window.sum(axis=-1) > MIN_KNOWN_SHARE",
            "test_a_window_with_less_than_half_of_its_cells_is_not_judged",
        ),
    ),
    *in_module(
        "models/scaling.py",
        "unit/models/test_scaling.py",
        (
            "np.clip((values - self.centre) / self.scale, -CLIP, CLIP).astype",
            "((values - self.centre) / self.scale).astype",
            "test_scaled_values_are_clipped_at_ten",
        ),
        (
            "return scaled * self.scale + self.centre",
            "return scaled * self.scale - self.centre",
            "test_inverting_brings_back_what_was_scaled",
        ),
    ),
    *in_module(
        "models/raw_scores.py",
        "unit/models/test_raw_scores.py",
        (
            "in_window = np.minimum(_rms(errors, axis=1) / scale.window, ERROR_CAP)",
            "in_window = _rms(errors, axis=1) / scale.window",
            "test_one_broken_channel_is_capped_at_twenty_of_its_scale",
        ),
        (
            "_rms(errors[:, -TAIL_STEPS:], axis=1) / scale.tail",
            "_rms(errors[:, :TAIL_STEPS], axis=1) / scale.tail",
            "test_the_raw_score_of_the_tail_sees_the_newest_four_steps_only",
        ),
        (
            "max(_FLOOR_SHARE * typical, MIN_ERROR)",
            "MIN_ERROR",
            "test_a_channel_that_was_silent_in_training_does_not_dominate",
        ),
    ),
    *in_module(
        "models/network.py",
        "unit/models/test_network.py",
        (
            "torch.cat(emitted, dim=1).flip(1)",
            "torch.cat(emitted, dim=1)",
            "test_the_decoder_emits_the_newest_step_first",
        ),
        (
            "losses.sum() / known.sum().clamp(min=1.0)",
            "losses.mean()",
            "test_the_loss_is_quadratic_up_to_one_unit_linear_beyond_and_blind_to_gaps",
        ),
        (
            "nn.init.ones_(weight.data",
            "nn.init.zeros_(weight.data",
            "test_a_new_lstm_starts_with_the_forget_bias_at_one_and_every_other_bias_at_zero",
        ),
        (
            "_detached(state) if start else state",
            "state",
            "test_no_gradient_flows_from_steps_behind_the_decoders_first_cut_to_its_initial_state",
        ),
    ),
    *in_module(
        "models/network.py",
        "unit/models/test_network_forecast.py",
        (
            "self._to_latent(state.detach() if by_forecast_alone else state)",
            "self._to_latent(state)",
            "test_an_encoder_that_learns_by_the_forecast_alone_gets_no_gradient_of_the_reconstruction",
        ),
    ),
    *in_module(
        "models/forecast.py",
        "unit/models/test_forecast.py",
        (
            "np.sqrt(n_fed_back * edge[-1] ** 2 + edge[ahead % horizon] ** 2)",
            "np.sqrt(edge[ahead % horizon] ** 2)",
            "test_the_band_of_fed_back_steps_widens_as_independent_errors_add_up",
        ),
        (
            "steps[:, -1:] + change",
            "newest[:, -1:] + change",
            "test_a_channel_beyond_its_trained_range_is_predicted_from_where_it_is",
        ),
        (
            "at = block.end[:, None] + 1 + np.arange(network.horizon)",
            "at = block.end[:, None] + np.arange(network.horizon)",
            "test_rolling_predictions_come_every_horizon_and_from_earlier_steps_alone",
        ),
        (
            "near, far = (high, low) if rises else (low, high)",
            "near, far = high, low",
            "test_a_value_on_the_other_side_is_reached_by_falling",
        ),
    ),
    *in_module(
        "models/forecast_baselines.py",
        "unit/models/test_forecast_baselines.py",
        (
            "fitted = series[begin : part[0]]",
            "fitted = series[begin:]",
            "test_the_linear_model_sees_nothing_of_its_block",
        ),
        (
            "n_back = -(-(at - start + 1) // length) * length",
            "n_back = length",
            "test_a_block_longer_than_the_period_sees_nothing_of_itself",
        ),
    ),
    *in_module(
        "monitor/detection/bounds.py",
        "unit/detection/test_bounds.py",
        (
            "0 <= now_ms - self._computed_ms < _INTERVAL_MS",
            "now_ms - self._computed_ms < _INTERVAL_MS",
            "test_a_clock_that_was_set_back_and_another_model_begin_anew",
        ),
        (
            "first_beyond(side) - 1.0",
            "first_beyond(side)",
            "test_a_channel_beyond_its_bound_has_no_time_left",
        ),
    ),
    *in_module(
        "models/training.py",
        "unit/models/test_training.py",
        (
            "_loss(network, steps, batch, settings, until=held_out_from,",
            "_loss(network, steps, batch, settings, until=np.full_like(held_out_from, len(steps)),",
            "test_no_training_sees_a_held_out_step_as_the_future_of_its_windows",
        ),
        (
            "clip_grad_norm_(network.parameters(), settings.max_grad_norm)",
            "clip_grad_norm_(network.parameters(), math.inf)",
            "test_no_update_sees_a_gradient_longer_than_max_grad_norm",
        ),
        (
            "index.end >= held_out_from[index.row] + window_length - 1",
            "index.end >= held_out_from[index.row]",
            "test_no_step_of_an_entity_is_in_both_training_and_validation",
        ),
        (
            "best_epoch, best_weights = number, _copied(network)",
            "best_epoch = number",
            "test_training_stops_early_and_gives_the_best_epochs_weights",
        ),
        (
            "if not math.isfinite(epoch.validation_loss):",
            "if False:",
            "test_a_network_that_its_last_update_broke_is_not_handed_over",
        ),
    ),
    *in_module(
        "models/training_checkpoint.py",
        "unit/models/test_training_checkpoint.py",
        ('if about["of"] != of:', "if False:", "test_another_training_s_state_is_refused"),
    ),
    *in_module(
        "models/tail.py",
        "unit/models/test_tail.py",
        (
            "free = ~self.frozen[rows]",
            "free = np.ones(len(rows), bool)",
            "test_a_frozen_row_learns_but_is_judged_by_the_fit_from_before",
        ),
        (
            "if not keep and n_learned >= self.young_steps:",
            "if keep and n_learned >= self.young_steps:",
            "test_thawing_without_keeping_restores_what_was_known_before",
        ),
        (
            "if not keep and n_learned >= self.young_steps:",
            "if not keep:",
            "test_a_young_row_learns_raw_scores_as_they_are_and_keeps_what_it_learned_in_an_episode",
        ),
        (
            "np.where(is_capped[:, None], np.minimum(raw_scores, furthest), raw_scores)",
            "raw_scores.copy()",
            "test_a_few_extreme_raw_scores_do_not_stretch_the_tail",
        ),
        (
            "np.clip(np.where(raw_scores > threshold, above, below), 0.0, MAX_SURPRISE)",
            "np.maximum(np.where(raw_scores > threshold, above, below), 0.0)",
            "test_surprise_never_falls_as_the_raw_score_grows_and_ends_at_its_cap",
        ),
        (
            "max(1.0, _START_SHARE * self.memory_steps / ",
            "max(1.0, 0.0 / ",
            "test_a_short_history_starts_with_the_weight_of_half_a_memory",
        ),
    ),
    *in_module(
        "models/limits.py",
        "unit/models/test_limits.py",
        (
            "blocks_per_second = n_entities / peaks.block_seconds",
            "blocks_per_second = 1 / peaks.block_seconds",
            "test_entities_that_share_a_budget_get_a_higher_limit_and_those_with_their_own_do_not",
        ),
        (
            "provisional=history_seconds < budget.period_seconds",
            "provisional=history_seconds <= budget.period_seconds",
            "test_the_limit_is_provisional_until_every_entity_was_watched_for_one_period",
        ),
        (
            "min(max(spread, _MIN_TAIL_SCALE), _MAX_TAIL_SCALE)",
            "max(spread, _MIN_TAIL_SCALE)",
            "test_a_tail_heavier_than_a_calibrated_surprise_can_have_is_not_believed",
        ),
        (
            "max(value, peaks.exceeded_by(allowed_share), _MIN_LIMIT)",
            "max(value, _MIN_LIMIT)",
            "test_peaks_of_one_height_that_came_more_often_than_the_budget_allows_lie_below_the_limit",
        ),
    ),
    *in_module(
        "models/peak_records.py",
        "unit/models/test_peak_records.py",
        (
            "np.where(is_recent, self.highest, 0.0)",
            "self.highest",
            "test_what_was_shown_longer_ago_than_four_peaks_of_the_budget_counts_no_more",
        ),
    ),
    *in_module(
        "models/baselines.py",
        "unit/models/test_baselines.py",
        (
            "self.stride[full] *= 2",
            "self.stride[full] *= 1",
            "test_the_memory_thins_itself_out_when_full_and_the_stride_doubles",
        ),
        (
            "now = np.minimum(np.abs(np.where(known, step, 0.0) - self.mean[rows]) / spread, _DEVIATION_CAP)",
            "now = np.abs(np.where(known, step, 0.0) - self.mean[rows]) / spread",
            "test_a_wild_step_is_capped_in_the_gaussians_raw_score",
        ),
    ),
    *in_module(
        "monitor/training/gate.py",
        "unit/training/test_gate.py",
        (
            "if not gate.over_limit <= gate.allowed_over_limit:",
            "if not gate.over_limit <= max(gate.allowed_over_limit, gate.opponent_over_limit):",
            "test_a_challenger_over_its_budget_never_serves_even_when_what_serves_is_worse",
        ),
    ),
    *in_module(
        "models/detector.py",
        "unit/models/test_detector.py",
        (
            "self.tails.start(row, raw_scores[:, index])",
            "self.tails.n_learned[row] = len(raw_scores)",
            "test_after_calibration_normal_steps_surprise_little_and_a_level_shift_much",
        ),  # a swap without re-scoring
        (
            "raw_scores[:first, index, :n_network] = np.nan",
            "raw_scores[:0, index, :n_network] = np.nan",
            "test_raw_scores_of_windows_that_the_network_was_trained_on_do_not_calibrate_it",
        ),
        (
            "self.gaussian.learn(rows[learns], windows[learns, -1])",
            "self.gaussian.learn(rows, windows[:, -1])",
            "test_rows_in_an_episode_teach_their_tails_and_nothing_else",
        ),
        (
            "weights = np.where(np.isnan(each), 0.0, self.weights)",
            "weights = np.broadcast_to(self.weights, each.shape)",
            "test_with_one_channel_network_neighbour_and_gaussian_weigh_a_third_each",
        ),
        (
            "self.block_peak[rows] = np.where(free, np.fmax(self.block_peak[rows], surprise), 0.0)",
            "self.block_peak[rows] = np.where(free, surprise, 0.0)",
            "test_the_peak_of_a_block_is_its_highest_surprise",
        ),
    ),
    *in_module(
        "models/fit_detector.py",
        "unit/models/test_fit_detector.py",
        (
            "fit_error_scale(errors)",
            "fit_error_scale(held_out)",
            "test_a_channels_error_is_one_where_held_out_windows_of_its_entity_have_their_highest",
        ),
    ),
    *in_module(
        "models/bundle.py",
        "unit/models/test_bundle.py",
        (
            "if manifest.get(name) != _checksum(folder / name):",
            "if name not in manifest:",
            "test_a_damaged_bundle_is_refused_and_its_damaged_file_named",
        ),
        (
            "        _smoke(folder, detector, arrays)\n",
            "",
            "test_a_bundle_that_scores_otherwise_than_when_it_was_saved_is_refused",
        ),
    ),
    *in_module(
        "models/registry.py",
        "unit/models/test_registry.py",
        (
            "for pointer in (_CHAMPION, _PREVIOUS):",
            "for pointer in (_CHAMPION,):",
            "test_a_champion_that_is_refused_leaves_the_serving_to_the_version_before_it",
        ),
        (
            "self._point(_PREVIOUS, champion)",
            "self._point(_PREVIOUS, version)",
            "test_going_back_twice_goes_forward_again",
        ),
    ),
    *in_module(
        "monitor/kafka/format_check.py",
        "unit/kafka/test_format_check.py",
        (
            "partition.n_bad > self._ratio * partition.n_records",
            "partition.n_bad >= self._ratio * partition.n_records",
            "test_half_of_them_is_none",
        ),
        (
            "while self.n_records > _N_NEWEST",
            "while False",
            "test_a_share_of_the_newest_thousand_counts_however_many_were_good_before",
        ),
        (
            "while index < end and partition.held_offset is None",
            "while index < end",
            "test_a_run_of_bad_records_is_a_wrong_format_from_its_first_one_on",
        ),
    ),
    *in_module(
        "monitor/kafka/progress.py",
        "unit/kafka/test_progress.py",
        (
            "partition.held_offset is not None or now - partition.confirmed_empty_at",
            "now - partition.confirmed_empty_at",
            "test_a_held_partition_that_tells_no_time_holds_nobody_up_whatever_the_broker_says",
        ),
        (
            "return PartitionPosition(held_offset, min(held_offset, rewind)",
            "return PartitionPosition(partition.offset, min(held_offset, rewind)",
            "test_the_position_of_a_held_partition_is_where_it_is_held",
        ),
        (
            "partition.offset != offset or is_other_topic",
            "partition.offset != offset",
            "test_the_same_offset_of_another_topic_is_a_beginning",
        ),
    ),
    *in_module(
        "monitor/kafka/topic_identity.py",
        "unit/kafka/test_topic_identity.py",
        (
            "if not topic_id or not position_id or",
            "if not topic_id or",
            "test_nothing_is_concluded_from_the_same_id_or_from_none",
        ),
        (
            "if self._noticed.get(topic) != topic_id:",
            "if True:",
            "test_a_position_of_a_topic_with_another_id_is_of_another_topic_which_is_logged_and_counted_once",
        ),
    ),
    *in_module(
        "monitor/kafka/start_offsets.py",
        "unit/kafka/test_start_offsets.py",
        (
            "committed_id = committed_ids.get(partition) or own_id",
            'committed_id = committed_ids.get(partition, "")',
            "test_behind_a_position_of_another_topic_only_a_commit_of_this_topic_counts",
        ),
        (
            "is_known or self._identity.is_recreated(topic)",
            "is_known",
            "test_without_a_position_a_commit_counts_unless_it_is_of_another_topic",
        ),
    ),
    *in_module(
        "monitor/kafka/backlog.py",
        "unit/kafka/test_backlog.py",
        (
            "key_of=lambda index: fetched.key_of(n_first + index)",
            "key_of=fetched.key_of",
            "test_pieces_say_which_offsets_they_are_of_and_know_their_keys",
        ),
    ),
    *in_module(
        "monitor/kafka/batch_size.py",
        "unit/kafka/test_batch_size.py",
        (
            "max(_FEWEST_RECORDS, int(",
            "max(1, int(",
            "test_what_a_step_costs_by_itself_does_not_end_in_one_record_a_step",
        ),
    ),
    *in_module(
        "monitor/kafka/dead_letter_producer.py",
        "unit/kafka/test_dead_letter_producer.py",
        (
            "lambda: not self._n_pending or not self._answers",
            "lambda: not self._n_pending",
            "test_after_the_first_refusal_nobody_waits_for_the_others",
        ),
    ),
    *in_module(
        "monitor/text.py",
        "unit/test_text.py",
        (
            "return printable(text, reversible=True) + more",
            "return text + more",
            "test_no_byte_reaches_a_terminal_as_a_command",
        ),
    ),
    *in_module(
        "monitor/alerting/alert_age.py",
        "unit/alerting/test_alert_age.py",
        (
            "if alert.identity in self._notified or not self._is_old",
            "if not self._is_old",
            "test_what_was_notified_and_not_saved_as_such_is_notified_again_and_so_is_its_end",
        ),
        (
            "self._withheld.difference_update(alert.identity for alert in released)",
            "pass",
            "test_what_is_withheld_and_still_open_is_notified_once_as_it_is_then",
        ),
        (
            "notified += [replace(alert, resolved_ms=None, reason=None), alert]",
            "notified.append(alert)",
            "test_what_opened_long_ago_and_has_just_ended_is_notified_as_both",
        ),
        (
            "is_over = all(",
            "is_over = any(",
            "test_one_summary_follows_when_all_its_watches_have_caught_up",
        ),
    ),
    *in_module(
        "monitor/storage/alert_history.py",
        "unit/storage/test_alert_history.py",
        (
            "excluded.resolved_ms IS NOT NULL OR resolved_ms IS NULL",
            "1",
            "test_what_is_delivered_twice_changes_nothing",
        ),
        (
            '"UPDATE episodes SET told = 1 WHERE identity = ?", notified',
            '"UPDATE episodes SET told = 1 WHERE identity = ?", []',
            "test_what_was_held_back_is_told_later_and_stays_told",
        ),
        (
            "        if n_tables:\n            _check_format(db)\n",
            "",
            "test_a_file_that_is_damaged_is_set_aside_and_a_new_one_begun",
        ),
    ),
    *in_module(
        "monitor/daemon/watchdog.py",
        "unit/daemon/test_watchdog.py",
        (
            "min(now - self._checked_at, 2 * self._check_seconds)",
            "now - self._checked_at",
            "test_a_process_that_was_stopped_for_an_hour_is_not_hung",
        ),
        (
            "logger.join(_LOG_SECONDS)",
            "logger.join()",
            "test_a_log_that_hangs_too_does_not_keep_the_process",
        ),
    ),
    *in_module(
        "monitor/daemon/notifier.py",
        "unit/daemon/test_loop.py",
        (
            "            self._store(together, notified=True)\n"
            "            for outlet in self._outlets:\n                outlet.deliver(together)\n",
            "            for outlet in self._outlets:\n"
            "                outlet.deliver(together)\n            self._store(together, notified=True)\n",
            "test_what_outlets_are_told_is_written_down_before",
        ),
    ),
]


def main(argv: list[str]) -> int:
    """Try every mutation, or those of the files that were named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", help="only mutations of these files, as models/tail.py")
    chosen = [one for one in MUTATIONS if one.file in (files := parser.parse_args(argv).files) or not files]
    misplaced = [one for one in chosen if (ROOT / one.file).read_text().count(one.old) != 1]
    for one in misplaced:
        print(f"{one.file}: not there exactly once: {one.old.strip()}")
    if misplaced or not chosen:
        return 1
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(
            ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", "data", "recordings", "*.egg-info")
        )
        if run(tree, sorted({test for one in chosen for test in one.tests})) != 0:
            print("the tests fail without any mutation")
            return 1
        outcomes = [tried(tree, one) for one in chosen]
    n_survived = sum(not noticed for noticed in outcomes)
    print(f"{len(outcomes)} mutations, {n_survived} survived")
    return 1 if n_survived else 0


def tried(tree: Path, one: Mutation) -> bool:
    """Put one mutation in, run its tests, take it out; notify whether a test noticed."""
    file = tree / one.file
    text = file.read_text()
    file.write_text(text.replace(one.old, one.new))
    try:
        code = run(tree, one.tests)
    finally:
        file.write_text(text)
    noticed = code == 1  # 0: every test passed; anything else: none was run
    print(
        f"{'noticed' if noticed else 'SURVIVED'}  {one.file}: {one.old.strip()} -> {one.new.strip()}",
        flush=True,
    )
    return noticed


def run(tree: Path, tests: list[str] | tuple[str, ...]) -> int:
    """Give pytest's exit code; 1 where a test failed, or hung."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        return subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=PATIENCE_SECONDS
        ).returncode
    except subprocess.TimeoutExpired:
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
