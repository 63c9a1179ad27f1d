"""Samples to verdicts: entities, grid, scores, episodes. Pure."""
