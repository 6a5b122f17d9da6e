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

        Orders are drawn from their end: the last variable first, then the last of the others. The
        parents of each variable are then drawn among those before it, one candidate at a time.

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
        d, tables = self.scores.shape[1], subset_tables(self.scores.shape[1], self.scores.device)
        subset = self._sample_predecessors(n_graphs, generator)
        for b, sums in reversed(list(enumerate(_partial_subset_sums(self.scores)))):
            without = subset & ~(1 << b)
            log_odds = _pick(sums, subset) - _pick(sums, without)
            uniform = torch.rand(
                subset.shape, generator=generator, dtype=log_odds.dtype, device=subset.device
            )
            # Sets without b have log-odds of 0, and both choices are the same.
            subset = torch.where(uniform < torch.sigmoid(log_odds), subset, without)
        return tables.members[torch.arange(d, device=subset.device), subset].mT

    def _sample_predecessors(self, n_graphs, generator):
        """Codes (n_tasks, n_graphs, n_variables) of the variables before each one in an order."""
        n_tasks, d, _ = self.scores.shape
        tables = subset_tables(d, self.scores.device)
        bits = 1 << torch.arange(d, device=self.scores.device)
        everyone = torch.arange(d, device=self.scores.device)
        remaining = torch.full((n_tasks, n_graphs, 1), 2**d - 1, device=self.scores.device)
        predecessors = remaining.new_zeros(n_tasks, n_graphs, d)
        for _ in range(d):
            before = remaining & ~bits
            code = tables.compressed[everyone, before]
            ends = self.forward.gather(1, before.flatten(1)).view_as(before)
            weight = ends + _pick(self.allowed, code)
            last = _draw(torch.where(before == remaining, -torch.inf, weight), generator)[..., None]
            predecessors.scatter_(-1, last, code.gather(-1, last))
            remaining = before.gather(-1, last)
        return predecessors


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
    for b in range(scores.shape[-1].bit_length() - 1):
        scores = _sum_over_bit(scores, b, supersets=supersets)
    return scores


def _partial_subset_sums(scores):
    """Return a list: entry b has log-sums over the subsets that differ in the first b bits only."""
    sums = [scores]
    for b in range(scores.shape[-1].bit_length() - 2):
        sums.append(_sum_over_bit(sums[-1], b, supersets=False))
    return sums[: scores.shape[-1].bit_length() - 1]


def _sum_over_bit(scores, b, *, supersets):
    """Add to each subset with bit b what the one without it has, or the other way round."""
    n = scores.shape[-1].bit_length() - 1
    without, with_b = scores.unflatten(-1, (2 ** (n - 1 - b), 2, 2**b)).unbind(dim=-2)
    both = torch.logaddexp(without, with_b)
    pair = (both, with_b) if supersets else (without, both)
    return torch.stack(pair, dim=-2).flatten(-3)


def _pick(table, code):
    """Entries (n_tasks, n_graphs, n_variables) of a table (n_tasks, n_variables, n_subsets)."""
    _, d, n_subsets = table.shape
    index = code + n_subsets * torch.arange(d, device=code.device)
    return table.flatten(1).gather(1, index.flatten(1)).view_as(code)


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
