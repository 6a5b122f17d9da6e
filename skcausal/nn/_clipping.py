"""Clipping of gradients, as a hook of the optimizer."""

from __future__ import annotations

import torch


def clip_gradients(optimizer: torch.optim.Optimizer, args, kwargs) -> None:
    """Bound the norm of the gradients by one; if it is not finite, set them to zero.

    To be registered with :meth:`torch.optim.Optimizer.register_step_pre_hook`.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimizer that is about to step.
    args, kwargs : tuple, dict
        Arguments of the step.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    if not torch.isfinite(norm):
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.zero_()
