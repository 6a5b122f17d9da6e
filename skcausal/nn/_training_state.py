"""What a training has to remember between epochs, in memory and in a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from skcausal.nn._best_epoch import BestEpochs
from skcausal.nn._checkpoint import alike, save_checkpoint

Terms = dict[str, torch.Tensor]


class TrainingState:
    """All that a training has to remember between epochs."""

    def __init__(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, best_epochs: BestEpochs
    ):
        self.module = module
        self.optimizer = optimizer
        self.best_epochs = best_epochs
        self.epoch = 0
        self.step = 0
        self.records: dict[str, list[torch.Tensor]] = {}
        self.best: Terms = {}

    def check_finite(self, kind: str, loss: torch.Tensor) -> None:
        """Raise where training has diverged, but for members that have stopped."""
        active = self.best_epochs.active
        if active is not None and active.shape == loss.shape:
            loss = loss[active]
        if not torch.isfinite(loss).all():
            raise FloatingPointError(
                f"The {kind} loss is not finite in epoch {self.epoch + 1}. Lower the learning rate "
                "or the weights of the penalties, or rescale the data."
            )

    def keep_best(self, loss: torch.Tensor) -> None:
        """Remember the parameters of the members whose validation loss is the lowest so far."""
        improved = self.best_epochs.update(loss)
        if improved.ndim == 0:
            current = self.module.state_dict()
        else:
            current = dict(self.module.named_parameters())
            _check_leading_axis(current, len(improved))
        for name, tensor in current.items():
            if name not in self.best:
                self.best[name] = tensor.detach().clone()
            elif improved.ndim == 0 and improved:
                self.best[name].copy_(tensor.detach())
            elif improved.any():
                members = improved.to(tensor.device)
                self.best[name][members] = tensor.detach()[members]

    def restore_best(self) -> None:
        """Give the module the parameters of its best epochs."""
        current = self.module.state_dict()
        with torch.no_grad():
            for name, tensor in self.best.items():
                current[name].copy_(tensor)

    def record(self, means: Terms) -> None:
        """Close an epoch."""
        for name, value in means.items():
            self.records.setdefault(name, []).append(value)
        self.epoch += 1

    def history(self) -> Terms:
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
        header = {"fingerprint": fingerprint, "epoch": self.epoch, "step": self.step}
        save_checkpoint(path, tensors, header)

    def load(
        self,
        path: str | os.PathLike[str],
        tensors: Terms,
        header: dict[str, Any],
        fingerprint: str,
    ) -> None:
        """Continue from what a checkpoint holds."""
        if not {"fingerprint", "epoch", "step"} <= header.keys():
            raise ValueError(f"{str(path)!r} is no checkpoint of a training.")
        parts = _by_prefix(tensors)
        fits = alike(parts.get("module", {}), self.module.state_dict())
        if header["fingerprint"] != fingerprint or not fits:
            raise ValueError(
                f"The checkpoint {str(path)!r} belongs to another training: the data, the "
                "parameters or the random_state differ. Remove the file or name another one."
            )
        optimizer = _read_parts(path, parts, header, wanted=self.module.state_dict())
        device = next(self.module.parameters()).device
        self.module.load_state_dict(parts["module"])
        self.best = {name: t.to(device) for name, t in parts.get("best", {}).items()}
        self.records = {name: list(t) for name, t in parts.get("history", {}).items()}
        for loss in self.records.get("validation", []):
            self.best_epochs.update(loss)
        self.epoch, self.step = header["epoch"], header["step"]
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": optimizer, "param_groups": groups})


def _read_parts(path, parts, header, *, wanted) -> dict[int, Terms]:
    """Return the optimizer's state; raise where the parts contradict each other."""
    counts = [header["epoch"], header["step"]]
    best, history = parts.get("best", {}), parts.get("history", {})
    state: dict[int, Terms] = {}
    for key, value in parts.get("optimizer", {}).items():
        number, _, name = key.partition(".")
        state.setdefault(int(number) if number.isdecimal() else -1, {})[name] = value
    whole = (
        all(type(count) is int and count >= 0 for count in counts)
        and all(name in wanted and t.shape == wanted[name].shape for name, t in best.items())
        and all(t.ndim > 0 and len(t) == counts[0] for t in history.values())
        and bool(history) == (counts[0] != 0)
        and all(bool(t.isfinite().all()) for t in best.values())
        and min(state, default=0) >= 0
    )
    if not whole:
        raise ValueError(f"The checkpoint {str(path)!r} is damaged: its parts do not fit together.")
    return state


def _check_leading_axis(parameters: Mapping[str, torch.Tensor], n_members: int) -> None:
    """Raise unless the members can be told apart in every parameter."""
    for name, parameter in parameters.items():
        if parameter.ndim == 0 or len(parameter) != n_members:
            raise ValueError(
                f"validation_loss has one value for each of {n_members} members, but the leading "
                f"axis of the parameter {name!r}, of shape {tuple(parameter.shape)}, is not that "
                "of the members. Return a scalar."
            )


def _by_prefix(tensors: Terms) -> dict[str, Terms]:
    """Group tensors named "prefix.name" by their prefix."""
    parts: dict[str, Terms] = {}
    for key, value in tensors.items():
        prefix, _, name = key.partition(".")
        parts.setdefault(prefix, {})[name] = value
    return parts
