"""Distributions over dose-response tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Real

import numpy as np
import torch
from scipy.stats import randint
from scipy.stats import uniform as uniform_distribution

from skcausal.simulators._dose_response import DoseResponses
from skcausal.simulators._linear_prior import LinearPrior
from skcausal.simulators._nonlinear import NonlinearPrior
from skcausal.simulators._parameters import (
    bounds_of,
    check_choice,
    check_count,
    check_parameter,
    draw_parameter,
)
from skcausal.simulators._random import fold_in, normal, random_order, uniform
from skcausal.simulators._task_prior import TaskPrior

# Defaults are shared objects, so that two priors with the same parameters are equal.
_N_TARGETS = randint(1, 4)
_MAX_EFFECT = uniform_distribution(2.0, 2.0)
_HALF_DOSE = uniform_distribution(0.5, 1.5)
_HILL = uniform_distribution(1.0, 3.0)


@dataclass(frozen=True)
class DoseResponsePrior(TaskPrior[DoseResponses]):
    """A distribution over dose-response tasks, after the synthetic experiments of [1]_.

    A task is a causal system, and perturbations of which the features and the dose are known but
    not the targets. The numbers of perturbations, doses and targets and the splits are those of
    [1]_; the systems, the ranges of the curves and the features are a choice made here. The
    equations are in :class:`DoseResponses`.

    Where a number is expected, a frozen distribution of :mod:`scipy.stats` may stand; it is drawn
    anew for each perturbation, or for each target where this is said.

    Parameters
    ----------
    systems : LinearPrior or NonlinearPrior, default=None
        Distribution of the systems: with one seed, the tasks perturb the systems that this prior
        draws with it. None stands for ``LinearPrior(20, edges_per_variable=2.0,
        standardize="observational")``, where every variable has variance 1 without perturbation.
    n_perturbations : int, default=60
        Number of perturbations of a task, those held out included.
    n_heldout_perturbations : int, default=20
        How many of them, the last ones, are for testing only. They come from the same distribution.
    n_targets : int or discrete distribution, default=randint(1, 4)
        Number of targets; as in scipy, the default is uniform on 1, 2 and 3.
    max_effect : float or distribution, default=uniform(2, 2)
        Size of the limit of the effect for infinite doses, for each target. Its sign is positive or
        negative with equal probability. The default is uniform on [2, 4].
    half_dose : float or distribution, default=uniform(0.5, 1.5)
        Dose at which half of the limit is reached. The default is uniform on [0.5, 2], the range
        of the training doses: their effects then lie along the curves, neither at 0 nor at the
        limit.
    hill : float or distribution, default=uniform(1, 3)
        Hill coefficient, which makes a curve steep. The default is uniform on [1, 4].
    kind : {"shift", "hard"}, default="shift"
        - "shift": the effect is added to the target's equation;
        - "hard": the target is set to the effect.

        There is no "scale": it would leave the means of linear systems at 0 for any dose.
    features : {"raw", "mixed"}, default="raw"
        - "raw": the limits of the effect on every variable, 0 off target; thus they tell the
          targets;
        - "mixed": the hyperbolic tangent of a random projection of these limits, with as many
          components and normal weights of variance one over the number of variables.

        The dose, the half dose and the Hill coefficient follow in both.
    train_doses : sequence of float, default=(0.5, 1.0, 1.5, 2.0)
        Doses of the split "train".
    partly_ood_doses : sequence of float, default=(0.25, 0.75, 1.25, 1.75, 2.25)
        Doses of the split "partly_ood".
    heldout_doses : sequence of float, default=(0.5, 1.0, 1.5, 2.0)
        Doses of the split "fully_ood".

    References
    ----------
    .. [1] Schneider, Lorch, Kilbertus, Schoelkopf & Krause (2025). Generative intervention models
       for causal perturbation modeling. ICML.

    Examples
    --------
    >>> from skcausal.simulators import DoseResponsePrior, NonlinearPrior
    >>> prior = DoseResponsePrior(NonlinearPrior(10), features="mixed")
    >>> tasks = prior.sample(3, random_state=0)
    >>> tasks.targets.shape, tasks.targets.sum(dim=-1).unique().tolist()
    (torch.Size([3, 60, 10]), [1, 2, 3])
    """

    systems: LinearPrior | NonlinearPrior | None = None
    _: KW_ONLY
    n_perturbations: int = 60
    n_heldout_perturbations: int = 20
    n_targets: object = _N_TARGETS
    max_effect: object = _MAX_EFFECT
    half_dose: object = _HALF_DOSE
    hill: object = _HILL
    kind: str = "shift"
    features: str = "raw"
    train_doses: Sequence[float] = (0.5, 1.0, 1.5, 2.0)
    partly_ood_doses: Sequence[float] = (0.25, 0.75, 1.25, 1.75, 2.25)
    heldout_doses: Sequence[float] = (0.5, 1.0, 1.5, 2.0)

    def __post_init__(self):
        if not isinstance(self.systems, (LinearPrior, NonlinearPrior, type(None))):
            raise TypeError(
                f"systems must be a LinearPrior, a NonlinearPrior or None, found {self.systems!r}."
            )
        check_count("n_perturbations", self.n_perturbations)
        check_count("n_heldout_perturbations", self.n_heldout_perturbations, smallest=0)
        if self.n_heldout_perturbations >= self.n_perturbations:
            raise ValueError(
                f"n_heldout_perturbations={self.n_heldout_perturbations} leaves none of the "
                f"{self.n_perturbations} perturbations for training."
            )
        smallest = bounds_of("n_variables", self._systems().n_variables)[0]
        check_parameter("n_targets", self.n_targets, 1, smallest, integer=True)
        check_parameter("max_effect", self.max_effect, 0.0, above=True)
        check_parameter("half_dose", self.half_dose, 0.0, above=True)
        check_parameter("hill", self.hill, 0.0, above=True)
        check_choice("kind", self.kind, ("shift", "hard"))
        check_choice("features", self.features, ("raw", "mixed"))
        for name in ("train_doses", "partly_ood_doses", "heldout_doses"):
            _check_doses(name, getattr(self, name))

    def _systems(self) -> LinearPrior | NonlinearPrior:
        """Resolve the default prior of the systems."""
        if self.systems is None:
            return LinearPrior(20, edges_per_variable=2.0, standardize="observational")
        return self.systems

    def _draw(self, keys, dtype) -> DoseResponses:
        """Tasks of the given keys; everything is drawn in float64 and rounded at the end."""
        systems = self._systems()._draw(keys, dtype)
        index = torch.arange(self.n_perturbations, device=keys.device)
        own_keys = fold_in(fold_in(keys, "perturbations")[:, None], index)
        targets = self._draw_targets(own_keys, systems.n_variables, systems.present.shape[-1])
        max_effects = self._draw_max_effects(own_keys, targets)
        half_doses = draw_parameter(self.half_dose, fold_in(own_keys, "half_dose"))
        fingerprints = max_effects
        if self.features == "mixed":
            fingerprints = _mix(fold_in(keys, "projection"), max_effects, systems)
        return DoseResponses(
            systems=systems,
            targets=targets,
            max_effects=max_effects.to(dtype),
            half_doses=half_doses.to(dtype),
            hills=draw_parameter(self.hill, fold_in(own_keys, "hill")).to(dtype),
            fingerprints=fingerprints.to(dtype),
            kind=self.kind,
            n_heldout_perturbations=self.n_heldout_perturbations,
            train_doses=tuple(self.train_doses),
            partly_ood_doses=tuple(self.partly_ood_doses),
            heldout_doses=tuple(self.heldout_doses),
        )

    def _draw_targets(self, keys, n_variables, size):
        """Random sets of variables (n_tasks, n_perturbations, size)."""
        n_targets = draw_parameter(self.n_targets, fold_in(keys, "n_targets"))
        order_keys = fold_in(keys, "targets").flatten()
        n_variables = n_variables.repeat_interleave(keys.shape[1])
        order = random_order(order_keys, n_variables, size).reshape(*keys.shape, size)
        chosen = torch.arange(size, device=keys.device) < n_targets[..., None]
        return torch.zeros_like(chosen).scatter_(-1, order, chosen)

    def _draw_max_effects(self, keys, targets):
        """Signed limits of the effects (n_tasks, n_perturbations, size), 0 off target."""
        size = targets.shape[-1]
        limits = draw_parameter(self.max_effect, fold_in(keys, "max_effect"), size)
        negative = uniform(fold_in(keys, "sign"), size) < 0.5
        return torch.where(targets, torch.where(negative, -limits, limits), 0.0)


def _mix(keys, max_effects, systems):
    """Project the limits at random and squash them (n_tasks, n_perturbations, size)."""
    size = max_effects.shape[-1]
    weights = normal(keys, size, size) / systems.n_variables[:, None, None].double().sqrt()
    weights = torch.where(systems.present[:, None], weights, 0.0)
    projected = torch.zeros_like(max_effects)
    # One variable at a time: the last bit of a matrix product depends on the size of the batch.
    for limits, row in zip(max_effects.unbind(-1), weights.unbind(1)):
        projected = projected + limits[..., None] * row[:, None]
    return projected.tanh()


def _check_doses(name: str, doses) -> None:
    """Raise a ValueError unless `doses` are positive, finite numbers."""
    listed = isinstance(doses, (Sequence, np.ndarray)) and not isinstance(doses, str)
    plain = listed and len(doses) > 0
    if not plain or not all(isinstance(c, Real) and 0.0 < float(c) < math.inf for c in doses):
        raise ValueError(f"{name} must be a sequence of positive, finite numbers, found {doses!r}.")
