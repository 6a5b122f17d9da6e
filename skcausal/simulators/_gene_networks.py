"""Gene regulatory networks at steady state, by the stochastic equations of SERGIO."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from skcausal.simulators._interventions import Design
from skcausal.simulators._parameters import check_count
from skcausal.simulators._random import fold_in, normal_pairs, uniform
from skcausal.simulators._systems import Systems
from skcausal.simulators._technical_noise import TechnicalNoise, measure, scale_libraries

NOISE_TYPES = ("dpd", "spd", "sp")

# Steps whose noise is drawn at a time: enough to amortise calls, few enough to stay in the cache.
_STEPS_AT_ONCE = 8

# Independent trajectories from which a mean and its standard error are estimated.
_N_REPLICATES = 32

_SMALLEST = 1e-30


@dataclass(frozen=True, eq=False)
class GeneNetworks(Systems):
    """A batch of gene regulatory networks.

    A gene j is produced at rate P_j and decays at rate lambda_j x_j, as in [1]_:

    - ``dx_j = (P_j - lambda_j x_j) dt + q (sqrt(P_j) dA_j + sqrt(lambda_j x_j) dB_j)``, with A
      and B independent Wiener processes;
    - ``P_j = b_j + sum_i K_ij s_i`` over activators i, and ``K_ij (1 - s_i)`` for repressors, with
      ``s_i = x_i^n_i / (h_i^n_i + x_i^n_i)``. The basal rate b_j of a master regulator, a gene
      without regulators, depends on the cell type and is 0 for all other genes.

    Rows are cells at the steady state, every cell type in turn. Cells of one regime that share a
    mask and its values come from one trajectory for each cell type, others from trajectories of
    their own; the two have the same noise in the first cell of each type only. Interventions
    multiply the production of their targets by a factor: ``kind="knock_out"`` by 0,
    ``"knock_down"`` by 0.5, or by `values` where these are given (not negative; above 1 is
    overexpression). With technical
    noise, rows are counts. Made by :meth:`GeneNetworkPrior.sample`.

    Parameters
    ----------
    keys : int64 tensor of shape (n_systems,)
        Keys of the systems' random numbers.
    n_variables : int64 tensor of shape (n_systems,)
        Number of genes of each system.
    interactions : tensor of shape (n_systems, n_genes, n_genes)
        Entry (s, i, j) is K_ij, positive for an activator i of j and negative for a repressor.
    hill : tensor of shape (n_systems, n_genes)
        Hill coefficients n_i of the regulators.
    half_response : tensor of shape (n_systems, n_genes)
        Expression h_i at which a regulator has half of its effect: its steady state without noise
        and interventions, averaged over cell types.
    basal : tensor of shape (n_systems, n_cell_types, n_genes)
        Basal production rates b_j.
    decay : tensor of shape (n_systems, n_genes)
        Decay rates lambda_j.
    outliers : tensor of shape (n_systems, n_genes)
        Factors of the measured expression of outlier genes, 1 elsewhere.
    dropout_midpoint : tensor of shape (n_systems,)
        Value of log(1 + x) at which half of the entries are lost.
    noise_scale : float
        Strength q of the intrinsic noise.
    noise_type : {"dpd", "spd", "sp"}
        Which noise enters the equation; see :class:`GeneNetworkPrior`.
    dt : float
        Step of the Euler-Maruyama scheme.
    steps_per_cell : int
        Mean number of steps between two cells of a trajectory.
    burn_in : int
        Number of steps before the first cell.
    target_error : float
        Probability that an intended target is missed, and that any other gene is hit.
    technical_noise : TechnicalNoise or None
        Technical noise of the measurement.

    References
    ----------
    .. [1] Dibaeinia & Sinha (2020). SERGIO: a single-cell expression simulator guided by gene
       regulatory networks. Cell Systems 11(3).

    Examples
    --------
    >>> from skcausal.simulators import GeneNetworkPrior
    >>> networks = GeneNetworkPrior(5, edges_per_variable=1.0).sample(2, random_state=0)
    >>> mask = [True, False, False, False, False]
    >>> cells = networks.sample(50, interventions=mask, kind="knock_out", random_state=0)
    >>> cells.shape, float(cells[:, :, 0].max())
    (torch.Size([2, 50, 5]), 0.0)
    """

    keys: torch.Tensor
    n_variables: torch.Tensor
    interactions: torch.Tensor
    hill: torch.Tensor
    half_response: torch.Tensor
    basal: torch.Tensor
    decay: torch.Tensor
    outliers: torch.Tensor
    dropout_midpoint: torch.Tensor
    noise_scale: float = 1.0
    noise_type: str = "dpd"
    dt: float = 0.01
    steps_per_cell: int = 15
    burn_in: int = 250
    target_error: float = 0.0
    technical_noise: TechnicalNoise | None = None

    _default_values: ClassVar[dict[str, float | None]] = {"knock_out": 0.0, "knock_down": 0.5}

    @property
    def adjacency(self) -> torch.Tensor:
        """The graphs: bool tensor (n_systems, n_genes, n_genes), True for i -> j."""
        return self.interactions != 0

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters and rows."""
        return self.interactions.dtype

    @property
    def _size(self) -> int:
        """Number of variables of the padded systems."""
        return self.interactions.shape[-1]

    def steady_state(
        self,
        interventions: np.ndarray | torch.Tensor | None = None,
        values: float | np.ndarray | torch.Tensor | None = None,
        *,
        kind: Literal["knock_out", "knock_down"] | None = None,
    ) -> torch.Tensor:
        """Return the expression at which all genes rest when there is no noise.

        Parameters
        ----------
        interventions : bool array or tensor, default=None
            The targets, of a shape that :meth:`sample` takes; each of its rows is one intervention.
        values : float, array or tensor, default=None
            Factors of the targets' production.
        kind : {"knock_out", "knock_down"}, default=None
            What is done to the targets; None for "knock_out".

        Returns
        -------
        expression : tensor of shape (n_systems, n_rows, n_cell_types, n_genes)
            The steady states; with an axis of regimes before the rows if the mask has four
            dimensions.
        """
        design = self._design(interventions, values, kind)
        shape = (*design.mask.shape[:3], *self.basal.shape[1:])
        values = self._draw_factors(design, self.keys, design.mask.shape[2])
        factors = torch.where(design.mask, values, 1.0).flatten(1, 2)[:, :, None]
        expression = self._rest(factors, self.basal[:, None]).reshape(shape)
        return expression if design.has_regimes else expression.squeeze(1)

    def actual_targets(
        self,
        n_rows: int,
        interventions: np.ndarray | torch.Tensor | None = None,
        *,
        random_state: int,
    ) -> torch.Tensor:
        """Return which genes are hit in the rows that :meth:`sample` gives for this random state.

        Parameters
        ----------
        n_rows : int
            Number of rows.
        interventions : bool array or tensor, default=None
            The intended targets, as for :meth:`sample`.
        random_state : int
            The random state given to :meth:`sample`.

        Returns
        -------
        mask : bool tensor of shape (n_systems, n_rows, n_genes)
            The genes that are hit; with an axis of regimes if `interventions` has four dimensions.
        """
        check_count("n_rows", n_rows)
        design = self._design(interventions, None, None)
        mask, _ = self._hit(design, design.values, self._draw_keys("rows", random_state), n_rows)
        mask = mask.expand(-1, -1, n_rows, -1)
        return mask if design.has_regimes else mask.squeeze(1)

    def cell_types(
        self,
        n_rows: int,
        interventions: np.ndarray | torch.Tensor | None = None,
        *,
        random_state: int,
    ) -> torch.Tensor:
        """Return the cell types of the rows that :meth:`sample` gives for this random state.

        Parameters
        ----------
        n_rows : int
            Number of rows.
        interventions : bool array or tensor, default=None
            The intended targets, as for :meth:`sample`.
        random_state : int
            The random state given to :meth:`sample`.

        Returns
        -------
        types : int64 tensor of shape (n_systems, n_rows)
            Index into the cell types of `basal`; with an axis of regimes if `interventions` has
            four dimensions.
        """
        check_count("n_rows", n_rows)
        design = self._design(interventions, None, None)
        keys = self._draw_keys("rows", random_state)
        types = self._cell_types(_regime_keys(keys, design.mask.shape[1]), n_rows)
        return types if design.has_regimes else types.squeeze(1)

    def _simulate(self, n_rows, design: Design, kind, keys, first_row=0):
        """Cells (n_systems, n_regimes, n_rows, n_genes); see `sample`.

        Rows with one mask come from as many trajectories as there are cell types, row r from
        trajectory r modulo their number; rows with masks of their own from one trajectory each.
        There is no row but the first to start from: `first_row` is 0.
        """
        hit, values = self._hit(design, self._draw_factors(design, keys, n_rows), keys, n_rows)
        factors = torch.where(hit, values, 1.0)
        n_chains = n_rows if factors.shape[2] > 1 else min(n_rows, self.basal.shape[1])
        regime_keys = _regime_keys(keys, design.mask.shape[1])
        chain_keys = fold_in(regime_keys[..., None], torch.arange(n_chains, device=keys.device))
        types = self._cell_types(regime_keys, n_chains)
        cells = self._trajectories(math.ceil(n_rows / n_chains), factors, types, chain_keys)
        expression = cells.transpose(2, 3).flatten(2, 3)[:, :, :n_rows]
        if self.technical_noise is None:
            return expression
        expression = expression * self.outliers[:, None, None]
        expression = scale_libraries(self.technical_noise, expression, keys)
        return measure(self.technical_noise, expression, keys, self.dropout_midpoint)

    def _mean(self, design, kind, keys, n_samples):
        """Mean and standard error of the shape of the mask, from independent replicates.

        Cells of one trajectory are correlated; the means of separate trajectories are not.
        """
        n_types = self.basal.shape[1]
        n_rows = n_types * math.ceil(n_samples / (_N_REPLICATES * n_types))
        cells = self._simulate(n_rows, design.by_regime().repeat(_N_REPLICATES), kind, keys)
        means = cells.double().mean(dim=2).unflatten(1, (_N_REPLICATES, -1))
        mean, error = means.mean(dim=1), means.std(dim=1) / math.sqrt(_N_REPLICATES)
        shape = design.mask.shape
        return mean.to(self.dtype).reshape(shape), error.to(self.dtype).reshape(shape)

    def _draw_factors(self, design, keys, n_rows) -> torch.Tensor:
        """Factors of the targets' production (n_systems, n_regimes, 1 or n_rows, n_genes)."""
        values = design.draw_values(keys, n_rows, self.dtype)
        if (values < 0).any():
            raise ValueError(
                "values must not be negative: they multiply the production rates of the targets; "
                f"found {float(values.min()):g}."
            )
        return values

    def _hit(self, design, values, keys, n_rows):
        """Actual targets and their values: in rows that have targets, some are missed.

        What is hit by mistake gets the mean of the row's values.
        """
        if not self.target_error or design.observational:
            return design.mask, values
        treated = design.mask.any(dim=-1, keepdim=True)
        sizes = (design.mask.shape[1], n_rows, design.mask.shape[3])
        flip = uniform(fold_in(keys, "target_error"), *sizes) < self.target_error
        hit = design.mask ^ (flip & treated & self.present[:, None, None])
        count = design.mask.sum(dim=-1, keepdim=True).clamp(min=1)
        mistaken = values.sum(dim=-1, keepdim=True) / count
        return hit, torch.where(design.mask, values, mistaken)

    def _production_rates(self, basal):
        """Return the function from expression to production rates before interventions.

        Both have the shape of `basal`, (n_systems, ..., n_chains, n_genes); what does not depend on
        the expression is worked out once.
        """
        leading = (len(self),) + (1,) * (basal.ndim - 2)
        hill = self.hill.reshape(*leading, -1)
        offset = hill * self.half_response.clamp(min=_SMALLEST).log().reshape(*leading, -1)
        strengths = [row.reshape(*leading, -1) for row in self.interactions.unbind(1)]
        # A repressor contributes K (1 - s) = K - K s.
        constant = basal + (-self.interactions).clamp(min=0).sum(dim=1).reshape(*leading, -1)

        def production(expression):
            # s = x^n / (h^n + x^n) = 1 / (1 + exp(n log h - n log x)). Neither torch.sigmoid nor a
            # matrix product: their last bits depend on the size of the batch.
            saturation = (offset - hill * expression.log()).exp_().add_(1.0).reciprocal_()
            rates = constant.clone()
            for regulator, strength in zip(saturation.split(1, dim=-1), strengths):
                rates += regulator * strength
            return rates

        return production

    def _rest(self, factors, basal) -> torch.Tensor:
        """Steady state without noise: along every path one iteration settles one more gene."""
        basal = basal.expand(*torch.broadcast_shapes(basal.shape, factors.shape))
        decay, production = self.decay[:, None, None], self._production_rates(basal)
        expression = factors * basal / decay
        for _ in range(expression.shape[-1]):
            expression = factors * production(expression) / decay
        return expression

    def _cell_types(self, regime_keys, n_rows) -> torch.Tensor:
        """Cell types (n_systems, n_regimes, n_rows): in turn, from a random first one on."""
        n_types = self.basal.shape[1]
        first = (uniform(regime_keys) * n_types).long()
        return (first[..., None] + torch.arange(n_rows, device=first.device)) % n_types

    def _trajectories(self, n_cells, factors, types, keys) -> torch.Tensor:
        """Cells (n_systems, n_regimes, n_chains, n_cells, n_genes) along trajectories.

        After the burn-in a trajectory is cut into segments of `steps_per_cell` steps, and one cell
        is taken at a random time of each. `types` and `keys` are of shape (n_systems, n_regimes,
        n_chains); `factors` has one entry for each chain, or for all of a regime.
        """
        basal = self.basal.gather(
            1, types.flatten(1)[..., None].expand(-1, -1, self.basal.shape[2])
        ).unflatten(1, types.shape[1:])
        within = (uniform(fold_in(keys, "times"), n_cells) * self.steps_per_cell).long()
        segment = torch.arange(n_cells, device=keys.device)
        times = self.burn_in + self.steps_per_cell * segment + within
        return self._integrate(self._rest(factors, basal), factors, basal, times, keys)

    def _integrate(self, expression, factors, basal, times, keys) -> torch.Tensor:
        """Euler-Maruyama steps of all trajectories, and their state at the given times.

        Parameters
        ----------
        expression : tensor of shape (n_systems, n_regimes, n_chains, n_genes)
            The initial state.
        factors : tensor of shape (n_systems, n_regimes, 1 or n_chains, n_genes)
            Factors of the production.
        basal : tensor of shape (n_systems, n_regimes, n_chains, n_genes)
            Basal rates.
        times : int64 tensor of shape (n_systems, n_regimes, n_chains, n_cells)
            Steps after which cells are taken, one in each segment.
        keys : int64 tensor of shape (n_systems, n_regimes, n_chains)
            Keys of the trajectories.

        Returns
        -------
        cells : tensor of shape (n_systems, n_regimes, n_chains, n_cells, n_genes)
            The cells.
        """
        n_cells, n_genes = times.shape[-1], expression.shape[-1]
        cells = expression.new_zeros(n_cells, *expression.shape)
        keys, strength = fold_in(keys, "intrinsic"), self.noise_scale * math.sqrt(self.dt)
        decay, production = self.decay[:, None, None], self._production_rates(basal)
        n_steps = self.burn_in + n_cells * self.steps_per_cell
        for step in range(n_steps):
            if step % _STEPS_AT_ONCE == 0:
                noise = normal_pairs(
                    keys, _STEPS_AT_ONCE, n_genes, dtype=self.dtype, first_row=step
                )
                noise = [wiener.movedim(-2, 0).contiguous() for wiener in noise]
            if step >= self.burn_in:
                k = (step - self.burn_in) // self.steps_per_cell
                cells[k] = torch.where((times[..., k] == step)[..., None], expression, cells[k])
            up = factors * production(expression)
            down = decay * expression
            first, second = (wiener[step % _STEPS_AT_ONCE] for wiener in noise)
            kick = _langevin_noise(self.noise_type, up.sqrt(), down.sqrt(), first, second)
            expression = (expression + (up - down) * self.dt + strength * kick).clamp_(min=0)
        return cells.movedim(0, 3)


def _regime_keys(keys, n_regimes) -> torch.Tensor:
    """Keys (n_systems, n_regimes) of the cells of every regime."""
    return fold_in(fold_in(keys, "cells")[:, None], torch.arange(n_regimes, device=keys.device))


def _langevin_noise(noise_type, production, decay, first, second):
    """Noise of the Langevin equation from the square roots of both rates."""
    if noise_type == "dpd":
        return production * first + decay * second
    return (production + decay) * first if noise_type == "spd" else production * first
