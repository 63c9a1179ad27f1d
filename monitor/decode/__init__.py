"""Wire formats: records in, columns of samples out. Pure.

Every decoder takes a batch of records and returns one `Decoded`. Whatever cannot be read is counted by its
reason and skipped; the good samples around it are kept.

May import: `monitor.sample`, nothing else of ours. No files, no clock, no network, no logging.

Begin with `record.py` (what goes in and what comes out), then `prometheus_adapter.py`, the shortest decoder.

- Shared: `record.py` defines records, limits, rejections and results. `fields.py` checks times, names, labels
  and values. `batch.py` collects samples and rejections and turns them into columns. `protobuf.py` reads
  protobuf's wire format.
- One file per format: `native.py` (columnar batches and single samples), `influx.py`, `telegraf.py`,
  `prometheus_adapter.py`, `remote_write.py`, `collectd.py`, `graphite.py`, `mapped_json.py` (any other JSON).
  `telegraf_kinds.py` knows which fields of Telegraf are counters.
  OpenTelemetry has two encodings, `otlp_json.py` and `otlp_proto.py`, over the same `otlp_points.py`.
- Which format: `formats.py` lists the formats by name, `detect.py` recognises the format of a record,
  `topic_decoders.py` keeps one decoder for each topic.
"""
