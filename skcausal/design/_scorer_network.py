"""The network that scores designs: one pass over the experiment, a moment for each candidate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import gelu

from skcausal.design._scorer_inputs import (
    N_FEATURES,
    N_FEATURES_WITH_UNITS,
    ScorerInputs,
    pair_features,
)
from skcausal.nn._linear import linear
from skcausal.nn._pair_encoder import PairEncoder


@dataclass(frozen=True, eq=False)
class ScoreFunction:
    """What the network made of an experiment: a function of designs.

    Parameters
    ----------
    quadratic : tensor of shape (n_systems, n_variables, n_variables, 3)
        Coefficients of pairs (j, i): i is a target and j is free; both are targets; the product of
        both values.
    linear : tensor of shape (n_systems, n_variables, n_variables, 2 * n_hidden)
        What target i, and its value, add to the hidden units of variable j.
    edge_logits : tensor of shape (n_systems, n_variables, n_variables)
        Logits of the edges i -> j, in entry (i, j).
    """

    quadratic: torch.Tensor
    linear: torch.Tensor
    edge_logits: torch.Tensor


class DesignScorer(nn.Module):
    """Scores designs by what they are expected to teach.

    A pair encoder reads features of all ordered pairs of variables. Its tokens give the
    coefficients of a quadratic form in the design, and weights of hidden units of every variable,
    into which a design enters linearly; of values only products and sizes matter, since the mirror
    image of a design teaches as much. Scores of designs are comparable within one experiment only.
    Permuting the variables permutes everything.

    Parameters
    ----------
    generator : torch.Generator
        Source of the initial weights.
    width : int, default=32
        Size of the tokens.
    n_layers : int, default=4
        Number of layers.
    n_features : int, default=27
        Number of features of a pair: 27, or 30 if the network is to see the standard deviations of
        the variables, too.
    n_messages : int, default=16
        Number of messages of each token along correlations; 0 for none.
    n_hidden : int, default=8
        Number of hidden units of every variable.
    """

    def __init__(
        self,
        generator: torch.Generator,
        *,
        width: int = 32,
        n_layers: int = 4,
        n_features: int = N_FEATURES,
        n_messages: int = 16,
        n_hidden: int = 8,
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
            "n_hidden": n_hidden,
        }
        self.encoder = PairEncoder(
            n_features, generator, width=width, n_layers=n_layers, n_messages=n_messages
        )
        self.head = linear(width, 4 + 2 * n_hidden, generator, gain=0.3)
        self.states = linear(2, n_hidden, generator)
        self.output = linear(n_hidden, 2, generator)

    def forward(self, inputs: ScorerInputs) -> ScoreFunction:
        """Read experiments.

        Parameters
        ----------
        inputs : ScorerInputs
            The experiments.

        Returns
        -------
        function : ScoreFunction
            What :meth:`score` needs.
        """
        with_units = self.sizes["n_features"] == N_FEATURES_WITH_UNITS
        features, correlation = pair_features(inputs, with_units=with_units)
        along = correlation if self.sizes["n_messages"] else None
        heads = self.head(self.encoder(features, along))
        edge, quadratic, hidden = heads.split([1, 3, heads.shape[-1] - 4], dim=-1)
        return ScoreFunction(quadratic, hidden, edge[..., 0].mT)

    def score(
        self, function: ScoreFunction, targets: torch.Tensor, position: torch.Tensor
    ) -> torch.Tensor:
        """Score designs.

        Parameters
        ----------
        function : ScoreFunction
            What was made of the experiments.
        targets : bool tensor of shape (n_systems, n_candidates, n_variables)
            The targets.
        position : tensor of the same shape
            Values as positions within their ranges, from -1 to 1, in canonical signs; 0 for other
            variables.

        Returns
        -------
        scores : tensor of shape (n_systems, n_candidates)
            The scores.
        """
        target = targets.to(position)
        outside, both, product = function.quadratic.unbind(dim=-1)
        x = position
        scores = ((target @ outside.mT) * (1.0 - target)).sum(dim=-1)
        scores = scores + ((target @ both) * target).sum(dim=-1) + ((x @ product) * x).sum(dim=-1)
        by_target, by_value = function.linear.chunk(2, dim=-1)
        n_systems, d = position.shape[0], position.shape[-1]

        def received(sent, weights):
            flat = weights.transpose(1, 2).reshape(n_systems, d, -1)  # (i, j and unit)
            return (sent @ flat).unflatten(-1, (d, -1))

        hidden = received(target, by_target) + received(x, by_value).abs()
        free = torch.stack([target, 1.0 - target], dim=-1)
        units = self.output(gelu(hidden + self.states(free)))
        return (scores + (units * free).sum(dim=(-2, -1))) / d
