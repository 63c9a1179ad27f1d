"""Three small commands: `check-config`, `healthcheck` and `version`."""

from __future__ import annotations

import os

from monitor.commands.options import FIRST_FOUND, ConfigFile


def check_config(config: ConfigFile = FIRST_FOUND) -> None:
    """Check a configuration file and show every error, each with its key; exit code 2 if there is any.

    Example: barograph check-config --config config.toml
    """
    from monitor.config.load import load_config

    settings = load_config(config, environ=os.environ)
    watches = ", ".join(watch.name for watch in settings.watch)
    print(f"{config}: good; source {settings.source.kind}, watches {watches}")


def healthcheck(config: ConfigFile = FIRST_FOUND) -> None:
    """Ask the daemon on this machine whether it is healthy; exit code 1 if not, or if it does not answer.

    Example: barograph healthcheck --config config.toml
    """
    from monitor.config.load import load_config
    from monitor.web.healthcheck import check_health

    print(check_health(load_config(config, environ=os.environ).web.listen))


def version() -> None:
    """Print the version of this program and of Python.

    Example: barograph version
    """
    import platform
    from importlib.metadata import version as installed

    print(f"barograph {installed('barograph')}, Python {platform.python_version()}")
