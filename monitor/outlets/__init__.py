"""Where alerts go: one file for each outside system, all behind one Protocol.

May import `monitor.alerting` only. Begin at `outlet`.

- `outlet`: the Protocol, and what an outlet may rely on.
- `log`: alerts as log lines.
"""
