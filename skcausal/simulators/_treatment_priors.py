"""Distributions over treatment problems: sensor noise and leaky hum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch

from skcausal.simulators._parameters import check_number
from skcausal.simulators._random import fold_in, normal, uniform
from skcausal.simulators._treatment import TreatmentData, TreatmentPrior


@dataclass(frozen=True)
class SensorNoisePrior(TreatmentPrior):
    """Treatment problems whose environments differ in the noise level of a sensor.

    A unit of environment e has::

        z ~ N(0, 1)    s ~ N(0, sigma_e^2)    t ~ Bernoulli(1/2)
        y = 2 z + t - z s + N(0, outcome_noise^2)

    and the covariates z and s. The reading s is not spurious: together with z it moves the outcome,
    and predictions without it have a mean squared error of at least sigma_e^2. The treatment is
    randomised and its effect is 1 for every unit, so that a difference of means estimates it. A
    learner should pass this test with its environments and without them.

    Parameters
    ----------
    sensor_scales : sequence of float, default=(0.1, 1.0)
        Standard deviation sigma of s in each environment.
    outcome_noise : float, default=0.05
        Standard deviation of the noise of the outcome.

    Examples
    --------
    >>> from skcausal.simulators import SensorNoisePrior
    >>> data = SensorNoisePrior().sample(2, random_state=0).sample(10_000, random_state=0)
    >>> data.effect.unique()
    tensor([1.])
    >>> [round(float(data.X[0, data.environment[0] == e, 1].std()), 1) for e in (0, 1)]
    [0.1, 1.0]
    """

    sensor_scales: Sequence[float] = (0.1, 1.0)
    _: KW_ONLY
    outcome_noise: float = 0.05

    def __post_init__(self):
        _check_sequence("sensor_scales", self.sensor_scales, low=0.0)
        check_number("outcome_noise", self.outcome_noise, low=0.0)

    @property
    def n_environments(self) -> int:
        """Number of training environments."""
        return len(self.sensor_scales)

    def _draw_units(self, keys, environments) -> TreatmentData:
        """Units in float64, one for each of the `environments` (n_rows,)."""
        n_rows = len(environments)
        z, s = normal(fold_in(keys, "covariates"), n_rows, 2).unbind(-1)
        s = s * _by_environment(self.sensor_scales, environments)
        treatment = uniform(fold_in(keys, "treatment"), n_rows, 1)[..., 0] < 0.5
        mu_0 = 2.0 * z - z * s
        effect = torch.ones_like(z)
        noise = self.outcome_noise * normal(fold_in(keys, "noise"), n_rows, 1)[..., 0]
        y = mu_0 + treatment * effect + noise
        return TreatmentData(
            X=torch.stack([z, s], dim=-1),
            treatment=treatment.long(),
            y=y,
            environment=environments.expand_as(treatment),
            potential_outcomes=torch.stack([mu_0, mu_0 + effect], dim=-1),
            effect=effect,
            counterfactual=mu_0 + ~treatment * effect + noise,
        )


@dataclass(frozen=True)
class LeakyHumPrior(TreatmentPrior):
    """Treatment problems in which a recorder's hum gives the outcome away.

    A unit of environment e has::

        z ~ N((m_e, 0, 0), I)    t ~ Bernoulli(sigmoid(z_1 + z_2 / 2))
        mu_0 = 2 z_1 + sin(2 z_3)    tau = 1 + z_2 / 2    y = mu_0 + t tau + N(0, 1)
        s = b_e + c_e y + N(0, hum_noise^2)

    and the covariates z_1, z_2, z_3 and s. The hum s is spurious: it is caused by the outcome, in a
    way that changes with the environment. It is observed after the treatment, and would be another
    one under the other treatment; all that is called an effect here is the effect given z.

    In a training environment the best prediction of y from z, s and t uses the hum. Between the
    treatments, at the same z and s, it differs by ``hum_noise^2 / (slope^2 + hum_noise^2)`` times
    tau, a fifth by default; without the environment, by somewhat more on average. So a learner that
    predicts well is wrong about effects, and fails where the hum is another one: in the held-out
    environment. A representation with one distribution in all environments may use z but not s
    where `covariate_shift` is 0, and
    has to give up a part of z_1 where it is not.

    Parameters
    ----------
    offsets : sequence of float, default=(-3.0, 3.0)
        Offset b of the hum in each training environment.
    slope : float, default=1.0
        Slope c of the hum in all training environments.
    hum_noise : float, default=0.5
        Standard deviation of the hum's own noise.
    covariate_shift : float, default=0.0
        Mean m of z_1 is minus this in training environments 0, 2, ..., plus this in environments
        1, 3, ..., and 0 in the held-out one.
    heldout_offset : float, default=6.0
        Offset of the hum in the held-out environment.
    heldout_slope : float, default=-1.0
        Its slope there.

    Examples
    --------
    >>> from skcausal.simulators import LeakyHumPrior
    >>> problems = LeakyHumPrior((-6, 0, 6), covariate_shift=0.25).sample(4, random_state=0)
    >>> problems.n_environments, problems.heldout_environment
    (3, 3)
    >>> data = problems.sample(1000, random_state=0)
    >>> data.X.shape, data.potential_outcomes.shape
    (torch.Size([4, 1000, 4]), torch.Size([4, 1000, 2]))
    """

    offsets: Sequence[float] = (-3.0, 3.0)
    _: KW_ONLY
    slope: float = 1.0
    hum_noise: float = 0.5
    covariate_shift: float = 0.0
    heldout_offset: float = 6.0
    heldout_slope: float = -1.0

    def __post_init__(self):
        _check_sequence("offsets", self.offsets)
        check_number("hum_noise", self.hum_noise, low=0.0)
        for name in ("slope", "covariate_shift", "heldout_offset", "heldout_slope"):
            check_number(name, getattr(self, name))

    @property
    def n_environments(self) -> int:
        """Number of training environments."""
        return len(self.offsets)

    @property
    def heldout_environment(self) -> int:
        """Index of the environment that training does not see: the one after the last."""
        return self.n_environments

    def _draw_units(self, keys, environments) -> TreatmentData:
        """Units in float64, one for each of the `environments` (n_rows,)."""
        n_rows = len(environments)
        z_1, z_2, z_3 = normal(fold_in(keys, "covariates"), n_rows, 3).unbind(-1)
        signs = [2 * (e % 2) - 1 for e in range(self.n_environments)]
        z_1 = z_1 + self.covariate_shift * _by_environment([*signs, 0], environments)
        # Not torch.sigmoid: its last bit depends on the size of the batch.
        propensity = 1.0 / (1.0 + (-z_1 - 0.5 * z_2).exp())
        treatment = uniform(fold_in(keys, "treatment"), n_rows, 1)[..., 0] < propensity
        mu_0 = 2.0 * z_1 + (2.0 * z_3).sin()
        effect = 1.0 + 0.5 * z_2
        noise, hum_noise = normal(fold_in(keys, "noise"), n_rows, 2).unbind(-1)
        y = mu_0 + treatment * effect + noise
        slopes = [self.slope] * self.n_environments
        s = (
            _by_environment([*self.offsets, self.heldout_offset], environments)
            + _by_environment([*slopes, self.heldout_slope], environments) * y
            + self.hum_noise * hum_noise
        )
        return TreatmentData(
            X=torch.stack([z_1, z_2, z_3, s], dim=-1),
            treatment=treatment.long(),
            y=y,
            environment=environments.expand_as(treatment),
            potential_outcomes=torch.stack([mu_0, mu_0 + effect], dim=-1),
            effect=effect,
            counterfactual=mu_0 + ~treatment * effect + noise,
        )


def _by_environment(values, environments) -> torch.Tensor:
    """Look up the value (n_rows,) of each row's environment."""
    return torch.tensor(values, dtype=torch.float64, device=environments.device)[environments]


def _check_sequence(name: str, values, low: float = -math.inf) -> None:
    """Raise unless `values` are one number for each of at least one environment."""
    listed = isinstance(values, (Sequence, np.ndarray)) and not isinstance(values, str)
    if not listed or len(values) == 0:
        raise ValueError(
            f"{name} must be a sequence of one number for each environment, at least one; found "
            f"{values!r}."
        )
    for e, value in enumerate(values):
        check_number(f"{name}[{e}]", value, low)
