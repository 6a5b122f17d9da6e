"""Scorers of treatment-effect estimators that need no counterfactual and request `treatment`.

As in the other scorers, a Pipeline is scored in the space of its last step: neighbours and
nuisances are computed from X after the transformers, where it is numeric. Neighbours do not change
with affine scalers, and default nuisances standardise X.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.metadata_routing import MetadataRequest

from skcausal._labels import check_labels, split_columns
from skcausal.metrics._effect_validation import arm_balanced_error, nearest_neighbor_pehe
from skcausal.metrics._policy_value import policy_value
from skcausal.metrics._r_score import r_score
from skcausal.metrics._scorers import _last_step


class _EffectScorer:
    """A callable ``scorer(estimator, X, y, *, treatment=None, sample_weight=None)``.

    Higher is better.

    Parameters
    ----------
    name : str
        How the scorer prints.
    evaluate : callable
        ``evaluate(model, X, y, treatment, **params)`` for a bare estimator.
    params : dict, default=None
        Arguments of the metric.
    """

    def __init__(self, name, evaluate, params=None):
        self.name = name
        self.evaluate = evaluate
        self.params = params

    def __call__(self, estimator, X, y, *, treatment=None, sample_weight=None):
        """Evaluate a fitted estimator, pipeline or search on held-out rows."""
        model, X = _last_step(estimator, X, None)
        params = {**(self.params or {}), "sample_weight": sample_weight}
        return float(self.evaluate(model, X, y, treatment, **params))

    def __repr__(self):
        return self.name

    def get_metadata_routing(self):
        """Request the treatment, and the weights if there are any, wherever scores are computed."""
        request = MetadataRequest(owner=self.name)
        for name in ("treatment", "sample_weight"):
            request.score.add_request(param=name, alias=True)
        return request


def make_effect_scorer(metric: Callable[..., float], **params: Any) -> Callable[..., float]:
    """Make a scorer from a metric of effects, with other settings than its defaults.

    Parameters
    ----------
    metric : callable
        One of :func:`arm_balanced_error`, :func:`nearest_neighbor_pehe`, :func:`r_score` and
        :func:`policy_value`. The errors among them are negated.
    **params : dict
        Arguments of the metric, e.g. `n_neighbors` or `model_y`.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, *, treatment=None, sample_weight=None)``, higher is better, for
        the argument `scoring` of searches and cross-validation. It requests `treatment` and
        `sample_weight`.

    Raises
    ------
    ValueError
        If the metric is another one.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from skcausal.metrics import make_effect_scorer, r_score
    >>> make_effect_scorer(r_score, model_y=RandomForestRegressor(min_samples_leaf=5))
    make_effect_scorer(r_score, model_y=RandomForestRegressor(min_samples_leaf=5))
    """
    if metric not in _EVALUATIONS:
        names = ", ".join(known.__name__ for known in _EVALUATIONS)
        raise ValueError(f"metric must be one of the functions {names}, got {metric!r}.")
    arguments = "".join(f", {name}={value!r}" for name, value in params.items())
    name = f"make_effect_scorer({metric.__name__}{arguments})"
    return _EffectScorer(name, _EVALUATIONS[metric], params)


def _neg_arm_balanced_error(model, X, y, treatment, **params):
    received, _ = _received_and_covariates(model, X, treatment)
    y_pred = model.predict(X) if treatment is None else model.predict(X, treatment=treatment)
    return -arm_balanced_error(y, received, y_pred, **params)


def _neg_nearest_neighbor_pehe(model, X, y, treatment, **params):
    received, covariates = _received_and_covariates(model, X, treatment)
    _check_levels(model, received)
    return -nearest_neighbor_pehe(covariates, y, received, _effects(model, X), **params)


def _r_score(model, X, y, treatment, **params):
    received, covariates = _received_and_covariates(model, X, treatment)
    _check_levels(model, received)
    return r_score(covariates, y, received, _effects(model, X), **params)


def _policy_value(model, X, y, treatment, **params):
    received, covariates = _received_and_covariates(model, X, treatment)
    _check_levels(model, received)
    return policy_value(covariates, y, received, model.potential_outcomes(X), **params)


def _received_and_covariates(model, X, treatment):
    """Return the treatment of each row, and X without the columns that are no covariates."""
    arguments = ("treatment_column", "environment_column")
    taken, covariates = split_columns(X, {name: getattr(model, name, None) for name in arguments})
    received = taken.get("treatment_column") if treatment is None else treatment
    if received is None:
        raise ValueError(
            "The scorer needs treatment: pass it to the scorer, or as metadata with "
            "sklearn.set_config(enable_metadata_routing=True), e.g. "
            "search.fit(X, y, treatment=t); or keep it in X and name its column with the "
            "estimator's treatment_column."
        )
    return received, covariates


def _effects(model, X):
    """Predicted effect of each level against the lowest one (n_samples, n_levels - 1)."""
    lowest, *others = model.treatments_
    return np.column_stack([model.effect(X, T0=lowest, T1=level) for level in others])


def _check_levels(model, treatment):
    """Raise unless the rows hold exactly the levels that the model was fitted with."""
    _, found = check_labels(treatment, len(treatment), name="treatment")
    seen, found = np.asarray(model.treatments_).tolist(), found.tolist()
    if set(found) != set(seen):
        raise ValueError(
            f"treatment must have the levels of the training rows, {seen}, in the rows that are "
            f"scored, found {found}; pass more rows, or folds that are "
            "stratified by treatment."
        )


neg_arm_balanced_error_scorer = _EffectScorer(
    "neg_arm_balanced_error_scorer", _neg_arm_balanced_error
)
neg_nearest_neighbor_pehe_scorer = _EffectScorer(
    "neg_nearest_neighbor_pehe_scorer", _neg_nearest_neighbor_pehe
)
r_score_scorer = _EffectScorer("r_score_scorer", _r_score)
policy_value_scorer = _EffectScorer("policy_value_scorer", _policy_value)

_EVALUATIONS = {
    arm_balanced_error: _neg_arm_balanced_error,
    nearest_neighbor_pehe: _neg_nearest_neighbor_pehe,
    r_score: _r_score,
    policy_value: _policy_value,
}
