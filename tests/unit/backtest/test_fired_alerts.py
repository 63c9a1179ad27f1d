import json

import numpy as np
import pytest

from monitor.backtest.evaluate import Page
from monitor.backtest.fired_alerts import alerts_in_samples, pages_of_alerts, read_alerts
from monitor.errors import ConfigError
from monitor.sample import Columns, SeriesTable, labels_of


def saved(tmp_path, *series, kind="matrix"):
    file = tmp_path / "alerts.json"
    result = [{"metric": labels, "values": values} for labels, values in series]
    file.write_text(json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}))
    return file


def firing(name, **labels):
    return {"__name__": "ALERTS", "alertname": name, "alertstate": "firing", **labels}


def test_samples_without_a_gap_are_one_alert_and_a_gap_begins_another(tmp_path):
    values = [[second, "1"] for second in (0, 30, 60, 600, 630)]
    alerts = read_alerts(saved(tmp_path, (firing("HighLoad", host="web1"), values)))

    pages, n_unknown = pages_of_alerts(alerts, {("host",): ["web1", "web2"]})

    assert pages == [Page("", "web1", 0, 90_000, "HighLoad"), Page("", "web1", 600_000, 660_000, "HighLoad")]
    assert n_unknown == 0


def test_a_short_alert_has_the_step_of_the_others(tmp_path):
    often = [[second, "1"] for second in (0, 30, 60)]
    alerts = read_alerts(saved(tmp_path, (firing("A"), often), (firing("B"), [[0, "1"], [300, "1"]])))

    pages, _ = pages_of_alerts(alerts, {})

    assert [page.opened_ms for page in pages if page.name == "B"] == [0, 300_000]


def test_an_alert_of_several_labels_is_that_of_the_entity_they_name(tmp_path):
    alerts = read_alerts(saved(tmp_path, (firing("Slow", job="a", zone="b"), [[0, "1"]])))

    pages, _ = pages_of_alerts(alerts, {("job", "zone"): ["job=a,zone=b"]})

    assert pages[0].entity == "job=a,zone=b"


def test_an_alert_of_no_entity_that_is_known_is_counted(tmp_path):
    alerts = read_alerts(
        saved(tmp_path, (firing("Disk", host="db9"), [[0, "1"]]), (firing("Site"), [[9, "1"]]))
    )

    pages, n_unknown = pages_of_alerts(alerts, {("host",): ["web1"], (): ["x"]})

    assert [page.entity for page in pages] == ["", ""]
    assert n_unknown == 2


def test_pending_alerts_and_those_of_barograph_itself_are_left_out(tmp_path):
    pending = {**firing("HighLoad"), "alertstate": "pending"}
    alerts = read_alerts(
        saved(
            tmp_path,
            (pending, [[0, "1"]]),
            (firing("BarographAnomaly"), [[0, "1"]]),
            (firing("X"), [[0, "0"]]),
        )
    )

    assert alerts == []


def test_series_named_alerts_among_the_samples_are_read():
    table = SeriesTable()
    other = table.intern("load", labels_of({"host": "web1"}))
    fired = table.intern("ALERTS", labels_of(firing("HighLoad", host="web1")))
    columns = Columns(np.array([fired, other, fired], np.int32), np.array([1000, 2000, 3000]), np.ones(3))

    ((labels, times),) = alerts_in_samples(columns, table)

    assert (labels["alertname"], times.tolist()) == ("HighLoad", [1000, 3000])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"data": {"resultType": "matrix", "result": [{}]}}'])
def test_what_is_no_answer_of_prometheus_is_refused(tmp_path, text):
    file = tmp_path / "alerts.json"
    file.write_text(text)

    with pytest.raises(ConfigError, match="expected the answer of Prometheus' /api/v1/query_range"):
        read_alerts(file)


def test_an_instant_answer_and_a_missing_file_say_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="ask /api/v1/query_range, not /api/v1/query"):
        read_alerts(saved(tmp_path, kind="vector"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_alerts(tmp_path / "none.json")
