"""One step of lookahead: what designs are expected to teach, by simulating their outcomes."""

from __future__ import annotations

import torch

from skcausal.design._histories import Designs
from skcausal.design._posterior_systems import PosteriorSystems


def expected_utility(
    systems: PosteriorSystems,
    designs: Designs,
    *,
    n_outcomes: int,
    rows_per_design: int,
    utility: str,
    generator: torch.Generator,
) -> torch.Tensor:
    r"""Estimate the utility of designs from systems drawn from the posterior.

    Parameters
    ----------
    systems : PosteriorSystems
        Draws from the posterior, more than `n_outcomes`.
    designs : Designs
        Candidates (n_systems, n_candidates, n_variables).
    n_outcomes : int
        Number of outcomes of each candidate, from as many systems.
    rows_per_design : int
        Number of rows of an experiment.
    utility : {"edges", "information"}
        - "edges": the expected number of entries of the adjacency matrix in which a graph drawn
          from the posterior after the outcome agrees with the graph that the outcome came from, up
          to a constant;
        - "information": the expected information gain about the system, in nats, up to a constant.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    utility : tensor of shape (n_systems, n_candidates)
        The estimates.

    Notes
    -----
    Draw m simulates an outcome :math:`y` of every candidate, with the same noise for all; the other
    draws k are reweighted by their densities,
    :math:`w_k \propto p(y \mid W_k, s_k)`, and stand for the posterior after y. The log-density
    of y is a quadratic form in y of which the matrix depends on the draw and the targets only:

    .. math::
        \log p(y \mid W, s) = -\frac12 \operatorname{tr} \Big(
        \sum_{j\ \text{free}} a_j a_j^\top \sum_r (y_r, 1) (y_r, 1)^\top \Big)
        - n \sum_{j\ \text{free}} \log s_j + \text{const},

    with :math:`a_j = (e_j - W_j, -b_j) / s_j`, so that no loop over draws and outcomes is needed.
    """
    noise = torch.randn(
        (len(systems.coef), n_outcomes, rows_per_design, systems.coef.shape[-1]),
        generator=generator,
        device=systems.coef.device,
        dtype=torch.float32,
    )
    return torch.stack(
        [
            _utility_of_one(systems[k : k + 1], designs[k : k + 1], noise[k : k + 1], utility)
            for k in range(len(noise))  # one at a time stays in the cache
        ]
    )


def _utility_of_one(systems, designs, noise, utility):
    """Utilities (n_candidates,) in a batch of one system."""
    n_outcomes = noise.shape[1]
    sources = PosteriorSystems(
        *(
            tensor[:, :n_outcomes]
            for tensor in (
                systems.adjacency,
                systems.coef,
                systems.intercept,
                systems.noise_scale,
            )
        )
    )
    outcomes = sources.simulate(designs, noise)[0]  # (m, c, r, d)
    log_density = _log_densities(systems, ~designs.targets[0], outcomes)  # (c, m, k)
    itself = torch.arange(n_outcomes, device=log_density.device)
    own = log_density[:, itself, itself].clone()
    log_density[:, itself, itself] = -torch.inf
    if utility == "information":
        return (own - torch.logsumexp(log_density, dim=-1)).mean(dim=-1)
    weights = torch.softmax(log_density, dim=-1)
    graphs = systems.adjacency[0].flatten(1).float()
    agreement = (2.0 * graphs[:n_outcomes] - 1.0) @ graphs.mT  # (m, k)
    return (weights * agreement).sum(dim=-1).mean(dim=-1)


def _log_densities(systems, free, outcomes):
    """Log-densities (n_candidates, n_outcomes, n_draws) of outcomes under every draw."""
    coef, scale = systems.coef[0], systems.noise_scale[0]
    d = coef.shape[-1]
    identity = torch.eye(d, device=coef.device, dtype=torch.float32)
    rows = torch.cat([identity - coef, -systems.intercept[0][:, None]], dim=1) / scale[:, None]
    # Upper triangles of a_j a_j' with off-diagonal entries twice: (draw, pair, j).
    first, second = torch.triu_indices(d + 1, d + 1, device=coef.device)
    twice = 2.0 - (first == second).to(rows)
    pairs = rows[:, first] * rows[:, second] * twice[:, None]
    matrices = (free.to(pairs) @ pairs.flatten(0, 1).mT).unflatten(-1, (-1, len(first)))
    ones = torch.ones_like(outcomes[..., :1])
    extended = torch.cat([outcomes, ones], dim=-1)
    products = (extended[..., first] * extended[..., second]).sum(dim=2)  # (m, c, pair)
    quadratic = products.transpose(0, 1) @ matrices.mT  # (c, m, k)
    log_scale = free.to(pairs) @ scale.log().mT
    return -0.5 * quadratic - outcomes.shape[2] * log_scale[:, None]
