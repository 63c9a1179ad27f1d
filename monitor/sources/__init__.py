"""Where samples come from, each behind the same protocol. Kafka has a folder of its own, `monitor/kafka/`.

May import: the leaves (`clock`, `errors`, `sample`, `text`), `monitor.decode` and `monitor.config`.

Begin with `source.py`, the protocol and the batch that a poll returns.

- The contract: `source.py`, and `position.py` for how far a source has been read.
- This machine: `host.py` reads psutil and /proc.
- Files: `metric_files.py` finds files and reads them into columns, `recorded.py` does so as the configuration
  says, `replay.py` plays them as a stream. `captures.py` reads files of dumped records or HTTP bodies,
  `decode_captures.py` decodes and reports them.
"""
