"""Random experiments for meta-training: which regimes a context has, and what is asked of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

N_QUERIES = 8

# Rows of a context at most, so that no batch takes much longer than the others.
_MOST_ROWS = 2600


@dataclass(frozen=True, eq=False)
class TaskDesign:
    """The experiments of a batch of tasks.

    Parameters
    ----------
    targets : bool tensor of shape (n_tasks, n_regimes, n_variables)
        Targets of the regimes of the context.
    values : tensor of shape (n_tasks, n_regimes, 1 or n_rows, n_variables)
        What the interventions set, add or multiply by.
    kept : bool tensor of shape (n_tasks, n_regimes, n_rows)
        Which rows belong to the context.
    kind : {"hard", "shift", "noise"}
        What the interventions of the context do.
    query_targets : bool tensor of shape (n_tasks, n_queries, n_variables)
        Targets of the hard interventions to predict.
    query_values : tensor of shape (n_tasks, n_queries, n_variables)
        Their values.
    """

    targets: torch.Tensor
    values: torch.Tensor
    kept: torch.Tensor
    kind: str
    query_targets: torch.Tensor
    query_values: torch.Tensor


def draw_design(n_tasks: int, n_variables: int, rng: np.random.Generator) -> TaskDesign:
    """Draw the experiments of a batch.

    They vary in what users may bring: few rows to many, equal numbers or not, with observational
    rows or without, single targets alone or combinations besides, variables that are never a
    target, one do-value for all, random ones, small ones, values that vary from row to row; hard
    interventions mostly, some shifts and some changes of the noise.

    Parameters
    ----------
    n_tasks : int
        Number of tasks.
    n_variables : int
        Number of variables.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    design : TaskDesign
        The experiments.
    """
    d = n_variables
    pairs = _ordered_pairs(n_tasks, d, rng)
    n_held_out = min(N_QUERIES, max(1, pairs.shape[1] - 1))
    targets, untargeted = _context_targets(pairs[:, n_held_out:], d, rng)
    n_regimes = targets.shape[1]
    n_rows = round(math.exp(rng.uniform(math.log(2), math.log(200))))
    n_rows = min(n_rows, max(2, _MOST_ROWS // n_regimes))
    kept = _kept_rows(n_tasks, n_regimes, n_rows, rng)
    kind = str(rng.choice(["hard", "shift", "noise"], p=[0.84, 0.1, 0.06]))
    values, constant = _context_values(targets.shape, n_rows, kind, rng)
    query_targets = _query_targets(pairs[:, :n_held_out], untargeted, rng)
    shape = query_targets.shape
    query_values = np.full(shape, 2.0) if constant else 2.0 * rng.standard_normal(shape)
    return TaskDesign(
        targets=torch.from_numpy(targets),
        values=torch.from_numpy(values).float(),
        kept=torch.from_numpy(kept),
        kind=kind,
        query_targets=torch.from_numpy(query_targets),
        query_values=torch.from_numpy(query_values).float(),
    )


def _ordered_pairs(n_tasks, d, rng):
    """All pairs of variables as masks (n_tasks, n_pairs, d), in random order for each task."""
    first, second = np.triu_indices(d, 1)
    masks = np.zeros((len(first), d), dtype=bool)
    masks[np.arange(len(first)), first] = masks[np.arange(len(first)), second] = True
    return masks[rng.random((n_tasks, len(first))).argsort(axis=1)]


def _context_targets(pairs, d, rng):
    """Targets (n_tasks, n_regimes, d) of the context, and who is never one (n_tasks, d)."""
    n_tasks = len(pairs)
    order = rng.random((n_tasks, d)).argsort(axis=1)
    singles = np.eye(d, dtype=bool)[order]
    parts = [] if rng.random() < 0.1 else [np.zeros((n_tasks, 1, d), dtype=bool)]
    if rng.random() < 0.05:  # combinations alone
        n_sets = int(rng.integers(2, 2 * d + 1))
        sets = rng.random((n_tasks, n_sets, d)) < rng.uniform(1.0, max(1.5, d / 3)) / d
        parts.append(sets)
    else:
        n_dropped = int(rng.integers(1, max(1, d // 3) + 1)) if rng.random() < 0.35 else 0
        parts.append(singles[:, n_dropped:])
        if rng.random() < 0.4 and pairs.shape[1]:
            parts.append(pairs[:, : round(pairs.shape[1] * rng.random() ** 1.5)])
        if rng.random() < 0.15:
            parts.append(rng.random((n_tasks, int(rng.integers(1, d + 1)), d)) < 3.0 / d)
        # Left out of every combination, too, in half of these batches.
        if n_dropped and rng.random() < 0.5:
            never = np.zeros((n_tasks, d), dtype=bool)
            np.put_along_axis(never, order[:, :n_dropped], True, axis=1)
            parts = [part & ~never[:, None] for part in parts]
    targets = np.concatenate(parts, axis=1)
    return targets, ~targets.any(axis=1)


def _kept_rows(n_tasks, n_regimes, n_rows, rng):
    """Which rows count (n_tasks, n_regimes, n_rows): all, or a share that differs by regime."""
    if rng.random() < 0.7:
        return np.ones((n_tasks, n_regimes, n_rows), dtype=bool)
    sizes = np.exp(rng.uniform(0.0, math.log(n_rows), (n_tasks, n_regimes, 1))).round()
    if rng.random() < 0.5:
        sizes[:, 0] = n_rows
    return np.arange(n_rows) < sizes


def _context_values(shape, n_rows, kind, rng):
    """Values of the interventions, and whether they are all 2."""
    shape = (shape[0], shape[1], 1, shape[2])
    if kind == "noise":
        return np.exp(rng.uniform(0.3, 1.6, shape)), False
    law = rng.choice(4, p=[0.45, 0.25, 0.13, 0.17])
    if law == 0:
        return np.full(shape, 2.0), True
    if law == 1:
        return 2.0 * rng.standard_normal(shape), False
    if law == 2:
        return rng.uniform(-1.0, 1.0, shape), False
    rows = rng.standard_normal((*shape[:2], n_rows, shape[3]))
    centre = 2.0 * rng.standard_normal(shape) * (rng.random() < 0.7)
    return centre + rng.uniform(0.1, 1.5) * rows, False


def _query_targets(held_out, untargeted, rng):
    """Targets of the queries (n_tasks, n_queries, d): pairs, triples, single variables.

    Variables that are never a target in the context are asked about on their own more often.
    """
    queries = held_out.copy()
    n_tasks, n_queries, d = queries.shape
    kinds = rng.choice(3, size=n_queries, p=[0.6, 0.3, 0.1])
    preference = rng.random((n_tasks, d)) + untargeted
    single = (-preference).argsort(axis=1)
    for rank, q in enumerate(np.flatnonzero(kinds == 1)):
        queries[:, q] = np.eye(d, dtype=bool)[single[:, rank % d]]
    more = np.eye(d, dtype=bool)[rng.integers(d, size=(n_tasks, n_queries))]
    triple = kinds == 2
    queries[:, triple] |= more[:, triple]
    return queries
