"""When each member of an ensemble was at its best, and when it has been waited for long enough."""

from __future__ import annotations

from collections.abc import Iterable

import torch


class BestEpochs:
    """Follow the validation loss of all members, epoch by epoch.

    Parameters
    ----------
    n_iter_no_change : int or None
        A member stops after so many epochs without a new best one. None: never.
    tol : float
        By how much a loss must fall below the best so far to count.

    Attributes
    ----------
    epoch : Tensor of int, a scalar or of shape (n_members,), or None
        Best epoch so far, from 0 on; None before the first update.
    active : Tensor of bool of the same shape, or None
        Whether a member has not stopped yet.
    """

    def __init__(self, n_iter_no_change: int | None = None, tol: float = 0.0):
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.epoch: torch.Tensor | None = None
        self.active: torch.Tensor | None = None
        self._loss = torch.tensor(torch.inf)
        self._n_seen = 0

    @property
    def stopped(self) -> bool:
        """Whether all members have stopped."""
        return self.active is not None and not self.active.any()

    def update(self, loss: torch.Tensor) -> torch.Tensor:
        """Take note of the losses of an epoch.

        Parameters
        ----------
        loss : Tensor, a scalar or of shape (n_members,)
            Validation loss, in float64 on the CPU.

        Returns
        -------
        improved : Tensor of bool of the same shape
            Which members are at their best.
        """
        if self.epoch is None or self.active is None:
            self._loss = torch.full_like(loss, torch.inf)
            self.epoch = torch.zeros_like(loss, dtype=torch.long)
            self.active = torch.ones_like(loss, dtype=torch.bool)
        improved = self.active & (loss < self._loss - self.tol)
        self._loss = torch.where(improved, loss, self._loss)
        self.epoch = torch.where(improved, self._n_seen, self.epoch)
        if self.n_iter_no_change is not None:
            self.active &= self._n_seen - self.epoch < self.n_iter_no_change
        self._n_seen += 1
        return improved


def best_epoch(
    validation: Iterable[torch.Tensor], n_iter_no_change: int | None = None, tol: float = 0.0
) -> torch.Tensor:
    """Epoch from which :func:`train` took the parameters of each member.

    It is the epoch of the lowest validation loss only if `tol` is 0 and no member stopped early.

    Parameters
    ----------
    validation : Tensor of shape (n_epochs,) or (n_epochs, n_members)
        The "validation" losses that :func:`train` returned.
    n_iter_no_change : int, default=None
        As it was passed to :func:`train`.
    tol : float, default=0.0
        As it was passed to :func:`train`.

    Returns
    -------
    epoch : Tensor of int, a scalar or of shape (n_members,)
        The epochs, from 0 on.

    Raises
    ------
    ValueError
        If there is no epoch.

    Examples
    --------
    >>> import torch
    >>> from skcausal.nn import best_epoch
    >>> validation = torch.tensor([3.0, 2.0, 2.5, 2.4, 1.0])
    >>> best_epoch(validation).item(), best_epoch(validation, n_iter_no_change=2).item()
    (4, 1)
    """
    epochs = BestEpochs(n_iter_no_change, tol)
    for loss in validation:
        epochs.update(loss)
    if epochs.epoch is None:
        raise ValueError("There is no best epoch, because validation has no epochs.")
    return epochs.epoch
