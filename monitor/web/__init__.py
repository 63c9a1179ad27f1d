"""The HTTP server, and asking it from outside."""
