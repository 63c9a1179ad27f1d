"""The receiver over HTTP: what each request is answered; nothing is acknowledged before it is safe."""

from __future__ import annotations

import base64
import os
import socket
import threading

import pytest
from full_disk import full_disk
from protobuf_writer import histogram, request_2, sample, series_1, snappy
from write_requests import HEADERS_1, HEADERS_2, TIME_MS, message_1, message_2

from monitor.remote_write import receiver
from monitor.remote_write.authentication import Authentication


def polled(server):
    batch = server.source.poll(0.0)
    return batch.columns.value.tolist(), batch


def test_a_request_of_each_version_is_acknowledged_and_read(served):
    server = served()

    first = server.post(message_1([1.0, 2.0]))
    second = server.post(message_2([3.0]), HEADERS_2)

    assert (first.status_code, first.content) == (204, b"")
    assert second.status_code == 204
    values, batch = polled(server)
    assert values == [1.0, 2.0, 3.0]
    assert batch.report.requests == {204: 2}
    assert batch.report.n_samples == 3


def test_a_request_of_version_2_is_answered_with_how_much_was_written(served):
    hist = histogram(3, TIME_MS, count=3, total=4.0)
    message = request_2(
        ({"__name__": "load"}, [sample(1.0, TIME_MS)], 2), ({"__name__": "seconds"}, [hist], 3)
    )

    answer = served().post(message, HEADERS_2)

    written = {
        kind: answer.headers[f"X-Prometheus-Remote-Write-{kind}-Written"]
        for kind in ("Samples", "Histograms", "Exemplars")
    }
    assert written == {"Samples": "1", "Histograms": "1", "Exemplars": "0"}


def test_of_a_partly_bad_request_the_good_part_is_kept_and_the_answer_says_so(served):
    server = served()
    message = request_2(
        ({"__name__": "load"}, [sample(1.0, TIME_MS)], 2), ({"job": "x"}, [sample(1.0, TIME_MS)], 2)
    )

    answer = server.post(message, HEADERS_2)

    assert answer.status_code == 400
    assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "1"
    assert answer.text.startswith("1 samples written; not readable: ")
    values, batch = polled(server)
    assert values == [1.0]
    assert sum(count for _, count in batch.n_bad) == 1


def test_an_unreadable_body_is_refused_and_counted_with_its_reason(served, caplog):
    server = served()

    answer = server.post(body=b"\xff" * 100)

    assert answer.status_code == 400
    assert "invalid_snappy" in answer.text
    assert polled(server)[1].n_bad == (("invalid_snappy", 1),)
    assert "request refused sender=127.0.0.1 status=400" in caplog.text


def test_the_wrong_type_method_or_path_is_named(served):
    server = served()

    assert server.post(headers={**HEADERS_1, "Content-Type": "application/json"}).status_code == 415
    assert server.client.get(server.url).status_code == 405
    assert server.client.post(server.url.replace("write", "read")).status_code == 404


def test_who_has_no_right_is_refused_before_anything_is_read(served, caplog):
    server = served(authentication=Authentication("prom", "secret-1", "token-1"))
    password = base64.b64encode(b"prom:secret-1").decode()

    refused = server.post()
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert server.post(Authorization="Bearer wrong").status_code == 401
    assert polled(server)[0] == []
    assert server.post(Authorization=f"Basic {password}").status_code == 204
    assert server.post(Authorization="Bearer token-1").status_code == 204
    assert "secret-1" not in caplog.text
    assert "token-1" not in caplog.text
    assert "wrong" not in caplog.text.replace("missing or wrong", "")


def test_a_body_over_the_limit_is_refused_with_and_without_its_length_declared(served):
    server = served(max_request_bytes=1024)
    large = os.urandom(3000)

    assert server.post(body=large).status_code == 413
    assert server.post(body=iter([large[:1000], large[1000:2000]])).status_code == 413
    assert server.post().status_code == 204


def test_bodies_that_wait_together_are_bounded_in_memory(served, monkeypatch):
    monkeypatch.setattr(receiver, "_MAX_WAITING_BYTES", 10)
    server = served()

    answer = server.post()

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    monkeypatch.undo()
    assert server.post().status_code == 204


def test_what_was_answered_no_longer_counts_as_waiting(served, monkeypatch):
    monkeypatch.setattr(receiver, "_MAX_WAITING_BYTES", 100)
    server = served()

    assert [server.post().status_code for _ in range(5)] == [204] * 5
    assert server.post(body=bytes(99)).status_code == 400
    assert server.post().status_code == 204


def test_a_body_that_does_not_come_is_given_up(served, monkeypatch):
    monkeypatch.setattr(receiver, "_MAX_BODY_SECONDS", 0.2)
    server = served()
    host, port = server.web.address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as peer:
        head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS_1.items())
        peer.sendall(f"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n{head}\r\nab".encode())

        assert b" 408 " in peer.recv(1000)


def test_a_sender_that_hangs_up_in_its_body_leaves_nothing(served):
    server = served()
    host, port = server.web.address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as peer:
        head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS_1.items())
        peer.sendall(f"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n{head}\r\nab".encode())

    assert server.post().status_code == 204
    assert polled(server)[0] == [1.0]


def test_a_disk_that_cannot_be_written_is_to_be_tried_again_and_logged_once(served, caplog):
    server = served()
    with full_disk(0):
        answers = [server.post() for _ in range(5)]

    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].headers["Retry-After"] == "5"
    assert "log" not in answers[0].text  # no path of this machine
    assert caplog.text.count("request refused") == 1
    assert "File too large" in caplog.text
    assert server.post().status_code == 204
    values, batch = polled(server)
    assert values == [1.0]
    assert batch.report.n_log_failures == 5


def test_nothing_is_acknowledged_before_it_is_on_disk(served, monkeypatch):
    server = served()
    syncs, may_sync = threading.Event(), threading.Event()
    fdatasync = os.fdatasync

    def slow(descriptor):
        syncs.set()
        assert may_sync.wait(10)
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    answers = []
    sender = threading.Thread(target=lambda: answers.append(server.post().status_code))
    sender.start()
    assert syncs.wait(10)

    assert answers == []
    assert polled(server)[0] == []  # nor is it processed: a crash would lose it, and the checkpoint have it
    may_sync.set()
    sender.join(10)

    assert answers == [204]
    assert polled(server)[0] == [1.0]


@pytest.mark.parametrize("n_senders", [20])
def test_senders_beside_each_other_lose_nothing(served, n_senders):
    server = served()

    def send(number):
        for turn in range(5):
            message = series_1({"__name__": f"m{number}"}, sample(1.0 + turn, TIME_MS + turn))
            assert (
                server.client.post(server.url, content=snappy(message), headers=HEADERS_1).status_code == 204
            )

    threads = [threading.Thread(target=send, args=[number]) for number in range(n_senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(polled(server)[0]) == 5 * n_senders
