"""The network of counterfactual regression: one representation, one head per treatment level."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from skcausal._row_blocks import in_row_blocks
from skcausal.nn import MemberMLP

ROWS_AT_ONCE = 4096


class CFRNetwork(nn.Module):
    """Representation and heads of all members of an ensemble.

    Parameters
    ----------
    n_features : int
        Number of scaled covariates.
    n_arms : int
        Number of treatment levels.
    representation_layers : sequence of int
        Units of each layer of the representation; at least one.
    head_layers : sequence of int
        Units of each hidden layer of a head.
    generators : sequence of torch.Generator
        One per member; initial weights are drawn from it.
    activation : str
        Nonlinearity, see :class:`~skcausal.nn.MemberMLP`.
    normalize : bool
        Whether representations are scaled to length one.
    effect_head : bool
        Whether the heads of all levels but the first give differences from the first.
    dropout : float
        Share of activations set to zero in training.
    dtype : torch.dtype
        Precision.
    """

    def __init__(
        self,
        n_features: int,
        n_arms: int,
        *,
        representation_layers: Sequence[int],
        head_layers: Sequence[int],
        generators: Sequence[torch.Generator],
        activation: str,
        normalize: bool,
        effect_head: bool,
        dropout: float,
        dtype: torch.dtype,
    ):
        super().__init__()
        options: dict = {"activation": activation, "dropout": dropout, "dtype": dtype}
        self.n_members = len(generators)
        self.normalize = normalize
        self.effect_head = effect_head
        self.encoder = MemberMLP(
            (n_features, *representation_layers), generators, activate_last=True, **options
        )
        head_sizes = (representation_layers[-1], *head_layers, 1)
        self.heads = nn.ModuleList(
            MemberMLP(head_sizes, generators, **options) for _ in range(n_arms)
        )

    def represent(self, x: torch.Tensor, generators=None) -> torch.Tensor:
        """Representations (n_members, n, n_units) of covariates (n_members, n, n_features)."""
        z = self.encoder(x, generators)
        if not self.normalize:
            return z
        # Smooth at zero, where a row without any distinguishing covariate starts.
        return z / ((z * z).sum(dim=-1, keepdim=True) + 1e-6).sqrt()

    def outcome(self, z: torch.Tensor, arm: int, generators=None) -> torch.Tensor:
        """Outcomes under one level (n_members, n), on the scale of the heads."""
        y = self.heads[arm](z, generators)
        if self.effect_head and arm > 0:
            y = y + self.heads[0](z, generators)
        return y[:, :, 0]

    def outcomes(self, z: torch.Tensor) -> torch.Tensor:
        """Outcomes under every level (n_members, n, n_arms), on the scale of the heads."""
        return torch.stack([self.outcome(z, arm) for arm in range(len(self.heads))], dim=2)

    def forward(
        self, x: torch.Tensor, rows_per_arm: Sequence[int], generators=None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Representations, and outcomes under each row's own level.

        Parameters
        ----------
        x : Tensor of shape (n_members, n, n_features)
            Scaled covariates, sorted by treatment level.
        rows_per_arm : sequence of int
            Number of rows of each level.
        generators : sequence of torch.Generator, default=None
            One per member, for dropout.

        Returns
        -------
        z : Tensor of shape (n_members, n, n_units)
            Representations.
        y : Tensor of shape (n_members, n)
            Outcomes.
        """
        z = self.represent(x, generators)
        parts = z.split(list(rows_per_arm), dim=1)
        y = [self.outcome(part, arm, generators) for arm, part in enumerate(parts)]
        return z, torch.cat(y, dim=1)


def evaluate(network: CFRNetwork, x: torch.Tensor, *, binary: bool) -> torch.Tensor:
    """Outcomes under every level, without gradients and in pieces.

    Parameters
    ----------
    network : CFRNetwork
        The network.
    x : Tensor of shape (n, n_features)
        Scaled covariates, the same for all members.
    binary : bool
        Whether the heads give log-odds, to be turned into probabilities.

    Returns
    -------
    outcomes : Tensor of shape (n_members, n, n_arms)
        Scaled outcomes, or probabilities.
    """
    outcomes = _in_pieces(network, x, lambda piece: network.outcomes(network.represent(piece)))
    return torch.sigmoid(outcomes) if binary else outcomes


def represent(network: CFRNetwork, x: torch.Tensor) -> torch.Tensor:
    """Representations (n_members, n, n_units) without gradients, as in :func:`evaluate`."""
    return _in_pieces(network, x, network.represent)


def _in_pieces(network: CFRNetwork, x: torch.Tensor, function) -> torch.Tensor:
    """Apply a function of (n_members, n, n_features) to the same rows (n, n_features) for all."""

    def of_all_members(block):
        return function(block.expand(network.n_members, *block.shape))

    with torch.no_grad():
        join = partial(torch.cat, dim=1)
        return in_row_blocks(of_all_members, x, join=join, rows_at_once=ROWS_AT_ONCE)
