"""Interventional data from one system of any task prior over structural models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import Bunch, check_random_state

from skcausal._typing import RandomStateLike
from skcausal.datasets._perturbation_labels import label_rows
from skcausal.datasets._regimes import check_count, frame, heldout_pairs, regime_targets
from skcausal.datasets._shipped import read_description

if TYPE_CHECKING:
    from skcausal.simulators import TaskPrior


def make_scm(
    prior: TaskPrior,
    *,
    n_samples: int = 50,
    regimes: str | Iterable[Any] = "singles",
    kind: str | None = None,
    values: Any = None,
    n_heldout_pairs: int = 0,
    random_state: RandomStateLike = None,
) -> Bunch:
    """Generate interventional data from a system that is drawn from a task prior.

    Whatever :class:`~skcausal.simulators.LinearPrior` and
    :class:`~skcausal.simulators.NonlinearPrior` can describe: feedback, hidden confounders,
    Gumbel or heteroskedastic noise, scale-free graphs, random Fourier or neural mechanisms.
    :func:`make_linear_scm` is the plain linear-Gaussian case without torch.

    Parameters
    ----------
    prior : TaskPrior
        The prior, such as ``LinearPrior(10, n_confounders=2)``.

    n_samples : int, default=50
        Number of rows per regime.

    regimes : {"observational", "singles", "pairs"} or collection, default="singles"
        Which sets of variables are intervened on; see :func:`make_linear_scm`. Variables are named
        x0, x1, ...

    kind : {"hard", "shift", "scale", "noise"}, default=None
        What is done to the targets; see :class:`~skcausal.simulators.LinearSystems`. None is the
        first kind that the systems know.

    values : float or frozen scipy distribution, default=None
        The targets' value, or what the value of every targeted cell is drawn from. None is 2,
        or what the kind implies, such as 0 for a gene's knock-out.

    n_heldout_pairs : int, default=0
        Number of randomly chosen pairs among the regimes whose rows are returned as a test set
        and not in X.

    random_state : int, RandomState instance or None, default=None
        Determines the system, the held-out pairs and the rows. Pass an int for reproducible output
        across multiple function calls.

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
            Expectation of each row given its interventions.
        standard_errors_test : DataFrame of the same shape as X_test
            Standard errors of these means: 0 where they are exact.
        adjacency : DataFrame of int8 of shape (n_variables, n_variables)
            Entry (i, j) is 1 for an edge i -> j.
        system : Systems
            A batch with the one system, to draw more from it.
        feature_names : list of str
            Names of the variables.
        DESCR : str
            Description of the models.

    Raises
    ------
    TypeError
        If `prior` is not a task prior.
    ValueError
        If an argument is out of its range, a regime names an unknown variable or occurs twice,
        or there are fewer pairs than `n_heldout_pairs`.

    Examples
    --------
    >>> from skcausal.datasets import make_scm
    >>> from skcausal.simulators import LinearPrior
    >>> data = make_scm(LinearPrior(5, n_cycles=1), kind="shift", values=1.0, random_state=0)
    >>> data.X.shape, data.regimes.nunique()
    ((300, 5), 6)
    """
    return draw_scm(
        prior,
        "x",
        n_samples=n_samples,
        regimes=regimes,
        kind=kind,
        values=values,
        n_heldout_pairs=n_heldout_pairs,
        random_state=random_state,
        description="scm",
    )


def draw_scm(
    prior,
    prefix,
    *,
    n_samples,
    regimes,
    kind,
    values,
    n_heldout_pairs,
    random_state,
    description,
    record=None,
) -> Bunch:
    """Draw a system and its rows; see `make_scm`. Variables are named by `prefix` and a number.

    `record(system, n_samples, mask, seed)` gives more arrays (n_regimes, n_samples, ...) about the
    rows by name; they are part of the result, and again with "_test" for the held-out regimes.
    """
    check_count("n_samples", n_samples, 1)
    check_count("n_heldout_pairs", n_heldout_pairs, 0)
    rng = check_random_state(random_state)
    seeds = [int(seed) for seed in rng.randint(2**31 - 1, size=3)]
    system = _draw_system(prior, seeds[0])
    implied = system._default_values.get(kind or next(iter(system._default_values)))
    options = {"values": 2.0 if values is None and implied is None else values, "kind": kind}
    n_variables = int(system.n_variables[0])
    names = [f"{prefix}{i}" for i in range(n_variables)]
    targets = regime_targets(regimes, names)
    heldout = heldout_pairs(targets, n_heldout_pairs, rng)

    data = Bunch(system=system, feature_names=names, DESCR=read_description(description))
    adjacency = system.adjacency[0, :n_variables, :n_variables].numpy().astype(np.int8)
    data.adjacency = frame(adjacency, names).set_axis(names, axis=0)
    for suffix, chosen, seed in (
        ("", targets[~heldout], seeds[1]),
        ("_test", targets[heldout], seeds[2]),
    ):
        mask = _padded_mask(chosen, system)
        rows = system.sample(n_samples, mask, random_state=seed, **options)
        interventions = frame(np.repeat(chosen, n_samples, axis=0), names)
        data[f"X{suffix}"] = frame(rows.flatten(0, 2)[:, :n_variables].numpy(), names)
        data[f"interventions{suffix}"] = interventions
        data[f"regimes{suffix}"] = label_rows(interventions)
        for name, array in (record(system, n_samples, mask, seed) if record else {}).items():
            data[f"{name}{suffix}"] = array.flatten(0, 2).numpy()
    data.means_test, data.standard_errors_test = data.X_test.copy(), data.X_test.copy()
    if heldout.any():
        mask = _padded_mask(targets[heldout], system)
        moments = system.interventional_mean(mask, return_standard_error=True, **options)
        data.means_test, data.standard_errors_test = (
            frame(np.repeat(moment[0, :, 0, :n_variables].numpy(), n_samples, axis=0), names)
            for moment in moments
        )
    return data


def _draw_system(prior, seed):
    """Draw a batch of one system; raise where the prior does not describe structural models."""
    import torch

    from skcausal.simulators import Systems, TaskPrior

    if not isinstance(prior, TaskPrior):
        raise TypeError(
            "prior must be a task prior of skcausal.simulators, such as LinearPrior(10), found "
            f"{prior!r}."
        )
    system = prior.sample(1, seed, dtype=torch.float64)
    if not isinstance(system, Systems):
        raise TypeError(
            f"{type(prior).__name__} does not describe structural models with an intervention "
            "mask; it has a make_* function of its own."
        )
    return system


def _padded_mask(targets, system):
    """Mask (1, n_regimes, 1, n_padded_variables) of regimes with these targets."""
    n_regimes, n_variables = targets.shape
    mask = np.zeros((1, n_regimes, 1, system.adjacency.shape[-1]), dtype=bool)
    mask[0, :, 0, :n_variables] = targets
    return mask
