"""Designs by gradient ascent on the expected information gain (DiffCBED)."""

from __future__ import annotations

import math

import torch

from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Designs
from skcausal.design._lookahead import _log_densities
from skcausal.design._posterior_systems import PosteriorSystems

# Share of the steps in which the temperature falls.
_COOLING = 0.8
# Designs that are drawn from a policy at the end, and outcomes of each system for their comparison
# as a multiple of those of a step.
_FINALISTS = 16
_MORE_OUTCOMES = 8


def diffcbed_designs(
    systems: PosteriorSystems,
    space: DesignSpace,
    *,
    rows_per_design: int,
    generator: torch.Generator,
    n_steps: int = 100,
    learning_rate: float = 0.5,
    n_outcomes: int = 1,
    n_masks: int = 8,
    n_restarts: int = 2,
    temperature: tuple[float, float] = (5.0, 0.5),
    estimator: str = "nested",
) -> Designs:
    r"""Design the experiments of most expected information by gradient ascent.

    Differentiable multi-target causal Bayesian experimental design [1]_, for one experiment at a
    time: a policy has a logit for each variable being a target and a value for it. Targets are
    drawn from relaxed Bernoulli distributions, rounded in the simulation and not in the gradient,
    and Adam raises the nested Monte Carlo estimate of the information.

    Parameters
    ----------
    systems : PosteriorSystems
        Draws from the posterior, each with the same weight: two at least.
    space : DesignSpace
        The designs to choose from.
    rows_per_design : int
        Number of rows of an experiment.
    generator : torch.Generator
        Source of randomness.
    n_steps : int, default=100
        Steps of the ascent.
    learning_rate : float, default=0.5
        Learning rate of Adam.
    n_outcomes : int, default=1
        Number of outcomes that every system simulates of every design in a step.
    n_masks : int, default=8
        Number of sets of targets drawn from a policy in a step.
    n_restarts : int, default=2
        Number of policies, which start at random values, and at even odds of all targets.
    temperature : tuple of two floats, default=(5.0, 0.5)
        First and last temperature of the relaxation.
    estimator : {"nested", "contrastive"}, default="nested"
        The estimate; see :func:`expected_information`.

    Returns
    -------
    designs : Designs
        Designs (n_systems, n_variables) of the space.

    Notes
    -----
    The settings are those of the authors' code, apart from these: they draw 32 sets of targets,
    and return the design whose estimate was highest in any step, which is one of the luckiest. Here
    the policies' last designs, and the most probable one, are compared on new outcomes, the same
    for all. Where the number of targets is bounded, sets are brought into the space by dropping the
    least, or adding the most likely ones, in place of a relaxation of the k largest. Values pass
    through a tanh on to their range, where the authors clip them.

    References
    ----------
    .. [1] Tigas, P., Annadani, Y., Ivanova, D. R., Jesson, A., Gal, Y., Foster, A. & Bauer, S.
       (2023). Differentiable multi-target causal Bayesian experimental design. ICML.
    .. [2] Maddison, C. J., Mnih, A. & Teh, Y. W. (2017). The concrete distribution: a continuous
       relaxation of discrete random variables. ICLR. Appendix B.
    """
    if systems.coef.shape[1] < 2:
        raise ValueError("Information needs at least two systems to tell apart, got one.")
    space = space.to(systems.coef)
    found = [
        _ascend(
            systems[k : k + 1],
            space,
            (n_restarts, n_masks, n_outcomes, rows_per_design),
            (n_steps, learning_rate, temperature, estimator),
            generator,
        )
        for k in range(len(systems.coef))  # one at a time stays in the cache
    ]
    return Designs(
        torch.stack([design.targets for design in found]),
        torch.stack([design.values for design in found]),
    )


def expected_information(
    systems: PosteriorSystems,
    targets: torch.Tensor,
    values: torch.Tensor,
    noise: torch.Tensor,
    estimator: str = "nested",
) -> torch.Tensor:
    r"""Estimate the mutual information of the system and the outcome of designs.

    Parameters
    ----------
    systems : PosteriorSystems
        Draws of one history: a batch of size one.
    targets : tensor of shape (n_candidates, n_variables)
        1 for targets and 0 for other variables; gradients may be asked for.
    values : tensor of shape (n_candidates, n_variables)
        What targets are set to.
    noise : tensor of shape (n_draws, n_outcomes, n_rows, n_variables)
        Standard normal noise, which all candidates have in common.
    estimator : {"nested", "contrastive"}, default="nested"
        - "nested": outcomes are compared with what other systems predict of them;
        - "contrastive": with what all do, the one that they come from included. That is the
          information if there are no systems but these; it is less than the logarithm of their
          number.

    Returns
    -------
    information : tensor of shape (n_candidates,)
        The estimates, in nats.

    Notes
    -----
    With outcomes :math:`y_{km}` of system k of n, the estimates are

    .. math::
        \frac1{nM} \sum_{k, m} \Big( \log p_k(y_{km}) - \log \frac1{|L_k|} \sum_{l \in L_k}
        p_l(y_{km}) \Big)

    where :math:`L_k` is all other systems, or all systems.
    """
    n_draws, n_outcomes = noise.shape[:2]
    outcomes = _simulate(systems, targets, values, noise)
    log_density = _log_densities(systems, 1.0 - targets, outcomes)  # (c, outcome, draw)
    source = torch.arange(n_draws, device=noise.device).repeat_interleave(n_outcomes)
    own = log_density.gather(-1, source[None, :, None].expand(len(targets), -1, 1))[..., 0]
    n_compared = n_draws
    if estimator == "nested":
        itself = torch.zeros(log_density.shape[1:], dtype=torch.bool, device=noise.device)
        itself[torch.arange(len(source), device=noise.device), source] = True
        log_density = log_density.masked_fill(itself, -torch.inf)
        n_compared = n_draws - 1
    elif estimator != "contrastive":
        raise ValueError(f"estimator must be 'nested' or 'contrastive', got {estimator!r}.")
    marginal = torch.logsumexp(log_density, dim=-1) - math.log(n_compared)
    return (own - marginal).mean(dim=-1)


def _simulate(systems, targets, values, noise):
    """Outcomes (n_draws * n_outcomes, n_candidates, n_rows, d), differentiable in the designs.

    Rows solve x (I - W F) = m v + (1 - m) (b + s e), with F the diagonal matrix of 1 - m.
    """
    coef, intercept, scale = systems.coef[0], systems.intercept[0], systems.noise_scale[0]
    free = (1.0 - targets)[:, None]  # (c, 1, d)
    identity = torch.eye(coef.shape[-1], device=coef.device, dtype=torch.float32)
    system = identity - coef * free[:, :, None, :]  # (c, k, d, d)
    own = intercept[:, None, None] + scale[:, None, None] * noise  # (k, m, r, d)
    own = free[:, :, None, None] * own + (targets * values)[:, None, None, None]
    X = torch.linalg.solve(system, own.flatten(2, 3), left=False).view_as(own)
    return X.flatten(1, 2).transpose(0, 1)


def _ascend(systems, space, sizes, schedule, generator):
    """Design (d,) of one history."""
    n_restarts, n_masks, n_outcomes, n_rows = sizes
    n_steps, learning_rate, temperature, estimator = schedule
    n_draws, d = systems.coef.shape[1:3]
    like = systems.coef
    logits = torch.zeros(
        (n_restarts, d), device=like.device, requires_grad=True, dtype=torch.float32
    )
    start = (
        2.0
        * torch.rand((n_restarts, d), generator=generator, device=like.device, dtype=torch.float32)
        - 1.0
    )
    position = torch.atanh(0.99 * start).requires_grad_()
    optimizer = torch.optim.Adam([logits, position], lr=learning_rate)
    for step in range(n_steps):
        heat = _temperature(step, n_steps, temperature)
        targets = _relaxed_targets(logits, n_masks, heat, space, generator)
        values = _within(position, space)[:, None].expand_as(targets)
        noise = torch.randn(
            (n_draws, n_outcomes, n_rows, d),
            generator=generator,
            device=like.device,
            dtype=torch.float32,
        )
        information = expected_information(
            systems, targets.flatten(0, 1), values.flatten(0, 1), noise, estimator
        )
        optimizer.zero_grad()
        (-information.mean()).backward()
        optimizer.step()
    with torch.no_grad():
        targets = _finalists(logits, temperature[1], space, generator)
        values = _within(position, space)[:, None].expand_as(targets)
        targets, values = targets.flatten(0, 1), values.flatten(0, 1)
        noise = torch.randn(
            (n_draws, _MORE_OUTCOMES * n_outcomes, n_rows, d),
            generator=generator,
            device=like.device,
            dtype=torch.float32,
        )
        best = expected_information(systems, targets, values, noise, estimator).argmax()
        chosen = targets[best] > 0.5
        return Designs(chosen, torch.where(chosen, values[best], 0.0))


def _finalists(logits, heat, space, generator):
    """Return sets of targets (n_restarts, 1 + 16, d) of the policies, the likeliest first."""
    mode = space.repaired(Designs(logits > 0.0, torch.zeros_like(logits)), logits).targets
    drawn = _relaxed_targets(logits, _FINALISTS, heat, space, generator)
    return torch.cat([mode[:, None].to(drawn), drawn], dim=1)


def _relaxed_targets(logits, n_masks, heat, space, generator):
    """Draw targets (n_restarts, n_masks, d): 0 or 1, with the gradient of the relaxation."""
    uniform = torch.rand(
        (len(logits), n_masks, logits.shape[-1]),
        generator=generator,
        device=logits.device,
        dtype=torch.float32,
    ).clamp(1e-6, 1.0 - 1e-6)
    perturbed = logits[:, None] + torch.logit(uniform)
    soft = torch.sigmoid(perturbed / heat)
    drawn = Designs(perturbed > 0.0, torch.zeros_like(uniform))
    hard = space.repaired(drawn, perturbed.detach()).targets.to(soft)
    return hard + soft - soft.detach()


def _within(position, space):
    """Values (..., d) in their range."""
    centre, half = 0.5 * (space.low + space.high), 0.5 * (space.high - space.low)
    return centre + half * torch.tanh(position)


def _temperature(step, n_steps, temperature):
    """Temperature of a step, which falls linearly and stays at its last value."""
    first, last = temperature
    share = min(1.0, step / max(1.0, _COOLING * n_steps))
    return first + (last - first) * share
