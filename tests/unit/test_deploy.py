"""The files in deploy/ name only settings, files, ports, commands and metrics that exist."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from monitor.config.load import load_config
from monitor.metrics.reference import reference

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PORT = "9469"
RULE_FILES = sorted((DEPLOY / "prometheus/rules").glob("*.yml"))

# The example page's symptom is the reader's own metric; here that of the workload in recordings/.
OF_THE_READER = {"service_errors_total", "service_requests_total"}
OF_PROMETHEUS = {"up", "ALERTS"}


def read_yaml(path):
    return yaml.safe_load((DEPLOY / path).read_text())


def rules():
    return [rule for file in RULE_FILES for group in read_yaml(file)["groups"] for rule in group["rules"]]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


@pytest.fixture(scope="module")
def dashboard():
    return json.loads((DEPLOY / "grafana/dashboards/barograph.json").read_text())


# Metrics


def exported():
    """Give the name of every series that the daemon exports, a histogram's parts among them."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", reference(), re.MULTILINE)
    parts = {
        name + suffix
        for name, kind in rows
        if kind == "histogram"
        for suffix in ("_bucket", "_sum", "_count")
    }
    return {name for name, kind in rows if kind != "histogram"} | parts


def metrics_in(expr):
    """Give the metric names in a PromQL expression: not its strings, labels, durations and keywords."""
    bare = re.sub(r'"(\\.|[^"\\])*"', "", expr)
    bare = re.sub(
        r"\{[^}]*\}|\[[^\]]*\]|\boffset\s+\w+|\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)",
        " ",
        bare,
    )
    names = re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])", bare)
    return set(names) - {"and", "or", "unless", "bool", "by", "on", "offset"}


def test_names_of_metrics_are_found_in_an_expression():
    expr = (
        'sum by (a) (rate(x_total{b="c or d"}[5m] offset 1h)) / on (e) k:y:ratio5m > 1.5e3 '
        'and absent(up{job="x"}) or time() - z'
    )

    assert metrics_in(expr) == {"x_total", "k:y:ratio5m", "up", "z"}


def test_every_expression_names_only_metrics_that_are_exported(dashboard):
    found = [rule["expr"] for rule in rules()]
    found += [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    found += [layer["expr"] for layer in dashboard["annotations"]["list"]]
    found += re.findall(
        r"label_values\((.+?), \w+\)", " ".join(str(one["query"]) for one in dashboard["templating"]["list"])
    )
    found += [query["model"]["expr"] for query in grafana_rule()["data"] if "expr" in query["model"]]
    texts = (text for rule in alerts() for text in rule["annotations"].values())
    found += re.findall(r'printf "([^"]*barograph_[^"]*)"', " ".join(texts))
    known = (
        exported() | OF_PROMETHEUS | OF_THE_READER | {rule["record"] for rule in rules() if "record" in rule}
    )

    unknown = {expr: metrics_in(expr) - known for expr in found if metrics_in(expr) - known}

    assert len(found) > 40
    assert unknown == {}


# Rules


def test_every_alert_says_what_it_is_and_where_the_runbook_tells_more():
    headings = {
        f"docs/runbook.md#{line[3:].lower()}"
        for line in (ROOT / "docs/runbook.md").read_text().splitlines()
        if line.startswith("## ")
    }

    for alert in alerts():
        assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
        if alert["alert"] != "BarographAnomaly":  # which names entity and channel
            assert re.fullmatch(r"[A-Z{].*\.", alert["annotations"]["summary"]), alert["alert"]
        assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{alert['alert'].lower()}"
        for text in alert["annotations"].values():  # humanize writes 0.95 as 950m
            guarded = "{{- if or (ge .Value 1000.0) (le .Value -1000.0) }}{{ humanize .Value }}"
            assert not re.search(r"\bhumanize\b", text.replace(guarded, ""))
    assert headings == {alert["annotations"]["runbook_url"] for alert in alerts()}


def test_only_the_example_pages():
    shipped = read_yaml("prometheus/prometheus.yml")["rule_files"]
    severities = {
        file.name: {
            rule["labels"]["severity"]
            for group in read_yaml(file)["groups"]
            for rule in group["rules"]
            if "alert" in rule
        }
        for file in RULE_FILES
    }

    assert shipped == ["rules/barograph.yml"]
    assert severities == {"barograph.yml": {"ticket", "none"}, "example-page.yml": {"page"}}


def test_an_anomaly_needs_no_waiting_and_bridges_a_restart():
    (anomaly,) = [alert for alert in alerts() if alert["alert"] == "BarographAnomaly"]

    assert (anomaly["for"], anomaly["keep_firing_for"]) == ("0s", "1m")
    assert anomaly["expr"].startswith("max by (watch, entity) ")


def test_every_alert_has_a_test_that_sees_it_fire():
    tested = {
        one["alertname"]
        for file in (DEPLOY / "prometheus/tests").glob("*.yml")
        for test in read_yaml(file)["tests"]
        for one in test["alert_rule_test"]
        if one.get("exp_alerts")
    }

    assert tested == {alert["alert"] for alert in alerts()}


def test_prometheus_scrapes_where_the_daemon_listens():
    (job,) = read_yaml("prometheus/prometheus.yml")["scrape_configs"]

    assert job["static_configs"] == [{"targets": [load_config(ROOT / "config.toml").web.listen]}]
    for rule in rules():
        assert re.findall(r'job="(\w+)"', rule["expr"]) in ([], [job["job_name"]])


# Grafana


def grafana_rule():
    (group,) = read_yaml("grafana/provisioning/alerting/barograph.yml")["groups"]
    (rule,) = group["rules"]
    return rule


def test_the_written_dashboard_is_that_of_the_code(dashboard):
    spec = importlib.util.spec_from_file_location("dashboard", DEPLOY / "grafana/dashboard.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)

    assert dashboard == made.dashboard(), "run `make docs`"


def test_the_dashboard_is_one_that_grafana_takes(dashboard):
    ids = [panel["id"] for panel in dashboard["panels"]]
    cells = [
        (x, y)
        for panel in dashboard["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert (dashboard["schemaVersion"], dashboard["id"]) == (39, None)
    assert len(dashboard["uid"]) <= 40
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    assert len(set(ids)) == len(ids)
    assert len(set(cells)) == len(cells), "panels overlap"
    assert max(x for x, _ in cells) < 24
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def entity_links(panel):
    """Give the links of a panel's fields."""
    config = panel["fieldConfig"]
    properties = [one for override in config["overrides"] for one in override["properties"]]
    return config["defaults"].get("links", []) + [
        link for one in properties if one["id"] == "links" for link in one["value"]
    ]


def test_every_panel_that_shows_entities_of_all_watches_leads_to_each_of_them(dashboard):
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    shown = [panel for panel in panels if re.search(r"by \([^)]*watch, entity", panel["targets"][0]["expr"])]

    assert [panel["title"] for panel in panels if entity_links(panel)] == [panel["title"] for panel in shown]
    assert len(shown) == 6
    variables = {one["name"] for one in dashboard["templating"]["list"]}
    for panel in shown:
        (link,) = entity_links(panel)
        path, _, query = link["url"].partition("?")
        labels = "__data.fields" if panel["type"] == "table" else "__field.labels"
        values = dict(part.split("=") for part in query.split("&")[:-1])
        assert path == f"/d/{dashboard['uid']}"
        assert {name.removeprefix("var-") for name in values} <= variables
        assert values["var-entity"] == f"${{{labels}.entity:percentencode}}"
        assert values["var-watch"] == f"${{{labels}.watch:percentencode}}"


OF_EVERY_SCRAPE = {"job", "instance"}


def labels_of_metrics():
    """Give the labels of every series that a query may name, those of a scrape's target among them."""
    rows = re.findall(r"^\| `(\w+)` \| \w+ \| ([\w, ]*) \|", reference(), re.MULTILINE)
    known = {name: {label for label in labels.split(", ") if label} for name, labels in rows}
    for name in exported() - known.keys():  # a histogram's parts
        known[name] = known[re.sub("_(bucket|sum|count)$", "", name)] | {"le"}
    of_rules = {label for rule in alerts() for label in [*grouped_by(rule["expr"]), *rule["labels"]]}
    known |= {"up": set(), "ALERTS": {"alertname", "alertstate"} | of_rules}
    return {name: labels | OF_EVERY_SCRAPE for name, labels in known.items()}


def grouped_by(expr):
    """Give the labels that the series of an expression keep."""
    lists = re.findall(r"\bby \(([^)]*)\)", expr)
    return {label.strip() for labels in lists for label in labels.split(",")}


def wrong_labels(expr, known):
    """Give the labels that an expression asks for and its metrics do not have."""
    wrong = {
        (name, label)
        for name, selector in re.findall(r"(\w+)\{([^}]*)\}", expr)
        for label in re.findall(r'(\w+)(?:=~|!~|!=|=)"', selector)
        if label not in known[name]
    }
    matched_on = {label for labels in re.findall(r"\bon \(([^)]*)\)", expr) for label in labels.split(", ")}
    of_all = set.union(*(known[name] for name in metrics_in(expr)))
    return wrong | {(expr, label) for label in (grouped_by(expr) | matched_on) - of_all}


def test_labels_that_a_metric_does_not_have_are_found_in_an_expression():
    known = {"a": {"x", "le"}, "b": {"y"}}

    assert wrong_labels('sum by (x) (a{x="1"}) and on (y) max by (y) (b{y=~"$z"})', known) == set()
    assert wrong_labels('max by (x) (b{y!="",z=~"1"})', known) == {
        ("b", "z"),
        ('max by (x) (b{y!="",z=~"1"})', "x"),
    }


def test_every_query_of_the_dashboard_asks_for_labels_that_its_metrics_have(dashboard):
    known = labels_of_metrics()
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    shown = [(target["expr"], target["legendFormat"]) for target in targets]
    shown += [(layer["expr"], layer["titleFormat"]) for layer in dashboard["annotations"]["list"]]
    variables = [one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]

    assert known["barograph_episode_share"] == {"watch", "entity", "channel", "job", "instance"}
    assert known["barograph_batch_duration_seconds_bucket"] == {"le", "job", "instance"}
    assert len(shown) > 30
    for expr, text in shown:
        assert wrong_labels(expr, known) == set()
        assert set(re.findall(r"\{\{(\w+)\}\}", text)) <= grouped_by(expr), text
    assert len(variables) == 3
    for query in variables:
        expr, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()
        assert wrong_labels(expr, known) == set()
        assert {label} <= set.union(*(known[name] for name in metrics_in(expr)))


def test_every_link_takes_its_values_from_labels_that_the_panel_s_series_have(dashboard):
    n_links = 0
    for panel in dashboard["panels"]:
        for link in entity_links(panel) if panel["type"] != "row" else []:
            n_links += 1
            url = re.sub(r"\$\{([^}]*)\}", "0", link["url"])
            assert re.fullmatch(r"/d/[\w-]+\?(var-\w+=0&)+0", url), url  # nothing is left unclosed
            taken = re.findall(r"\$\{__(?:field\.labels|data\.fields)\.(\w+)(?::\w+)?\}", link["url"])
            assert taken == ["watch", "entity"]
            for target in panel["targets"]:
                assert set(taken) <= grouped_by(target["expr"])

    assert n_links == 6


def test_every_variable_that_the_dashboard_names_exists(dashboard):
    own = {one["name"] for one in dashboard["templating"]["list"]}
    of_grafana = {"__rate_interval", "__url_time_range", "__field", "__data", "__all"}
    text = json.dumps(dashboard)

    named = set(re.findall(r"\$\{?(\w+)", text))

    assert named - of_grafana == own
    order = [one["name"] for one in dashboard["templating"]["list"]]
    for number, one in enumerate(dashboard["templating"]["list"]):  # each depends on earlier ones alone
        assert set(re.findall(r"\$\{?(\w+)", json.dumps(one))) - of_grafana <= set(order[:number])
    repeated = {panel["repeat"] for panel in dashboard["panels"] if "repeat" in panel}
    assert repeated == {"channel"} <= own


def test_every_number_has_a_unit_but_scores_and_surprises(dashboard):
    bare = set()
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            config = panel["fieldConfig"]
            of_values = [
                one["value"]
                for override in config["overrides"]
                for one in override["properties"]
                if one["id"] == "unit"
            ]
            if {config["defaults"].get("unit"), *of_values} <= {"none", None}:
                bare.add(panel["title"])

    assert bare == {
        "Open episodes, by highest score",
        "Score; 1 is the limit",
        "Surprise against limit",
        "Firing alerts",
        "Models in use",
    }


@pytest.mark.parametrize(
    ("legend", "unit"),
    [
        ("host_memory_available_bytes actual", "bytes"),
        ('host_network_bytes_total{device="eth0"} actual', "Bps"),
        ('host_cpu_seconds_total{mode="user"} expected', "percentunit"),
        ("service_latency_p50_seconds actual", "s"),
        ("service_requests_total actual", "cps"),
        ("mem_used_percent actual", "percent"),
        ("queue_depth actual", "short"),
    ],
)
def test_a_channel_is_drawn_in_the_unit_of_its_name(dashboard, legend, unit):
    (panel,) = [panel for panel in dashboard["panels"] if panel.get("repeat") == "channel"]
    found = panel["fieldConfig"]["defaults"]["unit"]
    for override in panel["fieldConfig"]["overrides"]:  # as Grafana does: the last match counts
        if re.search(override["matcher"]["options"].strip("/"), legend):
            found = override["properties"][0]["value"]

    assert found == unit


def test_episodes_and_model_swaps_are_marked_in_every_panel(dashboard):
    layers = {layer["name"]: layer for layer in dashboard["annotations"]["list"]}

    assert layers.keys() == {"Episodes", "Model swaps"}
    assert all(layer["enable"] for layer in layers.values())
    assert "barograph_model_swaps_total" in layers["Model swaps"]["expr"]
    assert "{{version}}" in layers["Model swaps"]["titleFormat"]


def test_grafana_s_alert_and_contact_point_fit_together():
    (datasource,) = read_yaml("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    (contact,) = read_yaml("grafana/provisioning/alerting/barograph.yml")["contactPoints"]
    rule = grafana_rule()
    references = {query["refId"] for query in rule["data"]}

    assert {query["datasourceUid"] for query in rule["data"]} == {datasource["uid"], "__expr__"}
    assert rule["condition"] in references
    assert all(query["model"]["refId"] == query["refId"] for query in rule["data"])
    assert {
        query["model"]["expression"] for query in rule["data"] if "expression" in query["model"]
    } < references
    assert rule["notification_settings"]["receiver"] == contact["name"]
    assert contact["receivers"][0]["settings"]["url"] == "$BAROGRAPH_ALERT_URL"


# The image


def instructions():
    """Give the Dockerfile's instructions, continued lines joined, as `(word, rest)`."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [
        line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")
    ]
    return [(word, rest.strip()) for word, rest in lines]


def of(word):
    return [rest for one, rest in instructions() if one == word]


def settings_of(variables, config=ROOT / "config.toml"):
    """Load the shipped settings with a container's or unit's environment; a wrong name or value raises."""
    return load_config(
        config, environ={key: value for key, value in variables.items() if key.startswith("BAROGRAPH_")}
    )


def image_environment():
    return dict(pair.split("=", 1) for line in of("ENV") for pair in shlex.split(line))


def ignored(path):
    kept = [
        line[1:]
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    return path.split("/")[0] not in kept


def commands():
    """Give the subcommands that the program has."""
    shown = subprocess.run(
        [sys.executable, "-m", "monitor", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    ).stdout
    return set(re.findall(r"^  ([a-z-]+)  ", shown, re.MULTILINE))


def test_the_image_copies_only_what_is_there_and_not_ignored():
    copied = [source for line in of("COPY") if not line.startswith("--from") for source in line.split()[:-1]]

    assert {"models", "monitor", "pyproject.toml", "config.toml"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source


def test_the_image_listens_on_the_port_that_it_exposes_and_keeps_its_data_in_its_volume():
    settings = settings_of(image_environment())

    assert of("EXPOSE") == [PORT]
    assert settings.web.listen == f"0.0.0.0:{PORT}"
    assert of("VOLUME") == [settings.data_dir]


def test_the_image_runs_commands_that_exist_in_exec_form_as_nobody_in_particular():
    (check,) = of("HEALTHCHECK")
    run = json.loads(of("ENTRYPOINT")[0]) + json.loads(of("CMD")[0])
    asked = json.loads(check.partition("CMD")[2])
    config = "/etc/barograph/config.toml"

    assert run == ["barograph", "run", "--config", config]
    assert asked == ["barograph", "healthcheck", "--config", config]
    assert {run[1], asked[1]} <= commands()
    assert f"config.toml {config}" in of("COPY")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", of("USER")[-1])


def test_pytorch_s_index_is_an_argument_of_the_image():
    assert "TORCH_INDEX=https://download.pytorch.org/whl/cpu" in of("ARG")
    assert any('--index-url "$TORCH_INDEX" torch' in line for line in of("RUN"))
    assert "TORCH_INDEX" in (DEPLOY / "README.md").read_text()


# Compose


@pytest.fixture(scope="module")
def services():
    return read_yaml("compose.yaml")["services"]


def test_compose_builds_the_image_and_its_daemon_has_good_settings(services):
    barograph = services["barograph"]
    build = barograph["build"]

    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    config, data = (volume.split(":") for volume in barograph["volumes"])
    settings = settings_of(image_environment() | barograph["environment"], DEPLOY / config[0])
    assert config[1] == json.loads(of("CMD")[0])[-1]
    assert settings.source.kind == "kafka"
    assert settings.web.listen == f"127.0.0.1:{PORT}"
    assert data == ["barograph-data", settings.data_dir]


def telegraf():
    """Give telegraf.conf, which is TOML."""
    return tomllib.loads((DEPLOY / "kafka/telegraf.conf").read_text())


def test_telegraf_writes_to_the_broker_and_topic_that_barograph_reads(services):
    kafka = services["kafka"]["environment"]
    settings = load_config(DEPLOY / "kafka/barograph.toml")
    (output,) = telegraf()["outputs"]["kafka"]
    (watch,) = settings.watch

    assert [f"PLAINTEXT://{server}" for server in output["brokers"]] == [kafka["KAFKA_ADVERTISED_LISTENERS"]]
    assert output["brokers"] == settings.source.kafka.bootstrap_servers
    assert [output["topic"]] == settings.source.kafka.topics == list(settings.decode.topics)
    assert [output["routing_tag"]] == watch.by
    assert telegraf()["agent"]["interval"] == f"{watch.step_seconds:.0f}s"
    assert {f"{name}_*" for name in telegraf()["inputs"]} == set(watch.metrics)


def test_kafka_is_one_node_that_listens_on_this_machine_only(services):
    settings = services["kafka"]["environment"]
    listeners = dict(place.split("://") for place in settings["KAFKA_LISTENERS"].split(","))

    assert {address.rpartition(":")[0] for address in listeners.values()} == {"127.0.0.1"}
    assert (
        settings["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"{settings['KAFKA_NODE_ID']}@{listeners['CONTROLLER']}"
    )
    assert {
        protocol.split(":")[0] for protocol in settings["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    } == set(listeners)
    assert [volume.split(":")[1] for volume in services["kafka"]["volumes"]] == [settings["KAFKA_LOG_DIRS"]]


def test_every_image_is_pinned_and_nothing_is_published(services):
    for name, service in services.items():
        assert "ports" not in service, name
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name


def test_compose_mounts_only_what_is_there(services):
    volumes = read_yaml("compose.yaml")["volumes"]
    mounted = [volume.split(":") for service in services.values() for volume in service["volumes"]]

    assert len(mounted) >= 7
    for source, *_ in mounted:
        assert source in volumes or (DEPLOY / source).exists() or source == "/", source


def test_what_containers_look_for_is_where_they_look(services):
    prometheus = dict(volume.split(":")[1::-1] for volume in services["prometheus"]["volumes"])
    grafana = dict(volume.split(":")[1::-1] for volume in services["grafana"]["volumes"])
    options = dict(option.lstrip("-").split("=", 1) for option in services["prometheus"]["command"])
    (provider,) = read_yaml("grafana/provisioning/dashboards/barograph.yml")["providers"]
    (datasource,) = read_yaml("grafana/provisioning/datasources/prometheus.yml")["datasources"]

    assert prometheus[options["config.file"]] == "./prometheus/prometheus.yml"
    rules_folder = Path(options["config.file"]).parent / "rules"  # as prometheus.yml names it, beside itself
    assert prometheus[str(rules_folder)] == "./prometheus/rules"
    assert options["storage.tsdb.path"] in prometheus
    assert datasource["url"] == f"http://{options['web.listen-address']}"
    assert grafana[provider["options"]["path"]] == "./grafana/dashboards"
    assert grafana["/etc/grafana/provisioning"] == "./grafana/provisioning"
    assert "BAROGRAPH_ALERT_URL" in services["grafana"]["environment"]


def test_all_containers_share_the_host_s_network_so_that_the_same_settings_serve(services):
    assert {service["network_mode"] for service in services.values()} == {"host"}


# systemd


@pytest.fixture(scope="module")
def unit():
    """Give the unit's settings; one that is given several times as a list."""

    class Repeated(dict):
        def __setitem__(self, key, value):
            if isinstance(value, list) and key in self:
                self[key].extend(value)
            else:
                super().__setitem__(key, value)

    parser = configparser.RawConfigParser(strict=False, dict_type=Repeated, interpolation=None)
    parser.optionxform = str
    parser.read(DEPLOY / "systemd/barograph.service")
    return {key: value.splitlines() for key, value in parser["Service"].items()}


def test_the_unit_runs_a_command_that_exists_with_good_settings(unit):
    program, command, *options = unit["ExecStart"][0].split()
    settings = settings_of(dict(line.split("=", 1) for line in unit["Environment"]))

    assert Path(program).is_absolute()
    assert Path(program).name == "barograph"
    assert command == "run"
    assert command in commands()
    assert options == ["--config", "/etc/barograph/config.toml"]
    assert settings.data_dir == f"/var/lib/{unit['StateDirectory'][0]}" == unit["WorkingDirectory"][0]


def test_the_unit_is_closed_but_for_what_pytorch_and_training_need(unit):
    assert unit["DynamicUser"] == unit["NoNewPrivileges"] == ["yes"]
    assert unit["ProtectSystem"] == ["strict"]
    assert "MemoryDenyWriteExecute" not in unit  # breaks PyTorch on a CPU
    assert unit["SystemCallFilter"] == ["@system-service"]  # holds @resources: nice and setpriority
    assert not {"ProcSubset", "ProtectProc"} & unit.keys()  # the host source reads /proc
    assert not {"Nice", "LimitAS", "MemoryMax"} & unit.keys()
