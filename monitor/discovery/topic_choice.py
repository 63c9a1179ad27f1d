"""Which of a cluster's topics are inspected; pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from monitor.errors import SourceError
from monitor.text import first_of

__all__ = ["ChosenTopics", "choose_topics", "some_of"]

_INTERNAL_PREFIX = "_"  # of topics of Kafka itself, of schema registries, of Confluent
_N_SHOWN = 3  # names of a list
_SIMILARITY = 0.5  # at least, of a name that may have been meant; difflib's own default is 0.6


@dataclass(frozen=True, slots=True)
class ChosenTopics:
    """Topics to inspect; `missing` were asked for and do not exist, `others` exist and were not asked for."""

    names: tuple[str, ...]
    missing: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    n_internal: int = 0

    def missing_text(self) -> str:
        """Say which topics do not exist, and what may have been meant."""
        near = difflib.get_close_matches(self.missing[0], self.others, n=1, cutoff=_SIMILARITY)
        if near:
            hint = f"did you mean {near[0]}?"
        elif self.others:
            hint = f"there are {some_of(self.others)}"
        else:
            hint = "there is no other"
        return f"no topic is named {', '.join(self.missing)}: {hint}"


def choose_topics(existing: Sequence[str], wanted: Sequence[str]) -> ChosenTopics:
    """Choose topics by their names or by patterns (`*` and `?`); all but internal ones where none is wanted.

    Raises
    ------
    SourceError
        If there is no topic, or none that is wanted.
    """
    if not existing:
        raise SourceError(
            "the cluster has no topic, or shows this user none: let a producer send something, "
            "or ask for the right to describe"
        )
    visible = [name for name in existing if not name.startswith(_INTERNAL_PREFIX)]
    n_internal = len(existing) - len(visible)
    if not wanted:
        return ChosenTopics(tuple(visible), n_internal=n_internal)
    names = [name for name in existing if any(_matches(name, pattern) for pattern in wanted)]
    missing = [pattern for pattern in wanted if not any(_matches(name, pattern) for name in existing)]
    others = [name for name in visible if name not in names]
    chosen = ChosenTopics(tuple(names), tuple(missing), tuple(others), n_internal)
    if not names:
        raise SourceError(chosen.missing_text())
    return chosen


def some_of(names: Sequence[str]) -> str:
    """Write the first of some names, and how many more there are."""
    return first_of(names, _N_SHOWN)


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)
