"""Every exported metric, and the text of a scrape.

May import: sample, alerting, detection, sources.source, kafka.dead_letter, storage.step_history_reader and
training.gate (the last three for the known values of labels). Only this package makes instruments of
prometheus_client.

Begin with `instruments.py`: `Metrics` has all instruments, in one group for each subsystem.

- `catalogue.py`: declares instruments on a registry, and lists them
- `watch_metrics.py`, `kafka_metrics.py`, `remote_write_metrics.py`, `model_metrics.py`, `storage_metrics.py`:
  the groups
- `exposition.py`: the text of a scrape; metrics of entities have a renderer of their own
- `reference.py`: the page docs/metrics.md
"""
