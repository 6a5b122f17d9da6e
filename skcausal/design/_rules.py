"""Designs by fixed rules, which look at what has been a target so far or not even at that."""

from __future__ import annotations

from collections.abc import Callable

import torch

from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Designs, Histories

Rule = Callable[[torch.Tensor, DesignSpace, torch.Generator], Designs]


def observational(n_targeted, space, generator) -> Designs:
    """No target at all."""
    return Designs(torch.zeros_like(n_targeted, dtype=torch.bool), torch.zeros_like(n_targeted))


def random(n_targeted, space, generator) -> Designs:
    """Each variable with probability 1/2, to a standard normal value that is clipped to the range.

    The baseline of Annadani et al. (2024), appendix C.1, for ranges of -1 to 1.
    """
    targets = _uniform(n_targeted, generator) < 0.5
    normal = torch.randn(n_targeted.shape, generator=generator, dtype=torch.float32).to(n_targeted)
    position = normal.clamp(-1.0, 1.0)
    values = 0.5 * (space.low + space.high) + 0.5 * (space.high - space.low) * position
    return _within(space, targets, Designs(targets, values), generator)


def random_extreme(n_targeted, space, generator) -> Designs:
    """Each variable with probability 1/2, to one of the ends of its range."""
    targets = _uniform(n_targeted, generator) < 0.5
    return _within(space, targets, _at_random_ends(targets, space, generator), generator)


def balanced_half(n_targeted, space, generator) -> Designs:
    """Half of the variables, those first that were targets least often, to ends of their ranges."""
    smaller, larger = space.half()
    coin = torch.rand((*n_targeted.shape[:-1], 1), generator=generator, dtype=torch.float32).to(
        n_targeted
    )
    size = torch.where(coin < 0.5, smaller, larger)
    return _at_random_ends(_waiting_longest(n_targeted, size, space, generator), space, generator)


def draw_candidates(
    n_targeted: torch.Tensor, n_candidates: int, space: DesignSpace, generator: torch.Generator
) -> Designs:
    """Draw designs to choose from.

    Parameters
    ----------
    n_targeted : tensor of shape (n_systems, n_variables)
        Number of designs that each variable was a target of.
    n_candidates : int
        Number of designs for each system.
    space : DesignSpace
        The designs to choose from.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    designs : Designs
        Balanced halves (n_systems, n_candidates, n_variables). Where a target can be set to one
        value only, as in knock-outs, every other has a random number of targets, short of all
        variables.
    """
    count = n_targeted[:, None].expand(-1, n_candidates, -1)
    designs = balanced_half(count, space, generator)
    if bool((space.high > space.low).any()):
        return designs
    # If nothing is free nothing is learned.
    largest = min(space.most, int(space.allowed.sum()), max(1, n_targeted.shape[-1] - 1))
    smallest = max(space.fewest, 1)
    largest = max(largest, smallest)
    size = torch.randint(smallest, largest + 1, (*count.shape[:2], 1), generator=generator)
    targets = _waiting_longest(count, size, space, generator)
    other = torch.arange(n_candidates)[:, None] % 2 == 1
    targets = torch.where(other, targets, designs.targets)
    return space.at_ends(targets, torch.ones_like(targets))


def _waiting_longest(n_targeted, size, space, generator):
    """Targets (..., n_variables): so many variables, those first that were targets least often."""
    waiting = torch.where(space.allowed, n_targeted, torch.inf)
    order = (waiting + _uniform(n_targeted, generator)).argsort(dim=-1).argsort(dim=-1)
    return (order < size.to(order.device)) & space.allowed


def single_cycle(n_targeted, space, generator) -> Designs:
    """One variable at a time, one that was a target least often, to an end of its range."""
    targets = _waiting_longest(n_targeted, torch.ones((), dtype=torch.float32), space, generator)
    return _within(space, targets, _at_random_ends(targets, space, generator), generator)


RULES: dict[str, Rule] = {
    "observational": observational,
    "random": random,
    "random_extreme": random_extreme,
    "balanced_half": balanced_half,
    "single_cycle": single_cycle,
}


def uncertain_single(
    histories: Histories, probabilities: torch.Tensor, space: DesignSpace, generator
) -> Designs:
    """Design an experiment on the variable whose edges are least certain.

    Parameters
    ----------
    histories : Histories
        Experiments so far.
    probabilities : tensor of shape (n_systems, n_variables, n_variables)
        Probabilities of the edges.
    space : DesignSpace
        The designs to choose from.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    designs : Designs
        One target in every system, set to an end of its range.
    """
    order = _by_uncertainty(probabilities, space)
    targets = (order == 0) & space.allowed
    return _within(space, targets, _at_random_ends(targets, space, generator), generator)


def uncertain_half(
    histories: Histories, probabilities: torch.Tensor, space: DesignSpace, generator
) -> Designs:
    """Design experiments on half of the variables, preferably those whose edges are uncertain.

    Parameters
    ----------
    histories, probabilities, space, generator
        As those of :func:`uncertain_single`.

    Returns
    -------
    designs : Designs
        A random half of the variables, drawn one by one in proportion to the entropy of the edges
        that they are part of.
    """
    weight = entropy_of_edges(probabilities)
    noise = -torch.log(-torch.log(_uniform(weight, generator).clamp(1e-9, 1 - 1e-7)))
    key = torch.where(space.allowed, torch.log(weight.clamp(min=1e-12)) + noise, -torch.inf)
    size = space.half()[1]
    targets = ((-key).argsort(dim=-1).argsort(dim=-1) < size) & space.allowed
    return _at_random_ends(targets, space, generator)


def _by_uncertainty(probabilities, space):
    """Rank of every variable, 0 for the least certain."""
    entropy = torch.where(space.allowed, entropy_of_edges(probabilities), -torch.inf)
    return (-entropy).argsort(dim=-1).argsort(dim=-1)


def entropy_of_edges(probabilities):
    """Return the entropies (n_systems, n_variables) of the edges of each variable, summed up."""
    p = probabilities.clamp(1e-9, 1 - 1e-9)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    entropy = entropy - torch.diag_embed(entropy.diagonal(dim1=-2, dim2=-1))
    return entropy.sum(dim=-1) + entropy.sum(dim=-2)


def _at_random_ends(targets, space, generator):
    """Set targets to the lower or the upper end of their range."""
    return space.at_ends(
        targets,
        torch.rand(targets.shape, generator=generator, dtype=torch.float32).to(space.low) < 0.5,
    )


def _within(space, targets, designs, generator):
    """Return the designs if they are in the space, and else repaired ones."""
    priority = _uniform(designs.values, generator)
    return space.repaired(designs, priority)


def _uniform(like, generator):
    """Uniform numbers of the shape of a tensor."""
    return torch.rand(like.shape, generator=generator, dtype=torch.float32).to(like)
