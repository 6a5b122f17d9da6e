"""Which rows each member of an ensemble learns from, and in what order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MemberRows:
    """Rows that the members of an ensemble learn from, and those they are checked on.

    Rows are grouped by stratum: a treatment level, or a level in one environment. Every member has
    equally many rows in a stratum, so that all of them can be trained as one.

    Parameters
    ----------
    strata : list of ndarray of int of shape (n_members, n_rows_in_stratum)
        Training rows in each stratum; bootstrap samples repeat some.
    validation : list of ndarray of int
        Rows that each member does not learn from; empty arrays where all are learned from.
    """

    strata: list[np.ndarray]
    validation: list[np.ndarray]

    @property
    def n_rows(self) -> int:
        """Number of training rows of a member."""
        return sum(rows.shape[1] for rows in self.strata)


def seed_of_call(seed: int, call: int) -> int:
    """Seed of a member for the given call of `partial_fit`."""
    return int(np.random.SeedSequence((seed, call)).generate_state(1)[0])


def bootstrap(stratum: np.ndarray, seeds: Sequence[int]) -> MemberRows:
    """Draw a bootstrap sample within each stratum; rows not drawn are out of bag.

    Parameters
    ----------
    stratum : ndarray of int of shape (n_samples,)
        Stratum of each row, 0, 1, ...
    seeds : sequence of int
        One per member.

    Returns
    -------
    rows : MemberRows
        Each member's sample, and its rows out of bag.
    """
    members = np.arange(stratum.max() + 1)
    strata: list[list[np.ndarray]] = [[] for _ in members]
    out_of_bag = []
    for seed in seeds:
        rng = np.random.default_rng((seed, 0))
        left_out = np.ones(len(stratum), dtype=bool)
        for s in members:
            rows = np.flatnonzero(stratum == s)
            drawn = rng.choice(rows, len(rows))
            left_out[drawn] = False
            strata[s].append(drawn)
        out_of_bag.append(np.flatnonzero(left_out))
    return MemberRows([np.stack(rows) for rows in strata], out_of_bag)


def split(stratum: np.ndarray, fraction: float, seeds: Sequence[int]) -> MemberRows:
    """Set a share of each stratum aside.

    Parameters
    ----------
    stratum : ndarray of int of shape (n_samples,)
        Stratum of each row, 0, 1, ...
    fraction : float
        Share that is set aside, rounded to whole rows within each stratum; 0 for none. At least one
        row of each stratum is left to learn from.
    seeds : sequence of int
        One per member.

    Returns
    -------
    rows : MemberRows
        Each member's training and validation rows.
    """
    strata: list[list[np.ndarray]] = [[] for _ in range(stratum.max() + 1)]
    validation = []
    for seed in seeds:
        rng = np.random.default_rng((seed, 0))
        aside = []
        for s, rows_of_members in enumerate(strata):
            rows = rng.permutation(np.flatnonzero(stratum == s))
            n_aside = min(round(fraction * len(rows)), len(rows) - 1)
            aside.append(rows[:n_aside])
            rows_of_members.append(rows[n_aside:])
        validation.append(np.concatenate(aside))
    return MemberRows([np.stack(rows) for rows in strata], validation)


@dataclass(frozen=True)
class BatchPlan:
    """Batches of one composition, shared by all members and by all batches.

    Each batch has the same number of rows of every stratum, in the order of the strata. That keeps
    every group of rows present, gives all members arrays of one shape, and makes the composition of
    a batch no source of noise.

    Parameters
    ----------
    rows : MemberRows
        What the members learn from.
    batch_size : int
        Wanted number of rows in a batch.
    groups : sequence of ndarray of int of shape (n_strata,)
        Ways in which the strata form groups; a batch has two rows of each group at least.
    n_processes : int, default=1
        Number of processes among which a batch is divided.
    """

    rows: MemberRows
    batch_size: int
    groups: Sequence[np.ndarray]
    n_processes: int = 1

    @property
    def n_steps(self) -> int:
        """Number of batches in an epoch."""
        return max(1, self.rows.n_rows // self.batch_size)

    @property
    def counts(self) -> np.ndarray:
        """Number of rows (n_strata,) of each stratum in one process's batch."""
        sizes = np.array([rows.shape[1] for rows in self.rows.strata])
        counts = np.maximum(1, sizes // (self.n_steps * self.n_processes))
        for group in self.groups:
            lone = np.bincount(group, counts) < 2
            counts[lone[group]] = 2
        return counts

    def epoch(self, seeds: Sequence[int], epoch: int, rank: int = 0) -> Iterator[np.ndarray]:
        """Yield the rows (n_members, n_rows_in_batch) of each batch.

        Parameters
        ----------
        seeds : sequence of int
            One per member.
        epoch : int
            Number of the epoch. Together with the seed it determines the order.
        rank : int, default=0
            Number of this process.

        Yields
        ------
        rows : ndarray of int of shape (n_members, n_rows_in_batch)
            Row numbers, sorted by stratum.
        """
        order: list[list[np.ndarray]] = [[] for _ in self.rows.strata]
        for member, seed in enumerate(seeds):
            rng = np.random.default_rng((seed, 1, epoch))
            for s, rows in enumerate(self.rows.strata):
                order[s].append(rng.permutation(rows[member]))
        shuffled = [np.stack(rows) for rows in order]
        counts = self.counts
        for step in range(self.n_steps):
            batch = []
            for rows, count in zip(shuffled, counts):
                first = (step * self.n_processes + rank) * count
                # A stratum with too few rows starts again from its beginning.
                batch.append(rows[:, np.arange(first, first + count) % rows.shape[1]])
            yield np.concatenate(batch, axis=1)
