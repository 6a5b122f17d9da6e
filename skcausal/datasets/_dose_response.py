"""Synthetic dose-response data with its published splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import Bunch, check_random_state

from skcausal._typing import RandomStateLike
from skcausal.datasets._regimes import check_count, frame
from skcausal.datasets._shipped import read_description

if TYPE_CHECKING:
    from skcausal.simulators import DoseResponsePrior


def make_dose_response(
    prior: DoseResponsePrior | None = None,
    *,
    n_samples: int = 50,
    n_controls: int = 800,
    random_state: RandomStateLike = None,
) -> Bunch:
    """Generate outcomes of perturbations that act on hidden targets, at several doses.

    By default 40 perturbations at 4 doses are for training, the same 40 at 5 other doses for a test
    that is partly out of distribution, and 20 new perturbations at 4 doses for one that is fully so
    [1]_.

    Parameters
    ----------
    prior : DoseResponsePrior, default=None
        Distribution of systems and perturbations; None for ``DoseResponsePrior()``.

    n_samples : int, default=50
        Number of rows for each perturbation and dose.

    n_controls : int, default=800
        Number of rows without perturbation, which come first in X.

    random_state : int, RandomState instance or None, default=None
        Determines the system, the perturbations and the rows. Pass an int for reproducible output
        across multiple function calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes. Those of the training part are `X`,
        `interventions`, `regimes`, `perturbations`, `doses` and `means`; the tests have the same
        with "_partly_ood" and "_fully_ood" added to the name.

        X : DataFrame of shape (n_rows, n_variables)
            Outcomes.
        interventions : DataFrame of shape (n_rows, n_features)
            Features of each row's perturbation and dose; 0 throughout for controls.
        regimes : Series of str of shape (n_rows,)
            Perturbation and dose, such as "p7@0.5", or "control".
        perturbations : Series of int of shape (n_rows,)
            Number of the perturbation, -1 for controls: groups for cross-validation.
        doses : Series of float of shape (n_rows,)
            The dose, 0 for controls.
        means : DataFrame of shape (n_rows, n_variables)
            Expectation of each row; a Monte Carlo estimate where the system is nonlinear.
        targets : DataFrame of bool of shape (n_perturbations, n_variables)
            What each perturbation acts on: hidden from a learner.
        adjacency : DataFrame of int8 of shape (n_variables, n_variables)
            Entry (i, j) is 1 for an edge i -> j.
        tasks : DoseResponses
            A batch with the one task, to draw more from it.
        feature_names : list of str
            Names of the variables.
        DESCR : str
            Description of the model.

    Raises
    ------
    TypeError
        If `prior` is not a DoseResponsePrior.
    ValueError
        If a number of rows is out of range.

    References
    ----------
    .. [1] Schneider, Lorch, Kilbertus, Schoelkopf & Krause (2025). Generative intervention models
       for causal perturbation modeling. ICML.

    Examples
    --------
    >>> from skcausal.datasets import make_dose_response
    >>> data = make_dose_response(n_samples=2, n_controls=10, random_state=0)
    >>> data.X.shape, data.X_partly_ood.shape, data.X_fully_ood.shape
    ((330, 20), (400, 20), (160, 20))
    >>> data.regimes.iloc[[0, 10]].tolist()
    ['control', 'p0@0.5']
    """
    import torch

    from skcausal.simulators import DoseResponsePrior

    prior = DoseResponsePrior() if prior is None else prior
    if not isinstance(prior, DoseResponsePrior):
        raise TypeError(f"prior must be a DoseResponsePrior or None, found {prior!r}.")
    check_count("n_samples", n_samples, 1)
    check_count("n_controls", n_controls, 1)
    seeds = check_random_state(random_state).randint(2**31 - 1, size=2)
    tasks = prior.sample(1, int(seeds[0]), dtype=torch.float64)
    data = Bunch(tasks=tasks, DESCR=read_description("dose_response"))
    data.feature_names = [f"x{i}" for i in range(int(tasks.systems.n_variables[0]))]
    splits = {"": "train", "_partly_ood": "partly_ood", "_fully_ood": "fully_ood"}
    for suffix, split in splits.items():
        if split == "fully_ood" and not prior.n_heldout_perturbations:
            continue
        tables = _context_rows(tasks, split, n_samples, int(seeds[1]))
        if split == "train":
            controls = _control_rows(tasks, n_controls, int(seeds[1]))
            tables = {key: np.concatenate([controls[key], tables[key]]) for key in tables}
        for key, table in tables.items():
            data[key + suffix] = _label(key, table, data.feature_names, prior.features)
    n_variables = len(data.feature_names)
    data.targets = frame(tasks.targets[0, :, :n_variables].numpy(), data.feature_names)
    adjacency = tasks.systems.adjacency[0, :n_variables, :n_variables].numpy().astype(np.int8)
    data.adjacency = frame(adjacency, data.feature_names).set_axis(data.feature_names, axis=0)
    return data


def _context_rows(tasks, split, n_samples, seed):
    """Tables (n_rows, ...) of the contexts of a split, `n_samples` rows for each."""
    perturbations, doses = tasks.contexts(split)
    rows = tasks.sample(n_samples, perturbations, doses, random_state=seed)[0]
    labels = [f"p{k}@{dose:g}" for k, dose in zip(perturbations.tolist(), doses.tolist())]
    by_context = {
        "interventions": tasks.features_of(perturbations, doses)[0].numpy(),
        "regimes": np.array(labels, dtype=object),
        "perturbations": perturbations.numpy(),
        "doses": doses.numpy(),
        "means": tasks.interventional_mean(perturbations, doses)[0].numpy(),
    }
    tables = {key: np.repeat(table, n_samples, axis=0) for key, table in by_context.items()}
    return {"X": rows.flatten(0, 1).numpy()} | tables


def _control_rows(tasks, n_controls, seed):
    """Tables (n_controls, ...) of rows without perturbation."""
    rest = tasks.systems.interventional_mean()[0].numpy()
    return {
        "X": tasks.sample_controls(n_controls, random_state=seed)[0].numpy(),
        "interventions": np.repeat(tasks.control_features()[0].numpy(), n_controls, axis=0),
        "regimes": np.full(n_controls, "control", dtype=object),
        "perturbations": np.full(n_controls, -1),
        "doses": np.zeros(n_controls),
        "means": np.repeat(rest, n_controls, axis=0),
    }


def _label(key, table, names, kind):
    """DataFrame or Series of a table; padded variables are left out."""
    import pandas as pd

    if key == "interventions":
        curve = table[:, -3:]
        features = np.concatenate([table[:, : len(names)], curve], axis=1)
        return frame(features, [f"{kind}_{name}" for name in names] + ["dose", "half_dose", "hill"])
    if key in ("X", "means"):
        return frame(table[:, : len(names)], names)
    return pd.Series(table, dtype=str if key == "regimes" else None, name=key.removesuffix("s"))
