"""Greedy sparsest permutation with unknown targets, as a predictor of perturbations."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.utils import check_random_state

from skcausal._typing import RandomStateLike
from skcausal.graphs import topological_order
from skcausal.perturbation._base import PerturbationPredictor
from skcausal.perturbation._context_tests import ContextTests
from skcausal.perturbation._contexts import distinct_rows, summarise_contexts
from skcausal.perturbation._target_search import TargetScore, search_targets
from skcausal.structure._linear_scm import fit_linear_gaussian

_CHOICES = {
    "ci_data": ("pooled", "observational"),
    "start": ("ancestral", "min_degree", "random"),
}


class UnknownTargetIGSP(PerturbationPredictor):
    """Find graph and targets by the greedy sparsest permutation with unknown targets (UT-IGSP).

    Searches over orders of the variables for the graph that agrees with the conditional
    independences of the data and has the fewest edges and targets together. A variable is a target
    of a context (a distinct row of features) if its regression on its parents is another one there
    than in the controls. The features say which rows belong together and nothing else [1]_.

    Predictions come from a linear-Gaussian SCM refitted on the graph, of which the equations of the
    targets are shifted as they were in the context. The method knows nothing of perturbations that
    it has not seen: they get the prediction of the nearest context of the training data, the
    control included, in units of the standard deviation of each feature over the contexts.

    Parameters
    ----------
    ci_data : {"observational", "pooled"}, default="observational"
        Rows that the tests of independence use. "observational" is the published choice: the
        controls. "pooled" takes the rows of all contexts, with an intercept for each: more power
        where controls are few, but right only if perturbations shift variables and leave their
        dependence on others as it was.
    start : {"ancestral", "min_degree", "random"}, default="ancestral"
        Starting orders. "ancestral": variables of which the marginal distribution changes in fewer
        contexts come first, since all that changes a variable changes its descendants; from the
        second start on with noise. With many contexts this does most of the work. "min_degree":
        orders of sparse graphs, as public implementations of the method have them. "random": any
        orders.
    alpha : float, default=0.001
        Significance level of the tests of independence.
    alpha_invariance : float, default=0.001
        Significance level of the tests whether a distribution changes between a context and the
        controls.
    depth : int, default=4
        Number of successive edge reversals, without gain, after which a search gives up.
    n_restarts : int, default=10
        Number of starting orders.
    random_state : int, RandomState instance or None, default=None
        Seed of the starting orders and of the search.

    Attributes
    ----------
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        The DAG; entry (i, j) = 1 means i -> j.
    order_ : ndarray of int of shape (n_variables,)
        The variables, ancestors first.
    contexts_ : ndarray of shape (n_contexts, n_features)
        Distinct rows of features; the control, 0 throughout, comes first.
    intervention_targets_ : ndarray of shape (n_contexts, n_variables)
        1 where a variable is a target of a context, else 0.
    intervention_shifts_ : ndarray of shape (n_contexts, n_variables)
        What is added to the equation of each target, in the units of X; 0 off target.
    scm_ : LinearGaussianSCM
        The model refitted on `adjacency_`, each equation on the contexts in which its variable is
        no target.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean where a mask marks a target.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.
    n_perturbation_features_in_ : int
        Number of features of a perturbation.
    perturbation_feature_names_in_ : ndarray of shape (n_features,)
        Their names, if `interventions` in `fit` had string column names.

    See Also
    --------
    skcausal.structure.IGSP : The same search where targets are known.

    References
    ----------
    .. [1] Squires, C., Wang, Y. & Uhler, C. (2020). Permutation-based causal structure learning
       with unknown intervention targets. UAI.

    Examples
    --------
    >>> from skcausal.datasets import make_dose_response
    >>> from skcausal.perturbation import UnknownTargetIGSP
    >>> from skcausal.simulators import DoseResponsePrior, LinearPrior
    >>> prior = DoseResponsePrior(LinearPrior(4), n_perturbations=8, n_heldout_perturbations=0)
    >>> data = make_dose_response(prior, random_state=1)
    >>> model = UnknownTargetIGSP(random_state=0).fit(data.X, interventions=data.interventions)
    >>> bool((model.adjacency_ == data.adjacency.to_numpy()).all())
    True
    """

    def __init__(
        self,
        ci_data: Literal["observational", "pooled"] = "observational",
        *,
        start: Literal["ancestral", "min_degree", "random"] = "ancestral",
        alpha: float = 1e-3,
        alpha_invariance: float = 1e-3,
        depth: int = 4,
        n_restarts: int = 10,
        random_state: RandomStateLike = None,
    ) -> None:
        self.ci_data = ci_data
        self.start = start
        self.alpha = alpha
        self.alpha_invariance = alpha_invariance
        self.depth = depth
        self.n_restarts = n_restarts
        self.random_state = random_state

    def _fit(self, X, mask, features, regimes):
        self._check_parameters()
        contexts = summarise_contexts(X, features)
        score = TargetScore(
            ContextTests(X, contexts.context_of_row, ci_data=self.ci_data),
            alpha=self.alpha,
            alpha_invariance=self.alpha_invariance,
        )
        self.adjacency_ = search_targets(
            score,
            depth=self.depth,
            n_restarts=self.n_restarts,
            start=self.start,
            rng=check_random_state(self.random_state),
        )
        self.order_ = topological_order(self.adjacency_)
        self.contexts_ = contexts.features
        targets = score.all_targets(self.adjacency_)
        self.intervention_targets_ = targets.astype(float)
        not_free = targets[contexts.context_of_row] | mask
        self.scm_ = fit_linear_gaussian(X, not_free, self.adjacency_)
        expected = contexts.means @ self.scm_.coef + self.scm_.intercept
        self.intervention_shifts_ = np.where(targets, contexts.means - expected, 0.0)

    def _predict(self, X, mask, features):
        distinct, number = distinct_rows(features)
        nearest = _nearest(distinct, self.contexts_)[number]
        X_pred = np.empty(X.shape)
        for k in np.unique(nearest):
            rows = nearest == k
            intercept = self.scm_.intercept + self.intervention_shifts_[k]
            scm = replace(self.scm_, intercept=intercept)
            X_pred[rows] = scm.conditional_mean(X[rows], mask[rows])
        return X_pred

    def _check_parameters(self):
        """Raise a ValueError for a parameter out of its range."""
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {list(choices)}, got {getattr(self, name)!r}."
                )
        for name in ("alpha", "alpha_invariance"):
            level = getattr(self, name)
            if not isinstance(level, Real) or not 0 < level < 1:
                raise ValueError(f"{name} must be a number between 0 and 1, got {level!r}.")
        for name, least in (("depth", 0), ("n_restarts", 1)):
            number = getattr(self, name)
            if not isinstance(number, Integral) or number < least:
                raise ValueError(f"{name} must be an integer of at least {least}, got {number!r}.")


def _nearest(features, contexts):
    """Index of the nearest context of each row, features in standard deviations over contexts."""
    scale = contexts.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    return cdist(features / scale, contexts / scale, "sqeuclidean").argmin(axis=1)
