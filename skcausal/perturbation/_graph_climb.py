"""Climb from a graph to a better one: drop edges, add edges, turn edges around."""

import numpy as np

from skcausal.graphs import ancestor_matrix
from skcausal.perturbation._linear_mechanisms import adjacency_of


def climb_graphs(likelihood, mechanisms, *, n_candidates=5, n_sweeps=10):
    """Improve a graph by single edges, until no change raises the evidence.

    Parameters
    ----------
    likelihood : NonlinearLikelihood
        Judge of the equations.
    mechanisms : list of NonlinearMechanism
        Equations of an acyclic graph; those of another likelihood will do.
    n_candidates : int, default=5
        How many new parents are tried for a variable at a time: the most promising.
    n_sweeps : int, default=10
        Bound on the number of sweeps over all edges.

    Returns
    -------
    mechanisms : list of NonlinearMechanism
        Equations of the improved graph.
    """
    mechanisms = [
        likelihood.fit(j, m.parents, m.target_probability) for j, m in enumerate(mechanisms)
    ]
    for _ in range(n_sweeps):
        before = adjacency_of(mechanisms)
        mechanisms = add_edges(likelihood, mechanisms, n_candidates)
        mechanisms = turn_edges(likelihood, mechanisms)
        if (adjacency_of(mechanisms) == before).all():
            break
    return mechanisms


def add_edges(likelihood, mechanisms, n_candidates):
    """Add parents to each variable as long as they pay for themselves; a list of mechanisms."""
    mechanisms = list(mechanisms)
    for j in range(len(mechanisms)):
        while True:
            present = mechanisms[j]
            trials = _with_one_more(likelihood, mechanisms, j, n_candidates).values()
            best = max(trials, key=lambda m: m.log_evidence, default=present)
            if best.log_evidence <= present.log_evidence:
                break
            mechanisms[j] = likelihood.fit(j, best.parents, best.target_probability)
    return mechanisms


def turn_edges(likelihood, mechanisms):
    """Turn edges i -> j around where this raises the evidence and the graph stays acyclic."""
    mechanisms = list(mechanisms)
    for j in range(len(mechanisms)):
        for i in mechanisms[j].parents.tolist():
            adjacency = adjacency_of(mechanisms)
            adjacency[i, j] = 0
            if i not in mechanisms[j].parents or ancestor_matrix(adjacency)[i, j]:
                continue
            old_i, old_j = mechanisms[i], mechanisms[j]
            new_i = likelihood.evaluate(i, np.append(old_i.parents, j), old_i.target_probability)
            rest = old_j.parents[old_j.parents != i]
            new_j = likelihood.evaluate(j, rest, old_j.target_probability)
            gain_i = new_i.log_evidence - old_i.log_evidence
            gain_j = new_j.log_evidence - old_j.log_evidence
            if gain_i + gain_j > 0:
                mechanisms[i] = likelihood.fit(i, new_i.parents, new_i.target_probability)
                mechanisms[j] = likelihood.fit(j, new_j.parents, new_j.target_probability)
    return mechanisms


def edge_log_odds_of(likelihood, mechanisms, n_candidates=5):
    """Log odds of edges that are there, and of those that were tried but are not.

    Parameters
    ----------
    likelihood : NonlinearLikelihood
        Judge of the equations.
    mechanisms : list of NonlinearMechanism
        Equations, fitted with the log odds of their edges.
    n_candidates : int, default=5
        As for :func:`climb_graphs`.

    Returns
    -------
    log_odds : ndarray of shape (n_variables, n_variables)
        By how much i -> j raises, or would raise, the evidence, at (i, j); -inf for edges that
        would close a cycle or do not look promising.
    """
    log_odds = np.full((len(mechanisms), len(mechanisms)), -np.inf)
    for j, m in enumerate(mechanisms):
        log_odds[m.parents, j] = m.edge_log_odds
        for i, trial in _with_one_more(likelihood, mechanisms, j, n_candidates).items():
            log_odds[i, j] = trial.log_evidence - m.log_evidence
    return log_odds


def _with_one_more(likelihood, mechanisms, j, n_candidates):
    """Equations of variable j with one parent more, by that parent."""
    present = mechanisms[j]
    # Descendants of j would close a cycle.
    excluded = ancestor_matrix(adjacency_of(mechanisms))[j]
    excluded[j] = excluded[present.parents] = True
    candidates = likelihood.rank_candidates(present, j, np.flatnonzero(~excluded))
    return {
        i: likelihood.evaluate(j, np.append(present.parents, i), present.target_probability)
        for i in candidates[:n_candidates].tolist()
    }
