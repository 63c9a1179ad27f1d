"""`barograph models`: list, inspect and switch trained models."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.options import FIRST_FOUND, ConfigFile, chosen_watches
from monitor.errors import ConfigError, MonitorError

if TYPE_CHECKING:
    from models.registry import Registry

models = typer.Typer(no_args_is_help=True, help="List, inspect and switch trained models.")

WatchName = Annotated[
    str,
    typer.Option("--watch", help="Watch whose models are meant; may be left out where there is only one."),
]
VersionName = Annotated[str, typer.Argument(help="Version; the champion when left out.")]


@models.command("list")
def list_models(config: ConfigFile = FIRST_FOUND, watch: WatchName = "") -> None:
    """List every version of every watch, oldest first, and which one serves.

    Example: barograph models list
    """
    from monitor.commands.console import out
    from monitor.commands.tables import models_table

    out.print(models_table(_registries(config, watch)))


@models.command("show")
def show_model(version: VersionName = "", config: ConfigFile = FIRST_FOUND, watch: WatchName = "") -> None:
    """Show the metadata of a version: settings, channels, entities, how it was made.

    Example: barograph models show --watch host
    """
    registry, chosen = _chosen_version(config, watch, version)
    print(json.dumps(registry.about(chosen), indent=1))


@models.command("verify")
def verify_model(version: VersionName = "", config: ConfigFile = FIRST_FOUND, watch: WatchName = "") -> None:
    """Load a version as the daemon would: checksums, format, weights, a smoke score.

    Example: barograph models verify --watch host
    """
    registry, chosen = _chosen_version(config, watch, version)
    bundle = registry.load(chosen)
    print(
        f"{registry.folder / chosen}: good; {len(bundle.entities)} entities, {len(bundle.channels)} channels"
    )


@models.command("promote")
def promote_model(
    version: Annotated[str, typer.Argument(help="Version to let serve.")],
    config: ConfigFile = FIRST_FOUND,
    watch: WatchName = "",
) -> None:
    """Verify a version and let it serve; a running daemon loads it within seconds.

    Example: barograph models promote 20260131T120000Z --watch host
    """
    registry, chosen = _chosen_version(config, watch, version)
    registry.load(chosen)
    registry.promote(chosen)
    print(f"{registry.folder}: {chosen} serves")


@models.command("rollback")
def rollback_model(config: ConfigFile = FIRST_FOUND, watch: WatchName = "") -> None:
    """Go back to the version that served before; a running daemon follows within seconds.

    Example: barograph models rollback --watch host
    """
    registry = _only_registry(config, watch)
    print(f"{registry.folder}: {registry.rollback()} serves")


def _registries(config: Path, watch: str) -> dict[str, Registry]:
    """Give the registry of the named watch, or of every watch, by the watch's name."""
    from monitor.config.load import load_config
    from monitor.storage.data_dir import DataDir

    settings = load_config(config, environ=os.environ)
    chosen = chosen_watches(settings, [watch] if watch else [], config)
    data_dir = DataDir(settings.data_dir)
    return {watch_config.name: data_dir.registry(watch_config.name) for watch_config in chosen}


def _only_registry(config: Path, watch: str) -> Registry:
    registries = _registries(config, watch)
    if len(registries) > 1:
        raise ConfigError(f"{config} has several watches: name one with --watch ({', '.join(registries)})")
    return next(iter(registries.values()))


def _chosen_version(config: Path, watch: str, version: str) -> tuple[Registry, str]:
    registry = _only_registry(config, watch)
    chosen = version or registry.champion()
    if chosen is None:
        raise MonitorError(f"{registry.folder} has no champion yet: run `barograph train`")
    return registry, chosen
