"""All that knows Kafka, and nothing else does."""
