"""Tasks with known effects and graphs, on which intervals and probabilities can be judged."""

import numpy as np
from scipy.stats import norm

from skcausal.effects import CFRRegressor
from skcausal.metrics import edge_calibration_error
from skcausal.prediction import MetaInterventionPredictor
from skcausal.simulators import LinearPrior

LEVEL = 0.9


def covered_effects(seed, *, n_rows, n_new, bend=0.5, **settings):
    """Whether intervals (n_new,) of CFRRegressor hold the effects of new units.

    Four covariates; the outcome and the effect are random functions of all of them, a line plus
    `bend` times a curve, and the treatment depends on the first.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows + n_new, 4))
    slopes, bends = rng.normal(size=(2, 4)) / 2, rng.normal(size=(2, 4)) * bend
    baseline, effect = slopes @ X.T + bends @ np.tanh(2 * X).T + [[0.0], [1.0]]
    treatment = rng.random(len(X)) < 1 / (1 + np.exp(-X[:, 0]))
    y = baseline + treatment * effect + 0.5 * rng.normal(size=len(X))
    model = CFRRegressor(random_state=seed, **settings)
    model.fit(X[:n_rows], y[:n_rows], treatment=treatment[:n_rows].astype(int))
    lower, upper = model.effect_interval(X[n_rows:], level=LEVEL)
    return (lower <= effect[n_rows:]) & (effect[n_rows:] <= upper)


def rows_of_systems(prior, n_systems, n_observational, n_per_target, value):
    """Systems, rows (n_systems, n_rows, d), and the mask (n_rows, d) of single targets."""
    systems = prior.sample(n_systems, random_state=0)
    d = systems.adjacency.shape[-1]
    targets = np.repeat(np.eye(d, dtype=bool), n_per_target, axis=0)
    mask = np.vstack([np.zeros((n_observational, d), dtype=bool), targets])
    X = systems.sample(len(mask), interventions=mask, values=value, random_state=1)
    return systems, X.double().numpy(), mask


def covered_means(n_systems):
    """Whether MetaInterventionPredictor's intervals hold the means of free cells under pairs.

    Systems of five variables from the prior of its training, 20 rows without intervention and five
    of each single target.
    """
    value, d = 2.0, 5
    systems, rows, mask = rows_of_systems(LinearPrior(d), n_systems, 20, 5, value)
    queries = np.eye(d, dtype=bool) | np.roll(np.eye(d, dtype=bool), 1, axis=1)
    true = systems.interventional_mean(np.tile(queries, (n_systems, 1, 1)), value)
    covered = []
    for X, means in zip(rows, true.double().numpy()):
        model = MetaInterventionPredictor().fit(X, interventions=mask)
        query = np.where(queries, value, np.nan)
        mean, std = model.predict(query, interventions=queries, return_std=True)
        inside = np.abs(mean - means) <= norm.ppf(0.5 + LEVEL / 2) * std
        covered.append(inside[~queries])
    return np.concatenate(covered)


def caasl_prior():
    """Dense linear systems of four variables."""
    return LinearPrior.preset("caasl", n_variables=4, edges_per_variable=1.0)


def edge_error(estimator, n_systems, prior=None):
    """Calibration error of the edge probabilities of systems of four variables, pooled."""
    prior = caasl_prior() if prior is None else prior
    systems, rows, mask = rows_of_systems(prior, n_systems, 30, 3, 1.0)
    found = [estimator.fit(X, interventions=mask).edge_probabilities_ for X in rows]
    return edge_calibration_error(systems.adjacency.numpy(), np.stack(found))
