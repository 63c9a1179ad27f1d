"""From history to a model that may serve."""
