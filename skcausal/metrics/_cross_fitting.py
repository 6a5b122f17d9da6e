"""Cross-fitted outcomes and propensities: each row is predicted by models that have not seen it."""

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# Of four units of an arm two folds leave two to train: enough for folds of the penalty again.
FEWEST_UNITS = 4


def stratified_folds(arm, n_folds, random_state):
    """Training and test rows of each fold, with units of every arm in both."""
    splitter = StratifiedKFold(
        min(n_folds, np.bincount(arm).min()), shuffle=True, random_state=random_state
    )
    return list(splitter.split(np.zeros(len(arm)), arm))


def cross_fit_outcome(X, y, folds, model, rows=None):
    """Predict E[Y | x] (n_samples,) out of fold, from the training rows that are among `rows`."""
    model = (
        make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 6))) if model is None else model
    )
    predicted = np.empty(len(y))
    for train, test in folds:
        train = train if rows is None else train[rows[train]]
        predicted[test] = clone(model).fit(X[train], y[train]).predict(X[test])
    return predicted


def cross_fit_propensity(X, arm, folds, model, sample_weight=None):
    """Predict P(T = k | x) (n_samples, n_levels) out of fold; the model may be weighted."""
    propensity = np.empty((len(arm), arm.max() + 1))
    for train, test in folds:
        fold_model = _logistic_regression(arm[train]) if model is None else clone(model)
        given = {} if sample_weight is None else {"sample_weight": sample_weight[train]}
        fold_model.fit(X[train], arm[train], **given)
        propensity[test] = fold_model.predict_proba(X[test])
    return propensity


def _logistic_regression(arm):
    """Logistic regression with a penalty chosen by folds that hold every arm."""
    return make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(
            Cs=np.logspace(-3, 1, 5),
            l1_ratios=(0,),
            cv=StratifiedKFold(min(3, np.bincount(arm).min())),
            scoring="neg_log_loss",
            use_legacy_attributes=False,
            max_iter=1000,
        ),
    )
