"""The exact posterior over graphs and orders, by dynamic programming over subsets."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, fields

import torch

from skcausal.structure._parent_set_scores import subset_sizes


@dataclass(frozen=True, eq=False)
class SubsetPosterior:
    """Posterior over the graphs of a batch of data sets, given scores of all parent sets.

    The prior makes every order of the variables equally probable and scores parent sets one by one
    given the order, so that graphs count once for each order that they are compatible with [1]_.
    Made by :func:`subset_posterior`. Subset s of the variables other than j is coded as in
    :func:`parent_set_scores`; subsets of all variables by a bit for each of them.

    Parameters
    ----------
    scores : tensor of shape (n_tasks, n_variables, 2 ** (n_variables - 1))
        Log scores of the parent sets.
    allowed : tensor of the same shape
        Entry (j, s): log-sum of the scores of all subsets of s.
    forward : tensor of shape (n_tasks, 2 ** n_variables)
        Entry u: log-sum over all orders of the members of u, and their parents among those before.
    log_evidence : tensor of shape (n_tasks,)
        Log marginal likelihood of the data, up to the constant of the prior of graphs.
    log_parent_sets : tensor of the shape of `scores`
        Log posterior probability of every parent set of every variable.
    edge_probabilities : tensor of shape (n_tasks, n_variables, n_variables)
        Entry (i, j): probability of an edge i -> j.

    References
    ----------
    .. [1] Koivisto & Sood (2004). Exact Bayesian structure discovery in Bayesian networks. JMLR 5.
    """

    scores: torch.Tensor
    allowed: torch.Tensor
    forward: torch.Tensor
    log_evidence: torch.Tensor
    log_parent_sets: torch.Tensor
    edge_probabilities: torch.Tensor

    def cpu(self) -> SubsetPosterior:
        """Return the posterior on the CPU."""
        return SubsetPosterior(*(getattr(self, field.name).cpu() for field in fields(self)))

    def sample(self, n_graphs: int, generator: torch.Generator) -> torch.Tensor:
        """Draw graphs from the posterior.

        The last variable of an order is drawn first, then its parents among the others, then the
        last one of those.

        Parameters
        ----------
        n_graphs : int
            Number of graphs for each task.
        generator : torch.Generator
            Source of randomness, on the device of the posterior.

        Returns
        -------
        adjacency : bool tensor of shape (n_tasks, n_graphs, n_variables, n_variables)
            True for i -> j.
        """
        n_tasks, d, _ = self.scores.shape
        tables = subset_tables(d, self.scores.device)
        task = torch.arange(n_tasks, device=self.scores.device)[:, None]
        remaining = torch.full((n_tasks, n_graphs), 2**d - 1, device=self.scores.device)
        adjacency = remaining.new_zeros(n_tasks, n_graphs, d, d, dtype=torch.bool)
        graph = torch.arange(n_graphs, device=self.scores.device)[None].expand_as(remaining)
        subsets = torch.arange(self.scores.shape[-1], device=self.scores.device)
        for _ in range(d):
            weights = [
                self._log_weight_of_last(task, remaining, j, tables.compressed[j]) for j in range(d)
            ]
            last = _draw(torch.stack(weights, dim=-1), generator)
            remaining = remaining & ~(1 << last)
            available = tables.compressed[last, remaining]
            fits = (subsets & ~available[..., None]) == 0
            parents = _draw(self.scores[task, last].masked_fill(~fits, -torch.inf), generator)
            adjacency[task, graph, :, last] = tables.members[last, parents]
        return adjacency

    def _log_weight_of_last(self, task, remaining, j, compressed):
        """Log weight (n_tasks, n_graphs) of orders of the remaining variables that end with j."""
        before = remaining & ~(1 << j)
        weight = self.forward[task, before] + self.allowed[task, j, compressed[before]]
        return torch.where((remaining >> j) & 1 == 1, weight, -torch.inf)


@dataclass(frozen=True, eq=False)
class SubsetTables:
    """Indices of subsets of d variables.

    `compressed` (d, 2^d) takes a subset of all variables to the code of its members other than j;
    `expanded` (d, 2^(d-1)) goes back; `members` (d, 2^(d-1), d) holds the subsets as masks.
    """

    compressed: torch.Tensor
    expanded: torch.Tensor
    members: torch.Tensor


@functools.lru_cache(maxsize=8)
def subset_tables(d: int, device: torch.device) -> SubsetTables:
    """Make the tables for d variables; callers must not change them."""
    everything = torch.arange(2**d, device=device)
    codes = torch.arange(2 ** (d - 1), device=device)
    compressed, expanded = [], []
    for j in range(d):
        low = (1 << j) - 1
        compressed.append((everything & low) | ((everything >> 1) & ~low))
        expanded.append((codes & low) | ((codes & ~low) << 1))
    full = torch.stack(expanded)
    bits = torch.arange(d, device=device)
    members = ((full[..., None] >> bits) & 1).bool()
    return SubsetTables(torch.stack(compressed), full, members)


def subset_posterior(scores: torch.Tensor) -> SubsetPosterior:
    """Sum over all orders and graphs.

    Parameters
    ----------
    scores : float64 tensor of shape (n_tasks, n_variables, 2 ** (n_variables - 1))
        Log scores of the parent sets: log-likelihoods plus what the prior adds.

    Returns
    -------
    posterior : SubsetPosterior
        The posterior. Everything is summed as logarithms: however far apart the scores are,
        nothing underflows.
    """
    _, d, _ = scores.shape
    tables = subset_tables(d, scores.device)
    allowed = _log_subset_sums(scores, supersets=False)
    forward = _forward(allowed, tables)
    backward = _backward(allowed, tables)
    log_evidence = forward[:, -1] - math.lgamma(d + 1)
    parent_sets = []
    for j in range(d):
        before = tables.expanded[j]
        around = forward[:, before] + backward[:, before | (1 << j)] - forward[:, -1:]
        parent_sets.append(scores[:, j] + _log_subset_sums(around, supersets=True))
    log_parent_sets = torch.stack(parent_sets, dim=1)
    edges = torch.einsum("bjs,jsi->bij", log_parent_sets.exp(), tables.members.to(scores))
    return SubsetPosterior(
        scores, allowed, forward, log_evidence, log_parent_sets, edges.clamp(0.0, 1.0)
    )


def _log_subset_sums(scores, *, supersets):
    """Log-sum over all subsets (or supersets) of each subset, along the last axis."""
    n = scores.shape[-1].bit_length() - 1
    for b in range(n):
        halves = scores.unflatten(-1, (2 ** (n - 1 - b), 2, 2**b))
        without, with_b = halves.unbind(dim=-2)
        both = torch.logaddexp(without, with_b)
        pair = (both, with_b) if supersets else (without, both)
        scores = torch.stack(pair, dim=-2).flatten(-3)
    return scores


def _forward(allowed, tables):
    """Entry (n_tasks, u): log-sum over the orders of u, which stands first."""
    n_tasks, d, _ = allowed.shape
    result = allowed.new_zeros(n_tasks, 2**d)
    for size, level in enumerate(_levels(d, allowed.device)):
        if size == 0:
            continue
        last = _members(level, size, d)  # (n_sets, size)
        before = level[:, None] & ~(1 << last)
        term = result[:, before] + allowed[:, last, tables.compressed[last, before]]
        result[:, level] = torch.logsumexp(term, dim=-1)
    return result


def _backward(allowed, tables):
    """Entry (n_tasks, u): log-sum over the orders of all others, which follow after u."""
    n_tasks, d, _ = allowed.shape
    result = allowed.new_zeros(n_tasks, 2**d)
    for size, level in reversed(list(enumerate(_levels(d, allowed.device)))):
        if size == d:
            continue
        following = _members(2**d - 1 - level, d - size, d)
        after = level[:, None] | (1 << following)
        term = (
            result[:, after] + allowed[:, following, tables.compressed[following, level[:, None]]]
        )
        result[:, level] = torch.logsumexp(term, dim=-1)
    return result


@functools.lru_cache(maxsize=8)
def _levels(d: int, device: torch.device) -> list[torch.Tensor]:
    """Subsets of d variables by their size."""
    sizes = subset_sizes(d, device)
    return [torch.nonzero(sizes == size)[:, 0] for size in range(d + 1)]


def _members(sets, size, d):
    """Members (n_sets, size) of subsets that are all of one size."""
    bits = torch.arange(d, device=sets.device)
    inside = ((sets[:, None] >> bits) & 1).bool()
    return bits.expand_as(inside)[inside].reshape(len(sets), size)


def _draw(log_weights, generator):
    """Draw an index along the last axis, in proportion to the weights."""
    weights = (log_weights - log_weights.amax(dim=-1, keepdim=True)).exp()
    cumulated = weights.cumsum(dim=-1)
    uniform = torch.rand(
        cumulated.shape[:-1], generator=generator, dtype=cumulated.dtype, device=cumulated.device
    )
    threshold = (uniform[..., None] * cumulated[..., -1:]).clamp(
        min=torch.finfo(cumulated.dtype).tiny
    )
    return torch.searchsorted(cumulated.contiguous(), threshold)[..., 0].clamp(
        max=cumulated.shape[-1] - 1
    )
