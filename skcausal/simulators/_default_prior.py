"""The systems that the shipped weights were trained on, and what may stand in their place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import loguniform, randint, rv_discrete, uniform

from skcausal.simulators._linear_prior import LinearPrior
from skcausal.simulators._task_prior import TaskPrior


def _sizes(smallest: int):
    """Numbers of variables up to 50: what is learned on small systems, which are cheap, holds."""
    sizes = np.arange(smallest, 51)
    return rv_discrete(values=(sizes, sizes**-1.6 / (sizes**-1.6).sum()))()


_N_VARIABLES = _sizes(4)

# Noise of different variance in every variable, and of different size in every system.
_NOISE = {"noise_variance": loguniform(0.02, 0.5), "noise_level": loguniform(0.3, 10.0)}
# Weights from large ones with a gap around zero to small ones without.
_WEIGHTS = {"weight_scale": uniform(0.35, 0.85), "weight_gap": uniform(0.0, 0.5)}
_DENSITY = {"edges_per_variable": uniform(0.5, 1.0)}
_CYCLES = {"graph": "directed_erdos_renyi", "n_cycles": randint(1, 3)}
_HIDDEN = {"n_confounders": randint(1, 5), "confounder_variance": uniform(0.2, 0.8)}

# (share, prior)
GENERAL = (
    (0.16, LinearPrior(_N_VARIABLES)),
    (0.07, LinearPrior(_N_VARIABLES, noise_level=loguniform(0.3, 15.0))),
    (0.12, LinearPrior(_N_VARIABLES, **_NOISE, **_WEIGHTS, **_DENSITY)),
    (0.07, LinearPrior(_sizes(6), edges_per_variable=uniform(1.5, 1.0), **_NOISE, **_WEIGHTS)),
    (
        0.04,
        LinearPrior(
            _N_VARIABLES, graph="scale_free", edges_per_variable=randint(1, 3), **_NOISE, **_WEIGHTS
        ),
    ),
    (0.12, LinearPrior(_N_VARIABLES, edges_per_variable=0.7, **(_CYCLES | {"n_cycles": 1}))),
    (
        0.09,
        LinearPrior(
            _N_VARIABLES, edges_per_variable=uniform(0.4, 1.1), **_CYCLES, **_NOISE, **_WEIGHTS
        ),
    ),
    (0.18, LinearPrior(_N_VARIABLES, n_confounders=2)),
    (0.12, LinearPrior(_N_VARIABLES, **_HIDDEN, **_NOISE, **_WEIGHTS, **_DENSITY)),
    (
        0.03,
        LinearPrior(
            _N_VARIABLES, edges_per_variable=0.7, n_confounders=1, **_CYCLES, **_NOISE, **_WEIGHTS
        ),
    ),
)
SHARES = tuple(share for share, _ in GENERAL)
PRIORS = tuple(prior for _, prior in GENERAL)


def check_priors(prior) -> tuple[tuple[TaskPrior, ...], tuple[float, ...]]:
    """Return the priors to train on and their shares.

    Parameters
    ----------
    prior : TaskPrior, sequence of TaskPrior or None
        One prior, several in equal shares, or None for those of the shipped weights.

    Returns
    -------
    priors : tuple of TaskPrior
        The priors.
    shares : tuple of float
        How often each of them is drawn from.

    Raises
    ------
    TypeError
        If something else was passed.
    """
    if prior is None:
        return PRIORS, SHARES
    listed = tuple(prior) if isinstance(prior, Sequence) else (prior,)
    usable = [isinstance(one, TaskPrior) and hasattr(one, "n_variables") for one in listed]
    if not listed or not all(usable):
        found = listed[usable.index(False)] if listed else prior
        raise TypeError(
            "prior must be a prior of skcausal.simulators over systems of variables, such as "
            f"LinearPrior(), or a sequence of them; found {found!r}."
        )
    return listed, (1.0,) * len(listed)
