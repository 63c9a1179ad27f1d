"""`barograph models`: list, inspect and switch trained models."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.options import (
    ConfigFile,
    VersionName,
    WatchName,
)
from monitor.errors import ConfigError, MonitorError

if TYPE_CHECKING:
    from models.registry import Registry

models = typer.Typer(no_args_is_help=True, help="List, inspect and switch trained models.")


@models.command("list")
def list_models(config: ConfigFile = Path("config.toml"), watch: WatchName = "") -> None:
    """List every version of every watch, oldest first, and which serves.

    Example: barograph models list
    """
    from monitor.commands.console import models_table, out

    out.print(models_table(_registries(config, watch)))


@models.command("show")
def show_model(version: VersionName = "", config: ConfigFile = Path("config.toml"), watch: WatchName = "") -> None:
    """Show what a version says of itself: settings, channels, entities, how it was made. The champion when left out.

    Example: barograph models show --watch host
    """
    registry, chosen = _one_version(config, watch, version)
    print(json.dumps(registry.about(chosen), indent=1))


@models.command("verify")
def verify_model(version: VersionName = "", config: ConfigFile = Path("config.toml"), watch: WatchName = "") -> None:
    """Load a version as the daemon would: checksums, format, weights, a smoke score. The champion when left out.

    Example: barograph models verify --watch host
    """
    registry, chosen = _one_version(config, watch, version)
    bundle = registry.load(chosen)
    print(f"{registry.folder / chosen}: good; {len(bundle.entities)} entities, {len(bundle.channels)} channels")


@models.command("promote")
def promote_model(
    version: Annotated[str, typer.Argument(help="Version to let serve.")], config: ConfigFile = Path("config.toml"), watch: WatchName = ""
) -> None:
    """Let a version serve, once it has been verified; a running daemon takes it within seconds.

    Example: barograph models promote 20260131T120000Z --watch host
    """
    registry, chosen = _one_version(config, watch, version)
    registry.load(chosen)
    registry.promote(chosen)
    print(f"{registry.folder}: {chosen} serves")


@models.command("rollback")
def rollback_model(config: ConfigFile = Path("config.toml"), watch: WatchName = "") -> None:
    """Go back to the version that served before; a running daemon does so within seconds.

    Example: barograph models rollback --watch host
    """
    registry = _one_registry(config, watch)
    print(f"{registry.folder}: {registry.rollback()} serves")


def _registries(config: Path, watch: str) -> dict[str, Registry]:
    from monitor.config.load import load_config
    from monitor.storage.data_dir import DataDir

    settings = load_config(config, environ=os.environ)
    named = {one.name: DataDir(settings.data_dir).registry(one.name) for one in settings.watch}
    if watch and watch not in named:
        raise ConfigError(f"{config}: no watch is named {watch}; there are {', '.join(named)}")
    return {watch: named[watch]} if watch else named


def _one_registry(config: Path, watch: str) -> Registry:
    registries = _registries(config, watch)
    if len(registries) > 1:
        raise ConfigError(f"{config} has several watches: name one with --watch ({', '.join(registries)})")
    return next(iter(registries.values()))


def _one_version(config: Path, watch: str, version: str) -> tuple[Registry, str]:
    registry = _one_registry(config, watch)
    chosen = version or registry.champion()
    if chosen is None:
        raise MonitorError(f"{registry.folder} has no champion yet: run `barograph train`")
    return registry, chosen
