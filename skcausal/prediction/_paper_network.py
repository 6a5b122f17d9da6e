"""The published network: every variable given the others, the targets and a summary of the data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import leaky_relu

from skcausal.nn import AlternatingAttention, MemberMLP

# "All MLPs have (32, 32) hidden sizes and use the leaky ReLU activation" (appendix D).
_HIDDEN_SIZES = (32, 32)


class PaperNetwork(nn.Module):
    """Predict each variable from the others, conditioned on a data set (eq. 7 of [1]_).

    A summary of the data set comes from alternating attention over its cells; each target has an
    embedding, and those of the targets of a row are added; one perceptron per variable maps the
    other variables, the embedding and the summary to a mean. The noise around it has variance 1.

    What the paper leaves open is chosen as follows. A cell's token is the sum of an embedding of
    its value and one of whether it is a target. The summary is the mean of the tokens over rows
    and variables: it tells what kind of system the data are from, but not which variable is which,
    because nothing in a token says so. Dropout is in the attention alone.

    Parameters
    ----------
    n_variables : int
        Number of variables, at least 2.
    generator : torch.Generator
        Source of the initial weights, on the CPU.
    width : int, default=16
        Size of tokens, summary and embeddings of targets.
    n_layers, n_heads, n_hidden, dropout : optional
        See :class:`skcausal.nn.AlternatingAttention`.

    References
    ----------
    .. [1] Manta, Brouillard & Sridhar (2025). A meta-learning approach to causal inference.
       Section 3.3 and appendix D.
    """

    others: torch.Tensor

    def __init__(
        self,
        n_variables: int,
        generator: torch.Generator,
        *,
        width: int = 16,
        n_layers: int = 8,
        n_heads: int = 8,
        n_hidden: int = 32,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.sizes = {"n_variables": n_variables, "width": width, "n_layers": n_layers}
        sizes = (1, *_HIDDEN_SIZES, width)
        self.value = _Perceptrons(sizes, [generator])
        self.target = _Perceptrons(sizes, [generator])
        self.attention = AlternatingAttention(
            generator,
            width=width,
            n_layers=n_layers,
            n_heads=n_heads,
            n_hidden=n_hidden,
            dropout=dropout,
        )
        # E_Phi: entry (i, :) is the embedding of variable i as a target.
        embedding = torch.randn(n_variables, width, generator=generator)
        self.target_embedding = nn.Parameter(embedding)
        # f_j: each variable has a perceptron of its own.
        sizes = (n_variables - 1 + 2 * width, *_HIDDEN_SIZES, 1)
        self.variables = _Perceptrons(sizes, [generator] * n_variables)
        others = ~torch.eye(n_variables, dtype=torch.bool)
        indices = others.nonzero()[:, 1].view(n_variables, n_variables - 1)
        self.register_buffer("others", indices, persistent=False)

    def summarize(
        self,
        X: torch.Tensor,
        mask: torch.Tensor,
        *,
        generator: torch.Generator | None = None,
        second_order: bool = False,
    ) -> torch.Tensor:
        """Summarise data sets (h_theta in eq. 7).

        Parameters
        ----------
        X : tensor of shape (..., n_rows, n_variables)
            Values, z-scored.
        mask : tensor of shape (..., n_rows, n_variables)
            Where the mechanism of a variable is replaced.
        generator, second_order : optional
            See :meth:`forward`.

        Returns
        -------
        summary : tensor of shape (..., width)
            What the attention extracts.
        """
        cells = torch.stack([X, mask.to(X)]).reshape(2, 1, -1, 1)
        tokens = self.value(cells[0]) + self.target(cells[1])
        tokens = self.attention(
            tokens.view(*X.shape, -1), generator=generator, second_order=second_order
        )
        return tokens.mean(dim=(-3, -2))

    def forward(
        self,
        context_X: torch.Tensor,
        context_mask: torch.Tensor,
        X: torch.Tensor,
        mask: torch.Tensor,
        *,
        generator: torch.Generator | None = None,
        second_order: bool = False,
    ) -> torch.Tensor:
        """Predict all variables of each row, each from the others.

        Parameters
        ----------
        context_X : tensor of shape (..., n_context_rows, n_variables)
            Data sets to condition on, each variable z-scored with the training rows.
        context_mask : bool tensor of shape (..., n_context_rows, n_variables)
            Where the mechanism of a variable is replaced.
        X : tensor of shape (..., n_rows, n_variables)
            Rows from the same systems, in the same units.
        mask : bool tensor of shape (..., n_rows, n_variables)
            Their targets.
        generator : torch.Generator, default=None
            Source of dropout. None: no dropout.
        second_order : bool, default=False
            Whether gradients of gradients are needed.

        Returns
        -------
        means : tensor of shape (..., n_rows, n_variables)
            Entry (i, j) is the mean of variable j given the rest of row i and its targets. Those of
            intervened cells mean nothing.
        """
        summary = self.summarize(
            context_X, context_mask, generator=generator, second_order=second_order
        )
        targets = mask.to(X) @ self.target_embedding
        summary = summary[..., None, :].expand(*targets.shape)
        others = X[..., self.others]  # (..., n_rows, n_variables, n_variables - 1)
        shared = torch.cat([targets, summary], dim=-1)[..., None, :]
        shared = shared.expand(*others.shape[:-1], -1)
        inputs = torch.cat([others, shared], dim=-1)
        rows = inputs.flatten(0, -3).transpose(0, 1)  # (n_variables, all rows, n_inputs)
        return self.variables(rows)[..., 0].T.reshape(X.shape)


class _Perceptrons(nn.Module):
    """Perceptrons with leaky ReLU, one per generator, evaluated as one."""

    def __init__(self, sizes: Sequence[int], generators: Sequence[torch.Generator]):
        super().__init__()
        self.layers = nn.ModuleList(MemberMLP(pair, generators) for pair in pairwise(sizes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map rows (n_members, n_rows, n_inputs) to (n_members, n_rows, n_outputs)."""
        for number, layer in enumerate(self.layers):
            x = layer(leaky_relu(x) if number else x)
        return x
