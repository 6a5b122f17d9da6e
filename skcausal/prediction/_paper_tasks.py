"""Tasks of the published meta-training: systems, their rows, and pairs of targets left out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class MetaTasks:
    """Training and test rows of simulated systems, z-scored with the training rows.

    Parameters
    ----------
    X, X_test : tensor of shape (n_tasks, n_rows, n_variables)
        Values of each variable in units of its standard deviation over the training rows, of which
        there are another number than test rows.
    mask, mask_test : bool tensor of the same shapes
        Targets.
    """

    X: torch.Tensor
    mask: torch.Tensor
    X_test: torch.Tensor
    mask_test: torch.Tensor

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.X)

    def __getitem__(self, tasks) -> MetaTasks:
        """Select tasks by a slice or a tensor of indices."""
        return MetaTasks(*(getattr(self, field.name)[tasks] for field in fields(self)))

    def to(self, device) -> MetaTasks:
        """Move to a device."""
        return MetaTasks(*(getattr(self, field.name).to(device) for field in fields(self)))


def sample_tasks(
    prior, n_tasks: int, *, n_rows: int, n_heldout_pairs: int, do_value: float = 2.0, seed: int
) -> MetaTasks:
    """Draw the tasks of algorithm 1, lines 1 to 5.

    The training regimes are the observational one, all single targets and all pairs but those that
    are held out, which are drawn for each task; these are the test regimes.

    Parameters
    ----------
    prior : TaskPrior
        Distribution over systems of one size.
    n_tasks : int
        Number of tasks.
    n_rows : int
        Rows of each regime.
    n_heldout_pairs : int
        Number of test regimes of a task.
    do_value : float, default=2.0
        What interventions set a variable to.
    seed : int
        Determines the tasks.

    Returns
    -------
    tasks : MetaTasks
        The tasks.

    Raises
    ------
    ValueError
        If no pair is held out, or all are; if the systems differ in size.
    """
    systems = prior.sample(n_tasks, seed)
    d = systems.adjacency.shape[-1]
    if not bool((systems.n_variables == d).all()):
        raise ValueError("The published network needs systems of one size: fix n_variables.")
    pairs = _masks(combinations(range(d), 2), d)
    if not 0 < n_heldout_pairs < len(pairs):
        raise ValueError(
            f"n_heldout_pairs must lie between 1 and {len(pairs) - 1}, found {n_heldout_pairs}."
        )
    rng = np.random.default_rng([seed, n_tasks])
    order = torch.from_numpy(rng.random((n_tasks, len(pairs))).argsort(axis=1))
    pairs = pairs[order]
    smaller = _masks([(), *((j,) for j in range(d))], d).expand(n_tasks, -1, -1)
    n_test = n_heldout_pairs
    targets = torch.cat([smaller, pairs[:, n_test:], pairs[:, :n_test]], dim=1)
    X = systems.sample(n_rows, targets[:, :, None], do_value, random_state=seed)
    mask = targets[:, :, None].expand(X.shape)
    X, X_test = X[:, :-n_test].flatten(1, 2), X[:, -n_test:].flatten(1, 2)
    mask, mask_test = mask[:, :-n_test].flatten(1, 2), mask[:, -n_test:].flatten(1, 2)
    centre = X.mean(dim=1, keepdim=True)
    scale = X.std(dim=1, keepdim=True, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)
    return MetaTasks((X - centre) / scale, mask, (X_test - centre) / scale, mask_test)


def _masks(target_sets, d: int) -> torch.Tensor:
    """Masks (n_regimes, d) of sets of targets."""
    sets = list(target_sets)
    masks = torch.zeros(len(sets), d, dtype=torch.bool)
    for row, targets in zip(masks, sets):
        row[list(targets)] = True
    return masks
