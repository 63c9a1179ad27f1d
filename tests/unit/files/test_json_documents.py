"""JSON of files: whole, in lines, and broken."""

import json

import pytest
from file_reading import START_S, FileRead

from monitor.errors import SourceError
from monitor.files.json_documents import first_document

ANSWER = {"resultType": "matrix", "result": [{"metric": {"host": "a"}, "values": [[START_S, "1"]]}]}


def test_json_that_breaks_off_is_an_error_with_its_place(tmp_path):
    content = json.dumps(ANSWER, indent=1)[:60]

    with pytest.raises(SourceError, match=r"breaks off at line \d, column \d+ \(byte 60 of 60\)"):
        FileRead(tmp_path / "prom.json", content)


def test_json_that_is_damaged_in_the_middle_is_an_error_with_its_place(tmp_path):
    content = json.dumps(ANSWER).replace("values", 'val"ues')

    with pytest.raises(SourceError, match=r"the JSON is damaged at line 1, column \d+"):
        FileRead(tmp_path / "prom.json", content)


def test_of_documents_a_line_each_is_read_and_a_torn_one_is_counted(tmp_path):
    line = json.dumps(ANSWER)

    read = FileRead(tmp_path / "prom.json", f"{line}\n{line[:20]}\n")

    assert read.series == {'value{host="a"}': [(0, 1.0)]}
    assert read.n_bad == {"invalid_json": 1}


def test_the_first_line_is_a_document_only_where_others_follow():
    assert first_document(b'{"a": 1}\n{"a": 2}') == {"a": 1}
    assert first_document(b'{"a": 1}\n') is None
    assert first_document(b'{\n"a": 1}') is None
