"""Graph, mechanisms and generator of targets as the gradient ascent has left them."""

from dataclasses import dataclass

import numpy as np
import torch

from skcausal.perturbation._gradient_objective import like, to_numpy
from skcausal.perturbation._joint_model import JointModel


@dataclass(frozen=True, eq=False)
class GradientFit:
    """What ``fit_by_gradient`` has found.

    Attributes
    ----------
    edge_probabilities : ndarray of shape (n_variables, n_variables)
        Probability of the edge i -> j in entry (i, j).
    adjacency : ndarray of int8 of shape (n_variables, n_variables)
        The acyclic graph that they are thresholded to.
    coef : ndarray of shape (n_variables, n_variables)
        Weights of its edges; for perceptrons, the derivatives averaged over the rows.
    intercept : ndarray of shape (n_variables,)
        Intercepts; for perceptrons, expectations where all variables are 0.
    noise_variance : ndarray of shape (n_variables,)
        Variances of the noise.
    shift_variance : ndarray of shape (n_variables,)
        Variance of a target's shift, or do-value, around what the generator says; 0 for "scale".
    do_variance : ndarray of shape (n_variables,)
        Variance of the noise of targets whose mechanism is replaced.
    target_posteriors : ndarray of shape (n_contexts, n_variables)
        Probability of targets given features and rows; 0 for the control.
    loss_curve : ndarray of shape (n_epochs,)
        Loss per row, averaged over the steps of an epoch.
    model : JointModel
        The trained module.
    """

    edge_probabilities: np.ndarray
    adjacency: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    noise_variance: np.ndarray
    shift_variance: np.ndarray
    do_variance: np.ndarray
    target_posteriors: np.ndarray
    loss_curve: np.ndarray
    model: JointModel

    @torch.no_grad()
    def generate(self, features):
        """Map features to targets.

        Parameters
        ----------
        features : ndarray of shape (n_contexts, n_features)
            Features of perturbations; rows of zeros for controls.

        Returns
        -------
        probability : ndarray of shape (n_contexts, n_variables)
            Probability of each target; 0 for controls.
        parameter : ndarray of shape (n_contexts, n_variables)
            Mean of a target's shift or do-value, or log of the factor by which the standard
            deviation of its noise is multiplied.
        """
        logits, parameter = self.model.generator(like(self.model, features))
        probability = to_numpy(torch.sigmoid(logits))
        probability[~np.any(features, axis=1)] = 0.0
        return probability, to_numpy(parameter)

    @torch.no_grad()
    def expect(self, X):
        """Evaluate the mechanisms: expectations given the parents, without intervention.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_variables)
            Standardised values.

        Returns
        -------
        expectations : ndarray of shape (n_samples, n_variables)
            The values of the mechanisms.
        """
        graph = like(self.model, self.adjacency)
        return to_numpy(self.model.mechanisms(like(self.model, X), graph))


def extract_fit(model, objective, loss_curve):
    """Read the estimates off a trained model and its objective."""
    with torch.no_grad():
        graph = objective.final_graph(model)
        rows = objective.data.rows
        origin = torch.zeros(1, len(graph)).to(graph)
        posteriors = model.posterior(objective.data, objective.features, graph)
        return GradientFit(
            edge_probabilities=to_numpy(model.final_probabilities),
            adjacency=to_numpy(graph).astype(np.int8),
            coef=to_numpy(model.mechanisms.derivatives(rows, graph).mean(dim=0)),
            intercept=to_numpy(model.mechanisms(origin, graph)[0]),
            noise_variance=to_numpy(model.noise_variance),
            shift_variance=to_numpy(model.shift_variance),
            do_variance=to_numpy(model.do_variance),
            target_posteriors=to_numpy(posteriors),
            loss_curve=loss_curve,
            model=model,
        )
