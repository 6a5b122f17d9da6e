"""Batches of tasks: counted, indexed, moved between devices and joined like arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from numbers import Integral
from typing import Self, TypeVar

import torch


class Batch:
    """A batch of tasks that were drawn from one prior.

    Its fields are tensors whose first axis runs over the tasks, batches of their own, or constants
    that all tasks share. ``batch[index]`` selects tasks as in an array, an integer giving a batch
    of one; ``len(batch)`` counts them. The attribute `keys`, an int64 tensor of shape (n_tasks,),
    holds the keys of the tasks' random numbers.
    """

    keys: torch.Tensor

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index) -> Self:
        if isinstance(index, Integral):
            index = range(len(self))[index]  # IndexError where it is out of range
            index = slice(index, index + 1)
        elif not isinstance(index, slice):
            index = torch.as_tensor(index, device=self.keys.device)
            index = index.reshape(-1).to(torch.int64 if index.numel() == 0 else index.dtype)
        return map_tensors(self, lambda tensor: tensor[index])

    def to(self, device: str | torch.device) -> Self:
        """Move the batch to a device.

        Parameters
        ----------
        device : str or torch.device
            Where later computations shall run.

        Returns
        -------
        batch : Batch
            The same tasks there.
        """
        return map_tensors(self, lambda tensor: tensor.to(device))


BatchT = TypeVar("BatchT", bound=Batch)


def concatenate(batches: Iterable[BatchT]) -> BatchT:
    """Join batches that were drawn from one prior.

    Parameters
    ----------
    batches : sequence of Batch
        Batches of one prior.

    Returns
    -------
    batch : Batch
        All their tasks, in this order.

    Raises
    ------
    ValueError
        If there is no batch, or two come from different priors or differ in precision.

    Examples
    --------
    >>> from skcausal.simulators import LinearPrior, concatenate
    >>> prior = LinearPrior(5)
    >>> parts = [prior.sample(2, 0), prior.sample(3, 0, start=2)]
    >>> bool((concatenate(parts).coef == prior.sample(5, 0).coef).all())
    True
    """
    listed = list(batches)
    if not listed:
        raise ValueError("batches is empty. Pass at least one batch.")
    return _join(listed)


def _join(items):
    """Concatenate tensors, or objects field by field."""
    first = items[0]
    shapes = {
        (item.shape[1:], item.dtype) if isinstance(item, torch.Tensor) else None for item in items
    }
    same = len({type(item) for item in items}) == len(shapes) == 1
    if same and isinstance(first, torch.Tensor):
        return torch.cat(items)
    if same and dataclasses.is_dataclass(first) and _has_tensors(first):
        fields = [f.name for f in dataclasses.fields(first)]
        return dataclasses.replace(
            first, **{name: _join([getattr(item, name) for item in items]) for name in fields}
        )
    others = [item for item in items if not same or item != first]
    if others:
        found = f": found {first!r} beside {others[0]!r}" if same else ""
        raise ValueError(
            f"The batches were drawn from different priors{found}. Join batches of one prior only."
        )
    return first


def _has_tensors(item) -> bool:
    """Whether a dataclass holds tensors, its own or those of its fields."""
    values = [getattr(item, field.name) for field in dataclasses.fields(item)]
    return any(
        isinstance(value, torch.Tensor) or (dataclasses.is_dataclass(value) and _has_tensors(value))
        for value in values
    )


def map_tensors(item, function):
    """Apply a function to every tensor of a (nested) dataclass."""
    if isinstance(item, torch.Tensor):
        return function(item)
    if dataclasses.is_dataclass(item):
        fields = {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}
        return dataclasses.replace(
            item, **{name: map_tensors(value, function) for name, value in fields.items()}
        )
    return item
