"""Mechanisms of all variables given a relaxed graph: linear, or small perceptrons."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from skcausal.nn import MemberMLP


@dataclass(frozen=True, eq=False)
class ContextTensors:
    """What the likelihood needs of the contexts, as tensors of one device and precision.

    Parameters
    ----------
    n_rows : Tensor of shape (n_contexts, 1)
        Number of rows.
    means : Tensor of shape (n_contexts, n_variables)
        Their means.
    scatter : Tensor of shape (n_contexts or 1, n_variables, n_variables)
        Sums of outer products of deviations from the means of contexts; of all contexts, divided by
        their number, where there is only one matrix.
    rows : Tensor of shape (n_samples, n_variables) or None
        The rows.
    context_of_row : int64 tensor of shape (n_samples,)
        Context of each row.
    """

    n_rows: torch.Tensor
    means: torch.Tensor
    scatter: torch.Tensor
    rows: torch.Tensor | None
    context_of_row: torch.Tensor

    @classmethod
    def from_arrays(cls, contexts, X, *, pooled, keep_rows, device, dtype):
        """Convert Contexts and the rows X (n_samples, n_variables), which may be None."""

        def tensor(array):
            return torch.tensor(array, dtype=dtype, device=device)

        context = torch.tensor(contexts.context_of_row, dtype=torch.int64, device=device)
        if pooled:
            scatter = contexts.scatter[None] / len(contexts.means)
        else:
            within = X - contexts.means[contexts.context_of_row]
            groups = range(len(contexts.means))
            parts = [within[contexts.context_of_row == k] for k in groups]
            scatter = np.stack([part.T @ part for part in parts])
        rows = tensor(X) if keep_rows else None
        n_rows = tensor(contexts.n_rows)[:, None]
        return cls(n_rows, tensor(contexts.means), tensor(scatter), rows, context)

    def summarise(self, residuals):
        """Means and scatters (n_contexts, n_variables) of residuals (n_samples, n_variables)."""
        means = torch.zeros_like(self.means).index_add(0, self.context_of_row, residuals)
        means = means / self.n_rows
        squares = (residuals - means[self.context_of_row]) ** 2
        return means, torch.zeros_like(means).index_add(0, self.context_of_row, squares)


class LinearMechanisms(nn.Module):
    """Linear equations ``x_j = sum_i graph_ij coef_ij x_i + intercept_j + noise_j``.

    Parameters
    ----------
    n_variables : int
        Number of variables.
    generator : torch.Generator
        Unused: the equations start from 0.
    dtype : torch.dtype
        Precision.
    """

    def __init__(self, n_variables, generator, dtype):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_variables, n_variables, dtype=dtype))
        self.intercept = nn.Parameter(torch.zeros(n_variables, dtype=dtype))

    def forward(self, X, graph):
        """Evaluate expectations (n_samples, n_variables), given the graph (d, d)."""
        return X @ (graph * self.weights) + self.intercept

    def residual_moments(self, data, graph):
        """Means (n_contexts, d) and scatters (n_contexts or 1, d) of the residuals."""
        coef = graph * self.weights
        means = data.means - data.means @ coef - self.intercept
        inverse = torch.eye(len(coef)).to(coef) - coef
        return means, (inverse * (data.scatter @ inverse)).sum(dim=-2)

    def derivatives(self, rows, graph):
        """Entry (..., i, j) is the derivative of variable j with respect to i: (1, d, d)."""
        return (graph * self.weights)[None]


class PerceptronMechanisms(nn.Module):
    """Equations ``x_j = f_j(graph_1j x_1, ..., graph_dj x_d) + noise_j`` with one hidden layer.

    Parameters
    ----------
    n_variables : int
        Number of variables.
    generator : torch.Generator
        Where the initial weights come from, on the CPU.
    dtype : torch.dtype
        Precision.
    n_hidden : int, default=10
        Number of hidden units of each equation.
    """

    def __init__(self, n_variables, generator, dtype, n_hidden=10):
        super().__init__()
        generators = [generator] * n_variables
        sizes = (n_variables, n_hidden, 1)
        self.network = MemberMLP(sizes, generators, activation="tanh", dtype=dtype)

    def forward(self, X, graph):
        """Evaluate expectations (n_samples, n_variables), given the graph (d, d)."""
        hidden = self._hidden(X, graph)
        outputs = torch.baddbmm(self.network.biases[1], hidden, self.network.weights[1])
        return outputs[..., 0].T

    def residual_moments(self, data, graph):
        """Means and scatters (n_contexts, d) of the residuals."""
        return data.summarise(data.rows - self(data.rows, graph))

    def derivatives(self, rows, graph):
        """Entry (n, i, j) is the derivative of variable j with respect to i in row n."""
        slope = (1.0 - self._hidden(rows, graph) ** 2) * self.network.weights[1][..., 0][:, None]
        return torch.einsum("jih,jnh->nij", self._masked(graph), slope)

    def _masked(self, graph):
        """Weights (d, d, n_hidden) of the first layers, times the graph."""
        return graph.T[..., None] * self.network.weights[0]

    def _hidden(self, X, graph):
        """Activations (d, n_samples, n_hidden) of the hidden layers."""
        return torch.tanh(X @ self._masked(graph) + self.network.biases[0])


MECHANISMS = {"linear": LinearMechanisms, "mlp": PerceptronMechanisms}
