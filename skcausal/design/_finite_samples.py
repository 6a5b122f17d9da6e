"""Sets of targets by greedy search for information about the graph (Sussex et al.)."""

from __future__ import annotations

import torch

from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Designs
from skcausal.design._lookahead import _log_densities
from skcausal.design._posterior_systems import PosteriorSystems

# Gains in nats up to which a target adds nothing but rounding errors.
_ROUNDING = 1e-5


def ss_finite_designs(
    systems: PosteriorSystems,
    space: DesignSpace,
    *,
    rows_per_design: int,
    generator: torch.Generator,
    n_outcomes: int = 8,
) -> Designs:
    r"""Design the experiments of most expected information about the graph, greedily.

    The finite-sample objective of Sussex et al. [1]_, of one experiment at a time. Targets are all
    set to the upper end of their range, and added one by one.

    Parameters
    ----------
    systems : PosteriorSystems
        Draws from the posterior, each with the same weight.
    space : DesignSpace
        The designs to choose from.
    rows_per_design : int
        Number of rows of an experiment.
    generator : torch.Generator
        Source of randomness.
    n_outcomes : int, default=8
        Number of outcomes that every system simulates of every design. All designs have their
        noise in common.

    Returns
    -------
    designs : Designs
        Designs (n_systems, n_variables) of the space.

    Notes
    -----
    The target that raises :func:`graph_information` most is added until none does, or as many are
    as the space allows; below the fewest, the best is added in any case.

    What differs from the paper: there, whole sets of targets are chosen greedily, for several
    experiments at once, out of a separating system, a few sets between which every pair of
    variables is told apart. For one experiment that would compare a handful of sets, which do not
    depend on the systems or only by their joint essential graph. Values are fixed there as well, to
    5 in the authors' code, in which targets have a little noise, too; experiments have 20 rows, and
    systems two outcomes. Draws are not weighted by their likelihoods once more.

    References
    ----------
    .. [1] Sussex, S., Uhler, C. & Krause, A. (2021). Near-optimal multi-perturbation experimental
       design for causal structure learning. NeurIPS 34, 777-788.
    """
    space = space.to(systems.coef)
    n_systems, n_draws, d = systems.coef.shape[:3]
    noise = torch.randn(
        (n_systems, n_draws, n_outcomes, rows_per_design, d),
        generator=generator,
        device=systems.coef.device,
        dtype=torch.float32,
    )
    found = [_add_targets(systems[k : k + 1], space, noise[k]) for k in range(n_systems)]
    targets = torch.stack(found)
    return space.at_ends(targets, torch.ones_like(targets))


def graph_information(
    systems: PosteriorSystems, designs: Designs, noise: torch.Tensor
) -> torch.Tensor:
    r"""Estimate the mutual information of the graph and the outcome of designs.

    Parameters
    ----------
    systems : PosteriorSystems
        Draws of one history: a batch of size one. There are no systems but these.
    designs : Designs
        Designs (n_candidates, n_variables).
    noise : tensor of shape (n_draws, n_outcomes, n_rows, n_variables)
        Standard normal noise, which all candidates have in common.

    Returns
    -------
    information : tensor of shape (n_candidates,)
        The estimates, in nats: the entropy of the graph before the outcome less the mean of that
        after it, given by the densities of the outcome under all draws. Draws with the same graph
        are one graph.
    """
    n_outcomes = noise.shape[1]
    sources = PosteriorSystems(
        *(
            tensor[0, :, None].expand(-1, n_outcomes, *tensor.shape[2:]).flatten(0, 1)[None]
            for tensor in (
                systems.adjacency,
                systems.coef,
                systems.intercept,
                systems.noise_scale,
            )
        )
    )
    outcomes = sources.simulate(designs[None], noise.flatten(0, 1)[None])[0]
    log_density = _log_densities(systems, ~designs.targets, outcomes)  # (c, outcome, draw)
    graphs = systems.adjacency[0].flatten(1)
    same = (graphs[:, None] == graphs).all(dim=-1).to(log_density)
    weights = torch.softmax(log_density, dim=-1)
    before = -same.mean(dim=-1).log().mean()
    after = -(weights * (weights @ same).clamp(min=1e-30).log()).sum(dim=-1)
    return before - after.mean(dim=-1)


def _add_targets(systems, space, noise):
    """Targets (d,) of one history."""
    d = noise.shape[-1]
    most = min(space.most, int(space.allowed.sum()))
    targets = torch.zeros(d, dtype=torch.bool, device=noise.device)
    value = _information(systems, space, targets[None], noise)[0]
    identity = torch.eye(d, dtype=torch.bool, device=noise.device)
    while int(targets.sum()) < most:
        waiting = space.allowed & ~targets
        candidates = (targets | identity)[waiting]
        values = _information(systems, space, candidates, noise)
        best = values.argmax()
        if values[best] <= value + _ROUNDING and int(targets.sum()) >= space.fewest:
            break
        targets, value = candidates[best], values[best]
    return targets


def _information(systems, space, targets, noise):
    """Information (n_candidates,) of sets of targets at the upper end of their range."""
    return graph_information(systems, space.at_ends(targets, torch.ones_like(targets)), noise)
