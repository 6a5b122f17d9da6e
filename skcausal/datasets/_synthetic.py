"""Synthetic interventional data from linear-Gaussian structural causal models."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Real

import numpy as np
from scipy.special import ndtr, ndtri
from sklearn.utils import Bunch, check_random_state

from skcausal._typing import RandomStateLike
from skcausal.datasets._perturbation_labels import label_rows
from skcausal.datasets._regimes import check_count, frame, heldout_pairs, regime_targets
from skcausal.datasets._shipped import read_description


def make_linear_scm(
    n_variables: int = 10,
    *,
    n_samples: int = 50,
    regimes: str | Collection[Collection[str | int]] = "singles",
    n_heldout_pairs: int = 0,
    edges_per_variable: float = 1.0,
    noise_variance: float = 0.1,
    do_value: float = 2.0,
    weight_gap: float = 0.5,
    random_state: RandomStateLike = None,
) -> Bunch:
    """Generate interventional data from a random linear-Gaussian structural causal model.

    A directed acyclic graph is drawn by giving the variables a random order and joining each
    pair, along that order, with probability ``2 * edges_per_variable / (n_variables - 1)``. With
    weights W and independent Gaussian noise e, row vectors x follow ``x = x W + e``. In a regime
    with targets T, the columns T of W are set to zero and the noise of T is replaced by the
    constant `do_value`: hard interventions, as in [1]_, section 3.2.

    Parameters
    ----------
    n_variables : int, default=10
        Number of variables, at least 2. They are named x0, x1, ...

    n_samples : int, default=50
        Number of rows per regime.

    regimes : {"observational", "singles", "pairs"} or collection, default="singles"
        Which sets of variables are intervened on:

        - "observational": none;
        - "singles": none, and each variable alone;
        - "pairs": none, each variable alone, and each pair;
        - a collection of collections of variable names or indices, one per regime, such as
          ``[(), ("x0",), ("x0", "x3")]``. The empty one is the observational regime.

    n_heldout_pairs : int, default=0
        Number of randomly chosen pairs among the regimes whose rows are returned as a test set
        and not in X.

    edges_per_variable : float, default=1.0
        Expected number of edges divided by `n_variables`; between 0 and
        ``(n_variables - 1) / 2``, which gives the complete graph.

    noise_variance : float, default=0.1
        Variance of the noise of every variable.

    do_value : float, default=2.0
        Value at which intervened variables are held. It is found in X.

    weight_gap : float, default=0.5
        Weights are standard normal, conditioned on being larger than this in absolute value.
        Between 0 and 10.

    random_state : int, RandomState instance or None, default=None
        Determines the graph, the weights, the held-out pairs and the noise. Pass an int for
        reproducible output across multiple function calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes.

        X : DataFrame of shape (n_rows, n_variables)
            Samples, `n_samples` consecutive rows for each regime that is not held out.
        interventions : DataFrame of bool of shape (n_rows, n_variables)
            True where the variable was intervened on.
        regimes : Series of str of shape (n_rows,)
            Names of the targets joined by "+", or "control".
        X_test : DataFrame of shape (n_heldout_pairs * n_samples, n_variables)
            Samples of the held-out pairs; no rows if there are none.
        interventions_test : DataFrame of bool, same shape as X_test
            Mask of the held-out pairs.
        regimes_test : Series of str of shape (n_heldout_pairs * n_samples,)
            Labels of the held-out pairs.
        means_test : DataFrame of the same shape as X_test
            Exact expectation of each row given its interventions.
        adjacency : DataFrame of int8 of shape (n_variables, n_variables)
            Entry (i, j) is 1 for an edge i -> j.
        coef : ndarray of shape (n_variables, n_variables)
            Entry (i, j) is the weight of variable i in the equation of variable j.
        noise_variances : ndarray of shape (n_variables,)
            Noise variance of each variable.
        feature_names : list of str
            Names of the variables.
        DESCR : str
            Description of the model.

    Raises
    ------
    ValueError
        If an argument is out of its range, a regime names an unknown variable or occurs twice,
        or there are fewer pairs than `n_heldout_pairs`.

    References
    ----------
    .. [1] J. Pearl (2009). Causality: Models, Reasoning, and Inference, 2nd edition. Cambridge
       University Press.

    Examples
    --------
    >>> from skcausal.datasets import make_linear_scm
    >>> data = make_linear_scm(4, n_samples=200, regimes="pairs", n_heldout_pairs=1, random_state=0)
    >>> data.X.shape, data.X_test.shape
    ((2000, 4), (200, 4))
    >>> bool((data.X.to_numpy()[data.interventions] == 2.0).all())
    True
    """
    check_count("n_variables", n_variables, 2)
    check_count("n_samples", n_samples, 1)
    check_count("n_heldout_pairs", n_heldout_pairs, 0)
    _check_numbers(n_variables, edges_per_variable, noise_variance, do_value, weight_gap)
    names = [f"x{i}" for i in range(n_variables)]
    targets = regime_targets(regimes, names)
    rng = check_random_state(random_state)
    order = rng.permutation(n_variables)
    coef = _random_weights(order, edges_per_variable, weight_gap, rng)
    heldout = heldout_pairs(targets, n_heldout_pairs, rng)
    variances = np.full(n_variables, float(noise_variance))

    mask, mask_test = (
        np.repeat(chosen, n_samples, axis=0) for chosen in (targets[~heldout], targets[heldout])
    )
    noise, noise_test = (
        rng.normal(scale=np.sqrt(variances), size=rows.shape) for rows in (mask, mask_test)
    )
    interventions, interventions_test = frame(mask, names), frame(mask_test, names)
    means_test = _propagate(coef, order, mask_test, do_value, np.zeros_like(noise_test))
    return Bunch(
        X=frame(_propagate(coef, order, mask, do_value, noise), names),
        interventions=interventions,
        regimes=label_rows(interventions),
        X_test=frame(_propagate(coef, order, mask_test, do_value, noise_test), names),
        interventions_test=interventions_test,
        regimes_test=label_rows(interventions_test),
        means_test=frame(means_test, names),
        adjacency=frame((coef != 0).astype(np.int8), names).set_axis(names, axis=0),
        coef=coef,
        noise_variances=variances,
        feature_names=names,
        DESCR=read_description("linear_scm"),
    )


def _check_numbers(
    n_variables: int,
    edges_per_variable: float,
    noise_variance: float,
    do_value: float,
    weight_gap: float,
) -> None:
    """Raise a ValueError for numbers out of range, NaN included."""
    checks = [
        ("edges_per_variable", edges_per_variable, 0.0, (n_variables - 1) / 2),
        ("noise_variance", noise_variance, 0.0, np.finfo(float).max),
        ("do_value", do_value, np.finfo(float).min, np.finfo(float).max),
        ("weight_gap", weight_gap, 0.0, 10.0),
    ]
    for name, value, low, high in checks:
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not low <= value <= high:
            raise ValueError(f"{name} must be a number in [{low:g}, {high:g}], found {value!r}.")


def _random_weights(
    order: np.ndarray, edges_per_variable: float, weight_gap: float, rng: np.random.RandomState
) -> np.ndarray:
    """Weights (n_variables, n_variables) of an Erdos-Renyi graph whose edges follow `order`."""
    d = len(order)
    probability = 2 * edges_per_variable / (d - 1)
    edges = np.triu(rng.uniform(size=(d, d)) < probability, k=1)
    # Inverse of the normal distribution function restricted to its lower tail, w < -weight_gap.
    sizes = -ndtri(ndtr(-weight_gap) * (1.0 - rng.uniform(size=(d, d))))
    signs = rng.choice([-1.0, 1.0], size=(d, d))
    coef = np.zeros((d, d))
    coef[np.ix_(order, order)] = np.where(edges, signs * sizes, 0.0)
    return coef


def _propagate(
    coef: np.ndarray, order: np.ndarray, mask: np.ndarray, do_value: float, noise: np.ndarray
) -> np.ndarray:
    """Rows (n_rows, n_variables) of the model, filled in causal order; targets are `do_value`."""
    values = np.zeros_like(noise)
    for j in order:
        values[:, j] = np.where(mask[:, j], do_value, values @ coef[:, j] + noise[:, j])
    return values
