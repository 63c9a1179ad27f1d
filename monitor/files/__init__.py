"""Files that hold metrics or dumped records, read into columns of samples.

May import: `errors`, `sample`, `text`, `monitor.decode` and `monitor.config`.

Begin with `metric_files.py`: it reads files into columns, each in its format.

- `find.py` finds files; `detect.py` recognises the format of each; `layout.py` has the settings, and the
  tally of what was read
- `tables.py`: tables of any origin; `text_tables.py` parts text into cells, `times.py` and `cells.py` read
  times and numbers in them, `units.py` knows units
- One file per format: `prometheus_json.py` (VictoriaMetrics too), `openmetrics.py`, `grafana.py`,
  `influx_csv.py`, `cloudwatch.py`, `zabbix.py`; `json_documents.py` parses JSON, `label_text.py` series in
  Prometheus' notation
- `messages.py`: JSON lines of dumped topics, and of Barograph itself
- `recorded.py`: reads the files that the configuration names
- `metric_kinds.py`: what a Parquet file says of its counters
- `captures.py`, `decode_captures.py`: files of dumped records or HTTP bodies; decoding and reporting them
"""
