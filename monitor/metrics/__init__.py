"""Every exported metric, and the text of a scrape."""
