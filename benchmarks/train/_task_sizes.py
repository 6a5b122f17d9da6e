"""Distributions over numbers of variables."""

import numpy as np
from scipy.stats import rv_discrete


def sizes(*weighted):
    """A distribution over numbers of variables, from (share, first, last) uniform pieces."""
    numbers = np.concatenate([np.arange(first, last + 1) for _, first, last in weighted])
    shares = np.concatenate(
        [np.full(last - first + 1, share / (last - first + 1)) for share, first, last in weighted]
    )
    order = np.unique(numbers)
    total = np.array([shares[numbers == n].sum() for n in order])
    return rv_discrete(values=(order, total / total.sum()))()
