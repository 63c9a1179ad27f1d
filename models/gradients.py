"""How far back a loss reaches: the gradient's norm at each step of the window."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from models.dataset import fill_gaps
from models.network import Autoencoder, masked_huber

__all__ = ["gradient_norms_per_step"]


def gradient_norms_per_step(
    network: Autoencoder, windows: NDArray[np.float32], *, tbptt_steps: int = 0
) -> NDArray[np.float64]:
    """Give the root mean square over windows of the loss's gradient with respect to each input step.

    If gradients vanish, the norms fall by orders of magnitude from the newest step to the
    oldest; if they explode, the norms grow.

    Parameters
    ----------
    windows : ndarray, shape (B, W, C)
        Scaled; NaN is a gap.

    Returns
    -------
    ndarray, shape (W,)
        Oldest step first.
    """
    known = torch.from_numpy(~np.isnan(windows)).float()
    target = torch.from_numpy(fill_gaps(windows))
    seen = target.clone().requires_grad_(True)
    loss = masked_huber(network(seen, tbptt_steps=tbptt_steps), target, known)
    (gradient,) = torch.autograd.grad(loss, seen, allow_unused=True)
    if gradient is None:
        return np.zeros(windows.shape[1])
    per_step = gradient.norm(dim=2).double()  # (B, W, C) -> (B, W)
    return np.asarray(per_step.square().mean(dim=0).sqrt().numpy())
