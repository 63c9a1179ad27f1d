"""JSON lines of Barograph itself; test_metric_files.py has dumped topics."""

from file_reading import START_S, FileRead


def test_a_single_sample_is_a_message(tmp_path):
    line = f'{{"name": "load", "labels": {{"host": "a"}}, "time": {START_S}, "value": 2}}\n'

    assert FileRead(tmp_path / "a.jsonl", line).series == {'load{host="a"}': [(0, 2.0)]}


def test_the_setting_names_messages_whatever_the_file_is_called(tmp_path):
    line = f'{{"name": "load", "time": {START_S}, "value": 2}}\n'

    assert FileRead(tmp_path / "a.json", line, format="messages").series == {"load": [(0, 2.0)]}
