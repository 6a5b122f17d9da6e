"""Random experiments on batches of systems: what a graph posterior is trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from skcausal.nn._regime_moments import RegimeMoments, concatenate_regimes
from skcausal.simulators import GeneNetworks, Systems, log_cpm
from skcausal.simulators._task_designs import draw_design

# What a training draws its experiments from, with the shares of each law.
EXPERIMENTS: dict[str, dict[str, float]] = {
    "mixed": {"sequential": 0.3, "regimes": 0.5, "observational": 0.2},
    "sequential": {"sequential": 1.0},
    "regimes": {"regimes": 1.0},
    "observational": {"observational": 1.0},
}

_MOST_STEPS = 20


@dataclass(frozen=True, eq=False)
class RegimeBlock:
    """Rows of a batch of systems under regimes of one number of rows.

    Parameters
    ----------
    X : tensor of shape (n_tasks, n_regimes, n_rows, n_variables)
        Rows.
    kept : bool tensor of shape (n_tasks, n_regimes, n_rows)
        Which of them were observed.
    targets : bool tensor of shape (n_tasks, n_regimes, n_variables)
        Targets of the regimes.
    """

    X: torch.Tensor
    kept: torch.Tensor
    targets: torch.Tensor

    def rows(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return X, the intervention mask and `kept` with the regimes joined into one axis."""
        mask = self.targets[:, :, None].expand(self.X.shape)
        return self.X.flatten(1, 2), mask.flatten(1, 2), self.kept.flatten(1, 2)


def moments_of(blocks: list[RegimeBlock]) -> RegimeMoments:
    """Compute the moments of all regimes of an experiment.

    Parameters
    ----------
    blocks : list of RegimeBlock
        The rows.

    Returns
    -------
    moments : RegimeMoments
        Their moments.
    """
    return concatenate_regimes(
        [RegimeMoments.from_tasks(block.X, block.kept, block.targets) for block in blocks]
    )


def draw_experiment(
    systems: Systems, law: str, rng: np.random.Generator, seed: int
) -> list[RegimeBlock]:
    """Draw an experiment of one kind for every system of a batch, and simulate it.

    Parameters
    ----------
    systems : Systems
        The systems, all of one size.
    law : {"sequential", "regimes", "observational"}
        - "sequential": observational rows, then up to 20 interventions, of one row mostly and at
          most five, on a random half of the variables, on random subsets, or on single variables;
        - "regimes": two to 200 rows for each of many targets;
        - "observational": 20 to 1,000 rows without intervention, of genes up to 300.
    rng : numpy.random.Generator
        Source of the design.
    seed : int
        Seed of the rows' noise.

    Returns
    -------
    blocks : list of RegimeBlock
        The rows; log-transformed if they are counts.
    """
    n_tasks, d = systems.present.shape
    if law == "regimes":
        blocks = _regimes(systems, n_tasks, d, rng, seed)
    else:
        longest = 300 if isinstance(systems, GeneNetworks) else 1000
        most = longest if law == "observational" else 200
        n_rows = 50 if law == "sequential" and rng.random() < 0.5 else _log_uniform(rng, 20, most)
        blocks = [_observe(systems, n_rows, seed)]
        n_steps = int(rng.integers(_MOST_STEPS + 1)) if law == "sequential" else 0
        if n_steps:
            blocks.append(_sequence(systems, n_tasks, n_steps, d, rng, seed))
    if getattr(systems, "technical_noise", None) is not None:
        blocks = [RegimeBlock(log_cpm(b.X), b.kept, b.targets) for b in blocks]
    return blocks


def _observe(systems, n_rows, seed):
    """Rows without intervention."""
    X = systems.sample(n_rows, random_state=seed)[:, None]
    kept = torch.ones(X.shape[:3], dtype=torch.bool, device=X.device)
    return RegimeBlock(X, kept, kept.new_zeros(X.shape[0], 1, X.shape[-1]))


def _regimes(systems, n_tasks, d, rng, seed):
    """Regimes as users of the intervention predictor bring them."""
    design = draw_design(n_tasks, d, rng)
    values: object = design.values
    kind: str | None = design.kind
    if isinstance(systems, GeneNetworks):
        kind, values = _gene_intervention(rng), None
    X = systems.sample(
        design.kept.shape[-1], design.targets[:, :, None], values, kind=kind, random_state=seed
    )
    return [RegimeBlock(X, design.kept.to(X.device), design.targets.to(X.device))]


def _sequence(systems, n_tasks, n_steps, d, rng, seed):
    """One intervention after the other, with few rows each."""
    n_rows = 1 if rng.random() < 0.8 else int(rng.integers(2, 6))
    targets = torch.from_numpy(draw_sequence_targets(n_tasks, n_steps, d, rng))
    values: object = torch.from_numpy(_sequence_values((n_tasks, n_steps, 1, d), rng)).float()
    kind = None
    if isinstance(systems, GeneNetworks):
        kind, values = _gene_intervention(rng), None
    X = systems.sample(n_rows, targets[:, :, None], values, kind=kind, random_state=seed + 1)
    kept = torch.ones(X.shape[:3], dtype=torch.bool, device=X.device)
    return RegimeBlock(X, kept, targets.to(X.device))


def _gene_intervention(rng):
    """Kind of an intervention on genes."""
    return "knock_out" if rng.random() < 0.85 else "knock_down"


def draw_sequence_targets(
    n_tasks: int, n_steps: int, n_variables: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the targets of sequences of interventions.

    Parameters
    ----------
    n_tasks, n_steps, n_variables : int
        Shape of the result.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    targets : ndarray of bool of shape (n_tasks, n_steps, n_variables)
        For 45 % of the tasks each variable with the same probability, which differs by task; for
        45 % half of the variables, those that were targets least often so far or random ones; for
        the rest one variable at a time.
    """
    shape = (n_tasks, n_steps, n_variables)
    bernoulli = rng.random(shape) < rng.random((n_tasks, 1, 1))
    single = np.eye(n_variables, dtype=bool)[rng.integers(n_variables, size=shape[:2])]
    half = balanced_halves(shape, rng, balance=rng.random((n_tasks, 1)) < 0.7)
    law = rng.random((n_tasks, 1, 1))
    return np.where(law < 0.45, bernoulli, np.where(law < 0.9, half, single))


def balanced_halves(
    shape: tuple[int, int, int], rng: np.random.Generator, *, balance: bool | np.ndarray = True
) -> np.ndarray:
    """Draw halves of the variables, those first that were chosen least often before.

    Parameters
    ----------
    shape : tuple of int
        (n_tasks, n_steps, n_variables).
    rng : numpy.random.Generator
        Source of randomness.
    balance : bool or ndarray of bool of shape (n_tasks, 1), default=True
        Which tasks prefer variables that were chosen least often. The others take random ones.

    Returns
    -------
    targets : ndarray of bool of the given shape
        The halves. Of an odd number, one variable more in half of the cases.
    """
    n_tasks, n_steps, d = shape
    targets = np.zeros(shape, dtype=bool)
    count = np.zeros((n_tasks, d))
    for step in range(n_steps):
        size = d // 2 + (rng.random((n_tasks, 1)) < 0.5) * (d % 2)
        priority = np.where(balance, count, 0.0) + rng.random((n_tasks, d))
        targets[:, step] = priority.argsort(axis=1).argsort(axis=1) < size
        count += targets[:, step]
    return targets


def _sequence_values(shape, rng):
    """Do-values: of size 1 mostly; for a quarter of the tasks in another unit."""
    sign = np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    clipped = np.clip(rng.standard_normal(shape), -1.0, 1.0)
    uniform = rng.uniform(-1.0, 1.0, shape)
    per_task = (shape[0], 1, 1, 1)
    law = rng.random(per_task)
    values = np.where(law < 0.6, sign, np.where(law < 0.9, clipped, uniform))
    unit = np.exp(rng.uniform(math.log(0.5), math.log(4.0), per_task))
    return values * np.where(rng.random(per_task) < 0.25, unit, 1.0)


def _log_uniform(rng, low, high):
    """Draw an integer, its logarithm uniformly."""
    return round(math.exp(rng.uniform(math.log(low), math.log(high))))
