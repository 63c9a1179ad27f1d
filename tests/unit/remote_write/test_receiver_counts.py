from __future__ import annotations

import threading

from monitor.remote_write.receiver_counts import ReceiverCounts


def test_what_was_counted_is_collected_once():
    counts = ReceiverCounts()
    counts.count_request(204)
    counts.count_request(204)
    counts.count_request(503)
    counts.count_accepted(10, 100)
    counts.count_accepted(5, 50)
    counts.count_rejected({"bad_time": 2})
    counts.count_log_failure()

    counted = counts.collect()

    assert counted.requests == {204: 2, 503: 1}
    assert (counted.n_samples, counted.n_bytes, counted.n_log_failures) == (15, 150, 1)
    assert counted.rejected == {"bad_time": 2}
    again = counts.collect()
    assert (again.requests, again.n_samples, again.rejected) == ({}, 0, {})


def test_no_count_of_several_threads_is_lost():
    counts = ReceiverCounts()

    def count():
        for _ in range(2000):
            counts.count_request(204)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    n_collected = 0
    while any(thread.is_alive() for thread in threads):
        n_collected += counts.collect().requests[204]
    n_collected += counts.collect().requests[204]

    assert n_collected == 8000
