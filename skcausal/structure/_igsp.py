"""Interventional greedy sparsest permutation as a structure learner."""

from __future__ import annotations

from typing import Literal

from sklearn.utils import check_random_state

from skcausal._typing import RandomStateLike
from skcausal.structure._gaussian_tests import GaussianTests
from skcausal.structure._igsp_search import igsp_search
from skcausal.structure._learner import StructureLearner


class IGSP(StructureLearner):
    """Interventional greedy sparsest permutation with Gaussian tests.

    Searches over orders of the variables for the sparsest graph that agrees with the conditional
    independences of the data, and among equally sparse ones for that which contradicts the fewest
    changes between regimes; then refits a linear-Gaussian SCM on it. Its conditions are about
    distributions that change or stay the same, not about cut edges, so hard and soft interventions
    are searched alike [2]_.

    Parameters
    ----------
    ci_data : {"pooled", "observational"}, default="pooled"
        Rows that the independence tests use. "observational" is the published choice and weak where
        those rows are few. "pooled" tests the coefficient of i in the regression of j on all
        candidate parents over every row in which j is free, with one intercept per regime (see
        `regimes` in :meth:`fit`); a regime of a single row adds nothing to it.
    start : {"ancestral", "random"}, default="ancestral"
        Starting orders. "random" is the published choice. "ancestral" lets a target precede the
        variables whose marginal shifts under its intervention, as far as the regimes tell; with
        every variable a target somewhere this does most of the work.
    alpha : float or None, default=None
        Significance level of the independence tests. None: 0.001 for pooled tests, 0.05 for
        observational ones.
    alpha_invariance : float, default=0.001
        Significance level of the tests whether a distribution changes between regimes.
    depth : int, default=4
        Number of successive edge reversals, without gain, after which a search gives up.
    n_restarts : int, default=10
        Number of starting orders.
    random_state : int, RandomState instance or None, default=None
        Seed of the starting orders and of the search.
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    n_contradictions_ : int
        Number of edges that the changes between regimes contradict.
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        The DAG; entry (i, j) = 1 means i -> j.
    scm_ : LinearGaussianSCM
        The model refitted on `adjacency_`.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    See Also
    --------
    GIES : Score-based search over equivalence classes.

    References
    ----------
    .. [1] Wang, Y., Solus, L., Yang, K. D. & Uhler, C. (2017). Permutation-based causal inference
       algorithms with interventions. NeurIPS. Algorithm 2.
    .. [2] Yang, K. D., Katcoff, A. & Uhler, C. (2018). Characterizing and learning equivalence
       classes of causal DAGs under interventions. ICML.

    Examples
    --------
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.structure import IGSP
    >>> data = make_linear_scm(n_variables=4, n_samples=200, random_state=0)
    >>> model = IGSP(random_state=0).fit(data.X, interventions=data.interventions)
    >>> bool((model.adjacency_ == data.adjacency.to_numpy()).all())
    True
    """

    def __init__(
        self,
        ci_data: Literal["pooled", "observational"] = "pooled",
        *,
        start: Literal["ancestral", "random"] = "ancestral",
        alpha: float | None = None,
        alpha_invariance: float = 1e-3,
        depth: int = 4,
        n_restarts: int = 10,
        random_state: RandomStateLike = None,
        verbose: bool = False,
    ) -> None:
        self.ci_data = ci_data
        self.start = start
        self.alpha = alpha
        self.alpha_invariance = alpha_invariance
        self.depth = depth
        self.n_restarts = n_restarts
        self.random_state = random_state
        self.verbose = verbose

    def _learn_graph(self, X, mask, regime):
        levels = {"pooled": 0.001, "observational": 0.05}
        if self.ci_data not in levels:
            raise ValueError(f"ci_data must be one of {list(levels)}, got {self.ci_data!r}.")
        alpha = levels[self.ci_data] if self.alpha is None else self.alpha
        self._check_search_parameters(alpha)
        adjacency, self.n_contradictions_ = igsp_search(
            GaussianTests(X, mask, ci_data=self.ci_data, regimes=regime),
            alpha=alpha,
            alpha_invariance=self.alpha_invariance,
            depth=self.depth,
            n_restarts=self.n_restarts,
            start=self.start,
            rng=check_random_state(self.random_state),
            verbose=bool(self.verbose),
        )
        return adjacency

    def _check_search_parameters(self, alpha):
        """Raise a ValueError for a parameter out of its range."""
        if self.start not in ("ancestral", "random"):
            raise ValueError(f"start must be 'ancestral' or 'random', got {self.start!r}.")
        for name, level in (("alpha", alpha), ("alpha_invariance", self.alpha_invariance)):
            if not 0 < level < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {level}.")
        for name, least in (("depth", 0), ("n_restarts", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}.")
