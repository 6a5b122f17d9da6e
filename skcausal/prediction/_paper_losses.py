"""The two losses of the published meta-training, of one data set or many."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, vmap

Parameters = dict[str, torch.Tensor]


def fit_loss(
    network: nn.Module,
    X: torch.Tensor,
    mask: torch.Tensor,
    *,
    context: tuple[torch.Tensor, torch.Tensor] | None = None,
    parameters: Parameters | None = None,
    generator: torch.Generator | None = None,
    second_order: bool = False,
) -> torch.Tensor:
    """Negative log-likelihood of the rows that the network is conditioned on (eq. 4).

    Parameters
    ----------
    network : PaperNetwork
        The network.
    X : tensor of shape (n_rows, n_variables) or (n_tasks, n_rows, n_variables)
        One data set or several, z-scored.
    mask : bool tensor of the shape of X
        Targets.
    context : pair of tensors, default=None
        Rows that stand for X and mask in the attention. Default: all.
    parameters : dict of str to Tensor, default=None
        Parameters instead of the network's, or, with an axis of tasks in front, of each task.
    generator : torch.Generator, default=None
        Source of dropout. None: no dropout.
    second_order : bool, default=False
        Whether gradients of gradients are needed.

    Returns
    -------
    loss : tensor of shape () or (n_tasks,)
        The loss of each data set.
    """
    context = (X, mask) if context is None else context
    return transfer_loss(
        network,
        *context,
        X,
        mask,
        parameters=parameters,
        generator=generator,
        second_order=second_order,
    )


def transfer_loss(
    network: nn.Module,
    context_X: torch.Tensor,
    context_mask: torch.Tensor,
    X: torch.Tensor,
    mask: torch.Tensor,
    *,
    parameters: Parameters | None = None,
    generator: torch.Generator | None = None,
    second_order: bool = False,
) -> torch.Tensor:
    """Negative log-likelihood of rows given a data set of the same system (eq. 5).

    Parameters
    ----------
    network : PaperNetwork
        The network.
    context_X, context_mask : tensor of shape (..., n_context_rows, n_variables)
        Data sets to condition on, z-scored, and their targets.
    X, mask : tensor of shape (..., n_rows, n_variables)
        Rows to predict, and their targets.
    parameters, generator, second_order : optional
        See :func:`fit_loss`.

    Returns
    -------
    loss : tensor of shape (...)
        Half of the mean squared error over the free cells of each task, which is the negative
        logarithm of a Gaussian of variance 1 but for a constant. Intervened cells are left out:
        their mechanism is replaced, so that there is nothing to learn from them. (The sums over
        variables of eqs. 4 and 5 are means here, so that learning rates mean the same at any size.)
    """
    options = {"generator": generator, "second_order": second_order}
    data = (context_X, context_mask, X, mask)
    if parameters is None:
        means = network(*data, **options)
    elif _are_per_task(network, parameters):
        # The fused attention is none under vmap.
        options["second_order"] = True
        call = vmap(lambda p, *d: functional_call(network, p, d, options), randomness="different")
        means = call(parameters, *data)
    else:
        means = functional_call(network, parameters, data, options)
    free = (~mask).to(X)
    return 0.5 * ((means - X) ** 2 * free).sum(dim=(-2, -1)) / free.sum(dim=(-2, -1))


def context_rows(
    X: torch.Tensor, mask: torch.Tensor, n_rows: int | None, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw rows without replacement, the same positions in each data set.

    Parameters
    ----------
    X, mask : tensor of shape (..., n_rows, n_variables)
        Data sets and their targets.
    n_rows : int or None
        Number of rows to draw; None, or more than there are: all.
    seed : int
        Determines which.

    Returns
    -------
    X, mask : tensor of shape (..., n_rows, n_variables)
        The rows.
    """
    n_all = X.shape[-2]
    if n_rows is None or n_rows >= n_all:
        return X, mask
    order = np.random.default_rng(seed).permutation(n_all)
    chosen = torch.from_numpy(np.sort(order[:n_rows])).to(X.device)
    return X[..., chosen, :], mask[..., chosen, :]


def _are_per_task(network: nn.Module, parameters: Parameters) -> bool:
    """Whether parameters have an axis of tasks in front."""
    name, parameter = next(iter(network.named_parameters()))
    return parameters[name].ndim > parameter.ndim
