"""Rows of the members of an ensemble, and the composition of their batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skcausal.effects._resampling import BatchPlan, MemberRows, bootstrap, split

SEEDS = (11, 12, 13)
STRATUM = np.repeat([0, 1, 2], [40, 9, 3])[np.random.default_rng(0).permutation(52)]
ONE_GROUP_EACH = [np.arange(3)]

strata = st.lists(st.integers(1, 25), min_size=1, max_size=5).map(
    lambda sizes: np.repeat(np.arange(len(sizes)), sizes)
)


def whole(sizes, n_members=2):
    """All rows, numbered by stratum, for every member."""
    ends = np.cumsum(sizes)
    rows = [np.arange(end - size, end) for end, size in zip(ends, sizes)]
    empty = np.empty(0, dtype=np.int64)
    return MemberRows([np.tile(r, (n_members, 1)) for r in rows], [empty] * n_members)


def all_batches(plan, seeds, epoch=0, rank=0):
    return np.stack(list(plan.epoch(seeds, epoch, rank)))  # (n_steps, n_members, n_rows)


# Rows of the members


@given(stratum=strata, seed=st.integers(0, 2**31 - 1))
def test_bootstrap_keeps_the_number_of_rows_of_each_stratum(stratum, seed):
    rows = bootstrap(stratum, [seed, seed + 1])
    assert rows.n_rows == len(stratum)
    for s, drawn in enumerate(rows.strata):
        assert drawn.shape == (2, (stratum == s).sum())
        assert (stratum[drawn] == s).all()


@given(stratum=strata, seed=st.integers(0, 2**31 - 1))
def test_rows_out_of_bag_are_exactly_those_not_drawn(stratum, seed):
    rows = bootstrap(stratum, [seed, seed + 1])
    for member in range(2):
        drawn = np.concatenate([drawn[member] for drawn in rows.strata])
        expected = np.setdiff1d(np.arange(len(stratum)), drawn)
        np.testing.assert_array_equal(rows.validation[member], expected)


def test_bootstrap_draws_every_row_equally_often():
    n_members = 2000
    rows = bootstrap(STRATUM, range(n_members))
    for s, drawn in enumerate(rows.strata):
        n = (s == STRATUM).sum()
        counts = np.bincount(drawn.ravel(), minlength=len(STRATUM))[s == STRATUM]
        # The number of times that a row is drawn is binomial with mean 1 and variance 1 - 1/n.
        assert (abs(counts / n_members - 1) < 4.5 * np.sqrt((1 - 1 / n) / n_members)).all()
    shares = np.array([len(left_out) for left_out in rows.validation]) / len(STRATUM)
    expected = sum(n * (1 - 1 / n) ** n for n in np.bincount(STRATUM)) / len(STRATUM)
    assert abs(shares.mean() - expected) < 4 * shares.std() / np.sqrt(n_members)


@pytest.mark.parametrize(
    "draw",
    [bootstrap, lambda stratum, seeds: split(stratum, 0.3, seeds)],
    ids=["bootstrap", "split"],
)
def test_a_member_depends_on_its_own_seed_alone(draw):
    together, alone = draw(STRATUM, SEEDS), draw(STRATUM, SEEDS[1:2])
    for ours, theirs in zip(together.strata, alone.strata):
        np.testing.assert_array_equal(ours[1], theirs[0])
    np.testing.assert_array_equal(together.validation[1], alone.validation[0])
    assert not np.array_equal(together.strata[0][0], together.strata[0][1])


@given(stratum=strata, fraction=st.floats(0, 1, exclude_max=True), seed=st.integers(0, 2**31 - 1))
def test_split_parts_each_stratum(stratum, fraction, seed):
    rows = split(stratum, fraction, [seed])
    learned = np.concatenate([part[0] for part in rows.strata])
    everything = np.concatenate([learned, rows.validation[0]])
    np.testing.assert_array_equal(np.sort(everything), np.arange(len(stratum)))
    for s, part in enumerate(rows.strata):
        n = (stratum == s).sum()
        assert (stratum[part] == s).all()
        assert part.shape[1] == max(1, n - round(fraction * n))


def test_split_without_a_share_sets_nothing_aside():
    rows = split(STRATUM, 0, SEEDS)
    assert [len(aside) for aside in rows.validation] == [0, 0, 0]
    assert rows.n_rows == len(STRATUM)


# Batches


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    batch_size=st.integers(2, 40),
    n_processes=st.integers(1, 3),
    data=st.data(),
)
def test_all_batches_have_the_stated_composition(sizes, batch_size, n_processes, data):
    n_strata = len(sizes)
    group = np.unique(
        data.draw(st.lists(st.integers(0, 2), min_size=n_strata, max_size=n_strata)),
        return_inverse=True,
    )[1]
    plan = BatchPlan(whole(sizes), batch_size, [group], n_processes)
    ends = np.cumsum(sizes)
    expected = np.repeat(np.arange(n_strata), plan.counts)
    assert (plan.counts >= 1).all()
    assert (np.bincount(group, plan.counts) >= 2).all()
    for rank in range(n_processes):
        batches = all_batches(plan, [3, 4], rank=rank)
        assert batches.shape == (plan.n_steps, 2, plan.counts.sum())
        stratum = np.searchsorted(ends, batches, side="right")
        assert (stratum == expected).all()


@pytest.mark.parametrize("n_processes", [1, 2])
def test_an_epoch_visits_each_row_once_where_everything_divides(n_processes):
    plan = BatchPlan(whole([48, 24, 8]), 20, ONE_GROUP_EACH, n_processes)
    assert plan.n_steps == 4
    # Two rows of each group, where one would do for two processes.
    expected = [[12, 6, 2], [6, 3, 2]][n_processes - 1]
    np.testing.assert_array_equal(plan.counts, expected)
    ranks = [all_batches(plan, SEEDS[:2], rank=rank) for rank in range(n_processes)]
    visits = np.concatenate(ranks, axis=2)
    for member in range(2):
        counts = np.bincount(visits[:, member].ravel(), minlength=80)
        assert (counts[:72] == 1).all()
        assert (counts[72:] == n_processes).all()


@given(
    sizes=st.lists(st.integers(20, 90), min_size=1, max_size=4),
    batch_size=st.integers(30, 60),
)
def test_an_epoch_leaves_out_less_than_one_row_per_batch_and_stratum(sizes, batch_size):
    plan = BatchPlan(whole(sizes), batch_size, [])
    visits = np.bincount(all_batches(plan, [1, 2])[:, 0].ravel(), minlength=sum(sizes))
    if (np.array(sizes) >= plan.n_steps).all():
        assert visits.max() == 1
        parts = np.split(visits, np.cumsum(sizes)[:-1])
        assert all((part == 0).sum() < plan.n_steps for part in parts)


def test_rows_left_out_differ_between_epochs():
    plan = BatchPlan(whole([19]), 3, [])
    left_out = [
        frozenset(range(19)) - set(all_batches(plan, [1, 2], epoch)[:, 0].ravel().tolist())
        for epoch in range(10)
    ]
    assert all(len(rows) == 1 for rows in left_out)
    assert len(set(left_out)) > 3


def test_processes_get_disjoint_rows():
    plan = BatchPlan(whole([48, 24]), 12, [np.arange(2)], n_processes=2)
    first, second = (all_batches(plan, SEEDS[:2], rank=rank) for rank in range(2))
    for member in range(2):
        assert not set(first[:, member].ravel()) & set(second[:, member].ravel())


def test_tiny_strata_repeat_evenly():
    plan = BatchPlan(whole([96, 2, 1]), 10, [np.arange(3)])
    assert plan.n_steps == 9
    batches = all_batches(plan, SEEDS[:2])
    counts = np.bincount(batches[:, 0].ravel(), minlength=99)
    assert (counts[96:98] == 9).all()
    assert counts[98] == 18
    # Two rows in a batch are two different ones where there are two.
    assert (batches[:, :, -4] != batches[:, :, -3]).all()


def test_lone_stratum_of_a_group_is_doubled_and_others_are_not():
    # Strata: level by environment. Environment 1 has two strata with one row each in a batch.
    arms, environments = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    sizes = [40, 4, 40, 4]
    both = BatchPlan(whole(sizes), 20, [arms, environments])
    np.testing.assert_array_equal(both.counts, [10, 1, 10, 1])
    lone = BatchPlan(whole(sizes), 20, [np.array([0, 1, 0, 2])])
    np.testing.assert_array_equal(lone.counts, [10, 2, 10, 2])


def test_fewer_rows_than_a_batch_make_one_batch_of_all():
    plan = BatchPlan(whole([5, 4]), 100, [])
    assert plan.n_steps == 1
    np.testing.assert_array_equal(np.sort(all_batches(plan, [1, 2])[0, 0]), np.arange(9))


def test_order_is_a_function_of_seed_and_epoch():
    plan = BatchPlan(whole([30, 10], n_members=3), 10, [])
    batches = all_batches(plan, SEEDS, epoch=2)
    np.testing.assert_array_equal(all_batches(plan, SEEDS, epoch=2), batches)
    assert not np.array_equal(all_batches(plan, SEEDS, epoch=3), batches)
    assert not np.array_equal(batches[:, 0], batches[:, 1])
    # A member's order depends neither on its number nor on the others.
    alone = all_batches(BatchPlan(whole([30, 10], n_members=1), 10, []), SEEDS[2:], epoch=2)
    np.testing.assert_array_equal(alone[:, 0], batches[:, 2])


def test_members_are_served_their_own_rows():
    rows = bootstrap(STRATUM, SEEDS)
    batches = all_batches(BatchPlan(rows, 13, [np.arange(3)]), SEEDS)
    for member in range(3):
        drawn = np.concatenate([part[member] for part in rows.strata])
        assert set(batches[:, member].ravel()) <= set(drawn)
        assert not set(batches[:, member].ravel()) & set(rows.validation[member])
