"""Posteriors over the graphs of batches of experiments: they judge designs and help to make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from skcausal.design._histories import Histories
from skcausal.design._posterior_systems import PosteriorSystems, draw_acyclic_graphs, draw_systems
from skcausal.structure._exact_posterior import exact_posterior
from skcausal.structure._free_sums import FreeSums
from skcausal.structure._graph_network import PairGraphNetwork
from skcausal.structure._graph_training import canonical_inputs
from skcausal.structure._parent_set_scores import LinearGaussianModel

# Bounds the memory.
_PAIRS_AT_ONCE = 2**16
_SUBSETS_AT_ONCE = 2**19


class Judge(Protocol):
    """A posterior over the graphs of a batch of systems, given their histories."""

    def edge_probabilities(self, histories: Histories) -> torch.Tensor:
        """Return the probabilities (n_systems, n_variables, n_variables) of edges i -> j."""

    def draw(
        self, histories: Histories, n_draws: int, generator: torch.Generator
    ) -> PosteriorSystems:
        """Draw systems from the posterior, in the units of the histories."""


@dataclass(frozen=True)
class ExactJudge:
    """The exact posterior of a linear-Gaussian model.

    Parameters
    ----------
    model : LinearGaussianModel
        The prior. If it has intercepts, it is about standardised variables.
    """

    model: LinearGaussianModel

    def edge_probabilities(self, histories: Histories) -> torch.Tensor:
        """Return the probabilities (n_systems, n_variables, n_variables), in float64."""
        sums = self._sums(histories)[0]
        at_once = self._at_once(histories)
        parts = [
            exact_posterior(sums[first : first + at_once], self.model).edge_probabilities
            for first in range(0, len(histories), at_once)
        ]
        return torch.cat(parts)

    def draw(self, histories: Histories, n_draws: int, generator) -> PosteriorSystems:
        """Draw systems from the posterior."""
        return self.judge_and_draw(histories, n_draws, generator)[1]

    def judge_and_draw(self, histories: Histories, n_draws: int, generator):
        """Return the probabilities of edges and systems, for the cost of one of them."""
        sums, centre, scale = self._sums(histories)
        posterior = exact_posterior(sums, self.model)
        graphs = posterior.sample(n_draws, generator)
        systems = draw_systems(sums, graphs, self.model, generator)
        if centre is not None:
            systems = systems.in_units(centre, scale)
        return posterior.edge_probabilities, systems

    def _sums(self, histories) -> tuple[FreeSums, torch.Tensor | None, torch.Tensor | None]:
        """Sums in the units of the model, with what was subtracted and divided by."""
        histories = Histories(
            histories.X.double(), histories.mask, histories.regime, histories.rows_per_design
        )
        if not self.model.intercept:
            return histories.sums(), None, None
        standardized, centre, scale = histories.standardized()
        return standardized.sums(), centre, scale

    def _at_once(self, histories):
        """Number of systems that fit into memory together."""
        d = histories.n_variables
        return max(1, _SUBSETS_AT_ONCE // (d * 2 ** (d - 1)))


@dataclass(frozen=True, eq=False)
class NetworkJudge:
    """A network's posterior over edges, and a linear-Gaussian model of the rest.

    Parameters
    ----------
    network : PairGraphNetwork
        The network.
    model : LinearGaussianModel
        Prior of weights and noise, given the graph. If it has intercepts, it is about standardised
        variables.
    """

    network: PairGraphNetwork
    model: LinearGaussianModel

    @torch.no_grad()
    def edge_probabilities(self, histories: Histories) -> torch.Tensor:
        """Return the probabilities (n_systems, n_variables, n_variables)."""
        like = self.network.head.weight
        moments, _, scale = histories.moments().to(like).standardize()
        at_once = max(1, _PAIRS_AT_ONCE // histories.n_variables**2)
        parts = []
        for first in range(0, len(histories), at_once):
            some = slice(first, first + at_once)
            inputs = canonical_inputs(self.network, moments[some], scale[some])
            parts.append(torch.sigmoid(self.network(*inputs)))
        probabilities = torch.cat(parts)
        return probabilities - torch.diag_embed(probabilities.diagonal(dim1=-2, dim2=-1))

    def draw(self, histories: Histories, n_draws: int, generator) -> PosteriorSystems:
        """Draw systems from the posterior, edges being independent but for cycles."""
        return self.judge_and_draw(histories, n_draws, generator)[1]

    def judge_and_draw(self, histories: Histories, n_draws: int, generator):
        """Return the probabilities of edges and systems, for the cost of one of them."""
        probabilities = self.edge_probabilities(histories)
        graphs = draw_acyclic_graphs(probabilities, n_draws, generator)
        if not self.model.intercept:
            return probabilities, draw_systems(histories.sums(), graphs, self.model, generator)
        standardized, centre, scale = histories.standardized()
        systems = draw_systems(standardized.sums(), graphs, self.model, generator)
        return probabilities, systems.in_units(centre, scale)
