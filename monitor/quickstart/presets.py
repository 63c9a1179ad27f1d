"""What is worth to watch of well-known exporters: the tables of `presets.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files

__all__ = ["Preset", "load_presets"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A watch for an exporter; `presets.toml` explains the fields."""

    name: str
    title: str
    identified_by: tuple[str, ...]
    metrics: tuple[str, ...]
    ignore: tuple[str, ...]
    by: tuple[str, ...]
    keep: tuple[str, ...]
    match: str
    whole_job: bool
    tried: bool

    def identifies(self, names: Collection[str]) -> bool:
        """Tell whether metrics with these names are of this exporter."""
        return any(fnmatchcase(name, pattern) for pattern in self.identified_by for name in names)

    def ignored(self, names: Collection[str]) -> list[str]:
        """Give those of some names that are left out on purpose."""
        return sorted(name for name in names if _fits_any(name, self.ignore))

    def chosen(self, names: Collection[str]) -> list[str]:
        """Give those of some names that are to be watched, the most important first."""
        found = [name for pattern in self.metrics for name in sorted(names) if fnmatchcase(name, pattern)]
        return [name for name in dict.fromkeys(found) if not _fits_any(name, self.ignore)]


def load_presets() -> list[Preset]:
    """Read the shipped presets."""
    text = files("monitor.quickstart").joinpath("presets.toml").read_text(encoding="utf-8")
    return [_preset(table) for table in tomllib.loads(text)["preset"]]


def _preset(table: dict[str, object]) -> Preset:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Preset(**values)  # type: ignore[arg-type]


def _fits_any(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
