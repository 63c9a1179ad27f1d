"""The terminal: results to stdout, progress to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from models.training import Epoch  # it loads PyTorch, which takes seconds

__all__ = ["backfill_progress", "out", "scoring_progress", "training_progress"]

_FILE_WIDTH = 140  # columns of a table where stdout is no terminal

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _FILE_WIDTH)
_err = Console(stderr=True, highlight=False)


@contextmanager
def training_progress(watch: str, n_epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """Show a bar with the time left while a watch is trained; give a function to call after each epoch."""
    columns = (
        TextColumn("training {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs{task.fields[losses]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_err) as progress:
        task = progress.add_task(watch, total=n_epochs, losses="")

        def show(epoch: Epoch) -> None:
            losses = f", loss {epoch.loss:.4f}, held out {epoch.validation_loss:.4f}"
            progress.update(task, completed=epoch.number + 1, losses=losses)

        try:
            yield show
        finally:
            n_done = progress.tasks[0].completed
            # A training that stopped early fills its bar; one that never began leaves none.
            progress.update(task, total=n_done or n_epochs, visible=n_done > 0)


@contextmanager
def scoring_progress(watch: str) -> Iterator[Callable[[float], None]]:
    """Show a bar with the time left while files are scored; give a function to call with the share done."""
    columns = (
        TextColumn("scoring {task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_err) as progress:
        task = progress.add_task(watch, total=1.0)
        yield lambda share: progress.update(task, completed=share)


@contextmanager
def backfill_progress(label: str) -> Iterator[Callable[[float, int], None]]:
    """Show a bar with the time left while history is read; give a function for the share done and samples."""
    columns = (
        TextColumn("reading {task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[n_samples]} samples"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_err) as progress:
        task = progress.add_task(label, total=1.0, n_samples=0)
        yield lambda share, n_samples: progress.update(task, completed=share, n_samples=n_samples)
