"""Attention that alternates between the variables of a row and the rows of a variable."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from skcausal.nn._linear import linear
from skcausal.nn._member_mlp import dropout_mask


class AlternatingAttention(nn.Module):
    """Exchange information between the cells of a data set.

    In each layer a cell attends to the other variables of its row, then to the other rows of its
    variable, then passes through a perceptron; each of the three is preceded by a layer
    normalisation and added to its input, as in [1]_. Permuting the variables, or the rows,
    permutes the output alike, and any number of both will do.

    Parameters
    ----------
    generator : torch.Generator
        Source of the initial weights.
    width : int, default=16
        Size of a token; a multiple of `n_heads`.
    n_layers : int, default=8
        Number of layers.
    n_heads : int, default=8
        Number of attention heads.
    n_hidden : int, default=32
        Number of hidden units of the perceptrons.
    dropout : float, default=0.1
        Share of what is added to a token that is set to zero in training.

    Raises
    ------
    ValueError
        If the heads do not divide the width.

    References
    ----------
    .. [1] Lorch, Sussex, Rothfuss, Krause & Schoelkopf (2022). Amortized inference for causal
       structure learning. NeurIPS, section 4.1.
    """

    def __init__(
        self,
        generator: torch.Generator,
        *,
        width: int = 16,
        n_layers: int = 8,
        n_heads: int = 8,
        n_hidden: int = 32,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if width % n_heads:
            raise ValueError(f"width must be a multiple of n_heads={n_heads}, found {width}.")
        self.dropout = dropout
        self.layers = nn.ModuleList(
            _Layer(generator, width, n_heads, n_hidden) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        tokens: torch.Tensor,
        rows: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        second_order: bool = False,
    ) -> torch.Tensor:
        """Transform the tokens of all cells.

        Parameters
        ----------
        tokens : tensor of shape (..., n_rows, n_variables, width)
            One token per cell.
        rows : bool tensor of shape (..., n_rows), default=None
            Rows that others may attend to, at least one in each data set. The tokens of the others
            are to be ignored. Default: all.
        generator : torch.Generator, default=None
            Source of dropout, on the device of the tokens. None: no dropout.
        second_order : bool, default=False
            Whether gradients of gradients are needed, which torch's fused attention lacks.

        Returns
        -------
        tokens : tensor of shape (..., n_rows, n_variables, width)
            The transformed tokens.
        """

        def drop(x):
            if generator is None or self.dropout == 0:
                return x
            return x * dropout_mask(x[None], self.dropout, [generator])[0]

        # Masks of keys, over axes (heads, queries, keys).
        keys = None if rows is None else rows[..., None, None, None, :]
        for layer in self.layers:
            tokens = layer(tokens, keys, drop, second_order)
        return self.norm(tokens)


class _Layer(nn.Module):
    """One layer: what its three parts yield is added to the tokens in turn."""

    def __init__(self, generator: torch.Generator, width: int, n_heads: int, n_hidden: int):
        super().__init__()
        self.variables = _SelfAttention(generator, width, n_heads)
        self.rows = _SelfAttention(generator, width, n_heads)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            linear(width, n_hidden, generator),
            nn.ReLU(),
            linear(n_hidden, width, generator),
        )

    def forward(
        self,
        tokens: torch.Tensor,
        keys: torch.Tensor | None,
        drop: Callable[[torch.Tensor], torch.Tensor],
        second_order: bool,
    ) -> torch.Tensor:
        """Transform the tokens; `keys` masks rows, `drop` is applied to what is added."""
        tokens = tokens + drop(self.variables(tokens, None, second_order))
        by_variable = tokens.transpose(-3, -2)
        update = self.rows(by_variable, keys, second_order).transpose(-3, -2)
        tokens = tokens + drop(update)
        return tokens + drop(self.perceptron(tokens))


class _SelfAttention(nn.Module):
    """Normalise, and attend along the last axis but one."""

    def __init__(self, generator: torch.Generator, width: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.inputs = linear(width, 3 * width, generator)
        self.output = linear(width, width, generator)

    def forward(
        self, tokens: torch.Tensor, keys: torch.Tensor | None, second_order: bool
    ) -> torch.Tensor:
        """Attend; `keys` masks tokens, over the axes (..., n_heads, n_queries, n_keys) or fewer."""
        split = self.inputs(self.norm(tokens)).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = split.movedim(-3, 0).transpose(-3, -2)
        attend = _attention if second_order else scaled_dot_product_attention
        mixed = attend(query, key, value, keys)
        return self.output(mixed.transpose(-3, -2).flatten(-2))


def _attention(query, key, value, keys):
    """Dot-product attention (Vaswani et al. 2017, eq. 1) that can be differentiated twice."""
    scores = query @ key.mT / query.shape[-1] ** 0.5
    if keys is not None:
        scores = scores.masked_fill(~keys, -torch.inf)
    return scores.softmax(dim=-1) @ value
