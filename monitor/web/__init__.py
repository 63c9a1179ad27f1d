"""The HTTP server of the daemon, and the question for its health.

May import `errors`. Begin with `server`.

- `server`: `/metrics`, `/-/healthy` and `/-/ready`, in a thread of its own
- `healthcheck`: asks a running daemon for its health
"""
