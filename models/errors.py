"""The errors of the models, one class for each reaction: fix a setting or the data, or refuse a file."""

from __future__ import annotations

__all__ = ["BundleError", "ModelError", "TrainingError"]


class ModelError(Exception):
    """A model cannot be made or used; its text is one line that says why and what to do."""


class TrainingError(ModelError):
    """Training cannot start or go on with this data or these settings."""


class BundleError(ModelError):
    """A bundle is missing, damaged, or of another format: it is refused whole."""
