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

from skcausal.nn._checkpoint import load_checkpoint, save_checkpoint
from skcausal.nn._distributed import process_group

_SECONDS_BETWEEN_CHECKPOINTS = 5.0

Terms = dict[str, torch.Tensor]


def warmup_cosine(n_steps: int, n_warmup: int = 20) -> Callable[[int], float]:
    """Schedule of the learning rate: linear warm-up, then half a cosine down to zero.

    Parameters
    ----------
    n_steps : int
        Number of optimizer steps in all.
    n_warmup : int, default=20
        Steps until the full rate is reached.

    Returns
    -------
    factor : callable
        ``factor(step)`` multiplies the base learning rate.
    """

    def factor(step: int) -> float:
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(step, n_steps) / n_steps))
        return cosine * min(1.0, (step + 1) / n_warmup)

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
        "loss" is minimised (its sum over the members); the others are recorded. It has to call the
        module that it is given, which several processes wrap.
    epoch_batches : callable
        ``epoch_batches(epoch, rank, world_size)`` yields the batches of an epoch, or this process's
        share of them. All their randomness has to be a function of the epoch: then a resumed run
        sees what an uninterrupted one does.
    optimizer : torch.optim.Optimizer
        Optimizer of the module's parameters.
    n_epochs : int
        Number of epochs.
    schedule : callable, default=None
        ``schedule(step)`` multiplies the optimizer's learning rates. Default: constant.
    validation_loss : callable, default=None
        ``validation_loss(module)`` after each epoch, without gradients: a scalar or (n_members,).
        In the end each member gets back the parameters of its best epoch.
    n_iter_no_change : int, default=None
        A member stops after so many epochs without a new best one; from then on nothing that
        happens to it counts. Training ends when all have stopped. Default: never.
    tol : float, default=0.0
        By how much a validation loss must fall below the best so far to count.
    checkpoint : str or path-like, default=None
        File for the state of the training, written after an epoch, at most every five seconds, and
        after the last. If it exists, training goes on from there, bit-identically.
    fingerprint : str, default=""
        Identifies data and settings: a checkpoint with another one is refused.
    verbose : bool, default=False
        Show a progress bar.
    description : str, default="epoch"
        Its label.

    Returns
    -------
    history : dict of str to Tensor
        Mean of each term over the batches of each epoch, of shape (n_epochs_run,) or (n_epochs_run,
        n_members), in float64; "validation" besides, if there is one.

    Raises
    ------
    FloatingPointError
        If the loss is not finite.
    ValueError
        If the checkpoint belongs to another training.

    Notes
    -----
    Under ``torchrun`` the module is wrapped in DistributedDataParallel, the gradients are averaged
    over the processes, and the first process writes the checkpoint.
    """
    device = next(module.parameters()).device
    base_rates = [group["lr"] for group in optimizer.param_groups]
    state = _State(module, optimizer)
    if checkpoint is not None and os.path.exists(checkpoint):
        state.load(checkpoint, fingerprint, device)
    with process_group(device) as (rank, world_size):
        wrapped = DistributedDataParallel(module) if world_size > 1 else module
        last_saved = time.monotonic()
        progress = _progress_bar(n_epochs, state.epoch, verbose and rank == 0, description)
        try:
            while state.epoch < n_epochs and not state.stopped(n_iter_no_change):
                totals: Terms = {}
                n_batches = 0
                module.train()
                for batch in epoch_batches(state.epoch, rank, world_size):
                    factor = 1.0 if schedule is None else schedule(state.step)
                    for group, rate in zip(optimizer.param_groups, base_rates):
                        group["lr"] = rate * factor
                    terms = batch_loss(wrapped, batch)
                    optimizer.zero_grad(set_to_none=True)
                    terms["loss"].sum().backward()
                    optimizer.step()
                    state.step += 1
                    n_batches += 1
                    for name, value in terms.items():
                        totals[name] = totals.get(name, 0.0) + value.detach()
                means = {name: (total / n_batches).double() for name, total in totals.items()}
                _check_finite(means["loss"], state.epoch)
                if validation_loss is not None:
                    module.eval()
                    with torch.no_grad():
                        loss = validation_loss(module)
                    if world_size > 1:
                        dist.broadcast(loss, src=0)
                    state.keep_best(loss, n_iter_no_change, tol)
                    means["validation"] = loss.double()
                state.record(means)
                progress.update(loss=f"{float(means['loss'].mean()):.4g}")
                due = time.monotonic() - last_saved >= _SECONDS_BETWEEN_CHECKPOINTS
                last = state.epoch == n_epochs or state.stopped(n_iter_no_change)
                if checkpoint is not None and rank == 0 and (due or last):
                    state.save(checkpoint, fingerprint)
                    last_saved = time.monotonic()
        finally:
            progress.close()
            for group, rate in zip(optimizer.param_groups, base_rates):
                group["lr"] = rate
    state.restore_best()
    module.eval()
    return state.history()


class _State:
    """All that a training has to remember between epochs."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer):
        self.module = module
        self.optimizer = optimizer
        self.epoch = 0
        self.step = 0
        self.records: dict[str, list[torch.Tensor]] = {}
        self.best: dict[str, torch.Tensor] = {}
        self.best_loss: torch.Tensor | None = None
        self.stale: torch.Tensor | None = None

    def stopped(self, n_iter_no_change: int | None) -> bool:
        """Whether no member has had a new best epoch for long."""
        if n_iter_no_change is None or self.stale is None:
            return False
        return bool((self.stale >= n_iter_no_change).all())

    def keep_best(self, loss: torch.Tensor, n_iter_no_change: int | None, tol: float) -> None:
        """Remember the parameters of the members whose validation loss is the lowest so far."""
        parameters = dict(self.module.named_parameters())
        if self.best_loss is None or self.stale is None:
            self.best = {name: p.detach().clone() for name, p in parameters.items()}
            self.best_loss = loss.clone()
            self.stale = torch.zeros_like(loss, dtype=torch.long)
            return
        improved = loss < self.best_loss - tol
        if n_iter_no_change is not None:
            improved &= self.stale < n_iter_no_change
        self.stale = torch.where(improved, 0, self.stale + 1)
        self.best_loss = torch.where(improved, loss, self.best_loss)
        if improved.any():
            members = improved.nonzero()[:, 0] if improved.ndim else slice(None)
            for name, p in parameters.items():
                self.best[name][members] = p.detach()[members]

    def restore_best(self) -> None:
        """Give the module the parameters of its best epochs."""
        with torch.no_grad():
            for name, p in self.module.named_parameters():
                if name in self.best:
                    p.copy_(self.best[name])

    def record(self, means: Terms) -> None:
        """Close an epoch."""
        for name, value in means.items():
            self.records.setdefault(name, []).append(value.cpu())
        self.epoch += 1

    def history(self) -> dict[str, torch.Tensor]:
        """Every term over the epochs."""
        return {name: torch.stack(values) for name, values in self.records.items()}

    def save(self, path: str | os.PathLike[str], fingerprint: str) -> None:
        """Write a checkpoint."""
        optimizer = self.optimizer.state_dict()["state"]
        tensors = {f"module.{name}": t for name, t in self.module.state_dict().items()}
        tensors |= {f"best.{name}": t for name, t in self.best.items()}
        tensors |= {f"history.{name}": t for name, t in self.history().items()}
        tensors |= {
            f"optimizer.{number}.{name}": torch.as_tensor(value)
            for number, values in optimizer.items()
            for name, value in values.items()
        }
        if self.best_loss is not None and self.stale is not None:
            tensors |= {"best_loss": self.best_loss, "stale": self.stale}
        header = {"fingerprint": fingerprint, "epoch": self.epoch, "step": self.step}
        save_checkpoint(path, tensors, header)

    def load(self, path: str | os.PathLike[str], fingerprint: str, device: torch.device) -> None:
        """Continue from a checkpoint."""
        tensors, header = load_checkpoint(path, device)
        if header.get("fingerprint") != fingerprint:
            raise ValueError(
                f"The checkpoint {str(path)!r} belongs to another training: the data, the "
                "parameters or the random_state differ. Remove the file or name another one."
            )
        parts = _by_prefix(tensors)
        self.module.load_state_dict(parts["module"])
        self.best = parts.get("best", {})
        self.records = {k: list(v.cpu()) for k, v in parts.get("history", {}).items()}
        self.best_loss, self.stale = tensors.get("best_loss"), tensors.get("stale")
        self.epoch, self.step = header["epoch"], header["step"]
        optimizer: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in parts.get("optimizer", {}).items():
            number, name = key.split(".", 1)
            optimizer.setdefault(int(number), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": optimizer, "param_groups": groups})


def _by_prefix(tensors: Terms) -> dict[str, Terms]:
    """Group tensors named "prefix.name" by their prefix."""
    parts: dict[str, Terms] = {}
    for key, value in tensors.items():
        prefix, _, name = key.partition(".")
        parts.setdefault(prefix, {})[name] = value
    return parts


def _check_finite(loss: torch.Tensor, epoch: int) -> None:
    """Raise where training has diverged."""
    if not torch.isfinite(loss).all():
        raise FloatingPointError(
            f"The training loss is not finite in epoch {epoch + 1}. Lower the learning rate or the "
            "weights of the penalties, or rescale the data."
        )


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
