"""Posteriors over the graphs of batches of experiments, which judge designs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from sklearn.utils import check_random_state

from skcausal.design._bootstrap_judge import BootstrapJudge
from skcausal.design._histories import Histories
from skcausal.design._posterior_systems import PosteriorSystems, draw_acyclic_graphs, draw_systems
from skcausal.nn import resolve_dtype
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.simulators._parameters import check_count
from skcausal.structure import (
    GIES,
    AmortizedGraphPosterior,
    BootstrapEnsemble,
    ExactGraphPosterior,
)
from skcausal.structure._exact_posterior import exact_posterior
from skcausal.structure._free_sums import FreeSums
from skcausal.structure._graph_network import N_FEATURES_WITH_UNITS, GraphNetwork
from skcausal.structure._graph_training import canonical_inputs
from skcausal.structure._graph_weights import load_shipped
from skcausal.structure._parent_set_scores import LinearGaussianModel

# Variables of which an exact posterior takes less than a tenth of a second.
MOST_EXACT = 12

# Bounds the memory.
_PAIRS_AT_ONCE = 2**16
_SUBSETS_AT_ONCE = 2**19


class Judge(Protocol):
    """A posterior over the graphs of a batch of systems, given their histories."""

    @property
    def separates_values(self) -> bool:
        """Whether rows of different values of the targets are to be experiments of their own."""

    @property
    def ignores_units(self) -> bool:
        """Whether the units and origins of the variables do not matter."""

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
    dtype : torch.dtype, default=torch.float64
        Precision of the determinants. float32 is quicker, and enough for some hundred rows.
    """

    model: LinearGaussianModel
    dtype: torch.dtype = torch.float64

    separates_values = False  # which rows belong together does not matter

    @property
    def ignores_units(self) -> bool:
        """Whether the units and origins of the variables do not matter."""
        return self.model.intercept

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
        if centre is not None and scale is not None:
            systems = systems.in_units(centre, scale)
        return posterior.edge_probabilities, systems

    def _sums(self, histories) -> tuple[FreeSums, torch.Tensor | None, torch.Tensor | None]:
        """Return sums in the units of the model, with what was subtracted and divided by."""
        in_double = histories.to(torch.float64)
        if not self.model.intercept:
            return self._cast(in_double.sums()), None, None
        standardized, centre, scale = in_double.standardized()
        return self._cast(standardized.sums()), centre, scale

    def _cast(self, sums):
        """Round sums to the precision of the determinants."""
        return FreeSums(*(x.to(self.dtype) for x in (sums.n_rows, sums.total, sums.products)))

    def _at_once(self, histories):
        """Return the number of systems that fit into memory together."""
        d = histories.n_variables
        return max(1, _SUBSETS_AT_ONCE // (d * 2 ** (d - 1)))


@dataclass(frozen=True, eq=False)
class NetworkJudge:
    """A network's posterior over edges, and a linear-Gaussian model of the rest.

    Parameters
    ----------
    network : PairGraphNetwork
        The network; it reads moments, no rows.
    model : LinearGaussianModel
        Prior of weights and noise, given the graph. If it has intercepts, it is about standardised
        variables.
    separates_values : bool, default=True
        Whether rows whose targets were set to different values are experiments of their own to the
        network. Histories that are simulated are made in this way.
    """

    network: GraphNetwork
    model: LinearGaussianModel
    separates_values: bool = True

    @property
    def ignores_units(self) -> bool:
        """Whether the units and origins of the variables do not matter."""
        sees_units = self.network.sizes.get("n_features") == N_FEATURES_WITH_UNITS
        return self.model.intercept and not sees_units

    @torch.no_grad()
    def edge_probabilities(self, histories: Histories) -> torch.Tensor:
        """Return the probabilities (n_systems, n_variables, n_variables)."""
        dtype = next(self.network.parameters()).dtype
        # Rounded when they are standardised: before that it costs what is far from zero.
        moments, _, scale = histories.moments().standardize()
        moments, scale = moments.to(dtype), scale.to(dtype)
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


# Weights and noise, given the graph, of standardised variables of which nothing is known.
STANDARDIZED = ExactGraphPosterior()._model()


def judge_of_prior(prior, n_variables: int, *, dtype: torch.dtype = torch.float64) -> Judge:
    """Return the posterior that fits systems of a prior best.

    Parameters
    ----------
    prior : LinearPrior or GeneNetworkPrior
        Distribution of the systems.
    n_variables : int
        Number of variables.
    dtype : torch.dtype, default=torch.float64
        Precision of an exact posterior.

    Returns
    -------
    judge : ExactJudge or NetworkJudge
        The exact posterior of up to 12 variables, where there is one for the prior; a shipped
        network else.
    """
    if isinstance(prior, GeneNetworkPrior):
        return NetworkJudge(load_shipped("gene-network")[0], STANDARDIZED)
    try:
        model = ExactGraphPosterior.from_prior(replace(prior, n_variables=n_variables))._model()
    except (TypeError, ValueError):
        return NetworkJudge(load_shipped("linear")[0], STANDARDIZED)
    if n_variables <= MOST_EXACT:
        return ExactJudge(model, dtype)
    is_dense = replace(prior, n_variables=n_variables) == LinearPrior.preset(
        "caasl", n_variables=n_variables
    )
    return NetworkJudge(load_shipped("caasl" if is_dense else "linear")[0], model)


def judge_of(posterior, prior, n_variables: int) -> Judge:
    """Turn an estimator of a posterior into what judges batches of experiments.

    Parameters
    ----------
    posterior : ExactGraphPosterior, AmortizedGraphPosterior, BootstrapEnsemble, Judge or None
        The estimator, which need not be fitted, or a judge already. None: what fits the prior best.
    prior : LinearPrior, GeneNetworkPrior or None
        Distribution of the systems. None: nothing is known of them but that standardised variables
        have weights and noise of size about one.
    n_variables : int
        Number of variables.

    Returns
    -------
    judge : Judge
        The judge.

    Raises
    ------
    TypeError, ValueError
        If the estimator cannot judge.
    """
    if isinstance(posterior, (ExactJudge, NetworkJudge, BootstrapJudge)):
        return posterior
    if isinstance(posterior, ExactGraphPosterior):
        return ExactJudge(posterior._model(), resolve_dtype(posterior.dtype))
    if isinstance(posterior, AmortizedGraphPosterior):
        return _network_judge(posterior, prior, n_variables)
    if isinstance(posterior, BootstrapEnsemble):
        if not isinstance(posterior.learner, GIES):
            raise ValueError(
                f"posterior can be a BootstrapEnsemble of GIES only, found one of "
                f"{posterior.learner!r}."
            )
        check_count("n_bootstrap", posterior.n_bootstrap)
        seed = int(check_random_state(posterior.random_state).randint(2**31 - 1))
        return BootstrapJudge(n_bootstraps=int(posterior.n_bootstrap), seed=seed)
    if posterior is not None:
        raise TypeError(
            "posterior must be an ExactGraphPosterior, an AmortizedGraphPosterior, a "
            f"BootstrapEnsemble of GIES or None, found {posterior!r}."
        )
    if prior is not None:
        return judge_of_prior(prior, n_variables)
    if n_variables <= MOST_EXACT:
        return ExactJudge(STANDARDIZED)
    return NetworkJudge(load_shipped("linear")[0], STANDARDIZED, separates_values=False)


def _network_judge(posterior, prior, n_variables):
    """Judge by the weights that an amortized posterior would start from."""
    architecture, network, card = posterior._find_weights()
    if architecture != "pairs":
        raise ValueError("posterior must have architecture='pairs' to judge designs.")
    model = STANDARDIZED
    with suppress(TypeError, ValueError):
        sized = replace(prior, n_variables=n_variables)
        model = ExactGraphPosterior.from_prior(sized)._model()
    return NetworkJudge(network, model, card.get("experiments") == "sequential")
