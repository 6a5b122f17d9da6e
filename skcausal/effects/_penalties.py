"""Discrepancies between groups of representations, for all members of an ensemble at once.

Each function takes the representations ``z`` (n_members, n_rows, n_units) of one batch and the
group of each row, an integer tensor (n_rows,) that all members share, and returns one discrepancy
per member (n_members,): the mean over all pairs of groups, so that its size does not depend on
their number. Every group has at least two rows.

References
----------
A. Gretton, K. M. Borgwardt, M. J. Rasch, B. Schölkopf and A. Smola (2012). A kernel two-sample
test. JMLR 13, 723-773. Lemma 6: the unbiased estimate of MMD^2.

M. Cuturi (2013). Sinkhorn distances: lightspeed computation of optimal transport. NeurIPS 26.

A. van den Oord, Y. Li and O. Vinyals (2018). Representation learning with contrastive predictive
coding. arXiv:1807.03748. Equation 4: the InfoNCE loss.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

SINKHORN_ITERATIONS = 20
# Entropic regularisation in units of the mean cost.
SINKHORN_REGULARIZATION = 0.1
TEMPERATURE = 0.1


def linear_mmd(z: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Squared distance of the groups' means: MMD^2 with a linear kernel.

    Parameters
    ----------
    z : Tensor of shape (n_members, n_rows, n_units)
        Representations.
    groups : Tensor of int of shape (n_rows,)
        Group of each row.

    Returns
    -------
    discrepancy : Tensor of shape (n_members,)
        Mean over the pairs of groups.
    """
    means = _membership(groups, z).T @ z  # (n_members, n_groups, n_units)
    first, second = _pairs(means.shape[1])
    return ((means[:, first] - means[:, second]) ** 2).sum(dim=2).mean(dim=1)


def rbf_mmd(z: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Unbiased MMD^2 with the kernel exp(-||z - z'||^2 / b), b the median between groups.

    Parameters
    ----------
    z : Tensor of shape (n_members, n_rows, n_units)
        Representations.
    groups : Tensor of int of shape (n_rows,)
        Group of each row.

    Returns
    -------
    discrepancy : Tensor of shape (n_members,)
        Mean over the pairs of groups; it can be negative. The median of the squared distances
        between rows of different groups is taken anew in each batch and has no gradient.
    """
    distances = squared_distances(z, z)
    between = groups[:, None] != groups[None, :]
    bandwidth = distances.detach()[:, between].median(dim=1).values.clamp_min(1e-6)
    kernel = torch.exp(-distances / bandwidth[:, None, None])
    mmd = mmd_from_kernel(kernel, groups)
    first, second = _pairs(mmd.shape[1])
    return mmd[:, first, second].mean(dim=1)


def mmd_from_kernel(kernel: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Unbiased MMD^2 of all pairs of groups from a kernel matrix with unit diagonal.

    Parameters
    ----------
    kernel : Tensor of shape (n_members, n_rows, n_rows)
        Kernel of all pairs of rows.
    groups : Tensor of int of shape (n_rows,)
        Group of each row.

    Returns
    -------
    mmd : Tensor of shape (n_members, n_groups, n_groups)
        Gretton et al. (2012), Lemma 6. The diagonal has no meaning.
    """
    membership = _membership(groups, kernel)
    sizes = torch.bincount(groups).to(kernel)
    means = membership.T @ kernel @ membership  # V-statistics, within and between groups
    biased = means.diagonal(dim1=1, dim2=2)
    within = (biased * sizes - 1.0) / (sizes - 1.0)
    return within[:, :, None] + within[:, None, :] - 2.0 * means


def sinkhorn(z: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Cost of the entropic transport plan between groups, squared distance as the cost.

    Parameters
    ----------
    z : Tensor of shape (n_members, n_rows, n_units)
        Representations.
    groups : Tensor of int of shape (n_rows,)
        Group of each row.

    Returns
    -------
    discrepancy : Tensor of shape (n_members,)
        Mean over the pairs of groups. The plan has no gradient: by the envelope theorem that is
        exact for the regularised objective, up to the entropy term.
    """
    n_groups = int(groups.max()) + 1
    parts = [z[:, groups == g] for g in range(n_groups)]
    costs = []
    for g in range(n_groups):
        for h in range(g):
            cost = squared_distances(parts[g], parts[h])
            costs.append((transport_plan(cost.detach()) * cost).sum(dim=(1, 2)))
    return torch.stack(costs).mean(dim=0)


def transport_plan(
    cost: torch.Tensor,
    regularization: float = SINKHORN_REGULARIZATION,
    n_iterations: int = SINKHORN_ITERATIONS,
) -> torch.Tensor:
    """Entropic transport plan between two uniform distributions, in the log domain.

    Parameters
    ----------
    cost : Tensor of shape (n_members, n, m)
        Cost of moving mass from row i to row j.
    regularization : float
        Weight of the entropy in units of the mean cost.
    n_iterations : int
        Number of alternating updates of the two potentials.

    Returns
    -------
    plan : Tensor of shape (n_members, n, m)
        Its columns sum to 1 / m exactly, its rows to 1 / n in the limit.
    """
    _, n, m = cost.shape
    epsilon = (regularization * cost.mean(dim=(1, 2), keepdim=True)).clamp_min(1e-12)
    scaled = cost / epsilon
    g = torch.zeros_like(scaled[:, :1, :])
    for _ in range(n_iterations):
        f = math.log(m) - torch.logsumexp(g - scaled, dim=2, keepdim=True)
        g = math.log(n) - torch.logsumexp(f - scaled, dim=1, keepdim=True)
    return torch.exp(f + g - scaled) / (n * m)


def contrastive(
    z: torch.Tensor, groups: torch.Tensor, matched_on: torch.Tensor, blocks: torch.Tensor
) -> torch.Tensor:
    """InfoNCE loss of pairs that are matched across groups.

    The positive of a row is the row of another group, within the same block, that comes closest to
    it in what pairs are matched on; the other rows of that group and block are the negatives.

    Parameters
    ----------
    z : Tensor of shape (n_members, n_rows, n_units)
        Representations; compared by the cosine of their angle.
    groups : Tensor of int of shape (n_rows,)
        Group of each row.
    matched_on : Tensor of shape (n_members, n_rows, n_features)
        Pairs are nearest neighbours in these.
    blocks : Tensor of int of shape (n_rows,)
        Only rows of one block are matched.

    Returns
    -------
    discrepancy : Tensor of shape (n_members,)
        Mean over the pairs of groups and the rows that have a counterpart. Rows whose block is
        missing in the other group are left out.
    """
    z = F.normalize(z, dim=-1)
    similarity = z @ z.transpose(1, 2) / TEMPERATURE
    distances = squared_distances(matched_on, matched_on)
    losses = []
    for g in range(int(groups.max()) + 1):
        for h in range(int(groups.max()) + 1):
            allowed = (blocks[:, None] == blocks) & (groups[:, None] == g) & (groups == h)
            rows = allowed.any(dim=1)
            if g == h or not rows.any():
                continue
            forbidden = ~allowed[rows]
            positive = distances[:, rows].masked_fill(forbidden, math.inf).argmin(dim=2)
            logits = similarity[:, rows].masked_fill(forbidden, -math.inf)
            chosen = logits.gather(2, positive[:, :, None])[:, :, 0]
            losses.append((torch.logsumexp(logits, dim=2) - chosen).mean(dim=1))
    if not losses:
        return z.new_zeros(len(z))
    return torch.stack(losses).mean(dim=0)


def squared_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Squared Euclidean distances (n_members, n, m) between rows."""
    squares = (a * a).sum(dim=-1)[:, :, None] + (b * b).sum(dim=-1)[:, None, :]
    return (squares - 2.0 * a @ b.transpose(1, 2)).clamp_min(0.0)


def _membership(groups: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Matrix (n_rows, n_groups) that averages over the rows of each group."""
    membership = F.one_hot(groups).to(like)
    return membership / membership.sum(dim=0)


def _pairs(n_groups: int) -> tuple[list[int], list[int]]:
    """First and second group of every pair."""
    pairs = [(g, h) for g in range(n_groups) for h in range(g)]
    return [g for g, _ in pairs], [h for _, h in pairs]
