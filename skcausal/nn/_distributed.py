"""Joining the processes that torchrun starts."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

_numbers = itertools.count()


@contextmanager
def process_group(device: torch.device) -> Iterator[tuple[int, int]]:
    """Rank of this process and number of processes, (0, 1) where torchrun did not start us.

    Parameters
    ----------
    device : torch.device
        Where this process computes; it decides between the backends NCCL and Gloo.

    Yields
    ------
    rank : int
        Number of this process.
    world_size : int
        How many take part.

    Notes
    -----
    A group that exists already is used, and left alone afterwards; otherwise one is made of
    torchrun's environment variables, and closed at the end. All processes have to get here equally
    often.
    """
    joined = dist.is_available() and dist.is_initialized()
    started_by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ
    if not joined and not started_by_torchrun:
        yield 0, 1
        return
    if not joined:
        # torchrun's store outlives a group: without names of its own, a second group would find
        # the addresses of the first, and wait for it for ever.
        store, rank, world_size = next(iter(dist.rendezvous("env://")))
        store = dist.PrefixStore(f"skcausal/{next(_numbers)}", store)
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=world_size)
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        if not joined:
            dist.destroy_process_group()


def from_first_process(function: Callable[[], Any], device: torch.device) -> Any:
    """Call `function` in the first process alone; the others get its result, or its error.

    Parameters
    ----------
    function : callable
        What the first process calls, alone; its result has to be picklable.
    device : torch.device
        Where this process computes.

    Returns
    -------
    result : object
        The same in all processes of the group.

    Raises
    ------
    OSError, ValueError
        In all processes, if `function` raises it.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return function()
    box: list[Any] = [None]
    if dist.get_rank() == 0:
        try:
            box[0] = function()
        except (OSError, ValueError) as error:
            box[0] = error
    dist.broadcast_object_list(box, src=0, device=device)
    if isinstance(box[0], Exception):
        raise box[0]
    return box[0]


def mean_over_processes(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Average tensors over the processes of the group.

    Parameters
    ----------
    values : dict of str to Tensor
        Under the same names and of the same shapes everywhere.

    Returns
    -------
    means : dict of str to Tensor
        Bitwise the same in all processes.
    """
    means = {}
    for name in sorted(values):
        mean = values[name].clone()
        dist.all_reduce(mean)
        means[name] = mean / dist.get_world_size()
    return {name: means[name] for name in values}


def local_device(device: torch.device) -> torch.device:
    """Device of this process: torchrun's n-th process on a machine takes the n-th GPU.

    Parameters
    ----------
    device : torch.device
        Where to compute; "cuda" without a number is given one.

    Returns
    -------
    device : torch.device
        Where this process computes.
    """
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device
