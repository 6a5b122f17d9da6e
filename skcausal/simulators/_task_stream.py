"""The systems of each step of a training on simulated tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from skcausal.simulators._systems import Systems

_MOST_TASKS = 48
_FEWEST_TASKS = 2


def draw_systems(
    priors: Sequence,
    shares: Sequence[float],
    seed: int,
    step: int,
    *,
    batch_size: Callable[[int], int],
    device="cpu",
) -> tuple[Systems, np.random.Generator]:
    """Draw the systems of a step: of one prior and one number of variables.

    Parameters
    ----------
    priors : sequence of TaskPrior
        Distributions over systems.
    shares : sequence of float
        How often each of them is drawn from.
    seed, step : int
        Determine the systems.
    batch_size : callable
        ``batch_size(n_variables)`` is the number of systems wanted; 2 to 48 are drawn.
    device : str or torch.device, default="cpu"
        Where they live and are simulated.

    Returns
    -------
    systems : Systems
        The batch.
    rng : numpy.random.Generator
        What else is random in this step is to be drawn from it.
    """
    rng = np.random.default_rng([seed, step])
    prior = priors[rng.choice(len(priors), p=np.asarray(shares) / np.sum(shares))]
    d = prior.n_variables
    if hasattr(d, "rvs"):
        d = int(d.ppf(rng.random()))
    n_tasks = int(np.clip(batch_size(d), _FEWEST_TASKS, _MOST_TASKS))
    systems = replace(prior, n_variables=d).sample(
        n_tasks, random_state=seed, start=step * _MOST_TASKS, device=device
    )
    return systems, rng
