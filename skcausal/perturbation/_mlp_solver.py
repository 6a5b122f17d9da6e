"""Perceptrons for mechanisms, on a graph that is climbed to from the linear one."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import check_random_state

from skcausal.perturbation._linear_mechanisms import Measurement, adjacency_of
from skcausal.perturbation._mlp_training import fit_mlp_mechanisms
from skcausal.perturbation._nonlinear_model import NonlinearModel
from skcausal.perturbation._nonlinear_solver import solve_nonlinear
from skcausal.perturbation._order_solver import learn_prior
from skcausal.perturbation._spike_slab import sigmoid


@dataclass(frozen=True, eq=False)
class NetworkSolution:
    """What perceptrons found, for standardised variables.

    Attributes
    ----------
    adjacency, edge_probabilities : ndarray of shape (n_variables, n_variables)
        The graph, and the probabilities of its edges.
    coef : ndarray of shape (n_variables, n_variables)
        Derivatives of the mechanisms, averaged over the rows.
    intercept : ndarray of shape (n_variables,)
        Values of the mechanisms where all variables are 0.
    model : NonlinearModel
        The causal model.
    measurement : Measurement
        Shifts of the contexts, without the control.
    target_probability : ndarray of shape (n_contexts - 1, n_variables)
        Posterior probabilities of targets.
    """

    adjacency: np.ndarray
    edge_probabilities: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    model: NonlinearModel
    measurement: Measurement
    target_probability: np.ndarray


def solve_with_networks(found, X, contexts, *, log_odds, adjacency, learn_odds, model):
    """Go on from linear mechanisms to perceptrons.

    Parameters
    ----------
    found : OrderFit
        The linear fit.
    X : ndarray of shape (n_samples, n_variables)
        Standardised rows.
    contexts : Contexts
        Their statistics.
    log_odds : float
        Prior log odds of an edge.
    adjacency : ndarray of shape (n_variables, n_variables) or None
        The graph, if it is known.
    learn_odds : bool
        Whether the odds of targets are learned.
    model : GenerativeInterventionModel
        Whose parameters of networks are used.

    Returns
    -------
    solution : NetworkSolution
        What was found.
    """
    climbed = solve_nonlinear(
        X,
        contexts,
        found.mechanisms,
        found.likelihood.prior,
        edge_log_odds=log_odds,
        learn_odds=learn_odds,
        adjacency=adjacency,
        rng=check_random_state(model.random_state),
    )
    graph = adjacency_of(climbed.mechanisms) if adjacency is None else adjacency
    module = fit_mlp_mechanisms(
        X,
        contexts,
        graph,
        climbed.likelihood.prior,
        learn_odds=learn_odds,
        random_state=check_random_state(model.random_state),
        device=model.device,
        dtype=model.dtype,
        checkpoint=model.checkpoint,
        verbose=model.verbose,
    )
    measurement = module.measure(X, contexts).without_control()
    _, q = learn_prior(module.prior, measurement, learn_odds=learn_odds)
    nothing = np.zeros(X.shape[1])
    return NetworkSolution(
        adjacency=graph,
        edge_probabilities=sigmoid(climbed.edge_log_odds),
        coef=_mean_derivatives(module, X),
        intercept=module.expect(nothing[None])[0],
        model=NonlinearModel(
            module.expect, module.propagate, module.noise_variance, "shift", nothing
        ),
        measurement=measurement,
        target_probability=q,
    )


def _mean_derivatives(module, X):
    """Differentiate mechanism j by variable i, averaged over rows: entry (i, j)."""
    rows = torch.as_tensor(X).to(next(module.parameters())).requires_grad_()
    sums = module.values(rows).sum(dim=0)
    columns = [torch.autograd.grad(total, rows, retain_graph=True)[0].mean(dim=0) for total in sums]
    return torch.stack(columns, dim=1).cpu().double().numpy()
