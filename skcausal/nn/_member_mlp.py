"""Multilayer perceptrons of all members of an ensemble, evaluated as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "elu": F.elu,
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
}


class MemberMLP(nn.Module):
    """Perceptrons of equal shape, one per member of an ensemble.

    Every parameter has the member as its leading axis, so that one matrix product per layer serves
    all members, and an elementwise optimizer trains each of them as if it were alone.

    Parameters
    ----------
    sizes : sequence of int
        Number of inputs, then of units in each layer; at least the former.
    generators : sequence of torch.Generator
        One per member, on the CPU; the weights are drawn from it, with standard deviation
        ``gain / sqrt(3 n_inputs)``. Biases start at zero.
    activation : {"elu", "relu", "silu", "tanh"}, default="elu"
        Nonlinearity. The gain is sqrt(2) for "relu", else 1.
    activate_last : bool, default=False
        Whether it follows the last layer, too.
    dropout : float, default=0.0
        Share of activations set to zero in training.
    dtype : torch.dtype, default=torch.float32
        Precision.

    Raises
    ------
    ValueError
        If there is no such activation.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        generators: Sequence[torch.Generator],
        *,
        activation: str = "elu",
        activate_last: bool = False,
        dropout: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            listed = ", ".join(map(repr, ACTIVATIONS))
            raise ValueError(f"activation must be one of {listed}; found {activation!r}.")
        self.activation = activation
        self.activate_last = activate_last
        self.dropout = dropout
        gain = math.sqrt(2.0) if activation == "relu" else 1.0
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for n_in, n_out in pairwise(sizes):
            # float64, so that both precisions start from the same weights.
            draws = [torch.randn(n_in, n_out, generator=g, dtype=torch.float64) for g in generators]
            weight = gain / math.sqrt(3 * n_in) * torch.stack(draws)
            self.weights.append(nn.Parameter(weight.to(dtype)))
            self.biases.append(nn.Parameter(torch.zeros(len(generators), 1, n_out, dtype=dtype)))

    def forward(
        self, x: torch.Tensor, generators: Sequence[torch.Generator] | None = None
    ) -> torch.Tensor:
        """Evaluate all members.

        Parameters
        ----------
        x : Tensor of shape (n_members, n_samples, n_inputs)
            Rows of each member.
        generators : sequence of torch.Generator, default=None
            One per member, for dropout. None: no dropout.

        Returns
        -------
        y : Tensor of shape (n_members, n_samples, n_outputs)
            Activations of the last layer.
        """
        activate = ACTIVATIONS[self.activation]
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            x = torch.baddbmm(bias, x, weight)
            if layer < last or self.activate_last:
                x = activate(x)
                if generators is not None and self.dropout > 0:
                    x = x * dropout_mask(x, self.dropout, generators)
        return x


def dropout_mask(
    x: torch.Tensor, share: float, generators: Sequence[torch.Generator]
) -> torch.Tensor:
    """Mask of the shape of `x` (n_members, ...) with entries 0 and 1 / (1 - share)."""
    kept = torch.stack(
        [torch.rand(x.shape[1:], generator=g, device=g.device) >= share for g in generators]
    )
    return kept.to(x) / (1.0 - share)
