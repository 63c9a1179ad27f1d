from __future__ import annotations

import logging
import re
import signal
from pathlib import Path

import pytest
from command_line import WATCH, barograph

from monitor.commands.options import (
    chosen_watches,
    column_and_value,
    print_rejected,
    silence_kafka,
    stop_on_signals,
    write_json,
    write_text,
)
from monitor.config.explain import parse_config
from monitor.errors import ConfigError, MonitorError

CONFIG = parse_config({"watch": [{"name": "a"}, {"name": "b"}]}, origin="test")


def test_all_watches_are_chosen_where_none_is_named():
    assert [watch.name for watch in chosen_watches(CONFIG, [], Path("c.toml"))] == ["a", "b"]
    assert [watch.name for watch in chosen_watches(CONFIG, ["b"], Path("c.toml"))] == ["b"]


def test_a_watch_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match=r"c\.toml: no watch is named c, d; there are a, b"):
        chosen_watches(CONFIG, ["d", "a", "c"], Path("c.toml"))


def test_a_condition_is_a_column_and_a_value():
    assert column_and_value("split=a=b") == ("split", "a=b")
    for text in ("split", "=train"):
        with pytest.raises(ConfigError, match=f"--where {text}: expected COLUMN=VALUE"):
            column_and_value(text)


def test_rejected_records_are_reported_on_stderr(capsys):
    print_rejected([])
    print_rejected([("invalid_json", 3), ("no_time", 1)])

    assert capsys.readouterr() == ("", "could not be read: invalid_json 3, no_time 1\n")


def test_json_is_written_or_the_error_is_one_line(tmp_path):
    write_json(tmp_path / "a.json", {"caught": 2})

    assert (tmp_path / "a.json").read_text() == '{\n "caught": 2\n}\n'
    with pytest.raises(MonitorError, match=r"cannot write .*nowhere/a\.json: No such file or directory"):
        write_text(tmp_path / "nowhere" / "a.json", "")


def test_the_kafka_library_says_nothing_by_itself(monkeypatch, capsys):
    kafka = logging.getLogger("kafka")
    monkeypatch.setattr(kafka, "handlers", [])
    monkeypatch.setattr(kafka, "propagate", True)

    silence_kafka()
    kafka.error("broker away")

    assert capsys.readouterr() == ("", "")


def test_a_signal_stops_and_a_second_one_would_end_the_process():
    old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        stop = stop_on_signals()
        signal.raise_signal(signal.SIGTERM)

        assert stop.is_set()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is not signal.SIG_DFL
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def test_without_a_configuration_here_another_is_used_and_named(tmp_path):
    checked = barograph("check-config", cwd=tmp_path)

    assert checked.returncode == 0
    # the packaged file, or this machine's own
    used = re.fullmatch(r"barograph: there is no config.toml here: using (/.+\.toml)\n", checked.stderr)[1]
    assert checked.stdout.startswith(f"{used}: good; ")


def test_the_configuration_here_is_used_without_a_word(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("mine"))

    checked = barograph("check-config", cwd=tmp_path)

    assert (checked.stdout, checked.stderr) == ("config.toml: good; source host, watches mine\n", "")
