"""The loss of counterfactual regression on batches of training rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from skcausal.effects._network import ROWS_AT_ONCE, CFRNetwork
from skcausal.effects._penalties import contrastive, linear_mmd, rbf_mmd, sinkhorn
from skcausal.effects._resampling import BatchPlan, MemberRows

DISCREPANCIES: dict[str, Callable[..., torch.Tensor]] = {
    "linear_mmd": linear_mmd,
    "rbf_mmd": rbf_mmd,
    "sinkhorn": sinkhorn,
    "contrastive": contrastive,
}


class Objective:
    """Factual loss plus penalties, for all members of an ensemble at once.

    Shalit et al. (2017), equation 3, with a second penalty between environments::

        sum_i w_i loss(y_i, h_{t_i}(phi(x_i))) + alpha D(arms) + env_alpha D(environments)

    Parameters
    ----------
    x, y, weight : Tensor of shape (n, n_features), (n,) and (n,)
        Scaled covariates, scaled outcomes, and sample weights.
    arm, environment : ndarray of int of shape (n,)
        Treatment level and environment of each row.
    stratum : ndarray of int of shape (n,)
        Stratum of each row; strata are numbered by level first.
    rows : MemberRows
        What the members learn from and are checked on.
    seeds : sequence of int
        One per member.
    n_arms : int
        Number of treatment levels, of which rows may lack some.
    batch_size : int
        Number of rows in a batch.
    alpha, env_alpha : float
        Weights of the penalties between levels and between environments.
    ipm, env_ipm : str
        Their kinds, keys of DISCREPANCIES.
    reweight : bool
        Whether all levels weigh the same, however many rows they have.
    binary : bool
        Whether outcomes are 0 or 1 and the heads give log-odds.
    dropout : bool
        Whether the network needs generators for dropout.
    """

    def __init__(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        weight: torch.Tensor,
        *,
        arm: np.ndarray,
        environment: np.ndarray,
        stratum: np.ndarray,
        rows: MemberRows,
        seeds: Sequence[int],
        n_arms: int,
        batch_size: int,
        alpha: float,
        ipm: str,
        env_alpha: float,
        env_ipm: str,
        reweight: bool,
        binary: bool,
        dropout: bool,
    ):
        self.x, self.y = x, y
        self.rows, self.seeds = rows, seeds
        self.n_arms, self.batch_size = n_arms, batch_size
        self.alpha, self.ipm = alpha, ipm
        self.env_alpha, self.env_ipm = env_alpha, env_ipm
        self.binary, self.dropout = binary, dropout
        first = np.unique(stratum, return_index=True)[1]
        self.arm_of_stratum = arm[first]
        # Strata tell environments apart only where these are aligned.
        environments = environment[first] if env_alpha > 0 else np.zeros_like(first)
        self.environment_of_stratum = np.unique(environments, return_inverse=True)[1]
        self.aligns_arms = alpha > 0 and len(np.unique(self.arm_of_stratum)) > 1
        self.aligns_environments = env_alpha > 0 and self.environment_of_stratum.max() > 0
        self.row_weight = weight * _share_weights(weight, arm, n_arms, reweight)
        self.validation = self._pad_validation_rows(arm)

    def plan(self, world_size: int = 1) -> BatchPlan:
        """Composition of the batches."""
        groups = []
        if self.aligns_arms:
            groups.append(np.unique(self.arm_of_stratum, return_inverse=True)[1])
        if self.aligns_environments:
            groups.append(self.environment_of_stratum)
        return BatchPlan(self.rows, self.batch_size, groups, world_size)

    @property
    def can_validate(self) -> bool:
        """Whether every member has rows to be checked on."""
        return bool((sum(weight.sum(dim=1) for _, weight in self.validation) > 0).all())

    def epoch_batches(self, epoch: int, rank: int, world_size: int):
        """Yield the rows of each batch, its composition, and the generators of dropout."""
        plan = self.plan(world_size)
        layout = _Layout(self, plan.counts)
        generators = None
        if self.dropout:
            device = self.x.device
            states = [np.random.SeedSequence((s, 2, epoch, rank)) for s in self.seeds]
            numbers = [int(state.generate_state(1)[0]) for state in states]
            generators = [torch.Generator(device).manual_seed(n) for n in numbers]
        for rows in plan.epoch(self.seeds, epoch, rank):
            yield torch.from_numpy(rows).to(self.x.device), layout, generators

    def batch_loss(self, network: Any, batch) -> dict[str, torch.Tensor]:
        """Terms of the loss (n_members,) on one batch."""
        rows, layout, generators = batch
        x, y = self.x[rows], self.y[rows]
        z, y_pred = network(x, layout.rows_per_arm, generators)
        factual = (layout.weight * self.row_weight[rows] * self._errors(y_pred, y)).sum(dim=1)
        terms = {"loss": factual, "factual": factual}
        if self.aligns_arms:
            extra = (x, layout.environment) if self.ipm == "contrastive" else ()
            penalty = DISCREPANCIES[self.ipm](z, layout.arm, *extra)
            terms["treatment_discrepancy"] = penalty
            terms["loss"] = terms["loss"] + self.alpha * penalty
        if self.aligns_environments:
            extra = (y[:, :, None], layout.arm) if self.env_ipm == "contrastive" else ()
            penalty = DISCREPANCIES[self.env_ipm](z, layout.environment, *extra)
            terms["environment_discrepancy"] = penalty
            terms["loss"] = terms["loss"] + self.env_alpha * penalty
        return terms

    def validation_loss(self, network: CFRNetwork) -> torch.Tensor:
        """Factual loss (n_members,) on the rows that each member does not learn from."""
        losses, weights = [], []
        for arm, (all_rows, all_weights) in enumerate(self.validation):
            pieces = zip(all_rows.split(ROWS_AT_ONCE, 1), all_weights.split(ROWS_AT_ONCE, 1))
            for rows, weight in pieces:
                y_pred = network.outcome(network.represent(self.x[rows]), arm)
                losses.append((weight * self._errors(y_pred, self.y[rows])).sum(dim=1))
                weights.append(weight.sum(dim=1))
        return torch.stack(losses).sum(dim=0) / torch.stack(weights).sum(dim=0)

    def _errors(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Loss of each prediction."""
        if self.binary:
            return F.binary_cross_entropy_with_logits(y_pred, y, reduction="none")
        return (y_pred - y) ** 2

    def _pad_validation_rows(self, arm: np.ndarray):
        """Fill up each level's validation rows to equal numbers, by rows of weight zero."""
        padded = []
        for level in range(self.n_arms):
            owned = [rows[arm[rows] == level] for rows in self.rows.validation]
            rows = np.zeros((len(owned), max(map(len, owned))), dtype=np.int64)
            real = np.zeros(rows.shape, dtype=bool)
            for member, own in enumerate(owned):
                rows[member, : len(own)] = own
                real[member, : len(own)] = True
            indices = torch.from_numpy(rows).to(self.x.device)
            weight = self.row_weight[indices] * torch.from_numpy(real).to(self.x.device)
            padded.append((indices, weight))
        return padded


class _Layout:
    """What is the same for all batches of an epoch: the groups of the rows, and their weights."""

    def __init__(self, objective: Objective, counts: np.ndarray):
        device = objective.x.device
        arm = np.repeat(objective.arm_of_stratum, counts)
        environment = np.repeat(objective.environment_of_stratum, counts)
        self.rows_per_arm = np.bincount(arm, minlength=objective.n_arms).tolist()
        # Levels that these rows lack are no groups of the penalty.
        self.arm = torch.from_numpy(np.unique(arm, return_inverse=True)[1]).to(device)
        self.environment = torch.from_numpy(environment).to(device)
        # A stratum counts by its share of the training rows, whatever its share of the batch.
        sizes = np.array([rows.shape[1] for rows in objective.rows.strata])
        weight = np.repeat(sizes / sizes.sum() / counts, counts)
        self.weight = torch.from_numpy(weight).to(objective.x)


def _share_weights(
    weight: torch.Tensor, arm: np.ndarray, n_arms: int, reweight: bool
) -> torch.Tensor:
    """Factors (n,) that give the sample weights mean 1, over all rows or in each level alike."""
    if not reweight:
        return torch.full_like(weight, len(weight) / float(weight.sum()))
    levels = torch.from_numpy(arm).to(weight.device)
    totals = torch.zeros(n_arms, dtype=weight.dtype, device=weight.device)
    totals = totals.index_add(0, levels, weight)
    factors = len(weight) / int((totals > 0).sum()) / totals
    return torch.where(totals > 0, factors, 0.0)[levels]  # rows of weight zero alone: none
