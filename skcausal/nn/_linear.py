"""Linear maps that are initialised from a private generator."""

from __future__ import annotations

import math

import torch
from torch import nn


def linear(n_in: int, n_out: int, generator: torch.Generator, *, gain: float = 1.0) -> nn.Linear:
    """Make a linear map whose weights have variance ``gain^2 / (3 n_in)`` and whose bias is 0.

    Parameters
    ----------
    n_in, n_out : int
        Number of inputs and outputs.
    generator : torch.Generator
        Source of the weights; the global state is left alone.
    gain : float, default=1.0
        Factor of the weights.

    Returns
    -------
    layer : nn.Linear
        The map.
    """
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
    bound = gain / math.sqrt(n_in)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return layer
