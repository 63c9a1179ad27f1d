"""The card as a picture: every contender on every set, by four measures."""

from __future__ import annotations

from pathlib import Path

from .report import Card, titles

__all__ = ["draw"]

_PANELS = (
    ("VUS-PR", "vus_pr", False),
    ("event F1 at the own limit", "event_f1", False),
    ("false episodes over budget", "false_over_budget", True),
)
_HIDDEN_ZERO = 0.03  # where a logarithmic axis puts what is 0


def draw(card: Card, path: Path) -> None:
    """Draw the card as a PNG: contenders below each other by mean rank, a point for each set."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    names = card.contenders[::-1]
    figure = Figure(figsize=(13, 1.6 + 0.33 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(_PANELS), sharey=True)
    for axis, (title, key, is_ratio) in zip(axes, _PANELS, strict=True):
        for number, set_name in enumerate(card.sets):
            means = [card.mean(name, set_name, key) for name in names]
            if is_ratio:
                means = [max(value, _HIDDEN_ZERO) for value in means]
            axis.plot(means, range(len(names)), "o", color=f"C{number}", alpha=0.75, label=set_name)
        axis.set_title(title)
        axis.grid(alpha=0.3)
        if is_ratio:
            axis.set_xscale("log")
            axis.axvline(1.0, color="black", linewidth=0.8)
        else:
            axis.set_xlim(0, 1)
    axes[0].set_yticks(range(len(names)), [titles()[name].strip("*") for name in names])
    if card.sets:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)))
    figure.savefig(path, dpi=110)
