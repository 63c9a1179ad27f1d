"""Backtests: recorded samples through the production path, and a report of what would have happened.

May import what is below the daemon, and nothing of `monitor.commands`. It alone imports `jinja2`.

Begin with `runs.py`: each watch learns the first part of the samples and is judged on the rest.

- `runs.py`, `replay.py`: a configuration over recorded samples; one watch of it
- `pictures.py`, `budgets.py`, `simple_rule.py`: what follows a replay step by step: the curves of the worst
  episodes, the episodes under other budgets, the three-sigma rule
- `evaluate.py`: episodes against labels, and against those of another detector
- `labels.py`, `fired_alerts.py`: labelled incidents, and the alerts of the user's own rules, read
- `outcome.py`, `figures.py`, `summary.py`: the whole, its figures with verdicts in words, a terminal's lines
- `report.py`, `plots.py`, `render.py`: what the report draws, laid out, and written as one HTML file by
  `report.html.j2`, `report.css` and `report.js`
"""
