"""Joining the processes that torchrun starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


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
    torchrun's environment variables, and closed at the end.
    """
    joined = dist.is_available() and dist.is_initialized()
    started_by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ
    if not joined and not started_by_torchrun:
        yield 0, 1
        return
    if not joined:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        if not joined:
            dist.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """Device of this process: torchrun's n-th process on a machine takes the n-th GPU."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device
