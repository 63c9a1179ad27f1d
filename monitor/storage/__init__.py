"""Everything that the daemon keeps on disk.

May import `clock`, `errors`, `sample`, `alerting`, `detection.steps`, `models.registry` and
`models.atomic_file`, which replaces a file in one move. Begin with `data_dir`: it names every file.

- `data_dir`: where everything lies in the data directory
- `lock`: one daemon for each data directory, one training for each watch
- `checkpoint`: the file of the state that survives a restart
- `step_history`: writes a watch's closed steps, and what must not be learned of them
- `step_history_reader`: reads them back for a training
- `alert_history`: every episode and what operators did, in SQLite; rows in `episode_rows` and `action_rows`
- `request_folder`: what operators ask of the running daemon
- `recorder`: recordings of this machine's metrics
"""
