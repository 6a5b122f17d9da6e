"""Technical noise of single-cell RNA sequencing, and the usual transformation of its counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import torch

from skcausal.simulators._parameters import check_choice, check_number
from skcausal.simulators._random import fold_in, normal, poisson, positions, uniform

if TYPE_CHECKING:
    import pandas as pd

# Table 1 of Annadani et al. (2024), appendix B.2.
PLATFORMS: dict[str, dict[str, float]] = {
    "10x_chromium": {
        "log_library_mean": 6.0,
        "log_library_scale": 0.3,
        "dropout_percentile": 74.0,
    },
    "drop_seq": {
        "log_library_mean": 4.4,
        "log_library_scale": 0.8,
        "dropout_percentile": 85.0,
    },
}

# Means and deviations of logarithms up to which expression stays finite in float32.
_LARGEST_LOG = 20.0


@dataclass(frozen=True)
class TechnicalNoise:
    """How a sequencing platform turns expression into counts.

    Four steps, as in [1]_ (method details, "Adding technical noise"):

    1. outlier genes: with a small probability a gene's expression is multiplied by a log-normal
       factor, the same in all cells;
    2. library size: a cell's expression is scaled to a log-normal total;
    3. dropout: an entry x survives with probability ``1 / (1 + exp(-k (log(1 + x) - m)))``, where
       the midpoint m is a percentile of log(1 + x);
    4. counts: what survives is the mean of a Poisson count.

    The paper takes the percentile over the matrix at hand, so that a cell's law depends on the
    cells measured with it. Here outlier genes and the midpoint belong to the system: the midpoint
    is the percentile over a pilot of cells without intervention, and rows are independent given
    the system.

    Parameters
    ----------
    outlier_probability : float, default=0.01
        Probability that a gene is an outlier.
    outlier_log_mean, outlier_log_scale : float, default=3.0, 1.0
        Mean and standard deviation of the logarithm of an outlier's factor.
    log_library_mean, log_library_scale : float, default=6.0, 0.3
        Mean and standard deviation of the logarithm of a cell's total.
    dropout_percentile : float, default=74.0
        Percentile of log(1 + x) at which half of the entries are lost, from 0 to 100; about this
        share of all entries is lost.
    dropout_shape : float, default=8.0
        Steepness k of the logistic curve.

    References
    ----------
    .. [1] Dibaeinia & Sinha (2020). SERGIO: a single-cell expression simulator guided by gene
       regulatory networks. Cell Systems 11(3).

    Examples
    --------
    >>> from skcausal.simulators import TechnicalNoise
    >>> TechnicalNoise.preset("drop_seq").dropout_percentile
    85.0
    """

    outlier_probability: float = 0.01
    outlier_log_mean: float = 3.0
    outlier_log_scale: float = 1.0
    log_library_mean: float = 6.0
    log_library_scale: float = 0.3
    dropout_percentile: float = 74.0
    dropout_shape: float = 8.0

    def __post_init__(self):
        check_number("outlier_probability", self.outlier_probability, 0.0, 1.0)
        check_number("outlier_log_mean", self.outlier_log_mean, -_LARGEST_LOG, _LARGEST_LOG)
        check_number("outlier_log_scale", self.outlier_log_scale, 0.0, _LARGEST_LOG / 10)
        check_number("log_library_mean", self.log_library_mean, -_LARGEST_LOG, _LARGEST_LOG)
        check_number("log_library_scale", self.log_library_scale, 0.0, _LARGEST_LOG / 10)
        check_number("dropout_percentile", self.dropout_percentile, 0.0, 100.0)
        check_number("dropout_shape", self.dropout_shape, 0.0)

    @classmethod
    def preset(cls, platform: str) -> Self:
        """Return the noise of a platform.

        Parameters
        ----------
        platform : {"10x_chromium", "drop_seq"}
            Its name.

        Returns
        -------
        noise : TechnicalNoise
            The noise, with the parameters of table 1 of Annadani et al. (2024).
        """
        check_choice("platform", platform, tuple(PLATFORMS))
        return cls(**PLATFORMS[platform])


def draw_outliers(noise: TechnicalNoise, keys, size, dtype) -> torch.Tensor:
    """Draw the genes' factors (n_systems, size): 1 for all but outliers."""
    outlier = uniform(fold_in(keys, "outlier"), size) < noise.outlier_probability
    log_factor = noise.outlier_log_mean + noise.outlier_log_scale * normal(
        fold_in(keys, "outlier_factor"), size
    )
    return torch.where(outlier, log_factor.exp(), 1.0).to(dtype)


def dropout_midpoint(noise: TechnicalNoise, expression, present) -> torch.Tensor:
    """Percentiles (n_systems,) of log(1 + x) over pilot cells.

    Parameters
    ----------
    expression : tensor of shape (n_systems, n_rows, n_genes)
        Expression after outliers and library size.
    present : bool tensor of shape (n_systems, n_genes)
        Which genes exist.

    Returns
    -------
    midpoint : tensor of shape (n_systems,)
        The midpoints of the dropout curve.
    """
    entries = torch.where(present[:, None], expression.log1p(), torch.nan).flatten(1)
    return entries.nanquantile(noise.dropout_percentile / 100.0, dim=1)


def scale_libraries(noise: TechnicalNoise, expression, keys) -> torch.Tensor:
    """Bring cells (n_systems, n_regimes, n_rows, n_genes) to log-normal totals."""
    sizes = expression.shape[1:3]
    keys = fold_in(keys, "library")
    log_total = normal(keys, *sizes, 1, dtype=expression.dtype)
    total = (noise.log_library_mean + noise.log_library_scale * log_total).exp()
    sums = expression.sum(dim=-1, keepdim=True)
    return expression * torch.where(sums > 0, total / sums, 0.0)


def measure(noise: TechnicalNoise, expression, keys, midpoint) -> torch.Tensor:
    """Turn scaled expression (n_systems, n_regimes, n_rows, n_genes) into counts."""
    sizes = expression.shape[1:]
    # A draw below 1 / (1 + exp(-z)). Not torch.sigmoid: its last bit depends on the batch.
    logits = noise.dropout_shape * (expression.log1p() - midpoint[:, None, None, None])
    draws = uniform(fold_in(keys, "dropout"), *sizes, dtype=expression.dtype)
    survives = draws * (1.0 + (-logits).exp()) < 1.0
    count_keys = fold_in(keys, "counts")[:, None, None, None]
    count_keys = fold_in(count_keys, positions(sizes, keys.device))
    return poisson(count_keys, torch.where(survives, expression, 0.0))


@overload
def log_cpm(counts: np.ndarray) -> np.ndarray: ...
@overload
def log_cpm(counts: torch.Tensor) -> torch.Tensor: ...
@overload
def log_cpm(counts: pd.DataFrame) -> pd.DataFrame: ...
def log_cpm(counts: Any) -> Any:
    """Return log2(1 + counts per million), row by row.

    Parameters
    ----------
    counts : tensor, array or DataFrame of shape (..., n_genes)
        Counts of cells, not negative.

    Returns
    -------
    values : tensor, array or DataFrame of the same shape
        The transformed counts; 0 remains 0, and a cell without counts is 0 throughout.

    Raises
    ------
    ValueError
        If a count is negative or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.simulators import log_cpm
    >>> log_cpm(np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0]])).round(2)
    array([[17.93, 19.52,  0.  ],
           [ 0.  ,  0.  ,  0.  ]])
    """
    if hasattr(counts, "columns"):
        transformed = log_cpm(counts.to_numpy(dtype=np.float64))
        return type(counts)(transformed, index=counts.index, columns=counts.columns)
    if not isinstance(counts, torch.Tensor):
        return log_cpm(torch.from_numpy(np.array(counts, dtype=np.float64))).numpy()
    if not (counts >= 0).all():
        raise ValueError("counts must not be negative or NaN.")
    totals = counts.sum(dim=-1, keepdim=True)
    return torch.log2(1.0 + 1e6 * counts / torch.where(totals > 0, totals, 1.0))
