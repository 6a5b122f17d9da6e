"""Treatment problems: units of several environments, with both of their potential outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch

from skcausal.simulators._batches import Batch, map_tensors
from skcausal.simulators._parameters import check_count
from skcausal.simulators._random import check_random_state, fold_in
from skcausal.simulators._task_prior import TaskPrior


@dataclass(frozen=True, eq=False)
class TreatmentData:
    """Rows of a batch of treatment problems.

    Parameters
    ----------
    X : tensor of shape (n_problems, n_rows, n_covariates)
        The covariates.
    treatment : int64 tensor of shape (n_problems, n_rows)
        The treatment, 0 or 1.
    y : tensor of shape (n_problems, n_rows)
        The outcome.
    environment : int64 tensor of shape (n_problems, n_rows)
        The environment of each unit.
    potential_outcomes : tensor of shape (n_problems, n_rows, 2)
        The means mu_0 and mu_1 of the outcome under either treatment, given the unit's causes of
        the outcome: what the outcome would be without its noise.
    effect : tensor of shape (n_problems, n_rows)
        Difference mu_1 - mu_0.
    counterfactual : tensor of shape (n_problems, n_rows)
        The outcome under the treatment that was not given. The noise is the unit's own, the same
        under both treatments, so that the outcomes of a unit differ by exactly `effect`.
    """

    X: torch.Tensor
    treatment: torch.Tensor
    y: torch.Tensor
    environment: torch.Tensor
    potential_outcomes: torch.Tensor
    effect: torch.Tensor
    counterfactual: torch.Tensor


@dataclass(frozen=True, eq=False)
class TreatmentProblems(Batch):
    """A batch of treatment problems of one prior, which differ in their units.

    Made by :meth:`SensorNoisePrior.sample` and :meth:`LeakyHumPrior.sample`.

    Parameters
    ----------
    keys : int64 tensor of shape (n_problems,)
        Keys of the problems' random numbers.
    prior : SensorNoisePrior or LeakyHumPrior
        How units come about.
    dtype : torch.dtype
        Precision of the rows.

    Examples
    --------
    >>> from skcausal.simulators import LeakyHumPrior
    >>> problems = LeakyHumPrior().sample(5, random_state=0)
    >>> train = problems.sample(3000, random_state=0)
    >>> train.X.shape, train.environment.unique().tolist()
    (torch.Size([5, 3000, 4]), [0, 1])
    >>> problems.sample(1000, "heldout", random_state=0).environment.unique().tolist()
    [2]
    """

    keys: torch.Tensor
    prior: TreatmentPrior
    dtype: torch.dtype

    @property
    def n_environments(self) -> int:
        """Number of training environments."""
        return self.prior.n_environments

    @property
    def heldout_environment(self) -> int | None:
        """Index of the environment that training does not see, or None."""
        return self.prior.heldout_environment

    def sample(
        self,
        n_rows: int,
        environment: int | str | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
    ) -> TreatmentData:
        """Draw units of all problems.

        Parameters
        ----------
        n_rows : int
            Number of units for each problem.
        environment : int, "heldout" or None, default=None
            Where the units come from. None: the training environments in turn, row i from
            environment i modulo their number.
        random_state : int, RandomState instance, Generator instance or None, default=None
            Determines the units. Even with the same integer, those of different values of
            `environment` are independent. The first rows of a larger sample are those of a smaller
            one.

        Returns
        -------
        data : TreatmentData
            The rows.

        Raises
        ------
        ValueError
            If an argument is out of range, or there is no environment of this name or number.
        """
        check_count("n_rows", n_rows)
        keys = fold_in(self.keys, check_random_state(random_state))
        environment = self._check_environment(environment)
        if environment is None:
            keys = fold_in(keys, "in turn")
            environments = torch.arange(n_rows, device=keys.device) % self.n_environments
        else:
            keys = fold_in(fold_in(keys, "environment"), environment)
            environments = torch.full((n_rows,), environment, device=keys.device)
        data = self.prior._draw_units(keys, environments)
        return map_tensors(data, lambda x: x.to(self.dtype) if x.is_floating_point() else x)

    def _check_environment(self, environment) -> int | None:
        """Validate an environment and turn its name into its index."""
        heldout = self.heldout_environment
        n_known = self.n_environments + (heldout is not None)
        if environment is None:
            return None
        if isinstance(environment, str) and environment == "heldout" and heldout is not None:
            return heldout
        number = isinstance(environment, Integral) and not isinstance(environment, bool)
        if not number or not 0 <= environment < n_known:
            named = "None" if heldout is None else "None, 'heldout'"
            raise ValueError(
                f"environment must be {named} or an integer from 0 to {n_known - 1}, found "
                f"{environment!r}."
            )
        return int(environment)


class TreatmentPrior(TaskPrior[TreatmentProblems]):
    """A distribution over treatment problems.

    All problems of a prior have the same equations; they differ in their units alone.
    """

    @property
    def n_environments(self) -> int:
        """Number of training environments."""
        raise NotImplementedError

    @property
    def heldout_environment(self) -> int | None:
        """Index of the environment that training does not see; None where there is none."""
        return None

    def _draw(self, keys, dtype) -> TreatmentProblems:
        """Problems of the given keys."""
        return TreatmentProblems(keys=keys, prior=self, dtype=dtype)

    def _draw_units(self, keys, environments) -> TreatmentData:
        """Units in float64, one for each of the `environments` (n_rows,)."""
        raise NotImplementedError
