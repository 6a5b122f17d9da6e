"""Distributions over tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic

import numpy as np
import torch

from skcausal.simulators._batches import BatchT
from skcausal.simulators._parameters import check_choice, check_count
from skcausal.simulators._random import check_random_state, task_keys


class TaskPrior(Generic[BatchT]):
    """A distribution over tasks, most of them causal systems.

    Task number k of a seed is always the same system, in whatever batches the tasks are drawn and
    on whatever device.
    """

    def _draw(self, keys: torch.Tensor, dtype: torch.dtype) -> BatchT:
        """Tasks of the given keys (n_tasks,)."""
        raise NotImplementedError

    def sample(
        self,
        n_tasks: int,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        *,
        start: int = 0,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> BatchT:
        """Draw a batch of tasks.

        Parameters
        ----------
        n_tasks : int
            Number of tasks.
        random_state : int, RandomState instance, Generator instance or None, default=None
            Seed of the sequence of tasks.
        start : int, default=0
            Position of the first task in the sequence: drawing 40 tasks and then 60 with
            ``start=40`` gives the tasks that drawing 100 at once gives.
        device : str or torch.device, default="cpu"
            Where the tasks live and are simulated.
        dtype : torch.dtype, default=torch.float32
            Precision of their parameters and rows.

        Returns
        -------
        batch : Batch
            The tasks.

        Raises
        ------
        ValueError
            If a count is out of range, the device is missing, or the precision is another one than
            float32 and float64.
        """
        check_count("n_tasks", n_tasks)
        check_count("start", start, smallest=0)
        check_choice("dtype", dtype, (torch.float32, torch.float64))
        if torch.device(device).type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device={device!r} is not available here. Use device='cpu'.")
        keys = task_keys(check_random_state(random_state), n_tasks, start=start, device=device)
        return self._draw(keys, dtype)

    def stream(
        self,
        n_tasks: int | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        *,
        batch_size: int = 64,
        start: int = 0,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Iterator[BatchT]:
        """Draw tasks batch by batch; no more than one batch is held.

        Parameters
        ----------
        n_tasks : int or None, default=None
            Number of tasks in all; None for a stream without end.
        random_state : int, RandomState instance, Generator instance or None, default=None
            Seed of the sequence of tasks.
        batch_size : int, default=64
            Number of tasks in a batch; the last one may be smaller.
        start : int, default=0
            Position of the first task, for instance where an interrupted run resumes.
        device : str or torch.device, default="cpu"
            Where the tasks live and are simulated.
        dtype : torch.dtype, default=torch.float32
            Precision of their parameters and rows.

        Returns
        -------
        batches : iterator of Batch
            The batches, drawn when they are asked for.
        """
        check_count("batch_size", batch_size)
        check_count("start", start, smallest=0)
        if n_tasks is not None:
            check_count("n_tasks", n_tasks)
        seed = check_random_state(random_state)
        return self._batches(n_tasks, seed, batch_size, start, {"device": device, "dtype": dtype})

    def _batches(self, n_tasks, seed, batch_size, start, options):
        """Generate the batches of :meth:`stream`, whose arguments have been checked."""
        done = 0
        while n_tasks is None or done < n_tasks:
            size = batch_size if n_tasks is None else min(batch_size, n_tasks - done)
            yield self.sample(size, seed, start=start + done, **options)
            done += size
