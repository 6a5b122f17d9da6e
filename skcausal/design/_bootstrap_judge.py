"""Bootstrapped greedy search as a posterior over graphs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils.parallel import Parallel, delayed

from skcausal.design._histories import Histories
from skcausal.design._posterior_systems import PosteriorSystems, draw_systems
from skcausal.graphs import consistent_extension
from skcausal.interventions import unique_regimes
from skcausal.structure._free_sums import FreeSums
from skcausal.structure._gaussian_score import GaussianScore
from skcausal.structure._gies_search import gies_search
from skcausal.structure._parent_set_scores import LinearGaussianModel

# Bounds the time of a search, see GIES.
_MAX_PARENTS = 10
# Least share of a variable's variance that its parents leave.
_LEAST_SHARE = 1e-4


@dataclass(frozen=True)
class BootstrapJudge:
    """Greedy interventional equivalence search on bootstrap samples of the rows.

    The posterior that DiffCBED and the finite-sample method of Sussex et al. start from: every
    bootstrap sample counts as one draw from it [1]_.

    Parameters
    ----------
    n_bootstraps : int, default=30
        Number of bootstrap samples of each history.
    seed : int, default=0
        Seed of the resampling. A history has the same graphs in every batch.
    model : LinearGaussianModel or None, default=None
        Prior of weights and noise, about standardised variables, from which draws take their
        parameters given the graph and all rows; its edge probability plays no part. None: the
        estimates of largest likelihood, as in both methods.
    n_jobs : int or None, default=None
        Number of histories searched at once, see joblib.

    Notes
    -----
    Rows with the same targets are resampled among each other, so that every regime keeps its size
    [2]_. That would leave a regime of one row as it is in every sample, as if it were certain: such
    rows are resampled together, and a sample sees about two thirds of them, some twice.

    The likelihood has one intercept for each variable (``centering="pooled"`` of
    :class:`skcausal.structure.GIES`); the means of regimes with one row would take all that the
    row tells.

    A search ends in an equivalence class, of which the sample counts one DAG: the consistent
    extension with the variables in random order, so that over the samples edges that can be
    reversed go both ways. It is not a uniform draw from the class.

    References
    ----------
    .. [1] Friedman, N., Goldszmidt, M. & Wyner, A. (1999). Data analysis with Bayesian networks: a
       bootstrap approach. UAI. Section 3.
    .. [2] Hauser, A. & Buehlmann, P. (2012). Characterization and greedy learning of interventional
       Markov equivalence classes of directed acyclic graphs. JMLR 13, 2409-2464. Section 4.
    """

    n_bootstraps: int = 30
    seed: int = 0
    model: LinearGaussianModel | None = None
    n_jobs: int | None = None

    separates_values = False  # which rows belong together does not matter
    ignores_units = True

    def edge_probabilities(self, histories: Histories) -> torch.Tensor:
        """Return the share (n_systems, n_variables, n_variables) of samples, in float64."""
        return self.graphs(histories).double().mean(dim=1)

    def draw(self, histories: Histories, n_draws: int, generator) -> PosteriorSystems:
        """Take the graphs of samples, all of them equally often but for one, with parameters."""
        return self.judge_and_draw(histories, n_draws, generator)[1]

    def judge_and_draw(self, histories: Histories, n_draws: int, generator):
        """Return the probabilities of edges and systems, for the cost of one of them."""
        graphs = self.graphs(histories)
        choice = _balanced_choice(len(histories), self.n_bootstraps, n_draws, generator)
        systems = torch.arange(len(histories), device=graphs.device)[:, None]
        chosen = graphs[systems, choice.to(graphs.device)]
        return graphs.double().mean(dim=1), self._with_parameters(histories, chosen, generator)

    def graphs(self, histories: Histories) -> torch.Tensor:
        """Search on all samples.

        Parameters
        ----------
        histories : Histories
            Experiments so far.

        Returns
        -------
        graphs : bool tensor of shape (n_systems, n_bootstraps, n_variables, n_variables)
            True for i -> j.
        """
        X = histories.X.double().cpu().numpy()
        mask = histories.mask.cpu().numpy()
        found = Parallel(n_jobs=self.n_jobs)(
            delayed(_graphs_of_one)(X[k], mask[k], self.n_bootstraps, self.seed)
            for k in range(len(X))
        )
        return torch.from_numpy(np.stack(found)).to(histories.X.device)

    def _with_parameters(self, histories, graphs, generator):
        """Systems with these graphs (n_systems, n_draws, d, d), in the units of the histories."""
        histories = Histories(
            histories.X.double(), histories.mask, histories.regime, histories.rows_per_design
        )
        standardized, centre, scale = histories.standardized()
        if self.model is None:
            systems = _most_likely_systems(standardized.sums(), graphs)
        else:
            systems = draw_systems(standardized.sums(), graphs, self.model, generator)
        return systems.in_units(centre, scale)


def _graphs_of_one(X, mask, n_bootstraps, seed):
    """Graphs (n_bootstraps, d, d) of the samples of one history, as booleans."""
    rng = np.random.default_rng(seed)
    strata = _strata(mask)
    graphs = []
    for _ in range(n_bootstraps):
        rows = np.concatenate([rng.choice(stratum, size=len(stratum)) for stratum in strata])
        graphs.append(_greedy_graph(X[rows], mask[rows], rng))
    return np.stack(graphs)


def _strata(mask):
    """Return lists of rows to resample among each other, see :class:`BootstrapJudge`."""
    regime = unique_regimes(mask)[1]
    size = np.bincount(regime)
    strata = [np.flatnonzero(regime == r) for r in np.flatnonzero(size > 1)]
    alone = np.flatnonzero(size[regime] == 1)
    return [*strata, alone] if len(alone) else strata


def _greedy_graph(X, mask, rng):
    """DAG (d, d), as booleans, of the class that the search on these rows ends in."""
    score = GaussianScore(X, mask, centering="pooled")
    fewest_free = score.n_free[score.n_free > 0].min(initial=len(X))
    max_parents = max(1, min(_MAX_PARENTS, int(fewest_free) // 3))
    cpdag = gies_search(score, unique_regimes(mask)[0], max_parents=max_parents)
    order = rng.permutation(len(cpdag))
    graph = np.empty(cpdag.shape, dtype=bool)
    graph[np.ix_(order, order)] = consistent_extension(cpdag[np.ix_(order, order)])
    return graph


def _balanced_choice(n_systems, n_samples, n_draws, generator):
    """Draw samples (n_systems, n_draws), in rounds that have each of them once."""
    rounds = -(-n_draws // n_samples)
    order = torch.rand(
        (n_systems, rounds, n_samples),
        generator=generator,
        device=generator.device,
        dtype=torch.float32,
    ).argsort(dim=-1)
    return order.flatten(1)[:, :n_draws]


def _most_likely_systems(sums: FreeSums, graphs: torch.Tensor) -> PosteriorSystems:
    """Parameters of largest likelihood given graphs (n_systems, n_draws, d, d), in float32.

    A variable that its parents determine keeps a small part of its variance.
    """
    centred, n_rows = sums.centred(), sums.n_rows.clamp(min=1.0)
    parents = graphs.mT.to(centred)  # (n_systems, n_draws, j, i)
    own = torch.einsum("sjjj->sj", centred).clamp(min=1e-9)
    moment = torch.einsum("sjij->sji", centred)[:, None] * parents
    products = centred[:, None] * parents[..., :, None] * parents[..., None, :]
    slack = 1e-6 * centred.diagonal(dim1=-2, dim2=-1)[:, None] * parents
    system = products + torch.diag_embed(slack + 1.0 - parents)
    mean = torch.linalg.solve(system, moment[..., None])[..., 0] * parents
    residual = (own[:, None] - (moment * mean).sum(dim=-1)).maximum(_LEAST_SHARE * own[:, None])
    coef = mean.mT
    means = sums.total / n_rows[..., None]  # (n_systems, j, i)
    own_mean = means.diagonal(dim1=-2, dim2=-1)[:, None]
    intercept = own_mean - torch.einsum("skij,sji->skj", coef, means)
    scale = (residual / n_rows[:, None]).sqrt()
    return PosteriorSystems(graphs, coef.float(), intercept.float(), scale.float())
