"""config.toml to typed settings; every error at once, before anything starts.

May import: errors, and of decode, detection, alerting and models what settings are made of (`AlertPolicy`,
`MetricRule`, `WatchSettings`, ...). Imports apscheduler to check cron expressions.

Begin with `schema.py`. A key is a field there, with its default; `config.toml` explains it; stages are given
the settings that `WatchConfig.settings()` and `DecodeConfig.settings` make.

- `schema.py`: the whole of config.toml, and the smaller tables
- `watch.py`, `kafka.py`, `prometheus.py`, `decode.py`: the tables `[[watch]]`, `[source.kafka]`,
  `[source.prometheus]`, `[decode]`
- `table.py`: the base of all tables
- `find.py`: which file is used when none is named; `default.toml` is a link to the shipped config.toml
- `load.py`: from the file, the environment and files of secrets to one checked configuration
- `explain.py`: errors in words, with the nearest known key
- `toml_text.py`: settings as TOML, for commands that write a configuration
- `times.py`: times in settings and options
"""
