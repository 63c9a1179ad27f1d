"""The errors of the models, one class per reaction: fix a setting or the data, or refuse a file."""

from __future__ import annotations

__all__ = ["BundleError", "ModelError", "TrainingError"]


class ModelError(Exception):
    """A model cannot be trained or used; the text is one line that says why and what to do."""


class TrainingError(ModelError):
    """Training cannot start or continue with this data or these settings."""


class BundleError(ModelError):
    """A bundle is missing, damaged, or of another format: all of it is refused."""
