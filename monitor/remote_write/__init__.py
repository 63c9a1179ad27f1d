"""The receiver of Prometheus remote write: requests are on disk before they are acknowledged.

May import: the leaves (`clock`, `errors`, `log_limit`, `sample`, `text`), `decode`, the protocol of `sources`
and `models.atomic_file`. It serves no port itself: `source.py` gives the web server a route.

Begin with `source.py`, which puts the others together.

- A request: `authentication.py` says who may send, `request_check.py` what is in it, `receiver.py` answers
  it, `receiver_counts.py` counts.
- The way to the loop: `log_writer.py` writes to `write_ahead_log.py`, and `source.py` reads from it;
  `recent_requests.py` spares it the decoding.
- `watermark.py`: the event time up to which samples are complete.
"""
