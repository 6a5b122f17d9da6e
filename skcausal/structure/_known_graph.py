"""Graphs that are not learned: given by the user, or complete over a random order."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state

from skcausal._typing import GraphLike, RandomStateLike
from skcausal.graphs import check_adjacency
from skcausal.structure._learner import StructureLearner


class KnownGraph(StructureLearner):
    """Linear-Gaussian SCM on a graph that the user knows.

    Parameters
    ----------
    adjacency : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        The DAG; entry (i, j) = 1 means i -> j. If it carries names and X does too, they are
        matched.

    Attributes
    ----------
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        The graph, in the order of the columns of X.
    scm_ : LinearGaussianSCM
        The fitted model.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.interventions import do
    >>> from skcausal.structure import KnownGraph
    >>> cause = np.random.default_rng(0).normal(size=100)
    >>> X = np.column_stack([cause, 2 * cause])
    >>> model = KnownGraph([[0, 1], [0, 0]]).fit(X)
    >>> X_query, interventions = do({0: 1.0}, variables=2)
    >>> model.predict(X_query, interventions=interventions).round(3)
    array([[1., 2.]])
    """

    def __init__(self, adjacency: GraphLike) -> None:
        self.adjacency = adjacency

    def _learn_graph(self, X, mask, regime):
        return check_adjacency(
            self.adjacency,
            n_variables=X.shape[1],
            variables=getattr(self, "feature_names_in_", None),
            acyclic=True,
        )


class FullGraph(StructureLearner):
    """Linear-Gaussian SCM on the complete DAG of a random order: the "trivial" baseline.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Seed of the order.

    Attributes
    ----------
    order_ : ndarray of shape (n_variables,)
        The order; each variable is a parent of all later ones.
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        The graph; entry (i, j) = 1 means i -> j.
    scm_ : LinearGaussianSCM
        The fitted model.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    References
    ----------
    .. [1] Manta, C. D., Brouillard, P. & Sridhar, D. (2025). A meta-learning approach to causal
       inference. Section 4.2, baseline "Full".

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.structure import FullGraph
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> int(FullGraph(random_state=0).fit(X).adjacency_.sum())
    3
    """

    def __init__(self, random_state: RandomStateLike = None) -> None:
        self.random_state = random_state

    def _learn_graph(self, X, mask, regime):
        self.order_ = check_random_state(self.random_state).permutation(X.shape[1])
        position = np.argsort(self.order_)
        return position[:, None] < position
