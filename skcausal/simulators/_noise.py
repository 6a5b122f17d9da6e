"""Noise of structural equations: mean 0, variance 1."""

from __future__ import annotations

import math

import numpy as np
import torch

from skcausal.simulators._random import fold_in, normal, uniform

NOISES = ("gaussian", "gumbel")


def standard_noise(keys, sizes, noise: str, dtype, first_row=0) -> torch.Tensor:
    """Standardised noise.

    Parameters
    ----------
    keys : int64 tensor of shape (n_systems,)
        Keys of the rows' noise.
    sizes : tuple of int
        Trailing axes: (n_regimes, n_rows, n_variables).
    noise : {"gaussian", "gumbel"}
        Distribution; the Gumbel distribution is shifted and scaled to mean 0 and variance 1.
    dtype : torch.dtype
        Precision.
    first_row : int, default=0
        Number of the first row.

    Returns
    -------
    noise : tensor of shape (n_systems, *sizes)
        Independent draws.
    """
    keys = fold_in(keys, "noise")
    if noise == "gaussian":
        return normal(keys, *sizes, dtype=dtype, first_row=first_row)
    gumbel = -(-uniform(keys, *sizes, dtype=dtype, first_row=first_row).log()).log()
    return (gumbel - np.euler_gamma) * (math.sqrt(6.0) / math.pi)
