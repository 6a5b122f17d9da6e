"""Batches of causal systems, and the distributions over them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from numbers import Integral
from typing import ClassVar, Self

import torch

from skcausal.simulators._interventions import KINDS, Design, check_design
from skcausal.simulators._parameters import check_choice
from skcausal.simulators._random import check_random_state, fold_in, task_keys

# Rows simulated at a time when a mean is estimated.
_ROWS_AT_ONCE = 1024


class Systems:
    """A batch of causal systems of one family.

    The fields are tensors whose first axis runs over the systems. Systems with fewer variables
    than the widest that the prior allows are padded: `present` tells which variables exist, the
    others are 0 throughout. ``systems[index]`` selects systems as in an array, an integer giving a
    batch of one; ``len(systems)`` counts them.
    """

    keys: torch.Tensor
    n_variables: torch.Tensor

    # What `values` is where it is not given, for every kind of intervention that is known.
    _default_values: ClassVar[dict[str, float | None]] = dict.fromkeys(KINDS)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index) -> Self:
        if isinstance(index, Integral):
            index = range(len(self))[index]  # IndexError where it is out of range
            index = slice(index, index + 1)
        elif not isinstance(index, slice):
            index = torch.as_tensor(index, device=self.keys.device)
        return _map_tensors(self, lambda tensor: tensor[index])

    def to(self, device) -> Self:
        """Move the systems to a device.

        Parameters
        ----------
        device : str or torch.device
            Where later computations shall run.

        Returns
        -------
        systems : Systems
            The same systems there.
        """
        return _map_tensors(self, lambda tensor: tensor.to(device))

    @property
    def present(self) -> torch.Tensor:
        """Which variables exist: bool tensor of shape (n_systems, n_variables)."""
        index = torch.arange(self.adjacency.shape[-1], device=self.keys.device)
        return index < self.n_variables[:, None]

    @property
    def adjacency(self) -> torch.Tensor:
        """The graphs: bool tensor (n_systems, n_variables, n_variables), True for i -> j."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters and rows."""
        raise NotImplementedError

    def _simulate(self, n_rows, design: Design, kind, keys, first_row=0):
        """Rows (n_systems, n_regimes, n_rows, n_variables) from row `first_row` on."""
        raise NotImplementedError

    def _kind(self, kind) -> str:
        """Validate a kind of intervention; None is the first that is known."""
        kinds = tuple(self._default_values)
        if kind is not None:
            check_choice("kind", kind, kinds)
        return kind or kinds[0]

    def _design(self, interventions, values, kind) -> Design:
        """Validate the arguments that describe interventions."""
        kind = self._kind(kind)
        values = self._default_values[kind] if values is None else values
        return check_design(interventions, values, self.present, self.dtype)

    def sample(self, n_rows, interventions=None, values=None, *, kind=None, random_state=None):
        """Simulate rows of all systems.

        Parameters
        ----------
        n_rows : int
            Number of rows for each system (and regime).
        interventions : bool array or tensor, default=None
            The targets, of shape (n_variables,), (n_rows, n_variables) or (n_systems, n_rows,
            n_variables), or (n_systems, n_regimes, n_rows, n_variables) for several regimes with
            `n_rows` rows each. Every axis but the last may be 1. None means no intervention.
        values : float, array, tensor or frozen scipy distribution, default=None
            The targets' values: a number, an array that broadcasts to `interventions`, or a
            distribution from which each cell is drawn.
        kind : str, default=None
            What is done to the targets. The class says which kinds it knows; None is the first.
        random_state : int, RandomState instance, Generator instance or None, default=None
            Determines the noise. With the same integer the same noise is used under any
            intervention, and the first rows of a larger sample are those of a smaller one, up to
            rounding.

        Returns
        -------
        X : tensor of shape (n_systems, n_rows, n_variables)
            The rows; of shape (n_systems, n_regimes, n_rows, n_variables) if `interventions` has
            four dimensions.

        Raises
        ------
        TypeError
            If `interventions` is not boolean.
        ValueError
            If an argument is out of range or does not fit the others.
        """
        check_count("n_rows", n_rows)
        design = self._design(interventions, values, kind)
        given_rows = design.mask.shape[2]
        if given_rows not in (1, n_rows):
            raise ValueError(
                f"interventions and values must have one row, or n_rows={n_rows}, found "
                f"{given_rows}."
            )
        keys = fold_in(self.keys, check_random_state(random_state))
        X = self._simulate(n_rows, design, self._kind(kind), keys)
        return X if design.has_regimes else X.squeeze(1)

    def interventional_mean(
        self,
        interventions=None,
        values=None,
        *,
        kind=None,
        n_samples=10_000,
        random_state=0,
        return_standard_error=False,
    ):
        """Return the mean of every variable under interventions.

        Parameters
        ----------
        interventions : bool array or tensor, default=None
            The targets, of a shape that :meth:`sample` takes; each of its rows is one intervention.
        values : float, array, tensor or frozen scipy distribution, default=None
            The targets' values.
        kind : str, default=None
            What is done to the targets; None is the first of the kinds that the class knows.
        n_samples : int, default=10_000
            Rows per intervention where there is no closed form.
        random_state : int, RandomState instance, Generator instance or None, default=0
            Determines the rows.
        return_standard_error : bool, default=False
            Whether to return the standard error of the mean too; it is 0 for a closed form.

        Returns
        -------
        mean : tensor of shape (n_systems, n_rows, n_variables)
            One mean for each row of `interventions`, of which a mask of shape (n_variables,) has
            one; with an axis of regimes before it if the mask has four dimensions.
        standard_error : tensor of the same shape
            Only with `return_standard_error`.
        """
        check_count("n_samples", n_samples, smallest=2)
        design = self._design(interventions, values, kind)
        keys = fold_in(self.keys, check_random_state(random_state))
        results = self._mean(design, self._kind(kind), keys, n_samples)
        if not design.has_regimes:
            results = tuple(result.squeeze(1) for result in results)
        return results if return_standard_error else results[0]

    def _mean(self, design: Design, kind, keys, n_samples):
        """Mean and standard error of the shape of the mask, by Monte Carlo.

        Every row becomes a regime of its own; running moments keep the memory bounded.
        """
        regimes = design.by_regime()
        count = 0
        mean = squares = torch.zeros((), dtype=torch.float64, device=self.keys.device)
        while count < n_samples:
            n = min(_ROWS_AT_ONCE, n_samples - count)
            X = self._simulate(n, regimes, kind, keys, first_row=count).double()
            block = X.mean(dim=2)
            # Chan, Golub & LeVeque (1979): moments of two samples together.
            squares = squares + ((X - block[:, :, None]) ** 2).sum(dim=2)
            squares = squares + (block - mean) ** 2 * count * n / (count + n)
            mean = mean + (block - mean) * n / (count + n)
            count += n
        error = (squares / (count - 1) / count).sqrt()
        return mean.reshape(design.mask.shape), error.reshape(design.mask.shape)


class TaskPrior:
    """A distribution over causal systems.

    Task number k of a seed is always the same system, in whatever batches the tasks are drawn and
    on whatever device.
    """

    def _draw(self, keys: torch.Tensor, dtype: torch.dtype) -> Systems:
        """Systems of the given keys (n_tasks,)."""
        raise NotImplementedError

    def sample(
        self, n_tasks, random_state=None, *, start=0, device="cpu", dtype=torch.float32
    ) -> Systems:
        """Draw a batch of systems.

        Parameters
        ----------
        n_tasks : int
            Number of systems.
        random_state : int, RandomState instance, Generator instance or None, default=None
            Seed of the sequence of tasks.
        start : int, default=0
            Position of the first task in the sequence: drawing 40 tasks and then 60 with
            ``start=40`` gives the systems that drawing 100 at once gives.
        device : str or torch.device, default="cpu"
            Where the systems live and are simulated.
        dtype : torch.dtype, default=torch.float32
            Precision of their parameters and rows.

        Returns
        -------
        systems : Systems
            The batch.
        """
        check_count("n_tasks", n_tasks)
        check_count("start", start, smallest=0)
        keys = task_keys(check_random_state(random_state), n_tasks, start=start, device=device)
        return self._draw(keys, dtype)

    def stream(
        self,
        n_tasks=None,
        random_state=None,
        *,
        batch_size=64,
        start=0,
        device="cpu",
        dtype=torch.float32,
    ) -> Iterator[Systems]:
        """Draw systems batch by batch; no more than one batch is held.

        Parameters
        ----------
        n_tasks : int or None, default=None
            Number of systems in all; None for a stream without end.
        random_state : int, RandomState instance, Generator instance or None, default=None
            Seed of the sequence of tasks.
        batch_size : int, default=64
            Number of systems in a batch; the last one may be smaller.
        start : int, default=0
            Position of the first task, for instance where an interrupted run resumes.
        device : str or torch.device, default="cpu"
            Where the systems live and are simulated.
        dtype : torch.dtype, default=torch.float32
            Precision of their parameters and rows.

        Returns
        -------
        batches : iterator of Systems
            The batches, drawn when they are asked for.
        """
        check_count("batch_size", batch_size)
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


def concatenate(batches) -> Systems:
    """Join batches of systems that were drawn from one prior.

    Parameters
    ----------
    batches : sequence of Systems
        Batches of one class with the same padded number of variables.

    Returns
    -------
    systems : Systems
        All their systems, in this order.

    Examples
    --------
    >>> from skcausal.simulators import LinearPrior, concatenate
    >>> prior = LinearPrior(5)
    >>> parts = [prior.sample(2, 0), prior.sample(3, 0, start=2)]
    >>> bool((concatenate(parts).coef == prior.sample(5, 0).coef).all())
    True
    """
    return _join(list(batches))


def _join(items):
    """Concatenate tensors, or objects field by field."""
    first = items[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(items)
    if dataclasses.is_dataclass(first):
        fields = [f.name for f in dataclasses.fields(first)]
        return dataclasses.replace(
            first, **{name: _join([getattr(item, name) for item in items]) for name in fields}
        )
    if any(item != first for item in items):
        raise ValueError(
            f"The batches were drawn from different priors: found {first!r} beside "
            f"{next(item for item in items if item != first)!r}. Join batches of one prior only."
        )
    return first


def check_count(name: str, value, smallest: int = 1) -> None:
    """Raise a ValueError unless `value` is an integer of at least `smallest`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < smallest:
        raise ValueError(f"{name} must be an integer of at least {smallest}, found {value!r}.")


def _map_tensors(item, function):
    """Apply a function to every tensor of a (nested) dataclass."""
    if isinstance(item, torch.Tensor):
        return function(item)
    if dataclasses.is_dataclass(item):
        fields = {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}
        return dataclasses.replace(
            item, **{name: _map_tensors(value, function) for name, value in fields.items()}
        )
    return item
