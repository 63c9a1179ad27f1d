"""Prometheus and what speaks its HTTP API (Thanos, Mimir, VictoriaMetrics), read with queries.

May import sources, config and the leaves. `http.py` alone imports httpx.

Begin with `fetch.py`: a stretch of time and some queries in, columns of samples out.
`monitor/offline/backfill.py` writes histories with it. `polling.py` is the daemon's source.

- `http.py`: one request: credentials, TLS, deadline, and what each failure means
- `errors.py`: those failures, by what to do about them
- `retry.py`: when a request is made again
- `api.py`: the requests
- `answers.py`: what they answer, as columns
- `kinds.py`: which series are counters
- `ranges.py`: how stretches of time are split and aligned
- `fetch.py`: samples of queries in a stretch of time, in parts that the server can answer
- `polling.py`: the newest values of each watch's query, as a source
"""
