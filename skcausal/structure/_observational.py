"""PC and GES: structure learners for one regime, run through causal-learn."""

from __future__ import annotations

from typing import Literal

import numpy as np

from skcausal.base import is_constant
from skcausal.graphs import acyclic_orientation, from_causal_learn
from skcausal.structure._learner import StructureLearner


class _ObservationalLearner(StructureLearner):
    """Pick rows, drop constant columns, search, orient what the search left undirected.

    A subclass has a parameter `rows` and writes ``_search(X)``, which returns a causal-learn graph.
    """

    def _learn_graph(self, X, mask, regime):
        X = X[_select_rows(mask, self.rows, type(self).__name__)]
        varying = np.flatnonzero(~is_constant(X))
        self.cpdag_ = np.zeros((X.shape[1], X.shape[1]), dtype=np.int8)
        if len(varying) > 1:
            Z = (X[:, varying] - X[:, varying].mean(axis=0)) / X[:, varying].std(axis=0)
            self.cpdag_[np.ix_(varying, varying)] = from_causal_learn(self._search(Z))
        return acyclic_orientation(self.cpdag_)


class PC(_ObservationalLearner):
    """PC algorithm with Fisher's z test, run through causal-learn.

    PC knows no interventions: it reads one independent sample, by default the observational rows.
    The refitted linear-Gaussian SCM does use all rows. What the equivalence class leaves open is
    oriented by :func:`skcausal.graphs.acyclic_orientation`.

    Parameters
    ----------
    alpha : float, default=0.01
        Significance level of the independence tests.
    rows : {"observational", "all"}, default="observational"
        Rows that the search sees. "all" pools the regimes as if they were one sample, which breaks
        the test's assumptions but uses more data.
    max_conditioning : int or None, default=None
        Largest conditioning set. None: as large as the number of rows allows. The number of tests
        grows exponentially with the number of neighbours of a variable: set 3 or so where many
        variables are correlated with many, or the search may take hours.
    verbose : bool, default=False
        Show the progress bars of causal-learn.

    Attributes
    ----------
    cpdag_ : ndarray of int8 of shape (n_variables, n_variables)
        What the search found; undirected edges (and conflicting, bidirected ones) have both
        entries set.
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        A DAG; entry (i, j) = 1 means i -> j.
    scm_ : LinearGaussianSCM
        The model refitted on `adjacency_`.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    References
    ----------
    .. [1] Spirtes, P., Glymour, C. & Scheines, R. (2000). Causation, Prediction, and Search, 2nd
       ed., section 5.4.2.
    .. [2] Zheng, Y. et al. (2024). Causal-learn: causal discovery in Python. JMLR 25(60).

    Examples
    --------
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.structure import PC
    >>> data = make_linear_scm(n_variables=4, n_samples=200, random_state=0)
    >>> PC(alpha=0.01).fit(data.X, interventions=data.interventions).adjacency_.shape
    (4, 4)
    """

    def __init__(
        self,
        alpha: float = 0.01,
        *,
        rows: Literal["observational", "all"] = "observational",
        max_conditioning: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.alpha = alpha
        self.rows = rows
        self.max_conditioning = max_conditioning
        self.verbose = verbose

    def _search(self, X):
        from causallearn.search.ConstraintBased.PC import pc

        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {self.alpha}.")
        # Fisher's z has n - |S| - 3 degrees of freedom for a conditioning set S.
        max_testable = len(X) - 4
        if max_testable < 0:
            raise ValueError(
                f"PC needs at least 4 rows for its tests, rows={self.rows!r} left {len(X)}; pass "
                "more rows."
            )
        limits = [k for k in (self.max_conditioning, max_testable) if k is not None]
        try:
            found = pc(X, alpha=self.alpha, max_k=min(limits), show_progress=bool(self.verbose))
        except ValueError as error:
            raise ValueError(
                "PC's independence tests failed because columns of X are linearly dependent among "
                f"the {len(X)} rows it used; drop redundant columns or pass more rows."
            ) from error
        return found.G


class GES(_ObservationalLearner):
    """Greedy equivalence search with the Gaussian BIC, run through causal-learn.

    GES knows no interventions: it reads one independent sample, by default the observational rows.
    The refitted linear-Gaussian SCM does use all rows. :class:`GIES` is its generalisation to
    interventional data; fitted on observational rows alone it is the same search, and much faster
    where there are many variables.

    Parameters
    ----------
    penalty : float, default=1.0
        Penalty of each parameter in multiples of the BIC's 0.5 log(n_rows).
    rows : {"observational", "all"}, default="observational"
        Rows that the search sees. "all" pools the regimes as if they were one sample.

    Attributes
    ----------
    cpdag_ : ndarray of int8 of shape (n_variables, n_variables)
        What the search found; undirected edges have both entries set.
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        A consistent extension; entry (i, j) = 1 means i -> j.
    scm_ : LinearGaussianSCM
        The model refitted on `adjacency_`.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    References
    ----------
    .. [1] Chickering, D. M. (2002). Optimal structure identification with greedy search. JMLR 3.
    .. [2] Zheng, Y. et al. (2024). Causal-learn: causal discovery in Python. JMLR 25(60).

    Examples
    --------
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.structure import GES
    >>> data = make_linear_scm(n_variables=4, n_samples=200, random_state=0)
    >>> GES().fit(data.X, interventions=data.interventions).adjacency_.shape
    (4, 4)
    """

    def __init__(
        self, penalty: float = 1.0, *, rows: Literal["observational", "all"] = "observational"
    ) -> None:
        self.penalty = penalty
        self.rows = rows

    def _search(self, X):
        from causallearn.search.ScoreBased.GES import ges

        if not self.penalty > 0:
            raise ValueError(f"penalty must be positive, got {self.penalty}.")
        return ges(X, score_func="local_score_BIC", lambda_value=0.5 * self.penalty)["G"]


def _select_rows(mask, rows, estimator_name):
    """Boolean selection of the rows that the search sees."""
    if rows == "all":
        return np.ones(len(mask), dtype=bool)
    if rows != "observational":
        raise ValueError(f"rows must be 'observational' or 'all', got {rows!r}.")
    observational = ~mask.any(axis=1)
    if observational.sum() < 2:
        raise ValueError(
            f"{estimator_name} found {observational.sum()} observational rows; pass rows='all' to "
            "pool the regimes, or use GIES or IGSP, which read interventional rows."
        )
    return observational
