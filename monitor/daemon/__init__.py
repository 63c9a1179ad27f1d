"""The service: built, run, kept alive, and what it does between two steps."""
