"""The map from covariates to potential outcomes as a torch module that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import nn

_INT8_MAX = 127


class OutcomeModule(nn.Module):
    """Potential outcomes of covariates in their own units.

    Parameters
    ----------
    network : CFRNetwork
        The networks, in evaluation mode and without gradients from here on.
    scaling : Scaling
        Centre, unit and limit of each covariate.
    y_center : float
        Added to outcomes, after
    y_scale : float
        what they are multiplied by.
    binary : bool
        Whether the heads give log-odds, to be turned into probabilities.
    """

    center: torch.Tensor
    scale: torch.Tensor
    limit: torch.Tensor

    def __init__(self, network, scaling, y_center: float, y_scale: float, *, binary: bool):
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.dtype = next(network.parameters()).dtype
        self.y_center, self.y_scale, self.binary = y_center, y_scale, binary
        for name in ("center", "scale", "limit"):
            self.register_buffer(name, torch.from_numpy(getattr(scaling, name)))

    def forward(self, covariates: torch.Tensor) -> torch.Tensor:
        """Outcomes (n, n_arms) of covariates (n, n_features), both in float64."""
        x = (covariates - self.center) / self.scale
        x = torch.minimum(torch.maximum(x, -self.limit), self.limit).to(self.dtype)
        z = self.network.represent(x.expand(self.network.n_members, -1, -1))
        outcomes = self.network.outcomes(z)
        if self.binary:
            outcomes = torch.sigmoid(outcomes)
        return outcomes.double().mean(dim=0) * self.y_scale + self.y_center


class Int8Weights(nn.Module):
    """Weight matrices of a perceptron, kept as integers; iterating gives them as numbers.

    Parameters
    ----------
    weights : iterable of Tensor of shape (n_members, n_inputs, n_outputs)
        The weights of each layer.
    """

    def __init__(self, weights: Iterable[torch.Tensor]):
        super().__init__()
        self._n_layers = 0
        for weight in weights:
            # One step for all that enters the same sum. Where all of it is zero any step will do.
            largest = weight.abs().amax(dim=1, keepdim=True)
            step = torch.where(largest > 0, largest, 1.0) / _INT8_MAX
            self.register_buffer(f"integer_{self._n_layers}", (weight / step).round().char())
            self.register_buffer(f"step_{self._n_layers}", step)
            self._n_layers += 1

    def __len__(self) -> int:
        return self._n_layers

    def __iter__(self) -> Iterator[torch.Tensor]:
        for layer in range(self._n_layers):
            step = self.get_buffer(f"step_{layer}")
            yield self.get_buffer(f"integer_{layer}").to(step.dtype) * step


def quantize_weights(network) -> None:
    """Replace the weights of a `CFRNetwork` by 8-bit integers; the biases stay as they are."""
    for perceptron in (network.encoder, *network.heads):
        weights = Int8Weights(perceptron.weights)
        del perceptron.weights
        perceptron.weights = weights
