"""Training of graph posteriors on streams of simulated experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from skcausal.nn._regime_moments import RegimeMoments
from skcausal.nn._stream_training import train_on_stream
from skcausal.simulators._task_stream import draw_systems
from skcausal.structure._graph_experiments import (
    EXPERIMENTS,
    RegimeBlock,
    draw_experiment,
    moments_of,
)
from skcausal.structure._graph_network import GraphNetwork, PairGraphNetwork

# Of the pair network and of the row network, whose tokens are about a hundred times as many.
_PAIRS_PER_BATCH = 3600
_VARIABLES_PER_BATCH = 120

# The weight of the acyclicity penalty grows by this times the penalty in every step.
_DUAL_RATE = 1e-3
_SQUARINGS = 6


@dataclass(frozen=True, eq=False)
class GraphTasks:
    """Standardised experiments and the graphs behind them.

    Parameters
    ----------
    inputs : tuple
        What the network's `forward` takes.
    edges : tensor of shape (n_tasks, n_variables, n_variables)
        Entry (i, j): 1 where there is an edge i -> j.
    """

    inputs: tuple
    edges: torch.Tensor


def draw_graph_tasks(
    network: GraphNetwork,
    priors: Sequence,
    shares: Sequence[float],
    experiments: str,
    seed: int,
    step: int,
    device="cpu",
) -> GraphTasks:
    """Draw the batch of a step: systems of one prior and one size, and experiments on them.

    Parameters
    ----------
    network : PairGraphNetwork or RowGraphNetwork
        What the batch is for.
    priors : sequence of TaskPrior
        Distributions over systems.
    shares : sequence of float
        How often each of them is drawn from.
    experiments : str
        A key of :data:`EXPERIMENTS`.
    seed, step : int
        Determine the batch.
    device : str or torch.device, default="cpu"
        Where the tasks are simulated.

    Returns
    -------
    tasks : GraphTasks
        The batch.
    """
    reads_pairs = isinstance(network, PairGraphNetwork)
    systems, rng = draw_systems(
        priors,
        shares,
        seed,
        step,
        batch_size=lambda d: _PAIRS_PER_BATCH // d**2 if reads_pairs else _VARIABLES_PER_BATCH // d,
        device=device,
    )
    laws = EXPERIMENTS[experiments]
    law = str(rng.choice(list(laws), p=list(laws.values())))
    blocks = draw_experiment(systems, law, rng, seed)
    return GraphTasks(prepare_inputs(network, blocks), systems.adjacency.to(blocks[0].X))


def prepare_inputs(network: GraphNetwork, blocks: list[RegimeBlock]) -> tuple:
    """Standardise experiments and bring them into the form that a network reads.

    Parameters
    ----------
    network : PairGraphNetwork or RowGraphNetwork
        The network.
    blocks : list of RegimeBlock
        The rows.

    Returns
    -------
    inputs : tuple
        The arguments of its `forward`.
    """
    moments, centre, scale = moments_of(blocks).standardize()
    if isinstance(network, PairGraphNetwork):
        return canonical_inputs(network, moments, scale)
    X, mask, kept = (torch.cat(parts, dim=1) for parts in zip(*(b.rows() for b in blocks)))
    Z = (X - centre[:, None]) / scale[:, None]
    return canonical_inputs(network, moments, scale, Z, mask, kept)


def canonical_inputs(
    network: GraphNetwork,
    moments: RegimeMoments,
    scale: torch.Tensor,
    Z: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    kept: torch.Tensor | None = None,
) -> tuple:
    """Give all variables their canonical signs and return what a network reads.

    Parameters
    ----------
    network : PairGraphNetwork or RowGraphNetwork
        The network.
    moments : RegimeMoments
        Moments of standardised rows.
    scale : tensor of shape (n_tasks, n_variables)
        Standard deviations before.
    Z : tensor of shape (n_tasks, n_rows, n_variables), default=None
        Standardised rows, which the row network needs.
    mask : bool tensor of shape (n_tasks, n_rows, n_variables), default=None
        The intervention mask, which it needs, too.
    kept : bool tensor of shape (n_tasks, n_rows), default=None
        Which rows were observed. Default: all.

    Returns
    -------
    inputs : tuple
        The arguments of the network's `forward`.
    """
    signs = moments.canonical_signs()
    if isinstance(network, PairGraphNetwork):
        return moments.with_signs(signs), scale
    assert Z is not None
    assert mask is not None
    kept = torch.ones_like(mask[..., 0]) if kept is None else kept
    Z = Z * signs[:, None]
    # Without targets, moments do not tell the sign that all variables have in common.
    skewness = (kept * Z.sum(dim=-1) ** 3).sum(dim=-1)
    opposite = ~mask.flatten(1).any(dim=1) & (skewness < 0)
    return torch.where(opposite[:, None, None], -Z, Z), mask, kept


class GraphTraining(nn.Module):
    """A network in training, with the weight of its acyclicity penalty.

    Parameters
    ----------
    network : PairGraphNetwork or RowGraphNetwork
        The network.
    acyclic : bool
        Whether cycles are penalised.
    """

    weight: torch.Tensor

    def __init__(self, network: GraphNetwork, *, acyclic: bool):
        super().__init__()
        self.network = network
        self.acyclic = acyclic
        self.register_buffer("weight", torch.zeros(()))

    def forward(self, tasks: GraphTasks) -> dict[str, torch.Tensor]:
        """Return the terms of the loss of a batch.

        Parameters
        ----------
        tasks : GraphTasks
            The batch.

        Returns
        -------
        terms : dict of str to Tensor
            "loss" is minimised; "cross_entropy" is that of edges, in nats per ordered pair;
            "cycles", with `acyclic`, is the spectral radius of the edge probabilities.
        """
        logits = self.network(*tasks.inputs)
        cross_entropy = edge_cross_entropy(logits, tasks.edges)
        if not self.acyclic:
            return {"loss": cross_entropy, "cross_entropy": cross_entropy.detach()}
        cycles = spectral_radius(torch.sigmoid(logits) * _off_diagonal(logits)).mean()
        loss = cross_entropy + self.weight.clone() * cycles
        if self.training:
            self.weight += _DUAL_RATE * cycles.detach()
        return {"loss": loss, "cross_entropy": cross_entropy.detach(), "cycles": cycles.detach()}


def edge_cross_entropy(logits: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Mean over tasks and ordered pairs of the negative log-probability, in nats.

    Parameters
    ----------
    logits, edges : tensor of shape (n_tasks, n_variables, n_variables)
        Logits of the edges, and 1 where there is one.

    Returns
    -------
    cross_entropy : tensor
        A scalar.
    """
    off = _off_diagonal(logits)
    entropy = binary_cross_entropy_with_logits(logits, edges, reduction="none") * off
    return entropy.sum() / (len(logits) * off.sum())


def spectral_radius(matrices: torch.Tensor) -> torch.Tensor:
    """Estimate the spectral radius of matrices with non-negative entries.

    It is zero if and only if the graph of the entries has no cycle. Estimated by Gelfand's formula,
    as the 64th root of the norm of the 64th power: from above, by a few per cent, and exactly 0 for
    graphs of up to 64 variables without cycles.

    Parameters
    ----------
    matrices : tensor of shape (n, d, d)
        The matrices.

    Returns
    -------
    radius : tensor of shape (n,)
        The estimates, which are differentiable.
    """
    log_radius, power = matrices.new_zeros(len(matrices)), matrices
    alive = torch.ones(len(matrices), dtype=torch.bool, device=matrices.device)
    for k in range(_SQUARINGS + 1):
        power = power @ power if k else power
        norm = power.pow(2).sum(dim=(-2, -1)).clamp(min=torch.finfo(power.dtype).tiny).sqrt()
        alive = alive & (norm > 1e-18)
        power = power / norm[:, None, None]  # so that nothing overflows
        log_radius = log_radius + norm.log() / 2**k
    return torch.where(alive, torch.exp(log_radius), 0.0)


def _off_diagonal(like):
    """One minus the identity (n_variables, n_variables)."""
    return 1.0 - torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)


def train_graph_network(
    network: GraphNetwork,
    priors: Sequence,
    shares: Sequence[float],
    *,
    experiments: str = "mixed",
    acyclic: bool = False,
    n_steps: int,
    seed: int,
    learning_rate: float = 2e-3,
    device="cpu",
    checkpoint=None,
    fingerprint: str = "",
    verbose: bool = False,
) -> dict[str, torch.Tensor]:
    """Train a network in place.

    Parameters
    ----------
    network : PairGraphNetwork or RowGraphNetwork
        The network, on `device`.
    priors : sequence of TaskPrior
        Distributions over systems.
    shares : sequence of float
        How often each of them is drawn from.
    experiments : str, default="mixed"
        A key of :data:`EXPERIMENTS`.
    acyclic : bool, default=False
        Whether to penalise cycles, with a weight that grows by dual ascent.
    n_steps : int
        Number of batches.
    seed : int
        Determines the tasks.
    learning_rate : float, default=2e-3
        Largest learning rate of AdamW.
    device : str or torch.device, default="cpu"
        Where to train.
    checkpoint : str or path-like, default=None
        File from which an interrupted training goes on.
    fingerprint : str, default=""
        Identifies the training in the checkpoint.
    verbose : bool, default=False
        Show progress.

    Returns
    -------
    history : dict of str to Tensor
        Means of the terms of the loss over every epoch of 50 batches.
    """
    return train_on_stream(
        GraphTraining(network, acyclic=acyclic).to(device),
        lambda module, tasks: module(tasks),
        lambda position, _: draw_graph_tasks(
            network, priors, shares, experiments, seed, position, device
        ),
        n_steps=n_steps,
        learning_rate=learning_rate,
        weight_decay=1e-4,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        verbose=verbose,
    )
