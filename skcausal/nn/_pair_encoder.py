"""The pair-grid encoder: one token for every ordered pair of variables."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import gelu

from skcausal.nn._linear import linear


class PairEncoder(nn.Module):
    """Embed features of ordered pairs and let pairs that share a variable inform each other.

    With `n_messages`, a layer first adds to token (j, i) the sum over all variables k of what token
    (j, k) has to tell, times the moment of i and k over the rows that belong to j: the products of
    a matrix and a vector that regressions of j on some of the others are made of.

    Every layer adds to token (j, i) sums over all third variables k, of products of the tokens
    (j, k) and (k, i), which follow paths, and of (k, j) and (k, i), which join what k is related
    to; these are the triangle updates of [1]_. A perceptron on each token follows. Nothing depends
    on how the variables are numbered or on how many there are.

    Parameters
    ----------
    n_features : int
        Number of features of a pair.
    generator : torch.Generator
        Source of the initial weights.
    width : int, default=32
        Size of a token.
    n_layers : int, default=6
        Number of layers.
    n_messages : int, default=0
        Number of such sums of each token.

    References
    ----------
    .. [1] Jumper et al. (2021). Highly accurate protein structure prediction with AlphaFold.
       Nature 596, supplementary algorithms 11 and 12.
    """

    def __init__(
        self,
        n_features: int,
        generator: torch.Generator,
        *,
        width: int = 32,
        n_layers: int = 6,
        n_messages: int = 0,
    ):
        super().__init__()
        self.embed_in = linear(n_features, 2 * width, generator)
        self.embed_out = linear(2 * width, width, generator)
        self.layers = nn.ModuleList([_TriangleLayer(width, generator) for _ in range(n_layers)])
        self.messages = nn.ModuleList(
            [
                _MomentMessages(width, n_messages, generator)
                for _ in range(n_layers if n_messages else 0)
            ]
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, features: torch.Tensor, moments: torch.Tensor | None = None) -> torch.Tensor:
        """Encode all pairs.

        Parameters
        ----------
        features : Tensor of shape (n_tasks, n_variables, n_variables, n_features)
            Features of the ordered pairs; the diagonal carries those of single variables.
        moments : Tensor of shape (n_tasks, n_variables, n_variables, n_variables), default=None
            Entry (j, i, k): moment of variables i and k over the rows that belong to j. Needed with
            `n_messages`.

        Returns
        -------
        tokens : Tensor of shape (n_tasks, n_variables, n_variables, width)
            Normalised tokens.
        """
        tokens = self.embed_out(gelu(self.embed_in(features)))
        for k, layer in enumerate(self.layers):
            if self.messages:
                tokens = tokens + self.messages[k](tokens, moments)
            tokens = layer(tokens)
        return self.norm(tokens)


class _MomentMessages(nn.Module):
    """What the tokens (j, k) tell token (j, i), weighted by moments of i and k."""

    def __init__(self, width: int, n_messages: int, generator: torch.Generator):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.values = linear(width, n_messages, generator)
        self.out = linear(n_messages, width, generator, gain=0.3)

    def forward(self, tokens: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
        """Return what is to be added to the tokens (n_tasks, n_variables, n_variables, width)."""
        return self.out(moments @ self.values(self.norm(tokens)))


class _TriangleLayer(nn.Module):
    """One layer: triangle sums, then a perceptron on each token, both added to what came in."""

    def __init__(self, width: int, generator: torch.Generator):
        super().__init__()
        half = width // 2
        self.norm_triangle = nn.LayerNorm(width)
        self.factors = linear(width, 4 * half, generator)
        self.triangle_out = linear(2 * half, width, generator)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp_in = linear(width, 2 * width, generator)
        self.mlp_out = linear(2 * width, width, generator)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Update the tokens (n_tasks, n_variables, n_variables, width)."""
        factors = self.factors(self.norm_triangle(tokens)).permute(0, 3, 1, 2)
        first, second, left, right = factors.chunk(4, dim=1)
        sums = torch.cat([first @ second, left.mT @ right], dim=1) / math.sqrt(tokens.shape[1])
        tokens = tokens + self.triangle_out(sums.permute(0, 2, 3, 1))
        return tokens + self.mlp_out(gelu(self.mlp_in(self.norm_mlp(tokens))))
