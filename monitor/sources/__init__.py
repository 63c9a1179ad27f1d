"""Where samples come from, each behind the same protocol. Kafka has a folder of its own, `monitor/kafka/`.

May import: the leaves (`clock`, `errors`, `sample`, `text`) and `decode`, `files` and `config` of `monitor`.

Begin with `source.py`, the protocol and the batch that a poll returns.

- The contract: `source.py`, and `position.py` for how far a source has been read.
- This machine: `host.py` reads psutil and /proc.
- Files: `replay.py` plays what `monitor/files/` has read as a stream.
"""
