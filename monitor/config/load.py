"""From `config.toml`, the environment and files of secrets to one checked configuration."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.config.explain import Keys, parse_config
from monitor.config.schema import Config
from monitor.errors import ConfigError

__all__ = ["load_config", "load_draft"]

_PREFIX = "BAROGRAPH_"


def load_config(
    path: Path, overrides: Mapping[str, Any] | None = None, *, environ: Mapping[str, str] | None = None
) -> Config:
    """Read and check a configuration file.

    `BAROGRAPH_SOURCE__KIND=replay` in the environment overrides `source.kind`, and
    `BAROGRAPH_WATCH__HOST__BUDGET=1/day` the budget of the watch named host. Values are TOML, or
    else text. Any text of the file may be written as `{ from_file = "path" }` or
    `{ from_env = "NAME" }`, which keeps secrets out of it.

    Parameters
    ----------
    overrides : mapping, optional
        Nested tables that override those of the file and the environment.
    environ : mapping, optional
        The environment; empty when left out.

    Raises
    ------
    ConfigError
        One line for each thing that is wrong: the file, variable or command line that it comes from, its key,
        the value found, what was expected.
    """
    environ = environ or {}
    written = _read(path)
    origins: dict[Keys, str] = {}
    document = _overlaid(written, _from_environment(environ, written, origins))
    document = _overlaid(document, overrides or {})
    filled_in = _filled_in(document, environ, (), origins)
    return parse_config(filled_in, origin=_origin_finder(str(path), written, origins, overrides or {}))


def load_draft(
    path: Path | None, overrides: Mapping[str, Any] | None = None, *, environ: Mapping[str, str]
) -> tuple[Config, dict[str, Any]]:
    """Read a configuration that is not complete yet: it may have no topic and no watch, and needs no file.

    Returns
    -------
    config : Config
        Without a watch where the file has none, and always with the source "host".
    document : dict
        The file as it is written, with its references to secrets.

    Raises
    ------
    ConfigError
        If a key of the file is wrong.
    """
    written = {} if path is None else _read(path)
    origins: dict[Keys, str] = {}
    document = _overlaid(written, _from_environment(environ, written, origins))
    document = _overlaid(_overlaid(document, overrides or {}), {"source": {"kind": "host"}})
    document.setdefault("watch", [{"name": "none"}])
    file = "the environment" if path is None else str(path)
    filled_in = _filled_in(document, environ, (), origins)
    config = parse_config(filled_in, origin=_origin_finder(file, written, origins, overrides or {}))
    if "watch" not in written:
        config = config.model_copy(update={"watch": []})
    return config, written


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such file. Name another one with --config, or start from the shipped config.toml."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error


def _from_environment(
    environ: Mapping[str, str], document: Mapping[str, Any], origins: dict[Keys, str]
) -> dict[str, Any]:
    """Read `BAROGRAPH_A__B=value` as `{a: {b: value}}`; a watch is named in place of its number.

    `origins` is given the variable that each of these values comes from.
    """
    overrides: dict[str, Any] = {}
    tables = document.get("watch")
    watches = (
        [dict(watch) for watch in tables if isinstance(watch, Mapping)] if isinstance(tables, list) else []
    )
    for variable, text in sorted(environ.items()):
        if not variable.startswith(_PREFIX):
            continue
        keys = variable.removeprefix(_PREFIX).lower().split("__")
        if keys[0] == "watch" and len(keys) > 2:
            named = [watch for watch in watches if str(watch.get("name", "")).lower() == keys[1]]
            if not named:
                raise ConfigError(f"environment: {variable} names no watch of the file")
            named[0].update(_overlaid(named[0], _nested(keys[2:], _toml_value(text))))
            overrides["watch"] = watches
            number = next(number for number, watch in enumerate(watches) if watch is named[0])
            origins["watch", number, *keys[2:]] = f"environment variable {variable}"
        else:
            origins[tuple(keys)] = f"environment variable {variable}"
            overrides = _overlaid(overrides, _nested(keys, _toml_value(text)))
    return overrides


def _origin_finder(
    file: str, written: Mapping[str, Any], origins: Mapping[Keys, str], overrides: Mapping[str, Any]
) -> Callable[[Keys], str]:
    """Give a function that names what the value at some keys comes from.

    A table may have values from both the file and variables; what is wrong with them together names both.
    """

    def origin(keys: Keys) -> str:
        if not isinstance(_value(overrides, keys), Mapping | None):
            return "command line"
        around = [path for path in origins if keys[: len(path)] == path]
        if around:
            return origins[max(around, key=len)]
        within = [name for path, name in origins.items() if keys and path[: len(keys)] == keys]
        if not within:
            return file
        variables = " and ".join(within)
        return f"{file} and {variables}" if _value(written, keys) is not None else variables

    return origin


def _value(document: Any, keys: Keys) -> Any:
    """Give the value at some keys; None where there is none."""
    for key in keys:
        if isinstance(document, Mapping):
            document = document.get(str(key))
        elif isinstance(document, list) and isinstance(key, int) and key < len(document):
            document = document[key]
        else:
            return None
    return document


def _nested(keys: Sequence[str], value: object) -> dict[str, Any]:
    return {keys[0]: value if len(keys) == 1 else _nested(keys[1:], value)}


def _toml_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _filled_in(document: Any, environ: Mapping[str, str], keys: Keys, origins: dict[Keys, str]) -> Any:
    """Replace `{ from_file = ... }` and `{ from_env = ... }` by the text that they refer to.

    `keys` lead from the top of the file to `document`; `origins` is given what each text comes from.
    """
    if isinstance(document, list):
        return [_filled_in(item, environ, (*keys, number), origins) for number, item in enumerate(document)]
    if not isinstance(document, Mapping):
        return document
    location = ".".join(map(str, keys))
    if set(document) == {"from_env"}:
        name = str(document["from_env"])
        if name not in environ:
            raise ConfigError(f"{location}: the environment has no {name}, which from_env names")
        origins[keys] = f"environment variable {name}"
        return environ[name]
    if set(document) == {"from_file"}:
        file = Path(str(document["from_file"]))
        try:
            text = file.read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{location}: cannot read {file}, which from_file names: {error}") from error
        origins[keys] = str(file)
        return text
    return {key: _filled_in(value, environ, (*keys, key), origins) for key, value in document.items()}


def _overlaid(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Give the document with the overrides in it, table by table."""
    merged = dict(document)
    for key, value in overrides.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = _overlaid(below, value)
        else:
            merged[key] = value
    return merged
