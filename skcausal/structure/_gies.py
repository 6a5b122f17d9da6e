"""Greedy interventional equivalence search as a structure learner."""

from __future__ import annotations

from typing import Literal

from skcausal.graphs import consistent_extension
from skcausal.interventions import unique_regimes
from skcausal.structure._gaussian_score import GaussianScore
from skcausal.structure._gies_search import gies_search
from skcausal.structure._learner import StructureLearner


class GIES(StructureLearner):
    """Greedy interventional equivalence search with a penalised Gaussian likelihood.

    Searches the interventional Markov equivalence classes of DAGs for the one of the highest score,
    by inserting, deleting and turning edges, and refits a linear-Gaussian SCM on one DAG of the
    class that it ends in.

    Parameters
    ----------
    penalty : float, default=1.0
        Penalty of each edge in multiples of the BIC's 0.5 log(n_samples). Higher values give
        sparser graphs.
    centering : {"regime", "pooled"}, default="regime"
        What the likelihood knows of the means. "regime" subtracts from every row the mean of its
        regime (see `regimes` in :meth:`fit`), as the reference implementations do: shifts of the
        mean carry no information. Like those, it does not count the estimated means as parameters,
        so the evidence for an edge is overstated where regimes have fewer than about ten rows.
        "pooled" gives each variable one intercept over all rows in which it is free, as the
        structural equations do. Shifts under intervention then speak for or against an edge: that
        helps much when rows are few and interventions touch nothing but their targets, and adds
        false edges when they have side effects.
    phases : tuple of {"forward", "backward", "turning"}, \
            default=("forward", "backward", "turning")
        Phases of the search; repeated until none of them improves the score.
    max_parents : int or None, default=10
        Most parents of any variable. The time of the search grows exponentially with the largest
        set of variables that are all joined by undirected edges, such as many effects of one hidden
        cause without interventions; this bounds it, and a lower value bounds it further. None: no
        bound. In any case no variable gets more parents than a third of the rows in which the least
        observed variable is free.

    Attributes
    ----------
    cpdag_ : ndarray of int8 of shape (n_variables, n_variables)
        The interventional essential graph (I-CPDAG); undirected edges have both entries set.
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        A DAG of that class; entry (i, j) = 1 means i -> j.
    graph_score_ : float
        Penalised log-likelihood of the class, in nats, up to a constant.
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
    IGSP : Constraint-based search over permutations.
    GES : The same search without interventions.

    Notes
    -----
    Local scores come from one scatter matrix per variable, computed once from the rows in which the
    variable was free, so the time of the search does not depend on the number of rows.

    References
    ----------
    .. [1] Hauser, A. & Buehlmann, P. (2012). Characterization and greedy learning of interventional
       Markov equivalence classes of directed acyclic graphs. JMLR 13, 2409-2464. Section 4.

    Examples
    --------
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.structure import GIES
    >>> data = make_linear_scm(n_variables=4, n_samples=200, random_state=0)
    >>> model = GIES().fit(data.X, interventions=data.interventions)
    >>> bool((model.adjacency_ == data.adjacency.to_numpy()).all())
    True
    """

    def __init__(
        self,
        penalty: float = 1.0,
        *,
        centering: Literal["regime", "pooled"] = "regime",
        phases: tuple[str, ...] = ("forward", "backward", "turning"),
        max_parents: int | None = 10,
    ) -> None:
        self.penalty = penalty
        self.centering = centering
        self.phases = phases
        self.max_parents = max_parents

    def _learn_graph(self, X, mask, regime):
        if not self.penalty > 0:
            raise ValueError(f"penalty must be positive, got {self.penalty}.")
        score = GaussianScore(X, mask, centering=self.centering, regimes=regime)
        score.penalty *= self.penalty
        targets, _ = unique_regimes(mask)
        fewest_free = score.n_free[score.n_free > 0].min(initial=len(X))
        wanted = len(score.n_free) if self.max_parents is None else self.max_parents
        max_parents = max(1, min(wanted, int(fewest_free) // 3))
        self.cpdag_ = gies_search(score, targets, phases=self.phases, max_parents=max_parents)
        adjacency = consistent_extension(self.cpdag_)
        self.graph_score_ = float(score.total(adjacency))
        return adjacency
