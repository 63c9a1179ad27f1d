"""Plots for people, as PNG."""

from __future__ import annotations

import io

import numpy as np

from models.training import TrainingResult

__all__ = ["training_plot"]

_LEAST = 1e-30  # a logarithmic axis cannot show 0, the loss of a constant series


def training_plot(watch: str, training: TrainingResult) -> bytes:
    """Draw training and held-out loss by epoch, and the gradient over the steps of a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, gradients = figure.subplots(1, 2)
    epochs = [epoch.number + 1 for epoch in training.epochs]
    losses.plot(epochs, [max(epoch.loss, _LEAST) for epoch in training.epochs], label="training")
    losses.plot(epochs, [max(epoch.validation_loss, _LEAST) for epoch in training.epochs], label="held out")
    losses.axvline(training.best_epoch + 1, linestyle=":", color="grey", label="kept")
    losses.set(title=f"{watch}: loss", xlabel="epoch", ylabel="Huber loss", yscale="log")
    losses.legend()
    ago = np.arange(len(training.gradient_norms))[::-1]
    gradients.plot(ago, np.maximum(training.gradient_norms, _LEAST))
    gradients.set(
        title="gradient of the loss at each step",
        xlabel="steps before the window's end",
        ylabel="norm",
        yscale="log",
    )
    gradients.invert_xaxis()
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)  # type: ignore[no-untyped-call]
    return picture.getvalue()
