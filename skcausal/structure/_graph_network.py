"""Networks that read a data set once and give the logits of all edges."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import nn
from torch.nn.functional import normalize

from skcausal.nn import AlternatingAttention
from skcausal.nn._linear import linear
from skcausal.nn._pair_encoder import PairEncoder
from skcausal.nn._pair_statistics import N_FEATURES, pair_statistics
from skcausal.nn._regime_moments import RegimeMoments

# On the diagonal the logarithm of a variable's standard deviation; off it those of both and their
# difference.
N_FEATURES_WITH_UNITS = N_FEATURES + 4


class PairGraphNetwork(nn.Module):
    """Logits of edges from the moments of the regimes.

    A pair encoder reads the statistics of all ordered pairs; every pair's token gives the logit of
    its edge. The correlations over the rows in which a variable is free may guide messages between
    the pairs that it is the second of, so that the network can weigh sets of parents. The cost does
    not depend on the number of rows.

    Parameters
    ----------
    generator : torch.Generator
        Source of the initial weights.
    width : int, default=32
        Size of the tokens.
    n_layers : int, default=6
        Number of layers.
    n_features : int, default=38
        Number of features of a pair: 38, or 42 if the network is to see the standard deviations of
        the variables, too.
    n_messages : int, default=16
        Number of messages of each token; 0 for none.
    """

    def __init__(
        self,
        generator: torch.Generator,
        *,
        width: int = 32,
        n_layers: int = 6,
        n_features: int = N_FEATURES,
        n_messages: int = 16,
    ):
        super().__init__()
        if n_features not in (N_FEATURES, N_FEATURES_WITH_UNITS):
            raise ValueError(
                f"n_features must be {N_FEATURES} or {N_FEATURES_WITH_UNITS}, found {n_features}."
            )
        self.sizes: dict[str, int] = {
            "width": width,
            "n_layers": n_layers,
            "n_features": n_features,
            "n_messages": n_messages,
        }
        self.encoder = PairEncoder(
            n_features, generator, width=width, n_layers=n_layers, n_messages=n_messages
        )
        self.head = linear(width, 1, generator, gain=0.3)
        with torch.no_grad():
            self.head.bias.fill_(-1.0)

    def forward(self, moments: RegimeMoments, scale: torch.Tensor) -> torch.Tensor:
        """Read a batch of data sets.

        Parameters
        ----------
        moments : RegimeMoments
            Moments of standardised rows.
        scale : tensor of shape (n_tasks, n_variables)
            Standard deviations before.

        Returns
        -------
        logits : tensor of shape (n_tasks, n_variables, n_variables)
            Entry (i, j): logit of the probability of an edge i -> j; without meaning on the
            diagonal.
        """
        statistics = pair_statistics(moments)
        features = statistics.features
        if self.sizes["n_features"] == N_FEATURES_WITH_UNITS:
            features = torch.cat([features, _unit_features(scale)], dim=-1)
        correlation = statistics.free.correlation() if self.sizes["n_messages"] else None
        return self.head(self.encoder(features, correlation))[..., 0].mT


def _unit_features(scale):
    """Features (n_tasks, n_variables, n_variables, 4) of the standard deviations."""
    log_scale = torch.log(scale.clamp(min=1e-6))
    identity = torch.eye(scale.shape[-1], dtype=scale.dtype, device=scale.device)
    off = 1.0 - identity
    first, second = log_scale[:, :, None] * off, log_scale[:, None, :] * off
    features = [log_scale[:, :, None] * identity, first, second, first - second]
    return torch.stack(features, dim=-1)


class RowGraphNetwork(nn.Module):
    """Logits of edges from the rows themselves, by attention along rows and variables.

    The model of [1]_: a token for each cell, made from its value and whether it was set; layers of
    attention along variables and rows in turn; the maximum over rows of each variable's tokens;
    from it two unit vectors u_i and v_j, and the logit ``temperature u_i . v_j + bias``.

    Parameters
    ----------
    generator : torch.Generator
        Source of the initial weights.
    width : int, default=32
        Size of the tokens, a multiple of `n_heads`.
    n_layers : int, default=4
        Number of layers.
    n_heads : int, default=4
        Number of attention heads.

    References
    ----------
    .. [1] Lorch, Sussex, Rothfuss, Krause & Schoelkopf (2022). Amortized inference for causal
       structure learning. NeurIPS. Section 4.
    """

    def __init__(
        self, generator: torch.Generator, *, width: int = 32, n_layers: int = 4, n_heads: int = 4
    ):
        super().__init__()
        self.sizes: dict[str, int] = {"width": width, "n_layers": n_layers, "n_heads": n_heads}
        self.embed = linear(2, width, generator)
        self.attention = AlternatingAttention(
            generator, width=width, n_layers=n_layers, n_heads=n_heads, n_hidden=4 * width
        )
        self.parent = linear(width, width, generator)
        self.child = linear(width, width, generator)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(4.0)))
        self.bias = nn.Parameter(torch.tensor(-1.0))

    def forward(self, Z: torch.Tensor, mask: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Read a batch of data sets.

        Parameters
        ----------
        Z : tensor of shape (n_tasks, n_rows, n_variables)
            Standardised rows.
        mask : bool tensor of shape (n_tasks, n_rows, n_variables)
            The intervention mask.
        kept : bool tensor of shape (n_tasks, n_rows)
            Which rows were observed, at least one in each task.

        Returns
        -------
        logits : tensor of shape (n_tasks, n_variables, n_variables)
            Entry (i, j): logit of the probability of an edge i -> j; without meaning on the
            diagonal.
        """
        tokens = self.attention(self.embed(torch.stack([Z, mask.to(Z)], dim=-1)), kept)
        hidden = tokens.masked_fill(~kept[..., None, None], -torch.inf)
        variables = hidden.amax(dim=1)
        parent = normalize(self.parent(variables), dim=-1)
        child = normalize(self.child(variables), dim=-1)
        return self.log_temperature.exp() * (parent @ child.mT) + self.bias


GraphNetwork: TypeAlias = PairGraphNetwork | RowGraphNetwork
