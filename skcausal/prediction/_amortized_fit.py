"""From rows of a new system to a linear model of it, by one pass through the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from skcausal.nn._pair_statistics import pair_statistics
from skcausal.nn._regime_moments import RegimeMoments
from skcausal.prediction._equation_errors import EquationErrors
from skcausal.prediction._fine_tuning import fine_tune
from skcausal.prediction._intervention_network import InterventionNetwork
from skcausal.prediction._mean_corrector import MOST_REGIMES, MeanCorrector, fit_mean_corrector
from skcausal.prediction._shrunk_refit import refit
from skcausal.structure._linear_scm import (
    LinearGaussianSCM,
    stabilised,
    target_moments,
    warn_of_lost_mechanism,
)


@dataclass(frozen=True, eq=False)
class AmortizedFit:
    """A fitted system in standardised units.

    Parameters
    ----------
    scm : LinearGaussianSCM
        The structural equations.
    errors : EquationErrors
        What the network expects of their errors.
    edge_probabilities : ndarray of shape (n_variables, n_variables)
        Entry (i, j): probability of an edge i -> j.
    corrector : MeanCorrector or None
        Correction of the means, if one helps.
    fine_tuning : dict of str to float or None
        Errors in regimes left out before and after fine-tuning, if it was asked for.
    """

    scm: LinearGaussianSCM
    errors: EquationErrors
    edge_probabilities: np.ndarray
    corrector: MeanCorrector | None
    fine_tuning: dict[str, float] | None


def fit_amortized(
    network: InterventionNetwork,
    Z: np.ndarray,
    mask: np.ndarray,
    regime: np.ndarray,
    *,
    names,
    correct_means: bool,
    n_finetune_steps: int,
    finetune_learning_rate: float,
) -> AmortizedFit:
    """Fit a linear system to standardised rows.

    Parameters
    ----------
    network : InterventionNetwork
        The network, on the device and in the precision of the computation.
    Z : ndarray of shape (n_samples, n_variables)
        Standardised rows.
    mask : ndarray of bool of shape (n_samples, n_variables)
        The intervention mask.
    regime : ndarray of int of shape (n_samples,)
        Regime of each row.
    names : callable
        ``names(j)`` names variable j in warnings.
    correct_means : bool
        Whether to try a correction of nonlinear effects.
    n_finetune_steps : int
        Number of gradient steps on the penalties.
    finetune_learning_rate : float
        Their size.

    Returns
    -------
    fitted : AmortizedFit
        The system.
    """
    moments = RegimeMoments.from_rows(Z, mask, regime)
    on_device = moments.to(network.pair_head.weight)
    statistics = pair_statistics(on_device)
    tuning = None
    with torch.no_grad():
        edge_logit, shrinkage, expected = network(statistics)
    if n_finetune_steps > 0 and moments.n_rows.shape[1] > 1:
        shrinkage, tuning = fine_tune(
            network,
            on_device,
            statistics,
            shrinkage,
            n_steps=n_finetune_steps,
            learning_rate=finetune_learning_rate,
        )
    with torch.no_grad():
        fit = refit(statistics.free, shrinkage)
        n_rows = statistics.free.n_rows.clamp(min=1.0)
        offset_variance = expected.intercept * fit.noise_variance / n_rows
        covariance = expected.inflation[..., None, None] * fit.spread
        covariance = covariance + torch.diag_embed(expected.edge)
    errors = EquationErrors(*map(_array, (statistics.free.mean, covariance, offset_variance)))
    probabilities = torch.sigmoid(edge_logit)[0].double().cpu().numpy().T.copy()
    np.fill_diagonal(probabilities, 0.0)
    coef = stabilised(_array(fit.coef).T.copy())
    intercept = np.diagonal(errors.centre) - np.einsum("ij,ji->j", coef, errors.centre)
    scm = LinearGaussianSCM(coef, intercept, _array(fit.noise_variance), *target_moments(Z, mask))
    _remove_mechanisms(scm, errors, probabilities, mask, names)
    corrector = None
    if correct_means and moments.n_rows.shape[1] <= MOST_REGIMES:
        targets, mean = moments.targets[0].numpy().astype(bool), moments.mean[0].numpy()
        corrector = fit_mean_corrector(
            targets,
            mean,
            moments.n_rows[0].numpy(),
            _regime_means(scm, targets, mean),
            _array(statistics.noise),
        )
    return AmortizedFit(scm, errors, probabilities, corrector, tuning)


def _array(tensor):
    """Float64 array of the only task of a batch."""
    return tensor[0].double().cpu().numpy()


def _regime_means(scm, targets, values):
    """Means (n_regimes, n_variables) under interventions: all regimes in one batched solve."""
    system = np.eye(len(scm.coef)) - ~targets[..., None] * scm.coef.T
    source = np.where(targets, values, scm.intercept)
    return np.linalg.solve(system, source[..., None])[..., 0]


def _remove_mechanisms(scm, errors, probabilities, mask, names):
    """Make variables roots that are a target in every row: there is no data on their mechanism."""
    for j in np.flatnonzero(mask.all(axis=0)):
        warn_of_lost_mechanism(names(j), stacklevel=7)
        scm.coef[:, j], probabilities[:, j] = 0.0, 0.0
        scm.intercept[j] = scm.target_mean[j]
        scm.noise_variance[j] = max(scm.target_variance[j], 1e-12)
        errors.covariance[j] = 0.0
        errors.offset_variance[j] = scm.noise_variance[j] / len(mask)
