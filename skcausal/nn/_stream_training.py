"""Training on a stream of simulated batches, of which none is seen twice."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from skcausal.nn._clipping import clip_gradients
from skcausal.nn._training import train, warmup_cosine

_STEPS_PER_EPOCH = 50


def train_on_stream(
    module: nn.Module,
    batch_loss: Callable[[nn.Module, Any], dict[str, torch.Tensor]],
    draw_batch: Callable[[int, float], Any],
    *,
    n_steps: int,
    learning_rate: float,
    weight_decay: float,
    checkpoint=None,
    fingerprint: str = "",
    verbose: bool = False,
    description: str = "training",
) -> dict[str, torch.Tensor]:
    """Train a module in place: AdamW with warm-up, a cosine and clipped gradients.

    Parameters
    ----------
    module : nn.Module
        What is trained.
    batch_loss : callable
        As that of :func:`train`.
    draw_batch : callable
        ``draw_batch(position, progress)`` draws the batch of a position in the stream, which
        determines it; `progress` is the share of the training that is done.
    n_steps : int
        Number of batches, of each process.
    learning_rate : float
        Largest learning rate.
    weight_decay : float
        Decoupled weight decay.
    checkpoint, fingerprint, verbose, description
        As those of :func:`train`.

    Returns
    -------
    history : dict of str to Tensor
        Means of the terms of the loss over every epoch of 50 batches.
    """
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True
    )
    optimizer.register_step_pre_hook(clip_gradients)

    def epoch_batches(epoch, rank, world_size):
        first = epoch * _STEPS_PER_EPOCH
        for step in range(first, min(first + _STEPS_PER_EPOCH, n_steps)):
            yield draw_batch(step * world_size + rank, step / n_steps)

    return train(
        module,
        batch_loss,
        epoch_batches,
        optimizer=optimizer,
        n_epochs=math.ceil(n_steps / _STEPS_PER_EPOCH),
        schedule=warmup_cosine(n_steps, n_warmup=100),
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        verbose=verbose,
        description=description,
    )
