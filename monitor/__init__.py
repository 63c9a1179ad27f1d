"""The Barograph daemon: from records to verdicts, alerts and exported metrics."""
