"""The published solver as one of the two of the generative intervention model."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_random_state

from skcausal.graphs import topological_order
from skcausal.nn import local_device, resolve_device, resolve_dtype
from skcausal.perturbation._gradient import fit_by_gradient
from skcausal.perturbation._gradient_fit import GradientFit
from skcausal.perturbation._latent import LatentInterventions
from skcausal.perturbation._linear_model import LinearModel
from skcausal.perturbation._nonlinear_model import NonlinearModel, PropagateInRounds, depth_of


@dataclass(frozen=True, eq=False)
class GradientSolution:
    """What gradient descent found, in the terms that predictions need.

    Attributes
    ----------
    adjacency, edge_probabilities, coef : ndarray of shape (n_variables, n_variables)
        The graph, the probabilities of its edges, and weights.
    intercept : ndarray of shape (n_variables,)
        Intercepts.
    target_probability : ndarray of shape (n_contexts, n_variables)
        Posterior probability of targets.
    loss_curve : ndarray of shape (n_epochs,)
        Loss per row.
    model : LinearModel or NonlinearModel
        The causal model.
    generator : GradientGenerator
        The generator.
    """

    adjacency: np.ndarray
    edge_probabilities: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    target_probability: np.ndarray
    loss_curve: np.ndarray
    model: LinearModel | NonlinearModel
    generator: "GradientGenerator"


class GradientGenerator:
    """The generator that was trained together with the graph.

    Parameters
    ----------
    fit : GradientFit
        The training's result.
    intervention : {"shift", "do", "scale"}
        What interventions do.
    """

    def __init__(self, fit: GradientFit, intervention: str):
        self.fit = fit
        self.intervention = intervention

    def predict(self, features):
        """Latent interventions of contexts of given features (n_contexts, n_features)."""
        probability, parameter = self.fit.generate(features)
        # Shifts are in units of the noise elsewhere.
        unit = np.sqrt(self.fit.noise_variance) if self.intervention == "shift" else 1.0
        variance = np.broadcast_to(self.fit.shift_variance / unit**2, parameter.shape)
        return LatentInterventions(probability, parameter / unit, variance)


def solve_by_gradient(model, X, contexts):
    """Run the solver with the parameters of a model.

    Parameters
    ----------
    model : GenerativeInterventionModel
        Whose parameters are used.
    X : ndarray of shape (n_samples, n_variables)
        Standardised rows.
    contexts : Contexts
        Their statistics.

    Returns
    -------
    solution : GradientSolution
        What was found.
    """
    fit = fit_by_gradient(
        contexts,
        None if model.mechanism == "linear" and model.intervention == "shift" else X,
        intervention=model.intervention,
        mechanism=model.mechanism,
        generator="linear" if model.generator == "auto" else model.generator,
        n_steps=model.n_steps,
        learning_rate=model.learning_rate,
        n_draws=model.n_draws,
        edge_probability=model.edge_probability or min(0.5, 2.0 / max(X.shape[1] - 1, 1)),
        target_probability=model.target_probability or 0.1,
        random_state=int(check_random_state(model.random_state).randint(2**31 - 1)),
        device=local_device(resolve_device(model.device)),
        dtype=resolve_dtype(model.dtype),
        checkpoint=model.checkpoint,
        verbose=model.verbose,
    )
    noise = fit.noise_variance, model.intervention
    target_variance = np.zeros(X.shape[1])
    if model.intervention == "do":
        target_variance = fit.do_variance
    if model.mechanism == "linear":
        order = topological_order(fit.adjacency)
        causal = LinearModel(
            fit.coef * fit.adjacency, fit.intercept, noise[0], order, noise[1], target_variance
        )
    else:
        propagate = PropagateInRounds(fit.expect, depth_of(fit.adjacency) + 1)
        causal = NonlinearModel(fit.expect, propagate, *noise, target_variance)
    return GradientSolution(
        adjacency=fit.adjacency,
        edge_probabilities=fit.edge_probabilities,
        coef=fit.coef * fit.adjacency,
        intercept=fit.intercept,
        target_probability=fit.target_posteriors,
        loss_curve=fit.loss_curve,
        model=causal,
        generator=GradientGenerator(fit, model.intervention),
    )
