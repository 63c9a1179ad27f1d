"""Barograph's service: metrics in, alerts out. `docs/architecture.md` shows how its parts work together.

From the command line down to the leaves; a folder imports none of those above it:

- `commands`: the command line; `__main__` starts it
- `backtest`: what would have happened over recorded metrics, as a report
- `offline`: scores and forecasts of files, and the past from Prometheus
- `daemon`: builds and runs the service
- `quickstart`: what a Prometheus has, and a configuration for it
- `discovery`: what a Kafka cluster's topics hold, and settings for it
- `metrics`, `web`: what is exported, and the HTTP server
- `kafka`, `prometheus`, `remote_write`, `sources`: where samples come from
- `files`: metric files and dumped records
- `training`, `storage`: how models are made, and what is kept on disk
- `config`: `config.toml` to settings
- `outlets`: where notifications go
- `decode`: records to samples
- `detection`: samples to verdicts
- `derive`: sums, ratios and quantiles of an entity's series, as channels
- `alerting`: verdicts to episodes and alerts
- leaves: `clock`, `errors`, `log_limit`, `sample`, `text`; `testing` has fakes for tests
"""
