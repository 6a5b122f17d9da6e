"""Synthetic treatment problems with both potential outcomes."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.utils import Bunch, check_random_state

from skcausal._typing import RandomStateLike
from skcausal.datasets._regimes import check_count, frame
from skcausal.datasets._shipped import read_description


def make_leaky_hum(
    n_samples: int = 3000,
    *,
    n_heldout: int = 2000,
    offsets: Sequence[float] = (-3.0, 3.0),
    covariate_shift: float = 0.0,
    random_state: RandomStateLike = None,
) -> Bunch:
    """Generate a treatment problem in which a recorder's hum gives the outcome away.

    Three covariates cause the outcome; the fourth, the hum, is caused by it, in another way in
    every environment. Prediction gains from it, and estimates of effects lose: a test of alignment
    between environments. The equations are in :class:`~skcausal.simulators.LeakyHumPrior`.

    Parameters
    ----------
    n_samples : int, default=3000
        Number of units of the training environments, which take turns.

    n_heldout : int, default=2000
        Number of units of an environment that training does not see.

    offsets : sequence of float, default=(-3.0, 3.0)
        Offset of the hum in each training environment.

    covariate_shift : float, default=0.0
        Mean of the first covariate, with alternating sign over the training environments.

    random_state : int, RandomState instance or None, default=None
        Determines the units. Pass an int for reproducible output across multiple function calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes. The held-out environment has the same
        with "_heldout" added to the name.

        X : DataFrame of shape (n_samples, 4)
            Covariates z1, z2, z3 and the hum s.
        y : Series of shape (n_samples,)
            Outcome.
        treatment : Series of int of shape (n_samples,)
            Treatment, 0 or 1.
        environment : Series of int of shape (n_samples,)
            Environment of each unit.
        potential_outcomes : DataFrame of shape (n_samples, 2)
            Mean outcomes mu0 and mu1 under either treatment, given z.
        effect : Series of shape (n_samples,)
            mu1 - mu0.
        DESCR : str
            Description of the problem.

    Raises
    ------
    TypeError
        If an offset or the shift is not a number.
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> from skcausal.datasets import make_leaky_hum
    >>> data = make_leaky_hum(covariate_shift=0.25, random_state=0)
    >>> data.X.shape, data.X_heldout.shape, data.environment.unique().tolist()
    ((3000, 4), (2000, 4), [0, 1])
    """
    from skcausal.simulators import LeakyHumPrior

    check_count("n_heldout", n_heldout, 1)
    prior = LeakyHumPrior(tuple(offsets), covariate_shift=covariate_shift)
    parts = {"": (n_samples, None), "_heldout": (n_heldout, "heldout")}
    return _draw_units(prior, parts, ["z1", "z2", "z3", "s"], "leaky_hum", random_state)


def make_sensor_noise(
    n_samples: int = 10_000,
    *,
    sensor_scales: Sequence[float] = (0.1, 1.0),
    random_state: RandomStateLike = None,
) -> Bunch:
    """Generate a randomised treatment problem whose environments differ in a sensor's noise.

    The sensor's reading moves the outcome, the treatment adds 1 to it for every unit: any learner
    should pass, with alignment between environments or without. The equations are in
    :class:`~skcausal.simulators.SensorNoisePrior`.

    Parameters
    ----------
    n_samples : int, default=10_000
        Number of units; the environments take turns.

    sensor_scales : sequence of float, default=(0.1, 1.0)
        Standard deviation of the reading in each environment.

    random_state : int, RandomState instance or None, default=None
        Determines the units. Pass an int for reproducible output across multiple function calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        The attributes of the training part of :func:`make_leaky_hum`, with covariates z and s.

    Raises
    ------
    TypeError
        If a scale is not a number.
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> from skcausal.datasets import make_sensor_noise
    >>> data = make_sensor_noise(random_state=0)
    >>> data.X.columns.tolist(), data.effect.unique().tolist()
    (['z', 's'], [1.0])
    """
    from skcausal.simulators import SensorNoisePrior

    prior = SensorNoisePrior(tuple(sensor_scales))
    parts = {"": (n_samples, None)}
    return _draw_units(prior, parts, ["z", "s"], "sensor_noise", random_state)


def _draw_units(prior, parts, names, description, random_state) -> Bunch:
    """Units of one problem; `parts` gives their number and environment by the suffix of names."""
    import pandas as pd
    import torch

    check_count("n_samples", parts[""][0], 1)
    seeds = check_random_state(random_state).randint(2**31 - 1, size=2)
    problem = prior.sample(1, int(seeds[0]), dtype=torch.float64)
    data = Bunch(feature_names=names, DESCR=read_description(description))
    for suffix, (n_units, environment) in parts.items():
        units = problem.sample(n_units, environment, random_state=int(seeds[1]))
        data[f"X{suffix}"] = frame(units.X[0].numpy(), names)
        for key in ("y", "treatment", "environment", "effect"):
            data[f"{key}{suffix}"] = pd.Series(getattr(units, key)[0].numpy(), name=key)
        outcomes = frame(units.potential_outcomes[0].numpy(), ["mu0", "mu1"])
        data[f"potential_outcomes{suffix}"] = outcomes
    return data
