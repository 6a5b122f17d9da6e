"""Where designs are carried out: simulated systems, with the same noise for every designer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Designs, Histories
from skcausal.simulators import GeneNetworks, Systems, log_cpm

# Numbers of steps that have noise of their own.
_STEPS = 4096


@dataclass(frozen=True, eq=False)
class Laboratory:
    """A batch of hidden systems on which experiments are done, one design each at a time.

    The noise of a step depends on the system, the seed and the step, not on the design: designers
    that are compared on the same systems meet the same noise.

    Parameters
    ----------
    systems : Systems
        The systems, all of one size.
    n_initial : int, default=50
        Number of observational rows that an episode begins with.
    rows_per_design : int, default=1
        Number of rows that are observed under each design.
    kind : str, default=None
        What is done to targets, as in :meth:`Systems.sample`. Default: knock-outs of genes, hard
        interventions in other systems.
    seed : int, default=0
        Determines the noise.
    """

    systems: Systems
    n_initial: int = 50
    rows_per_design: int = 1
    kind: str | None = None
    seed: int = 0

    def __getitem__(self, index) -> Laboratory:
        return Laboratory(
            self.systems[index], self.n_initial, self.rows_per_design, self.kind, self.seed
        )

    def __len__(self) -> int:
        return len(self.systems)

    @property
    def has_values(self) -> bool:
        """Whether designs choose values: those of genes do not."""
        return not isinstance(self.systems, GeneNetworks)

    @property
    def n_variables(self) -> int:
        """Number of variables."""
        return self.systems.present.shape[-1]

    def space(self) -> DesignSpace:
        """Return the space of all designs: values from -1 to 1, or none for genes."""
        bound = 1.0 if self.has_values else 0.0
        return DesignSpace.unrestricted(self.n_variables, -bound, bound)

    def start(self) -> Histories:
        """Observe the rows that the episodes begin with."""
        X = self.systems.sample(self.n_initial, random_state=self.seed * _STEPS)
        return Histories.observational(self._measured(X), self.rows_per_design)

    def perform(self, histories: Histories, designs: Designs, step: int) -> Histories:
        """Carry out a design in every system and add what is observed.

        Parameters
        ----------
        histories : Histories
            Experiments so far.
        designs : Designs
            Designs (n_systems, n_variables).
        step : int
            Number of the experiment, from 0.

        Returns
        -------
        histories : Histories
            Experiments so far, and this one.
        """
        outcomes = self._observe(self.systems, designs, step)
        mask = designs.targets[:, None].expand(outcomes.shape)
        return histories.add(outcomes, mask)

    def outcomes(self, designs: Designs, step: int) -> torch.Tensor:
        """Observe what several designs would bring about, all with the same noise.

        Parameters
        ----------
        designs : Designs
            Designs (n_systems, n_candidates, n_variables).
        step : int
            Number of the experiment; determines the noise.

        Returns
        -------
        X : tensor of shape (n_systems, n_candidates, rows_per_design, n_variables)
            The rows.
        """
        n_systems, n_candidates, _ = designs.targets.shape
        each = torch.arange(n_systems).repeat_interleave(n_candidates)
        flat = Designs(designs.targets.flatten(0, 1), designs.values.flatten(0, 1))
        return self._observe(self.systems[each], flat, step).unflatten(0, (n_systems, -1))

    def _observe(self, systems, designs, step):
        """Rows (n_systems, rows_per_design, n_variables) under one design for each system."""
        values = designs.values[:, None] if self.has_values else None
        kind = self.kind or (None if self.has_values else "knock_out")
        X = systems.sample(
            self.rows_per_design,
            designs.targets[:, None],
            values,
            kind=kind,
            random_state=self.seed * _STEPS + 1 + step,
        )
        return self._measured(X)

    def _measured(self, X):
        """Values as they enter a history: counts as logarithms."""
        if getattr(self.systems, "technical_noise", None) is None:
            return X
        return log_cpm(X)
