"""Learn nonlinear mechanisms and latent targets, from what linear ones have found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skcausal.graphs import topological_order
from skcausal.perturbation._graph_climb import climb_graphs, edge_log_odds_of
from skcausal.perturbation._linear_mechanisms import adjacency_of
from skcausal.perturbation._nonlinear_mechanisms import NonlinearLikelihood, NonlinearMechanism
from skcausal.perturbation._spike_slab import fit_spike_slab

# Climbs, before each of which the prior of the shifts is learned anew.
_N_ROUNDS = 2


@dataclass(frozen=True, eq=False)
class NonlinearFit:
    """What the climb over graphs found, for standardised variables.

    Attributes
    ----------
    mechanisms : list of NonlinearMechanism
        One per variable.
    order : ndarray of int of shape (n_variables,)
        A topological order of their graph.
    likelihood : NonlinearLikelihood
        Under which they were fitted.
    edge_log_odds : ndarray of shape (n_variables, n_variables)
        Log odds of i -> j at (i, j), given the other parents of j.
    """

    mechanisms: list[NonlinearMechanism]
    order: np.ndarray
    likelihood: NonlinearLikelihood
    edge_log_odds: np.ndarray

    @property
    def target_probability(self):
        """Posterior probability of a target (n_contexts, n_variables)."""
        return np.column_stack([m.target_probability for m in self.mechanisms])


def solve_nonlinear(
    X, contexts, start, prior, *, edge_log_odds, learn_odds=True, adjacency=None, rng, **options
):
    """Learn the graph, nonlinear mechanisms and the targets of contexts under latent shifts.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_variables)
        Standardised rows.
    contexts : Contexts
        Their statistics.
    start : list of Mechanism
        Linear equations: their parents and targets are the start.
    prior : SpikeSlab
        Prior of the shifts under which they were fitted.
    edge_log_odds : float
        Prior log odds of an edge.
    learn_odds : bool, default=True
        Whether to learn the odds of a target, besides the variance of its shift.
    adjacency : ndarray of shape (n_variables, n_variables), default=None
        The graph, if it is known: that of `start`.
    rng : RandomState
        Source of the random features.
    **options : int
        `n_features` and `max_features` of :class:`NonlinearLikelihood`.

    Returns
    -------
    fit : NonlinearFit
        What was found.
    """
    likelihood = NonlinearLikelihood(X, contexts, prior, edge_log_odds, rng=rng, **options)
    mechanisms = [
        likelihood.evaluate(j, m.parents, m.target_probability) for j, m in enumerate(start)
    ]
    for _ in range(_N_ROUNDS):
        likelihood = likelihood.with_prior(_learn_prior(likelihood, mechanisms, learn_odds))
        if adjacency is None:
            mechanisms = climb_graphs(likelihood, mechanisms)
        else:
            mechanisms = [
                likelihood.fit(j, m.parents, m.target_probability, select=False)
                for j, m in enumerate(mechanisms)
            ]
    if adjacency is None:
        adjacency = adjacency_of(mechanisms)
        log_odds = edge_log_odds_of(likelihood, mechanisms)
    else:
        log_odds = np.where(np.asarray(adjacency) != 0, np.inf, -np.inf)
    return NonlinearFit(mechanisms, topological_order(adjacency), likelihood, log_odds)


def _learn_prior(likelihood, mechanisms, learn_odds):
    """Prior of the shifts, from those that are measured under the present mechanisms."""
    measured = likelihood.measure(mechanisms).without_control()
    if not measured.values.size:
        return likelihood.prior
    return fit_spike_slab(measured.values, measured.noise, likelihood.prior, learn_odds=learn_odds)
