"""A permutation test of whether rows come from a known environment.

References
----------
A. Gretton, K. M. Borgwardt, M. J. Rasch, B. Schölkopf and A. Smola (2012). A kernel two-sample
test. JMLR 13, 723-773.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

MOST_ROWS = 500


class EnvironmentDrift(NamedTuple):
    """How unlike the training environments a batch of rows is.

    Parameters
    ----------
    statistic : float
        Unbiased MMD^2 between the representations of the batch and of the closest environment.
    p_value : float
        Probability of so large a statistic if the batch came from one of the environments, or from
        their mixture in training. Small values speak for an environment that training has not seen.
    closest : object
        Label of the closest environment; None for the mixture.
    p_values : dict
        Label of the environment, None for the mixture -> p-value against it alone.
    """

    statistic: float
    p_value: float
    closest: object
    p_values: dict


def closest_environment(
    batch: np.ndarray, references: list[tuple[object, np.ndarray]], n_permutations: int, seed: int
) -> EnvironmentDrift:
    """Test a batch against each environment and report the closest one.

    Parameters
    ----------
    batch : ndarray of shape (n, n_units)
        Representations of the rows in question.
    references : list of (label, ndarray of shape (m, n_units))
        Representations of rows of each environment.
    n_permutations : int
        Number of random divisions per test.
    seed : int
        Seed of the permutations.

    Returns
    -------
    drift : EnvironmentDrift
        The largest p-value and the environment that has it. A batch that comes from one of the
        environments has at most the chance q of a largest p-value of at most q, because the
        p-value against its own environment is that small with at most that chance.
    """
    rng = np.random.default_rng(seed)
    tests = {label: two_sample_test(batch, rows, n_permutations, rng) for label, rows in references}
    # Of equal p-values the smallest statistic.
    closest = max(tests, key=lambda label: (tests[label][1], -tests[label][0]))
    statistic, p_value = tests[closest]
    return EnvironmentDrift(
        statistic, p_value, closest, {label: test[1] for label, test in tests.items()}
    )


def two_sample_test(
    a: np.ndarray, b: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Permutation test of equal distributions with MMD^2 of a Gaussian kernel.

    Parameters
    ----------
    a, b : ndarray of shape (n, n_units) and (m, n_units)
        Two samples of at least two rows each.
    n_permutations : int
        Number of random divisions of the pooled rows.
    rng : Generator
        Source of the permutations.

    Returns
    -------
    statistic : float
        Unbiased MMD^2, the bandwidth being the median squared distance of the pooled rows.
    p_value : float
        Share of the divisions, the given one included, with at least this statistic. Under equal
        distributions it is at most q with probability q at most, whatever the sample sizes.
    """
    pooled = np.concatenate([a, b])
    distances = euclidean_distances(pooled, squared=True)
    off_diagonal = distances[~np.eye(len(pooled), dtype=bool)]
    kernel = np.exp(-distances / max(np.median(off_diagonal), 1e-12))
    np.fill_diagonal(kernel, 0.0)
    first = np.zeros((n_permutations + 1, len(pooled)))
    first[:, : len(a)] = 1.0
    first[1:] = rng.permuted(first[1:], axis=1)
    statistics = _unbiased_mmd(kernel, first)
    # Equal up to rounding counts as at least as large.
    exceeding = statistics >= statistics[0] - 1e-12 * max(1.0, abs(statistics[0]))
    return float(statistics[0]), float(exceeding.mean())


def _unbiased_mmd(kernel: np.ndarray, first: np.ndarray) -> np.ndarray:
    """MMD^2 (n_divisions,) of divisions `first` (n_divisions, n_rows) of 0 and 1."""
    second = 1.0 - first
    n, m = first[0].sum(), second[0].sum()
    with_first, with_second = first @ kernel, second @ kernel
    within_first = (with_first * first).sum(axis=1) / (n * (n - 1))
    within_second = (with_second * second).sum(axis=1) / (m * (m - 1))
    between = (with_first * second).sum(axis=1) / (n * m)
    return within_first + within_second - 2.0 * between
