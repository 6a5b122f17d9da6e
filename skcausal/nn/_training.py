"""The one training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from skcausal.nn._best_epoch import BestEpochs
from skcausal.nn._checkpoint import check_writable, load_checkpoint
from skcausal.nn._distributed import from_first_process, join_processes, mean_over_processes
from skcausal.nn._training_state import Terms, TrainingState

_SECONDS_BETWEEN_CHECKPOINTS = 5.0


def warmup_cosine(n_steps: int, n_warmup: int = 20) -> Callable[[int], float]:
    """Schedule of the learning rate: linear warm-up, then half a cosine down to zero.

    Parameters
    ----------
    n_steps : int
        Number of optimizer steps in all.
    n_warmup : int, default=20
        Steps until the full rate is reached; 0 for none.

    Returns
    -------
    factor : callable
        ``factor(step)`` multiplies the base learning rate.
    """

    def factor(step: int) -> float:
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(step, n_steps) / n_steps))
        return cosine * min(1.0, (step + 1) / max(1, n_warmup))

    return factor


def train(
    module: nn.Module,
    batch_loss: Callable[[nn.Module, Any], Terms],
    epoch_batches: Callable[[int, int, int], Iterable[Any]],
    *,
    optimizer: torch.optim.Optimizer,
    n_epochs: int,
    schedule: Callable[[int], float] | None = None,
    validation_loss: Callable[[nn.Module], torch.Tensor] | None = None,
    n_iter_no_change: int | None = None,
    tol: float = 0.0,
    checkpoint: str | os.PathLike[str] | None = None,
    fingerprint: str = "",
    verbose: bool = False,
    description: str = "epoch",
) -> dict[str, torch.Tensor]:
    """Train a module epoch by epoch.

    Parameters
    ----------
    module : nn.Module
        What is trained, in place.
    batch_loss : callable
        ``batch_loss(module, batch)`` returns the terms of the loss by name, each a scalar, or of
        shape (n_members,) for an ensemble whose parameters all have the member as leading axis.
        "loss" is minimised (its sum over the members); the others are recorded, and are the same in
        every batch. It has to call the module that it is given, which several processes wrap.
    epoch_batches : callable
        ``epoch_batches(epoch, rank, world_size)`` yields the batches of an epoch, or this process's
        share of them: equally many in each process, and one at least. All their randomness has to
        be a function of the epoch: then a resumed run sees what an uninterrupted one does.
    optimizer : torch.optim.Optimizer
        Optimizer of the module's parameters.
    n_epochs : int
        Number of epochs.
    schedule : callable, default=None
        ``schedule(step)`` multiplies the optimizer's learning rates. Default: constant.
    validation_loss : callable, default=None
        ``validation_loss(module)`` after each epoch, without gradients: a scalar or (n_members,).
        In the end each member gets back the parameters of its best epoch; with a scalar the module
        gets its buffers back, too. :func:`best_epoch` tells which one it was.
    n_iter_no_change : int, default=None
        A member stops after so many epochs without a new best one; from then on nothing that
        happens to it counts. Training ends when all have stopped. Needs `validation_loss`.
        Default: never.
    tol : float, default=0.0
        By how much a validation loss must fall below the best so far to count.
    checkpoint : str or path-like, default=None
        File for the state of the training, written after an epoch, at most every five seconds, and
        after the last. If it exists, training goes on from there; bit-identically, if the device
        and the number of processes are the same. A finished one is returned as it is.
    fingerprint : str, default=""
        Identifies data and settings: a checkpoint with another one is refused.
    verbose : bool, default=False
        Show a progress bar.
    description : str, default="epoch"
        Its label.

    Returns
    -------
    history : dict of str to Tensor
        Mean of each term over the batches (of all processes) of each epoch, of shape
        (n_epochs_run,) or (n_epochs_run, n_members), in float64 on the CPU; "validation" besides,
        if there is one. Empty if no epoch was run.

    Raises
    ------
    FloatingPointError
        If the loss, or the validation loss, of a member that has not stopped is not finite.
    ValueError
        If the checkpoint is none, or belongs to another training; if there are no batches; if the
        validation loss has members that the parameters lack.
    OSError
        If the checkpoint cannot be written, before training begins, or read.

    Notes
    -----
    Under ``torchrun`` the module is wrapped in DistributedDataParallel, the gradients are averaged
    over the processes, and the first process reads and writes the checkpoint.

    If training fails or is interrupted, the module is left as it is at that moment; the optimizer
    has its learning rates back in any case, and no gradients are kept.
    """
    device = next(module.parameters()).device
    learning_rates = _LearningRates(optimizer, schedule)
    state = TrainingState(module, optimizer, BestEpochs(n_iter_no_change, tol))
    rank, world_size = join_processes(device)
    if checkpoint is not None:
        found = from_first_process(lambda: _find_checkpoint(checkpoint), device)
        if found is not None:
            tensors, header = found
            state.load(checkpoint, tensors, header, fingerprint)
    wrapped = DistributedDataParallel(module) if world_size > 1 else module
    last_saved = time.monotonic()
    progress = _progress_bar(n_epochs, state.epoch, verbose and rank == 0, description)
    try:
        while state.epoch < n_epochs and not state.best_epochs.stopped:
            batches = epoch_batches(state.epoch, rank, world_size)
            means = _run_epoch(wrapped, batch_loss, batches, optimizer, learning_rates, state)
            if world_size > 1:
                means = mean_over_processes(means)
            means = {name: mean.cpu().double() for name, mean in means.items()}
            state.check_finite("training", means["loss"])
            if validation_loss is not None:
                module.eval()
                with torch.no_grad():
                    loss = validation_loss(module).clone()
                if world_size > 1:
                    dist.broadcast(loss, src=0)
                means["validation"] = loss.cpu().double()
                state.check_finite("validation", means["validation"])
                state.keep_best(means["validation"])
            state.record(means)
            progress.update(loss=f"{float(means['loss'].mean()):.4g}")
            due = time.monotonic() - last_saved >= _SECONDS_BETWEEN_CHECKPOINTS
            last = state.epoch == n_epochs or state.best_epochs.stopped
            if checkpoint is not None and rank == 0 and (due or last):
                state.save(checkpoint, fingerprint)
                last_saved = time.monotonic()
    finally:
        progress.close()
        optimizer.zero_grad(set_to_none=True)
        learning_rates(None)
    state.restore_best()
    module.eval()
    return state.history()


class _LearningRates:
    """Sets the learning rates of an optimizer to those of a step, or to what they were."""

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: Callable[[int], float] | None):
        self.optimizer = optimizer
        self.schedule = schedule
        self.base = [group["lr"] for group in optimizer.param_groups]

    def __call__(self, step: int | None) -> None:
        """Set them; None stands for after the training."""
        factor = 1.0 if step is None or self.schedule is None else self.schedule(step)
        for group, rate in zip(self.optimizer.param_groups, self.base):
            group["lr"] = rate * factor


def _run_epoch(
    module: nn.Module,
    batch_loss: Callable[[nn.Module, Any], Terms],
    batches: Iterable[Any],
    optimizer: torch.optim.Optimizer,
    learning_rates: _LearningRates,
    state: TrainingState,
) -> Terms:
    """One optimizer step per batch; returns the means of the terms over the batches."""
    totals: Terms = {}
    n_batches = 0
    module.train()
    for batch in batches:
        learning_rates(state.step)
        terms = batch_loss(module, batch)
        optimizer.zero_grad(set_to_none=True)
        terms["loss"].sum().backward()
        optimizer.step()
        state.step += 1
        n_batches += 1
        for name, value in terms.items():
            totals[name] = totals.get(name, 0.0) + value.detach()
    if n_batches == 0:
        raise ValueError(f"epoch_batches yields no batch in epoch {state.epoch + 1}.")
    return {name: total / n_batches for name, total in totals.items()}


def _find_checkpoint(
    path: str | os.PathLike[str],
) -> tuple[Terms, dict[str, Any]] | None:
    """Read a checkpoint if there is one; else make sure that it can be written."""
    if os.path.exists(path):
        return load_checkpoint(path)
    check_writable(path)
    return None


class _progress_bar:
    """A tqdm bar, or nothing."""

    def __init__(self, total: int, initial: int, shown: bool, description: str):
        self.bar = None
        if shown:
            from tqdm.auto import tqdm

            self.bar = tqdm(total=total, initial=initial, desc=description)

    def update(self, **shown) -> None:
        """One more epoch is done."""
        if self.bar is not None:
            self.bar.set_postfix(shown, refresh=False)
            self.bar.update()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self.bar is not None:
            self.bar.close()
