"""Joining the processes that torchrun starts."""

from __future__ import annotations

import atexit
import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist


def join_processes(device: torch.device) -> tuple[int, int]:
    """Join the processes that torchrun started together with this one.

    Parameters
    ----------
    device : torch.device
        Where this process computes; it decides between the backends NCCL and Gloo.

    Returns
    -------
    rank : int
        Number of this process; 0 where torchrun did not start it.
    world_size : int
        How many take part; 1 where torchrun did not start them.

    Notes
    -----
    A process group that exists already is used; otherwise one is made of torchrun's environment
    variables, which lasts until this process ends. A script that wants a group of its own has to
    make it before. Workers that this process starts, such as joblib's, inherit the variables but
    do not take part.
    """
    started_by_torchrun = (
        "TORCHELASTIC_RUN_ID" in os.environ
        and "RANK" in os.environ
        and multiprocessing.parent_process() is None
    )
    if not (dist.is_available() and (dist.is_initialized() or started_by_torchrun)):
        return 0, 1
    if not dist.is_initialized():
        # It is closed at the very end only. A second group in the same processes would wait for
        # ever at the addresses of the first, which torchrun's store still knows; and to free a
        # DistributedDataParallel after its group was closed is a deadlock now and then.
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        atexit.register(_close_group)
    return dist.get_rank(), dist.get_world_size()


def _close_group() -> None:
    """Close the group, unless somebody else did."""
    if dist.is_initialized():
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
