"""Bootstrap over rows: edge probabilities, and a predictor that averages the members."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, clone
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.parallel import Parallel, delayed

from skcausal._typing import RandomStateLike
from skcausal.graphs import is_dag
from skcausal.structure._learner import StructureLearner
from skcausal.structure._linear_scm import LinearGaussianSCM


class BootstrapEnsemble(StructureLearner):
    """Fit a structure learner on bootstrap samples and average the fitted models.

    Rows are resampled with replacement inside each regime, so every member sees every regime at its
    size.

    Parameters
    ----------
    learner : estimator
        A structure learner, such as :class:`GIES`. Its `random_state`, if it has one, is drawn anew
        for every member.
    n_bootstrap : int, default=30
        Number of members.
    threshold : float, default=0.5
        Least probability that two variables are joined, in either direction, for an edge between
        them in `adjacency_`.
    n_jobs : int or None, default=None
        Number of members fitted at once, see joblib.
    random_state : int, RandomState instance or None, default=None
        Seed of the resampling and of the members.
    verbose : int, default=0
        Whether, and how often, to report progress, see joblib.

    Attributes
    ----------
    edge_probabilities_ : ndarray of shape (n_variables, n_variables)
        Share of members with i -> j at (i, j). An edge that a member's `cpdag_` leaves undirected
        counts one half in each direction.
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        A DAG: pairs that are joined with a probability of at least the threshold, in their more
        probable direction (at a tie, from the first column to the second), added from the most
        probable on; an edge that would close a cycle is left out.
    estimators_ : list of estimators
        The fitted members.
    scm_ : LinearGaussianEnsemble
        The members' models; predictions average theirs.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    References
    ----------
    .. [1] Friedman, N., Goldszmidt, M. & Wyner, A. (1999). Data analysis with Bayesian networks: a
       bootstrap approach. UAI. Section 3.

    Examples
    --------
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.structure import GIES, BootstrapEnsemble
    >>> data = make_linear_scm(n_variables=4, random_state=0)
    >>> ensemble = BootstrapEnsemble(GIES(), n_bootstrap=5, random_state=0)
    >>> ensemble.fit(data.X, interventions=data.interventions).edge_probabilities_.shape
    (4, 4)
    """

    def __init__(
        self,
        learner: BaseEstimator,
        n_bootstrap: int = 30,
        *,
        threshold: float = 0.5,
        n_jobs: int | None = None,
        random_state: RandomStateLike = None,
        verbose: int = 0,
    ) -> None:
        self.learner = learner
        self.n_bootstrap = n_bootstrap
        self.threshold = threshold
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, X, mask, regime):
        if not isinstance(self.learner, StructureLearner):
            raise TypeError(
                f"learner must be a structure learner such as GIES(), got {self.learner!r}, which "
                "learns no graph."
            )
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must be above 0 and at most 1, got {self.threshold}.")
        if self.n_bootstrap < 1:
            raise ValueError(f"n_bootstrap must be at least 1, got {self.n_bootstrap}.")
        X = self._with_names(X)
        rng = check_random_state(self.random_state)
        seeds = rng.randint(np.iinfo(np.int32).max, size=self.n_bootstrap)
        self.estimators_ = Parallel(n_jobs=self.n_jobs, verbose=self.verbose)(
            delayed(_fit_member)(self.learner, X, mask, regime, int(seed)) for seed in seeds
        )
        self.edge_probabilities_ = np.mean([_edge_shares(m) for m in self.estimators_], axis=0)
        self.adjacency_ = _probable_dag(self.edge_probabilities_, self.threshold)
        self.scm_ = LinearGaussianEnsemble(tuple(member.scm_ for member in self.estimators_))


@dataclass(frozen=True, eq=False)
class LinearGaussianEnsemble:
    """Equal-weight ensemble of SCMs: means are averaged, densities and draws are the mixture's.

    It has the methods of :class:`LinearGaussianSCM` that predictions need. Members keep their equal
    weights when values are conditioned on, so a conditional mean is the members' average and not
    the mixture's own.

    Parameters
    ----------
    members : tuple of LinearGaussianSCM
        The models.
    """

    members: tuple[LinearGaussianSCM, ...]

    def conditional_mean(self, X, mask):
        """Average of the members' conditional means; see :class:`LinearGaussianSCM`."""
        return np.mean([scm.conditional_mean(X, mask) for scm in self.members], axis=0)

    def parental_mean(self, X, mask):
        """Average of the members' means given the parents; see :class:`LinearGaussianSCM`."""
        return np.mean([scm.parental_mean(X, mask) for scm in self.members], axis=0)

    def log_density(self, X, mask):
        """Log-density of the mixture; see :class:`LinearGaussianSCM`."""
        densities = [scm.log_density(X, mask) for scm in self.members]
        return logsumexp(densities, axis=0) - np.log(len(self.members))

    def sample(self, mask, values, rng):
        """Draw each row from a random member; see :class:`LinearGaussianSCM`."""
        member = rng.randint(len(self.members), size=len(mask))
        X = np.empty(mask.shape)
        for k in np.unique(member):
            rows = member == k
            X[rows] = self.members[k].sample(mask[rows], values[rows], rng)
        return X


def _fit_member(learner, X, mask, regime, seed):
    """Clone the learner, seed it and fit it on rows resampled within regimes."""
    rng = np.random.RandomState(seed)
    rows = np.empty(len(X), dtype=int)
    for r in np.unique(regime):
        members = np.flatnonzero(regime == r)
        rows[members] = rng.choice(members, size=len(members))
    member = clone(learner)
    if "random_state" in member.get_params():
        member.set_params(random_state=rng.randint(np.iinfo(np.int32).max))
    return member.fit(_safe_indexing(X, rows), interventions=mask[rows], regimes=regime[rows])


def _edge_shares(member):
    """Directed edges as 1, undirected ones as one half each way, (n_variables, n_variables)."""
    graph = getattr(member, "cpdag_", member.adjacency_)
    return graph / np.maximum(graph + graph.T, 1)


def _probable_dag(probabilities, threshold):
    """Greedy DAG of the pairs joined with at least the threshold's probability."""
    adjacency = np.zeros(probabilities.shape, dtype=np.int8)
    joined = probabilities + probabilities.T >= threshold
    order = np.argsort(-probabilities, axis=None, kind="stable")
    for i, j in zip(*np.unravel_index(order, probabilities.shape)):
        if joined[i, j] and probabilities[i, j] >= probabilities[j, i] and not adjacency[j, i]:
            adjacency[i, j] = 1
            if not is_dag(adjacency):
                adjacency[i, j] = 0
    return adjacency
