"""Synthetic dose-response data with its published splits."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch, check_random_state

from skcausal.datasets._regimes import check_count, frame
from skcausal.datasets._shipped import read_description


def make_dose_response(
    prior=None, *, n_samples: int = 50, n_controls: int = 800, random_state=None
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
    import pandas as pd
    import torch

    from skcausal.simulators import DoseResponsePrior

    prior = DoseResponsePrior() if prior is None else prior
    if not isinstance(prior, DoseResponsePrior):
        raise TypeError(f"prior must be a DoseResponsePrior or None, found {prior!r}.")
    check_count("n_samples", n_samples, 1)
    check_count("n_controls", n_controls, 1)
    seeds = check_random_state(random_state).randint(2**31 - 1, size=2)
    tasks = prior.sample(1, int(seeds[0]), dtype=torch.float64)
    n_variables = int(tasks.systems.n_variables[0])
    names = [f"x{i}" for i in range(n_variables)]
    present = list(range(n_variables))
    kept = [*present, *range(tasks.targets.shape[-1], tasks.targets.shape[-1] + 3)]
    features = [f"{prior.features}_{name}" for name in names] + ["dose", "half_dose", "hill"]

    def part(split, suffix):
        """Rows of a split, those of a perturbation and dose together."""
        perturbations, doses = tasks.contexts(split)
        rows = tasks.sample(n_samples, perturbations, doses, random_state=int(seeds[1]))
        described = tasks.features_of(perturbations, doses)
        means = tasks.interventional_mean(perturbations, doses)
        labels = [f"p{k}@{dose:g}" for k, dose in zip(perturbations.tolist(), doses.tolist())]
        columns = {
            "X": rows[0].flatten(0, 1)[:, present].numpy(),
            "interventions": described[0, :, kept].numpy().repeat(n_samples, axis=0),
            "regimes": np.repeat(np.array(labels, dtype=object), n_samples),
            "perturbations": perturbations.numpy().repeat(n_samples),
            "doses": doses.numpy().repeat(n_samples),
            "means": means[0, :, present].numpy().repeat(n_samples, axis=0),
        }
        if split == "train":
            controls = tasks.sample_controls(n_controls, random_state=int(seeds[1]))
            rest = tasks.systems.interventional_mean()
            first = {
                "X": controls[0, :, present].numpy(),
                "interventions": np.zeros((n_controls, len(features))),
                "regimes": np.repeat(np.array(["control"], dtype=object), n_controls),
                "perturbations": np.full(n_controls, -1),
                "doses": np.zeros(n_controls),
                "means": rest[0, :, present].numpy().repeat(n_controls, axis=0),
            }
            columns = {key: np.concatenate([first[key], columns[key]]) for key in columns}
        frames = {"X": names, "interventions": features, "means": names}
        for key, values in columns.items():
            name = {"regimes": "regime", "perturbations": "perturbation", "doses": "dose"}.get(key)
            data[key + suffix] = (
                frame(values, frames[key])
                if key in frames
                else pd.Series(values, dtype=str if key == "regimes" else None, name=name)
            )

    data = Bunch(tasks=tasks, feature_names=names, DESCR=read_description("dose_response"))
    part("train", "")
    part("partly_ood", "_partly_ood")
    if prior.n_heldout_perturbations:
        part("fully_ood", "_fully_ood")
    data.targets = frame(tasks.targets[0, :, present].numpy(), names)
    adjacency = tasks.systems.adjacency[0].numpy().astype(np.int8)
    data.adjacency = frame(adjacency[np.ix_(present, present)], names).set_axis(names, axis=0)
    return data
