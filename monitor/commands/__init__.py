"""The command line: one file a command. Results go to stdout, everything else to stderr.

May import everything of `monitor` and `models`; nobody imports commands. Heavy libraries are imported inside
the functions that need them, so that `--help` stays fast.

Begin with `main.py`: it registers the commands and turns errors into one line and an exit code.

- `run.py`: the daemon
- `train.py`, `retrain.py`: a model from metric files, and from the daemon's history
- `backfill.py`: the past from a Prometheus server
- `models.py`: list, inspect and switch models
- `score.py`: scores of metric files, as CSV or Parquet
- `backtest.py`: what would have happened over metric files, as a report
- `forecast.py`: what follows the end of metric files
- `quickstart.py`: `init`, a configuration for a Prometheus; `quickstart`, and all that follows, at once
- `topics.py`, `dead_letters.py`: what a Kafka cluster holds; the records that could not be read
- `decode.py`: the samples in dumped records
- `episodes.py`: the alert history
- `operator_requests.py`: accept, mute, unmute
- `record.py`: this machine's metrics to a file
- `demo.py`, with `demo_run.py` and `demo_recording.py`: the demo on a labelled recording
- `check.py`: check-config, healthcheck, status, version
- `options.py`: what several commands share
- `console.py`, `tables.py`: progress bars; results as tables and text
- `stdout.py`: stdout that cannot be written to is one line
"""
