"""Parses configuration documents, and gives the errors of wrong ones."""

from __future__ import annotations

import pytest

from monitor.config.explain import parse_config
from monitor.errors import ConfigError


def parsed(*, watch=None, **tables):
    """Read a document with one watch, called web."""
    return parse_config({**tables, "watch": [{"name": "web", **(watch or {})}]}, origin="config.toml")


def errors_of(document):
    """Give the lines that a document is refused with."""
    with pytest.raises(ConfigError) as caught:
        parse_config(document, origin="config.toml")
    return str(caught.value).splitlines()


def error_of(**watch):
    """Give the only line that a setting of a watch is refused with."""
    (line,) = errors_of({"watch": [{"name": "web", **watch}]})
    return line
