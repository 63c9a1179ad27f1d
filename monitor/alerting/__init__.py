"""Episodes of entities, and what people are notified of. Pure: no clock, no I/O.

May import `text` and `models.row_arrays` only. Begin at `episodes`: it decides when an episode opens and
closes.

- `episodes`: scores to episodes, for all entities of a watch at once.
- `alert`: an episode as outlets, storage and metrics see it.
- `corrections`: what late data does to episodes that were notified.
- `alert_age`: which alerts are withheld because they are too old, and the summary of them.
- `mutes`: what an operator asks for: episodes accepted as normal, muted entities.
- `text`: alerts, summaries, numbers and times in words.
"""
