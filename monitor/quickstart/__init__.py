"""`barograph init` and `quickstart`: from the address of a Prometheus to a configuration that judges it.

May import `errors`, `sample`, `text`, `config` and `prometheus`.

Begin with `suggestion.py`: it looks at a server and chooses. It uses:

- `inventory.py`: what a server has, asked for cheaply; the only file here that asks it
- `presets.py`: what is worth to watch of well-known exporters, as `presets.toml` says
- `candidates.py`: which metrics are in question
- `sampled.py`: what their values do: rest, rise, or move
- `workload.py`: which labels make an entity that lasts
- `choose.py`: the watches, within so many series
- `promql.py`: the query of a watch

`write_config.py` writes the suggestion as a commented configuration.
"""
