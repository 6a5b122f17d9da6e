"""Dose response: systems under perturbations that act on hidden targets, at several doses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from skcausal.simulators._batches import Batch
from skcausal.simulators._parameters import check_choice
from skcausal.simulators._random import check_random_state, fold_in
from skcausal.simulators._systems import Systems

SPLITS = ("train", "partly_ood", "fully_ood")


@dataclass(frozen=True, eq=False)
class DoseResponses(Batch):
    """A batch of dose-response tasks: causal systems, and perturbations of them.

    Perturbation k at dose c moves each of its targets j by a Hill curve,
    ``E_kj c^n / (K^n + c^n)`` with the half dose K and the Hill coefficient n of perturbation k. A
    perturbation and a dose together are a *context*. Methods take contexts as two arrays, the same
    for all tasks; :meth:`contexts` lists those of a split. Made by
    :meth:`DoseResponsePrior.sample`.

    Parameters
    ----------
    systems : LinearSystems or NonlinearSystems
        The systems that are perturbed, one for each task.
    targets : bool tensor of shape (n_tasks, n_perturbations, n_variables)
        What the perturbations act on.
    max_effects : tensor of shape (n_tasks, n_perturbations, n_variables)
        The limits E for infinite doses, 0 off target.
    half_doses : tensor of shape (n_tasks, n_perturbations)
        The doses K at which half of the limit is reached.
    hills : tensor of shape (n_tasks, n_perturbations)
        The Hill coefficients n.
    fingerprints : tensor of shape (n_tasks, n_perturbations, n_variables)
        What the features tell about the limits E: themselves, or a mixture of them.
    kind : {"shift", "hard"}
        What is done to the targets.
    n_heldout_perturbations : int
        How many perturbations, the last ones, are for testing only.
    train_doses, partly_ood_doses, heldout_doses : tuple of float
        Doses of the three splits.

    Examples
    --------
    >>> from skcausal.simulators import DoseResponsePrior
    >>> tasks = DoseResponsePrior().sample(2, random_state=0)
    >>> perturbations, doses = tasks.contexts("train")
    >>> tasks.features_of(perturbations, doses).shape
    torch.Size([2, 160, 23])
    >>> tasks.sample(50, perturbations, doses, random_state=0).shape
    torch.Size([2, 160, 50, 20])
    >>> tasks.sample_controls(800, random_state=0).shape
    torch.Size([2, 800, 20])
    """

    systems: Systems
    targets: torch.Tensor
    max_effects: torch.Tensor
    half_doses: torch.Tensor
    hills: torch.Tensor
    fingerprints: torch.Tensor
    kind: str
    n_heldout_perturbations: int
    train_doses: tuple[float, ...]
    partly_ood_doses: tuple[float, ...]
    heldout_doses: tuple[float, ...]

    @property
    def keys(self) -> torch.Tensor:  # type: ignore[override]
        """Keys of the tasks' random numbers: int64 tensor of shape (n_tasks,)."""
        return self.systems.keys

    @property
    def n_perturbations(self) -> int:
        """Number of perturbations of each task, those held out included."""
        return self.targets.shape[1]

    def contexts(
        self, split: Literal["train", "partly_ood", "fully_ood"]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """List the contexts of a split.

        Parameters
        ----------
        split : {"train", "partly_ood", "fully_ood"}
            - "train": the training perturbations at the training doses;
            - "partly_ood": the same perturbations at other doses;
            - "fully_ood": perturbations that training does not see.

        Returns
        -------
        perturbations : int64 tensor of shape (n_contexts,)
            Index of each context's perturbation; its doses follow one another.
        doses : float64 tensor of shape (n_contexts,)
            The doses.

        Raises
        ------
        ValueError
            If there is no such split, or no perturbation is held out for it.
        """
        check_choice("split", split, SPLITS)
        n_training = self.n_perturbations - self.n_heldout_perturbations
        given, first, last = {
            "train": (self.train_doses, 0, n_training),
            "partly_ood": (self.partly_ood_doses, 0, n_training),
            "fully_ood": (self.heldout_doses, n_training, self.n_perturbations),
        }[split]
        if first == last:
            raise ValueError("The split 'fully_ood' is empty, as n_heldout_perturbations is 0.")
        device = self.targets.device
        perturbations = torch.arange(first, last, device=device).repeat_interleave(len(given))
        doses = torch.tensor(given, dtype=torch.float64, device=device)
        return perturbations, doses.repeat(last - first)

    def effects(
        self,
        perturbations: ArrayLike,
        doses: ArrayLike,
    ) -> torch.Tensor:
        """Return the Hill curves: what is added to each variable, or what a target is set to.

        Parameters
        ----------
        perturbations : int or array-like of int of shape (n_contexts,)
            Indices of the perturbations; one may stand for all contexts.
        doses : float or array-like of shape (n_contexts,)
            Their doses, above 0; one may stand for all contexts.

        Returns
        -------
        effects : tensor of shape (n_tasks, n_contexts, n_variables)
            The effects, 0 off target.

        Raises
        ------
        TypeError
            If `perturbations` are not integers.
        ValueError
            If one is out of range, a dose is not positive, or the shapes do not fit.
        """
        return self._effects(*self._check_contexts(perturbations, doses))

    def features_of(self, perturbations: ArrayLike, doses: ArrayLike) -> torch.Tensor:
        """Return what is known of contexts before any outcome is seen.

        Parameters
        ----------
        perturbations, doses : array-like of shape (n_contexts,)
            The contexts, as for :meth:`effects`.

        Returns
        -------
        features : tensor of shape (n_tasks, n_contexts, n_variables + 3)
            The fingerprint, then the dose, the half dose and the Hill coefficient. No row is 0
            throughout, as those of :meth:`control_features` are.
        """
        index, doses = self._check_contexts(perturbations, doses)
        doses = doses.to(self.hills.dtype).expand(len(self), -1)
        curve = torch.stack([doses, self.half_doses[:, index], self.hills[:, index]], dim=-1)
        return torch.cat([self.fingerprints[:, index], curve], dim=-1)

    def control_features(self) -> torch.Tensor:
        """Return the features of rows without perturbation.

        Returns
        -------
        features : tensor of shape (n_tasks, 1, n_variables + 3)
            Zeros.
        """
        return torch.zeros_like(self.features_of(0, 1.0))

    def sample(
        self,
        n_rows: int,
        perturbations: ArrayLike,
        doses: ArrayLike,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
    ) -> torch.Tensor:
        """Simulate rows of perturbed systems.

        Parameters
        ----------
        n_rows : int
            Number of rows for each context.
        perturbations, doses : array-like of shape (n_contexts,)
            The contexts, as for :meth:`effects`.
        random_state : int, RandomState instance, Generator instance or None, default=None
            Determines the noise, which is independent between contexts. With the same integer, a
            context has the same rows in every call, and the first rows of a larger sample are
            those of a smaller one.

        Returns
        -------
        X : tensor of shape (n_tasks, n_contexts, n_rows, n_variables)
            The rows.
        """
        index, doses = self._check_contexts(perturbations, doses)
        seed = check_random_state(random_state)
        # Keyed by perturbation and dose, not by the place in the call: with one seed for all
        # splits, test rows would otherwise have the noise of training rows.
        keys = fold_in(fold_in(self.systems.keys, "contexts")[:, None], index)
        keys = fold_in(keys, doses.float().view(torch.int32))
        masks, values = self.targets[:, index], self._effects(index, doses)
        systems: Any = self.systems
        rows = [
            replace(systems, keys=own_keys).sample(
                n_rows, mask[:, None], value[:, None], kind=self.kind, random_state=seed
            )
            for own_keys, mask, value in zip(keys.unbind(1), masks.unbind(1), values.unbind(1))
        ]
        return torch.stack(rows, dim=1)

    def sample_controls(
        self,
        n_rows: int,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
    ) -> torch.Tensor:
        """Simulate rows without perturbation.

        Parameters
        ----------
        n_rows : int
            Number of rows.
        random_state : int, RandomState instance, Generator instance or None, default=None
            Determines the noise, which is independent of that of :meth:`sample`.

        Returns
        -------
        X : tensor of shape (n_tasks, n_rows, n_variables)
            The rows.
        """
        return self.systems.sample(n_rows, random_state=random_state)

    def interventional_mean(
        self,
        perturbations: ArrayLike,
        doses: ArrayLike,
        **options: Any,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Return the mean of every variable in contexts, which is the truth to be predicted.

        Parameters
        ----------
        perturbations, doses : array-like of shape (n_contexts,)
            The contexts, as for :meth:`effects`.
        **options : object
            `n_samples`, `random_state` and `return_standard_error` of
            :meth:`Systems.interventional_mean`, where there is no closed form.

        Returns
        -------
        mean : tensor of shape (n_tasks, n_contexts, n_variables)
            The means.
        standard_error : tensor of the same shape
            Only with ``return_standard_error=True``.
        """
        index, doses = self._check_contexts(perturbations, doses)
        return self.systems.interventional_mean(
            self.targets[:, index], self._effects(index, doses), kind=self.kind, **options
        )

    def _effects(self, index, doses):
        """Effects (n_tasks, n_contexts, n_variables) of contexts that have been checked."""
        half_doses, hills = self.half_doses[:, index].double(), self.hills[:, index].double()
        # c^n / (K^n + c^n) = 1 / (1 + (K / c)^n), which is never inf / inf. By exp and log, since
        # the last bit of a power depends on the size of the batch.
        share = 1.0 / (1.0 + (hills * (half_doses / doses).log()).exp())
        return (self.max_effects[:, index] * share[..., None]).to(self.max_effects.dtype)

    def _check_contexts(self, perturbations, doses) -> tuple[torch.Tensor, torch.Tensor]:
        """Bring perturbations and doses to two tensors of shape (n_contexts,)."""
        index = torch.as_tensor(perturbations, device=self.targets.device)
        if index.is_floating_point() or index.dtype == torch.bool:
            raise TypeError(f"perturbations must be integers, their indices; found {index.dtype}.")
        doses = torch.as_tensor(doses, dtype=torch.float64, device=self.targets.device)
        sizes = {tensor.numel() for tensor in (index, doses) if tensor.ndim}
        if index.ndim > 1 or doses.ndim > 1 or len(sizes) > 1 or 0 in sizes:
            raise ValueError(
                "perturbations and doses must be numbers or arrays of one length, at least 1; "
                f"found shapes {tuple(index.shape)} and {tuple(doses.shape)}."
            )
        if index.min() < 0 or index.max() >= self.n_perturbations:
            raise ValueError(
                f"perturbations must lie between 0 and {self.n_perturbations - 1}, found values "
                f"from {int(index.min())} to {int(index.max())}."
            )
        if not ((doses > 0) & doses.isfinite()).all():
            raise ValueError(
                "doses must be positive and finite; use sample_controls for rows without "
                f"perturbation. Found values from {float(doses.min())} to {float(doses.max())}."
            )
        n_contexts = max(sizes, default=1)
        return index.long().expand(n_contexts), doses.expand(n_contexts)
