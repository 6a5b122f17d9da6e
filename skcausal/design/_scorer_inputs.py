"""What the design scorer reads of an experiment: features of ordered pairs, from sums over rows."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from skcausal.design._histories import Histories
from skcausal.structure._free_sums import FreeSums
from skcausal.structure._graph_experiments import RegimeBlock

# Nine of each pair and its reverse, six of single variables, three of the experiment.
N_FEATURES = 27
# Besides, standard deviations of both variables and of each.
N_FEATURES_WITH_UNITS = N_FEATURES + 3

# Ridge penalties of standardised regressions, and what do-values have to tell at least.
_RIDGE = 0.6
_EFFECT_RIDGE = 0.5


@dataclass(frozen=True, eq=False)
class ScorerInputs:
    """Standardised rows in canonical signs.

    Rows that are there for padding only are zero, with every variable masked: they do not count.

    Parameters
    ----------
    Z : tensor of shape (n_systems, n_rows, n_variables)
        Rows; every variable has mean 0 and variance 1.
    mask : bool tensor of shape (n_systems, n_rows, n_variables)
        Which values were set.
    n_targeted : tensor of shape (n_systems, n_variables)
        Number of designs that each variable was a target of.
    n_designs : tensor of shape (n_systems,)
        Number of designs so far.
    scale : tensor of shape (n_systems, n_variables)
        Standard deviations before.
    signs : tensor of shape (n_systems, n_variables)
        What the variables were multiplied by, 1 or -1.
    """

    Z: torch.Tensor
    mask: torch.Tensor
    n_targeted: torch.Tensor
    n_designs: torch.Tensor
    scale: torch.Tensor
    signs: torch.Tensor

    def __getitem__(self, systems) -> ScorerInputs:
        return ScorerInputs(*(getattr(self, field.name)[systems] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.Z)

    @classmethod
    def from_histories(cls, histories: Histories) -> ScorerInputs:
        """Standardise histories."""
        standardized, _, scale = histories.standardized()
        signs = _canonical_signs(standardized.X, histories.mask)
        return cls(
            (standardized.X * signs[:, None]).float(),
            histories.mask,
            histories.n_targeted().float(),
            histories.n_designs().float(),
            scale.float(),
            signs.float(),
        )

    @classmethod
    def from_blocks(cls, blocks: list[RegimeBlock]) -> ScorerInputs:
        """Standardise simulated experiments, of which some rows may not have been observed."""
        X, mask, kept = (torch.cat(parts, dim=1) for parts in zip(*(b.rows() for b in blocks)))
        weight = kept.to(X)[..., None]
        n_rows = weight.sum(dim=1)
        centre = (weight * X).sum(dim=1) / n_rows
        deviation = weight * (X - centre[:, None])
        variance = deviation.square().sum(dim=1) / n_rows
        scale = torch.where(variance > 1e-12, variance, 1.0).sqrt()
        Z = deviation / scale[:, None]
        signs = _canonical_signs(Z, mask)
        targets = torch.cat([block.targets for block in blocks], dim=1)
        return cls(
            Z * signs[:, None],
            mask | ~kept[..., None],
            targets.sum(dim=1).to(X),
            targets.any(dim=-1).sum(dim=1).to(X),
            scale,
            signs,
        )

    def padded(self, n_rows: int) -> ScorerInputs:
        """Return the inputs with so many rows."""
        missing = n_rows - self.Z.shape[1]
        pad = torch.nn.functional.pad
        return ScorerInputs(
            pad(self.Z, (0, 0, 0, missing)),
            pad(self.mask, (0, 0, 0, missing), value=True),
            self.n_targeted,
            self.n_designs,
            self.scale,
            self.signs,
        )


def _canonical_signs(Z, mask):
    """Signs (n_systems, n_variables) that make those in which variables were recorded irrelevant.

    Those of the first eigenvector of the second moments; set values are positive on the whole.
    """
    signs = torch.where(torch.linalg.eigh(Z.mT @ Z)[1][..., -1] < 0, -1.0, 1.0).to(Z)
    direction = (mask * Z * signs[:, None]).sum(dim=(1, 2), keepdim=True)[:, 0]
    return torch.where(direction < 0, -signs, signs)


@torch.no_grad()
def pair_features(inputs: ScorerInputs, *, with_units: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Summarise experiments.

    Parameters
    ----------
    inputs : ScorerInputs
        The experiments.
    with_units : bool
        Whether the standard deviations of the variables are features, too.

    Returns
    -------
    features : tensor of shape (n_systems, n_variables, n_variables, n_features)
        Features of the ordered pairs (j, i).
    correlation : tensor of shape (n_systems, n_variables, n_variables, n_variables)
        Entry (j, i, k): correlation of i and k over the rows in which j is free.
    """
    Z, mask = inputs.Z, inputs.mask
    d = Z.shape[-1]
    identity = torch.eye(d, dtype=Z.dtype, device=Z.device)
    off = 1.0 - identity
    sums = Histories(Z, mask, torch.zeros(0), 1).sums()
    covariance = sums.centred() + 1e-3 * identity
    scale = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    correlation = covariance / (scale[..., :, None] * scale[..., None, :])
    slope, t, left = _regress_on_others(correlation, sums.n_rows[..., None], off)
    pair = _pairs(inputs, sums, correlation, scale, slope, t) * off[..., None]
    node = _nodes(inputs, sums, covariance, left, with_units=with_units)
    whole = torch.stack([inputs.n_designs / 10, torch.full_like(inputs.n_designs, d / 10)], dim=-1)
    parts = [
        pair,
        pair.transpose(1, 2),
        identity[..., None] * node[:, :, None],
        whole[:, None, None].expand(-1, d, d, -1),
        identity[None, ..., None].expand(len(Z), d, d, 1),
    ]
    if with_units:
        log_scale = inputs.scale.clamp(min=1e-6).log()
        units = torch.stack(torch.broadcast_tensors(log_scale[:, :, None], log_scale[:, None]), -1)
        parts.append(units * off[..., None])
    return torch.cat(parts, dim=-1), correlation


def _regress_on_others(correlation, n_rows, off):
    """Regress each variable on all others over the rows in which it is free.

    Returns coefficients and t-statistics (n_systems, j, i), and the share (n_systems, j) of the
    variance of j that is left.
    """
    identity = 1.0 - off
    own = torch.einsum("bjij->bji", correlation) * off
    share = _RIDGE / n_rows.clamp(min=1.0)
    system = correlation * (off[:, :, None] * off[:, None, :]) + (1.0 + share)[..., None] * identity
    system = system - off[:, :, None] * identity
    inverse = torch.linalg.inv(system)
    slope = (inverse @ own[..., None])[..., 0] * off
    left = (1.0 - (slope * own).sum(dim=-1, keepdim=True)).clamp(min=1e-3)
    dof = (n_rows - correlation.shape[-1]).clamp(min=2.0)
    t = slope / (left / dof * inverse.diagonal(dim1=-2, dim2=-1)).sqrt()
    return slope, t, left[..., 0]


def _pairs(inputs, sums, correlation, scale, slope, t):
    """Features (n_systems, j, i, 9) of pairs; without meaning on the diagonal."""
    off = 1.0 - torch.eye(scale.shape[-1], dtype=scale.dtype, device=scale.device)
    own = torch.einsum("bjij->bji", correlation) * off
    effect, effect_t, n_set = _effects_of_set_values(sums, inputs.Z, inputs.mask, off)
    unit = scale.diagonal(dim1=-2, dim2=-1)[..., None] / scale  # from correlations to slopes
    asinh = torch.asinh
    features = [
        own,
        asinh(own * sums.n_rows[..., None].sqrt()) / 2,
        asinh(slope * unit),
        asinh(t),
        torch.log1p(-own.square().clamp(max=0.999)),
        asinh(effect),
        asinh(effect_t),
        asinh(effect - slope * unit),
        torch.log1p(n_set) / 2,
    ]
    return torch.stack(features, dim=-1)


def _nodes(inputs, sums, covariance, left, *, with_units):
    """Features (n_systems, n_variables, 6 or 7) of single variables."""
    is_padding = (inputs.mask & (inputs.Z == 0)).all(dim=-1, keepdim=True)
    own = covariance.diagonal(dim1=-2, dim2=-1).diagonal(dim1=-2, dim2=-1)
    variance = (own / sums.n_rows.clamp(min=1.0)).clamp(min=1e-4)
    features = [
        left.log(),
        variance.log() / 2,
        (variance * left).log() / 2,
        torch.log1p(sums.n_rows) / 4,
        inputs.n_targeted / 5,
        torch.log1p((inputs.mask & ~is_padding).sum(dim=1).to(inputs.Z)) / 3,
    ]
    if with_units:
        features.append(inputs.scale.clamp(min=1e-6).log())
    return torch.stack(features, dim=-1)


def _effects_of_set_values(sums: FreeSums, Z, mask, off):
    """Regress each variable on the values that others were set to, over the rows where it is free.

    Returns coefficients, t-statistics and numbers of rows, each (n_systems, j, i).
    """
    free, was_set = (~mask).to(Z), mask.to(Z)
    values = was_set * Z
    d = Z.shape[-1]
    pairs = (values[..., :, None] * values[..., None, :]).flatten(2)
    gram = (free.mT @ pairs).unflatten(-1, (d, d))
    moment = (free * Z).mT @ values
    identity = 1.0 - off
    inverse = torch.linalg.inv(
        gram * (off[:, :, None] * off[:, None, :]) + _EFFECT_RIDGE * identity
    )
    effect = (inverse @ (moment * off)[..., None])[..., 0] * off
    variance = torch.einsum("bjjj->bj", sums.products) / sums.n_rows.clamp(min=1.0)
    error = variance.clamp(min=0.02)[..., None] * inverse.diagonal(dim1=-2, dim2=-1)
    return effect, effect / error.sqrt(), free.mT @ was_set
