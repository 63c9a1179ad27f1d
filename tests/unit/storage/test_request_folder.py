"""Requests on their way to the daemon."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from monitor.alerting.mutes import OperatorRequest
from monitor.errors import MonitorError
from monitor.storage.request_folder import RequestFolder

MUTE = OperatorRequest(
    id="b2", kind="mute", watch="w", entity="web1", who="anna", why="disk", asked_at=990.0, until=1060.0
)
EARLIER = replace(MUTE, id="c3", asked_at=980.0)


@pytest.fixture
def folder(tmp_path):
    return RequestFolder(tmp_path)


def test_requests_come_back_oldest_first_until_they_are_removed(folder, tmp_path):
    folder.submit(MUTE)
    folder.submit(EARLIER)
    both = folder.pending()
    folder.remove(EARLIER)
    folder.remove(EARLIER)  # again, as behind a crash

    assert both == [EARLIER, MUTE]
    assert folder.pending() == [MUTE]
    assert [file.name for file in tmp_path.iterdir()] == ["b2.json"]


def test_a_file_that_is_not_complete_yet_waits(folder, tmp_path):
    (tmp_path / ".b2.json.new").write_text("{")

    assert folder.pending() == []
    assert (tmp_path / ".b2.json.new").exists()


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        json.dumps({"id": "b2"}),
        json.dumps(asdict(MUTE) | {"more": "x"}),
        json.dumps(asdict(MUTE) | {"id": "another"}),
        json.dumps(asdict(MUTE) | {"kind": "delete"}),
        json.dumps(asdict(MUTE) | {"until": None}),
        json.dumps(asdict(MUTE) | {"until": "soon"}),
        json.dumps(asdict(MUTE) | {"who": 5}),
        json.dumps(asdict(MUTE) | {"why": "x" * 100_000}),
    ],
)
def test_what_is_no_request_is_logged_and_removed(folder, tmp_path, caplog, content):
    (tmp_path / "b2.json").write_text(content)
    folder.submit(EARLIER)

    assert folder.pending() == [EARLIER]
    assert [file.name for file in tmp_path.iterdir()] == ["c3.json"]
    assert "request not understood" in caplog.messages[0]


def test_a_request_where_no_daemon_was_says_so(tmp_path):
    folder = RequestFolder(tmp_path / "none")

    assert folder.pending() == []
    with pytest.raises(MonitorError, match=r"no such folder\. A daemon makes it when it starts"):
        folder.submit(MUTE)


def test_a_folder_is_made_once_and_one_that_cannot_be_says_what_to_do(tmp_path):
    folder = RequestFolder(tmp_path / "requests")
    folder.prepare()
    folder.prepare()
    (tmp_path / "file").touch()

    assert (tmp_path / "requests").is_dir()
    with pytest.raises(MonitorError, match=r"file/below: Not a directory\. Set data_dir to"):
        RequestFolder(tmp_path / "file" / "below").prepare()
