"""Scores of posteriors over graphs, for batches of them: what designs are rewarded for."""

from __future__ import annotations

from collections.abc import Callable

import torch

# A probability that was certain and wrong costs this logarithm.
_SMALLEST_PROBABILITY = 1e-3

Score = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def correct_edges(probabilities: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
    """Count the entries of the adjacency matrix that a draw from the posterior gets right.

    The reward of [1]_ (eq. 3), in closed form: edges are drawn independently of each other.

    Parameters
    ----------
    probabilities : tensor of shape (n_systems, n_variables, n_variables)
        Probabilities of edges i -> j; 0 on the diagonal, which counts as right.
    adjacency : bool tensor of shape (n_systems, n_variables, n_variables)
        The true graphs.

    Returns
    -------
    score : tensor of shape (n_systems,)
        Expected number of entries, at most ``n_variables ** 2``.

    References
    ----------
    .. [1] Annadani, Tigas, Bauer & Foster (2024). Amortized active causal induction with deep
       reinforcement learning. NeurIPS, section 3.1.
    """
    return _given_to_truth(probabilities, adjacency).sum(dim=(-2, -1))


def expected_correct_edges(probabilities: torch.Tensor, adjacency=None) -> torch.Tensor:
    """Return what :func:`correct_edges` is expected to be if the posterior is right.

    Parameters
    ----------
    probabilities : tensor of shape (n_systems, n_variables, n_variables)
        Probabilities of edges i -> j; 0 on the diagonal.
    adjacency : object, default=None
        Not used: the truth need not be known.

    Returns
    -------
    score : tensor of shape (n_systems,)
        ``sum p^2 + (1 - p)^2``, at most ``n_variables ** 2``.
    """
    return (probabilities.square() + (1.0 - probabilities).square()).sum(dim=(-2, -1))


def log_score(probabilities: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
    """Average the log-probabilities of what holds for each ordered pair of variables.

    Up to a constant, its expectation is a lower bound on the information about each edge.

    Parameters
    ----------
    probabilities, adjacency
        As those of :func:`correct_edges`.

    Returns
    -------
    score : tensor of shape (n_systems,)
        In nats, at most 0; probabilities below 0.001 count as 0.001.
    """
    smallest = _SMALLEST_PROBABILITY
    given = off_diagonal(_given_to_truth(probabilities, adjacency)).clamp(smallest, 1 - smallest)
    return given.log().mean(dim=-1)


def average_precision(probabilities: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
    """Return the area under the precision-recall curve of the edges.

    Parameters
    ----------
    probabilities, adjacency
        As those of :func:`correct_edges`.

    Returns
    -------
    score : tensor of shape (n_systems,)
        From 0 to 1, as scikit-learn's; 0 for a graph without edges.
    """
    p, order = off_diagonal(probabilities).sort(dim=-1)
    is_edge = off_diagonal(adjacency).gather(-1, order).to(p)
    # The mean over edges of the precision among the pairs that are at least as probable: equal
    # probabilities share one threshold.
    below = torch.searchsorted(p, p)
    n_edges = is_edge.sum(dim=-1, keepdim=True)
    edges_below = torch.cat([torch.zeros_like(n_edges), is_edge.cumsum(dim=-1)], dim=-1)
    precision = (n_edges - edges_below.gather(-1, below)) / (p.shape[-1] - below)
    return (precision * is_edge).sum(dim=-1) / n_edges[:, 0].clamp(min=1.0)


def edge_f1(probabilities: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
    """Return the F1 score of the edges that are more probable than 1/2.

    Parameters
    ----------
    probabilities, adjacency
        As those of :func:`correct_edges`.

    Returns
    -------
    score : tensor of shape (n_systems,)
        From 0 to 1; 0 if neither graph has an edge.
    """
    found = probabilities > 0.5
    n_right = (found & adjacency).sum(dim=(-2, -1))
    n_edges = found.sum(dim=(-2, -1)) + adjacency.sum(dim=(-2, -1))
    return (2.0 * n_right / n_edges.clamp(min=1)).to(probabilities)


def negative_distance(probabilities: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
    """Return minus the expected structural Hamming distance of a draw from the posterior.

    The pair of variables {i, j} counts once if its state - no edge, an edge in one direction or the
    other, or both - is another one than in the truth, so that a reversed edge counts once. Edges
    are drawn independently of each other.

    Parameters
    ----------
    probabilities, adjacency
        As those of :func:`correct_edges`.

    Returns
    -------
    score : tensor of shape (n_systems,)
        From ``-n_variables * (n_variables - 1) / 2`` to 0.
    """
    given = _given_to_truth(probabilities, adjacency)
    both_right = given * given.mT
    d = given.shape[-1]
    first, second = torch.triu_indices(d, d, offset=1, device=given.device)
    return (both_right[..., first, second] - 1.0).sum(dim=-1)


# Higher is better for each.
SCORES: dict[str, Score] = {
    "edges": correct_edges,
    "expected_edges": expected_correct_edges,
    "log_score": log_score,
    "auprc": average_precision,
    "f1": edge_f1,
    "shd": negative_distance,
}

# Those that a policy can be rewarded for: the others ignore the truth, or small improvements.
REWARDS = ("edges", "log_score", "auprc", "shd")


def off_diagonal(matrices: torch.Tensor) -> torch.Tensor:
    """Return the entries (..., d (d - 1)) of square matrices that are not on the diagonal.

    Parameters
    ----------
    matrices : tensor of shape (..., d, d)
        The matrices.

    Returns
    -------
    entries : tensor of shape (..., d * (d - 1))
        Row by row.
    """
    d = matrices.shape[-1]
    return matrices[..., ~torch.eye(d, dtype=torch.bool, device=matrices.device)]


def _given_to_truth(probabilities, adjacency):
    """Probability of each entry of the true adjacency matrix."""
    return torch.where(adjacency, probabilities, 1.0 - probabilities)
