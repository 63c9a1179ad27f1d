"""Write Grafana's dashboard: what is anomalous now, the selected entity, the daemon's own health.

python deploy/grafana/dashboard.py > deploy/grafana/dashboards/barograph.json
"""

from __future__ import annotations

import json
import sys
from typing import Any

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCHEMA_VERSION = 39  # what Grafana 11 writes; newer ones migrate it when they load it
WIDTH = 24  # columns of Grafana's grid
ENTITY = 'watch="$watch",entity="$entity"'
UID = "barograph"
# Units of channels by what their names end in, the last match counts: a counter is shown as a rate.
UNITS_OF_CHANNELS = {
    "_total": "cps",
    "_ratio": "percentunit",
    "_percent": "percent",
    "_seconds": "s",
    "_seconds_total": "percentunit",
    "_bytes": "bytes",
    "_bytes_total": "Bps",
}


def dashboard() -> dict[str, Any]:
    """Give the whole dashboard, as Grafana's JSON."""
    return {
        "uid": UID,
        "title": "Barograph",
        "tags": ["barograph"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "id": None,
        "editable": True,
        "graphTooltip": 1,  # one crosshair over all panels
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables()},
        "annotations": {"list": [episodes(), model_swaps()]},
        "panels": placed([*what_is_anomalous(), *selected_entity(), *the_daemon(), *kafka()]),
    }


def variables() -> list[dict[str, Any]]:
    """Give the variables: a data source, then a watch, an entity of it, and the channels of that."""
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        _variable("watch", "Watch", "label_values(barograph_judged, watch)"),
        _variable("entity", "Entity", 'label_values(barograph_judged{watch="$watch"}, entity)'),
        _variable("channel", "Channels", f"label_values(barograph_actual{{{ENTITY}}}, channel)", multi=True),
    ]


def _variable(name: str, label: str, query: str, *, multi: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": multi,
        "includeAll": multi,
        "current": {"text": "All", "value": "$__all"} if multi else {},
    }


def episodes() -> dict[str, Any]:
    """Give the layer that marks the chosen entity's episodes in every panel."""
    return {
        "name": "Episodes",
        "enable": True,
        "iconColor": "red",
        "datasource": DATASOURCE,
        "expr": f"max by (watch, entity) (barograph_anomaly{{{ENTITY}}}) == 1",
        "step": "15s",
        "titleFormat": "{{watch}}/{{entity}}: episode",
    }


def model_swaps() -> dict[str, Any]:
    """Give the layer that marks in every panel where another model of the watch began to judge."""
    serving = 'max by (watch, version) (barograph_model_info{watch="$watch"})'
    swapped = 'max by (watch) (increase(barograph_model_swaps_total{watch="$watch"}[2m])) > 0'
    return {
        "name": "Model swaps",
        "enable": True,
        "iconColor": "blue",
        "datasource": DATASOURCE,
        "expr": f"{serving} and on (watch) {swapped}",
        "step": "15s",
        "titleFormat": "{{watch}}: model {{version}} serves",
    }


def linked(panel: dict[str, Any]) -> dict[str, Any]:
    """Make each entity of a table, or each line of a graph, a link to that entity in this dashboard."""
    is_table = panel["type"] == "table"
    labels = "__data.fields" if is_table else "__field.labels"
    chosen = "&".join(f"var-{name}=${{{labels}.{name}:percentencode}}" for name in ("watch", "entity"))
    url = f"/d/{UID}?var-datasource=${{datasource}}&{chosen}&${{__url_time_range}}"
    links = [{"title": "Show this entity", "url": url}]
    if is_table:
        panel["fieldConfig"]["overrides"].append(
            {
                "matcher": {"id": "byName", "options": "entity"},
                "properties": [{"id": "links", "value": links}],
            }
        )
    else:
        panel["fieldConfig"]["defaults"]["links"] = links
    return panel


def in_units_of_channels(panel: dict[str, Any]) -> dict[str, Any]:
    """Give each line of a graph the unit that the name in its legend ends in."""
    panel["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byRegexp", "options": f"/{ending}\\b/"},
            "properties": [{"id": "unit", "value": unit}],
        }
        for ending, unit in UNITS_OF_CHANNELS.items()
    ]
    return panel


def what_is_anomalous() -> list[dict[str, Any]]:
    """Give the first row: what is anomalous now, and whether anything is not judged."""
    return [
        row("What is anomalous now"),
        stat("Episodes open", "sum(barograph_episodes_open)", unit="short", red_from=1),
        stat(
            "Share of expected entities judged",
            "sum(barograph_entities_judged) / sum(barograph_entities_expected)",
            unit="percentunit",
            red_below=1,
        ),
        stat("Watches with a provisional limit", "sum(barograph_limit_provisional)", unit="short"),
        linked(
            table(
                "Open episodes, by highest score",
                "sort_desc(max by (watch, entity) (barograph_episode_score))",
                width=12,
            )
        ),
        linked(
            table(
                "Open since (event time)",
                "max by (watch, entity) (barograph_episode_opened_timestamp_seconds) * 1000",
                unit="dateTimeAsIso",
                width=12,
            )
        ),
        linked(
            table(
                "Channels of open episodes: share of the error",
                "sort_desc(max by (watch, entity, channel) (barograph_episode_share))",
                unit="percentunit",
                width=12,
            )
        ),
        linked(
            table(
                "No data since (the first ten entities of each watch)",
                "max by (watch, entity) (barograph_not_judged_since_timestamp_seconds) * 1000",
                unit="dateTimeAsIso",
                width=12,
            )
        ),
        linked(
            graph(
                "Episodes",
                [("max by (watch, entity) (barograph_anomaly)", "{{watch}}/{{entity}}")],
                kind="state-timeline",
                unit="bool_yes_no",
                width=WIDTH,
            )
        ),
    ]


def selected_entity() -> list[dict[str, Any]]:
    """Give the second row: the selected entity, its score, its limit, and its channels."""
    return [
        row("$watch / $entity"),
        graph("Score; 1 is the limit", [(f"max(barograph_score{{{ENTITY}}})", "score")], line_at=1),
        graph(
            "Surprise against limit",
            [
                (f"max(barograph_score{{{ENTITY}}} * barograph_limit{{{ENTITY}}})", "surprise"),
                (f"max(barograph_limit{{{ENTITY}}})", "limit"),
            ],
        ),
        in_units_of_channels(
            graph(
                "$channel",
                [
                    (
                        f'max by (channel) (barograph_actual{{{ENTITY},channel=~"$channel"}})',
                        "{{channel}} actual",
                    ),
                    (
                        f'max by (channel) (barograph_expected{{{ENTITY},channel=~"$channel"}})',
                        "{{channel}} expected",
                    ),
                ],
                unit="short",
                width=8,
                repeat="channel",
                note=(
                    "Exported while the episode is open or the score is 0.5 or more; always with "
                    "export_all_channels = true in [web]."
                ),
            )
        ),
    ]


def the_daemon() -> list[dict[str, Any]]:
    """Give the third row: whether the daemon itself is well."""
    rate = "[$__rate_interval]"
    firing = 'ALERTS{alertname=~"Barograph.*",alertstate="firing"}'
    checkpoint = "max by (instance) (barograph_last_checkpoint_timestamp_seconds)"
    not_judged = f"sum by (watch, reason) (rate(barograph_windows_not_judged_total{rate}))"
    duration = f"sum by (le) (rate(barograph_batch_duration_seconds_bucket{rate}))"
    return [
        row("The daemon"),
        linked(table(
            "Firing alerts",
            f"max by (alertname, watch, entity, severity) ({firing})",
            width=12,
        )),
        table("Models in use", "max by (watch, version) (barograph_model_info)", width=6),
        table("Series left out: unknown to the model", "sum by (watch) (barograph_series_ignored)",
              unit="short", width=6),
        graph("Up", [('max by (instance) (up{job="barograph"})', "{{instance}}")], unit="bool_yes_no"),
        graph("Time since the last batch and the last checkpoint", [
            ("time() - max by (instance) (barograph_last_batch_timestamp_seconds)", "batch {{instance}}"),
            (f"time() - {checkpoint}", "checkpoint {{instance}}"),
        ], unit="s"),
        graph("Samples per second, by result", [
            (f"sum by (watch, result) (rate(barograph_samples_total{rate}))", "{{watch}} {{result}}"),
            (f"sum by (reason) (rate(barograph_samples_rejected_total{rate}))", "rejected: {{reason}}"),
        ], unit="cps"),
        graph("Unreadable records since the daemon started", [
            ("sum by (reason) (barograph_bad_records_total)", "{{reason}}"),
        ], unit="short"),
        graph("Entities judged and expected", [
            ("sum by (watch) (barograph_entities_judged)", "{{watch}} judged"),
            ("sum by (watch) (barograph_entities_expected)", "{{watch}} expected"),
        ], unit="short"),
        graph("Windows per second: judged, and not judged by reason", [
            (f"sum by (watch) (rate(barograph_windows_scored_total{rate}))", "{{watch}} judged"),
            (not_judged, "{{watch}} {{reason}}"),
        ], unit="cps"),
        graph("Windows over the limit; and suppressed, by reason", [
            (
                f"sum by (watch) (increase(barograph_over_limit_total{rate}))"
                f" or sum by (watch, reason) (increase(barograph_suppressed_total{rate}))",
                "{{watch}} {{reason}}",
            ),
        ], unit="short"),
        graph("Episodes opened per day", [
            ("sum by (watch) (increase(barograph_episodes_opened_total[1d]))", "{{watch}}"),
        ], unit="short"),
        graph("Time per batch", [
            (f"histogram_quantile(0.5, {duration})", "median"),
            (f"histogram_quantile(0.99, {duration})", "99th percentile"),
        ], unit="s"),
        graph("Delay of closed event time behind this machine's clock", [
            ("time() - max by (watch) (barograph_watermark_timestamp_seconds)", "{{watch}}"),
        ], unit="s"),
    ]  # fmt: skip


def kafka() -> list[dict[str, Any]]:
    """Give the fourth row: how far the topics have been read, and what could not be read."""
    rate = "[$__rate_interval]"
    return [
        row("Kafka"),
        stat("Partitions in a wrong format", "sum(barograph_kafka_wrong_format)", unit="short", red_from=1),
        stat("Records lost per day", "sum(increase(barograph_kafka_records_lost_total[1d]))",
             unit="short", red_from=1),
        stat("Source ready", "min(barograph_source_ready)", unit="bool_yes_no", red_below=1),
        graph("Lag: time between the newest event read and now", [
            ("max by (topic, partition) (barograph_kafka_lag_seconds)", "{{topic}}/{{partition}}"),
        ], unit="s"),
        graph("Lag: unread records", [
            ("sum by (topic) (barograph_kafka_lag_records)", "{{topic}}"),
            ("sum(barograph_kafka_queue_records)", "fetched and waiting"),
        ], unit="short"),
        graph("Records per second", [
            (f"sum by (topic) (rate(barograph_kafka_records_total{rate}))", "{{topic}}"),
        ], unit="cps"),
        graph("Dead letters, by result", [
            (f"sum by (result) (increase(barograph_dead_letters_total{rate}))", "{{result}}"),
        ], unit="short"),
        graph("Commits, rebalances and errors", [
            (f"sum by (result) (increase(barograph_kafka_commits_total{rate}))", "commits {{result}}"),
            (f"sum(increase(barograph_kafka_rebalances_total{rate}))", "rebalances"),
            (f"sum by (reaction) (increase(barograph_kafka_errors_total{rate}))", "errors: {{reaction}}"),
        ], unit="short"),
        graph("Paused: nothing is fetched while there is enough to do", [
            ("max by (instance) (barograph_kafka_paused)", "{{instance}}"),
        ], unit="bool_yes_no"),
    ]  # fmt: skip


def row(title: str) -> dict[str, Any]:
    """Give a heading over the panels that follow."""
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "_size": (WIDTH, 1)}


def stat(
    title: str,
    expr: str,
    *,
    unit: str = "none",
    red_from: float | None = None,
    red_below: float | None = None,
) -> dict[str, Any]:
    """Give a large number; red from a value on, or below a value."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if red_from is not None:
        steps.append({"color": "red", "value": red_from})
    if red_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": red_below}]
    return {
        "type": "stat",
        "title": title,
        "datasource": DATASOURCE,
        "targets": [_target("A", expr, "", instant=True)],
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"},
        "_size": (4, 7),
    }


def table(title: str, expr: str, *, unit: str = "none", width: int) -> dict[str, Any]:
    """Give what an expression holds now, one line per series."""
    decimals = [] if unit in ("short", "dateTimeAsIso") else [{"id": "decimals", "value": 2}]
    unit_of_value = {
        "matcher": {"id": "byName", "options": "Value"},
        "properties": [{"id": "unit", "value": unit}, *decimals],
    }
    return {
        "type": "table",
        "title": title,
        "datasource": DATASOURCE,
        "targets": [{**_target("A", expr, "", instant=True), "format": "table"}],
        "transformations": [{"id": "organize", "options": {"excludeByName": {"Time": True}}}],
        "fieldConfig": {"defaults": {}, "overrides": [unit_of_value]},
        "_size": (width, 7),
    }


def graph(
    title: str,
    lines: list[tuple[str, str]],
    *,
    unit: str = "none",
    width: int = 12,
    kind: str = "timeseries",
    line_at: float | None = None,
    repeat: str | None = None,
    note: str = "",
) -> dict[str, Any]:
    """Give expressions over time, each with its legend.

    `line_at` draws a limit; `repeat` makes one panel for each value of a variable; `note` says when there is
    something to see, also where there is nothing.
    """
    defaults: dict[str, Any] = {"unit": unit}
    if note:
        defaults["noValue"] = note
    if line_at is not None:
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"color": "green", "value": None}, {"color": "red", "value": line_at}],
        }
    panel = {
        "type": kind,
        "title": title,
        "datasource": DATASOURCE,
        "targets": [
            _target(chr(ord("A") + number), expr, legend) for number, (expr, legend) in enumerate(lines)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "_size": (width, 7),
        **({"description": note} if note else {}),
    }
    return panel | ({"repeat": repeat, "repeatDirection": "h", "maxPerRow": 3} if repeat else {})


def _target(ref: str, expr: str, legend: str, *, instant: bool = False) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "expr": expr,
        "legendFormat": legend,
        "instant": instant,
        "range": not instant,
    }


def placed(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number the panels and lay them out from left to right, line by line."""
    x = y = height = 0
    done = []
    for number, panel in enumerate(panels, start=1):
        wide, high = panel.pop("_size")
        if x + wide > WIDTH:
            x, y, height = 0, y + height, 0
        done.append({"id": number, **panel, "gridPos": {"x": x, "y": y, "w": wide, "h": high}})
        x, height = x + wide, max(height, high)
    return done


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=1)
    sys.stdout.write("\n")
