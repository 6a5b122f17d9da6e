"""Distillation: a network learns to score designs as a search that is much slower."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from sklearn.utils.parallel import Parallel, delayed
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from skcausal.design._labelled_states import (
    DEFAULT_LAW,
    EpisodeLaw,
    LabelledStates,
    join_states,
    label_episodes,
    rng_of_epoch,
)
from skcausal.design._scorer_inputs import ScorerInputs
from skcausal.design._scorer_network import DesignScorer
from skcausal.design._teachers import Teacher
from skcausal.nn import load_checkpoint, save_checkpoint, train, warmup_cosine
from skcausal.nn._clipping import clip_gradients
from skcausal.nn._stream_training import train_on_stream
from skcausal.simulators._task_stream import draw_systems
from skcausal.structure._graph_experiments import draw_experiment

_PAIRS_PER_BATCH = 3600
_STATES_PER_BATCH = 128
# Weight of the cross-entropy of edges beside the error of scores of unit variance.
_EDGE_WEIGHT = 0.5
_HELD_OUT = 10  # one batch of episodes in so many


def distil(
    scorer: DesignScorer,
    priors: Sequence,
    shares: Sequence[float],
    teacher_of: Callable[[int], Teacher],
    *,
    edge_priors: Sequence | None = None,
    edge_shares: Sequence[float] | None = None,
    n_edge_steps: int = 5000,
    n_batches: int = 60,
    n_candidates: int = 32,
    n_epochs: int = 6,
    law: EpisodeLaw = DEFAULT_LAW,
    seed: int,
    folder: str | os.PathLike[str] | None = None,
    fingerprint: str = "",
    n_jobs: int | None = None,
    verbose: bool = False,
) -> dict[str, torch.Tensor]:
    """Train a scorer: on edges, on what the teacher says, and on that in its own states.

    Parameters
    ----------
    scorer : DesignScorer
        The network, trained in place.
    priors : sequence of TaskPrior
        Distributions of the systems.
    shares : sequence of float
        How often each of them is drawn from.
    teacher_of : callable
        ``teacher_of(n_variables)`` returns what judges the candidates.
    edge_priors, edge_shares : default=None
        Distributions of the systems to learn edges from. Default: the same.
    n_edge_steps : int, default=5000
        Number of batches of systems to learn edges from.
    n_batches : int, default=60
        Number of batches of up to 24 episodes, in each of two rounds. In the first, episodes follow
        the teacher or random candidates, in the second the scorer.
    n_candidates : int, default=32
        Number of designs that are judged in every state.
    n_epochs : int, default=6
        Number of passes over the states, in each round.
    law : EpisodeLaw
        Numbers of rows and steps of the episodes.
    seed : int
        Determines everything.
    folder : str or path-like, default=None
        Where everything is written as it goes. A training that was interrupted goes on from there,
        bit-identically.
    fingerprint : str, default=""
        Identifies the training in these files.
    n_jobs : int, default=None
        Number of processes that judge designs.
    verbose : bool, default=False
        Show progress.

    Returns
    -------
    history : dict of str to Tensor
        That of :func:`fit_scorer`, both rounds one after the other.
    """
    common: dict[str, Any] = {"fingerprint": fingerprint, "verbose": verbose}
    train_on_edges(
        scorer,
        priors if edge_priors is None else edge_priors,
        shares if edge_shares is None else edge_shares,
        n_steps=n_edge_steps,
        seed=seed,
        checkpoint=_inside(folder, "edges.safetensors"),
        **common,
    )
    parts: list[LabelledStates] = []
    histories = []
    for round_, learning_rate in enumerate((1e-3, 7e-4)):
        parts += gather_labels(
            priors,
            shares,
            teacher_of,
            n_batches=n_batches,
            first=round_ * n_batches,
            n_candidates=n_candidates,
            student=scorer if round_ else None,
            law=law,
            seed=seed,
            folder=folder,
            n_jobs=n_jobs,
            **common,
        )
        histories.append(
            fit_scorer(
                scorer,
                parts,
                n_epochs=n_epochs,
                seed=seed + round_,
                learning_rate=learning_rate,
                checkpoint=_inside(folder, f"scores-{round_}.safetensors"),
                **common,
            )
        )
    return {
        name: torch.cat([h[name] for h in histories])
        for name in histories[-1]
        if name in histories[0]
    }


def _inside(folder, name):
    """Path of a file in the folder, if there is one."""
    return None if folder is None else Path(folder) / name


def train_on_edges(
    scorer: DesignScorer,
    priors: Sequence,
    shares: Sequence[float],
    *,
    n_steps: int,
    seed: int,
    learning_rate: float = 2e-3,
    checkpoint=None,
    fingerprint: str = "",
    verbose: bool = False,
) -> dict[str, torch.Tensor]:
    """Teach a scorer to tell edges, from simulated sequences of experiments.

    Parameters
    ----------
    scorer : DesignScorer
        The network, trained in place.
    priors : sequence of TaskPrior
        Distributions of the systems.
    shares : sequence of float
        How often each of them is drawn from.
    n_steps : int
        Number of batches.
    seed : int
        Determines them.
    learning_rate : float, default=2e-3
        Largest learning rate.
    checkpoint, fingerprint, verbose
        As those of :func:`skcausal.nn.train`.

    Returns
    -------
    history : dict of str to Tensor
        The cross-entropy, in nats per ordered pair, over the training.
    """

    def draw(position, _):
        systems, rng = draw_systems(
            priors, shares, seed, position, batch_size=lambda d: _PAIRS_PER_BATCH // d**2
        )
        blocks = draw_experiment(systems, "sequential", rng, seed)
        return ScorerInputs.from_blocks(blocks), systems.adjacency.float()

    def loss(module, batch):
        inputs, edges = batch
        return {"loss": edge_cross_entropy(module(inputs).edge_logits, edges)}

    return train_on_stream(
        scorer,
        loss,
        draw,
        n_steps=n_steps,
        learning_rate=learning_rate,
        weight_decay=1e-4,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        verbose=verbose,
        description="learning edges",
    )


def edge_cross_entropy(logits: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of edges (n_systems, n_variables, n_variables), without the diagonal."""
    off = 1.0 - torch.eye(logits.shape[-1], device=logits.device, dtype=torch.float32)
    entropy = binary_cross_entropy_with_logits(logits, edges, reduction="none") * off
    return entropy.sum() / (len(logits) * off.sum())


def gather_labels(
    priors: Sequence,
    shares: Sequence[float],
    teacher_of: Callable[[int], Teacher],
    *,
    n_batches: int,
    first: int,
    n_candidates: int,
    student: DesignScorer | None,
    law: EpisodeLaw,
    seed: int,
    folder: str | os.PathLike[str] | None = None,
    fingerprint: str = "",
    n_jobs: int | None = None,
    verbose: bool = False,
) -> list[LabelledStates]:
    """Label the states of many batches of episodes.

    Parameters
    ----------
    priors, shares, teacher_of, n_candidates, student, law, seed
        As those of :func:`label_episodes`.
    n_batches : int
        Number of batches of episodes.
    first : int
        Number of the first one.
    folder : str or path-like, default=None
        Where each batch is written; what is there already is read instead of made anew.
    fingerprint : str, default=""
        Identifies the training in these files.
    n_jobs : int, default=None
        Number of processes.
    verbose : bool, default=False
        Show progress.

    Returns
    -------
    parts : list of LabelledStates
        The states of each batch.
    """

    def one(position):
        path = None if folder is None else Path(folder) / f"labels-{position:05d}.safetensors"
        if path is not None and path.exists():
            tensors, header = load_checkpoint(path)
            if header.get("fingerprint") != fingerprint:
                raise ValueError(
                    f"{str(path)!r} belongs to a training with other settings; choose another "
                    "folder for the checkpoint."
                )
            return LabelledStates.from_tensors(tensors)
        states = label_episodes(
            priors,
            shares,
            teacher_of,
            n_candidates=n_candidates,
            student=student,
            law=law,
            seed=seed,
            position=position,
        )
        if path is not None:
            save_checkpoint(path, states.tensors(), {"fingerprint": fingerprint})
        return states

    calls = (delayed(one)(position) for position in range(first, first + n_batches))
    results = Parallel(n_jobs=n_jobs, return_as="generator")(calls)
    if verbose:
        from tqdm.auto import tqdm

        results = tqdm(results, total=n_batches, desc="labelling states")
    return list(results)


def fit_scorer(
    scorer: DesignScorer,
    parts: Sequence[LabelledStates],
    *,
    n_epochs: int,
    seed: int,
    learning_rate: float = 1e-3,
    n_iter_no_change: int | None = None,
    checkpoint=None,
    fingerprint: str = "",
    verbose: bool = False,
) -> dict[str, torch.Tensor]:
    """Regress the utilities of designs, centred within each state, on what a scorer says.

    One batch of episodes in ten is held out; the weights of the best epoch on these are kept.

    Parameters
    ----------
    scorer : DesignScorer
        The network, trained in place.
    parts : sequence of LabelledStates
        States of batches of episodes.
    n_epochs : int
        Number of passes over the states.
    seed : int
        Determines the order of the states.
    learning_rate : float, default=1e-3
        Largest learning rate.
    n_iter_no_change : int, default=None
        Epochs without a better one after which to stop. Default: never.
    checkpoint, fingerprint, verbose
        As those of :func:`skcausal.nn.train`.

    Returns
    -------
    history : dict of str to Tensor
        Terms of the loss by epoch: "scores", the share of the variance of utilities within states
        that is not explained; "edges", the cross-entropy of edges; "validation".
    """
    held_out = [part for k, part in enumerate(parts) if k % _HELD_OUT == 0 and len(parts) > 1]
    groups = _by_size([part for k, part in enumerate(parts) if k % _HELD_OUT or len(parts) == 1])
    spread = _spread(groups)
    n_steps = sum(-(-len(group) // _STATES_PER_BATCH) for group in groups)

    def epoch_batches(epoch, rank, world_size) -> Iterator[LabelledStates]:
        rng = rng_of_epoch(seed, epoch)
        batches = []
        for k, group in enumerate(groups):
            order = torch.from_numpy(rng.permutation(len(group)))
            batches += [(k, chosen) for chosen in order.split(_STATES_PER_BATCH)]
        shuffled = [batches[b] for b in rng.permutation(len(batches))]
        n_each = len(shuffled) // world_size
        for k, chosen in shuffled[rank * n_each : (rank + 1) * n_each]:
            yield groups[k][chosen]

    def validation_loss(module) -> torch.Tensor:
        losses = [distillation_loss(module, part, spread)["scores"] for part in held_out]
        return torch.stack(losses).mean()

    optimizer = torch.optim.AdamW(
        scorer.parameters(), lr=learning_rate, weight_decay=1e-3, fused=True
    )
    optimizer.register_step_pre_hook(clip_gradients)
    return train(
        scorer,
        lambda module, states: distillation_loss(module, states, spread),
        epoch_batches,
        optimizer=optimizer,
        n_epochs=n_epochs,
        schedule=warmup_cosine(n_steps * n_epochs, n_warmup=50),
        validation_loss=validation_loss if held_out else None,
        n_iter_no_change=n_iter_no_change,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        verbose=verbose,
        description="learning scores",
    )


def distillation_loss(module: nn.Module, states: LabelledStates, spread: float):
    """Return the terms of the loss of a batch.

    Parameters
    ----------
    module : nn.Module
        The scorer, or what wraps it.
    states : LabelledStates
        The batch.
    spread : float
        Standard deviation of utilities within states, the unit of scores.

    Returns
    -------
    terms : dict of str to Tensor
        See :func:`fit_scorer`.
    """
    function = module(states.inputs)
    scorer: Any = getattr(module, "module", module)  # not what wraps it for several processes
    scores = scorer.score(function, states.targets, states.position)
    error = _centred(scores) - _centred(states.utility) / spread
    scores_term = error.square().mean()
    edges_term = edge_cross_entropy(function.edge_logits, states.edges)
    return {
        "loss": scores_term + _EDGE_WEIGHT * edges_term,
        "scores": scores_term.detach(),
        "edges": edges_term.detach(),
    }


def _by_size(parts):
    """Join states of each number of variables and candidates."""
    shapes = sorted({part.targets.shape[1:] for part in parts})
    return [join_states([p for p in parts if p.targets.shape[1:] == shape]) for shape in shapes]


def _spread(groups):
    """Return the standard deviation of utilities within states."""
    squares = torch.cat([_centred(group.utility).square().flatten() for group in groups])
    return float(squares.mean().sqrt().clamp(min=1e-6))


def _centred(utility):
    """Utilities less the mean of their state."""
    return utility - utility.mean(dim=1, keepdim=True)
