"""What commands do without a daemon: scores and forecasts of metric files, and the past read from Prometheus.

May import what is below the daemon, and nothing of `monitor.commands`.

Begin with `score_files.py`: it sends recorded samples through the daemon's own path.

- `score_files.py`: one row for each entity and step
- `forecast_files.py`, `forecast_plot.py`: what follows the end of metric files, and its picture
- `suggested_watch.py`: the watch that would take the series of some files
- `row_writer.py`: rows as CSV or Parquet
- `backfill.py`: reads the past chunk by chunk, into histories or a file
- `history_fill.py`: samples into the history of a watch
- `sample_file.py`: samples into a metric file that can be continued
"""
