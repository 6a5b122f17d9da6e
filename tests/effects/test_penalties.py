"""Discrepancies between groups of representations, against slow sums and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from skcausal.effects._penalties import (
    SINKHORN_ITERATIONS,
    SINKHORN_REGULARIZATION,
    TEMPERATURE,
    contrastive,
    linear_mmd,
    mmd_from_kernel,
    rbf_mmd,
    sinkhorn,
    squared_distances,
    transport_plan,
)

GROUPS = torch.tensor([0, 1, 2, 1, 0, 2, 2, 1, 1, 0, 1])
BLOCKS = torch.tensor([0, 0, 0, 1, 1, 1, 0, 1, 0, 0, 1])


def random_z(seed, n_rows=11, n_members=2, n_units=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_members, n_rows, n_units, generator=generator, dtype=torch.float64)


def contrastive_on_itself(z, groups):
    """Pairs matched on a fixed rotation of the representations, all in one block."""
    return contrastive(z, groups, z.detach().flip(2), torch.zeros_like(groups))


PENALTIES = [linear_mmd, rbf_mmd, sinkhorn, contrastive_on_itself]
all_penalties = pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.__name__)
shift_invariant = pytest.mark.parametrize(
    "penalty", [linear_mmd, rbf_mmd, sinkhorn], ids=lambda penalty: penalty.__name__
)


def pairs_of(groups):
    levels = sorted(set(groups.tolist()))
    return [(g, h) for g in levels for h in levels if h < g]


def parts_of(z, groups, g, h):
    labels = groups.numpy()
    return z.numpy()[labels == g], z.numpy()[labels == h]


def slow_linear_mmd(z, groups):
    gaps = []
    for g, h in pairs_of(groups):
        a, b = parts_of(z, groups, g, h)
        gaps.append(sum((a[:, u].mean() - b[:, u].mean()) ** 2 for u in range(a.shape[1])))
    return np.mean(gaps)


def slow_median(z, groups):
    between = [
        float(((z[i] - z[j]) ** 2).sum())
        for i in range(len(z))
        for j in range(i)
        if groups[i] != groups[j]
    ]
    return sorted(between)[(len(between) - 1) // 2]  # the lower of two middle values


def slow_rbf_mmd(a, b, bandwidth):
    """Gretton et al. (2012), Lemma 6, term by term."""

    def k(u, v):
        return math.exp(-sum((u - v) ** 2) / bandwidth)

    n, m = len(a), len(b)
    first = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    second = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return first + second - 2 * sum(k(u, v) for u in a for v in b) / (n * m)


def slow_plan(cost, regularization, n_iterations):
    """Cuturi (2013), algorithm 1: alternate scaling of rows and columns, no logarithms."""
    n, m = cost.shape
    kernel = np.exp(-cost / (regularization * cost.mean()))
    v = np.ones(m)
    for _ in range(n_iterations):
        u = (1 / n) / (kernel @ v)
        v = (1 / m) / (kernel.T @ u)
    return u[:, None] * kernel * v


def slow_contrastive(z, groups, matched_on, blocks):
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    levels = sorted(set(groups))
    means = []
    for g in levels:
        for h in levels:
            losses = []
            for i in np.flatnonzero(groups == g):
                others = [j for j in np.flatnonzero(groups == h) if blocks[j] == blocks[i]]
                if g == h or not others:
                    continue
                gaps = [sum((matched_on[i] - matched_on[j]) ** 2) for j in others]
                logits = [float(unit[i] @ unit[j]) / TEMPERATURE for j in others]
                total = math.log(sum(math.exp(value) for value in logits))
                losses.append(total - logits[int(np.argmin(gaps))])
            if losses:
                means.append(np.mean(losses))
    return np.mean(means)


# Values


@pytest.mark.parametrize("seed", range(3))
def test_linear_mmd_is_the_squared_distance_of_means(seed):
    z = random_z(seed)
    expected = [slow_linear_mmd(member, GROUPS) for member in z]
    np.testing.assert_allclose(linear_mmd(z, GROUPS), expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_rbf_mmd_is_lemma_6(seed):
    z = random_z(seed)
    expected = []
    for member in z:
        bandwidth = slow_median(member, GROUPS)
        pairs = [parts_of(member, GROUPS, g, h) for g, h in pairs_of(GROUPS)]
        expected.append(np.mean([slow_rbf_mmd(a, b, bandwidth) for a, b in pairs]))
    np.testing.assert_allclose(rbf_mmd(z, GROUPS), expected, rtol=1e-10)


def test_mmd_from_kernel_holds_every_pair():
    z = random_z(3)
    mmd = mmd_from_kernel(torch.exp(-squared_distances(z, z) / 1.7), GROUPS)
    assert mmd.shape == (2, 3, 3)
    for member in range(2):
        for g, h in pairs_of(GROUPS):
            a, b = parts_of(z[member], GROUPS, g, h)
            expected = slow_rbf_mmd(a, b, 1.7)
            np.testing.assert_allclose(mmd[member, g, h], expected, rtol=1e-10)
            np.testing.assert_allclose(mmd[member, h, g], expected, rtol=1e-10)


def test_unbiased_mmd_is_zero_on_average_under_equal_distributions():
    # The V-statistic would be about 1/n + 1/m = 0.33 times the spread of the kernel too large.
    n_draws = 2000
    groups = torch.tensor([0] * 5 + [1] * 8)
    z = random_z(0, n_rows=13, n_members=n_draws)
    kernel = torch.exp(-squared_distances(z, z) / 4.0)
    values = mmd_from_kernel(kernel, groups)[:, 1, 0]
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(n_draws)


def test_unbiased_mmd_has_the_population_value_on_average():
    # For N(0, 1) and N(d, 1), k = exp(-u^2 / b) has E k = sqrt(b / (b + 4)) exp(-d^2 / (b + 4)).
    n_draws, shift, bandwidth = 2000, 1.0, 2.0
    groups = torch.tensor([0] * 6 + [1] * 7)
    z = random_z(1, n_rows=13, n_members=n_draws, n_units=1)
    z[:, 6:] += shift
    values = mmd_from_kernel(torch.exp(-squared_distances(z, z) / bandwidth), groups)[:, 1, 0]
    level = math.sqrt(bandwidth / (bandwidth + 4))
    population = 2 * level * (1 - math.exp(-(shift**2) / (bandwidth + 4)))
    assert abs(values.mean() - population) < 4 * values.std() / math.sqrt(n_draws)


@pytest.mark.parametrize("seed", range(3))
def test_plan_is_that_of_plain_scaling(seed):
    rng = np.random.default_rng(seed)
    cost = rng.uniform(0.1, 2.0, size=(2, 5, 7))
    expected = np.stack([slow_plan(c, 0.2, 9) for c in cost])
    plan = transport_plan(torch.from_numpy(cost), 0.2, 9)
    np.testing.assert_allclose(plan, expected, rtol=1e-9)


def test_plan_has_uniform_marginals():
    cost = torch.from_numpy(np.random.default_rng(0).uniform(size=(3, 6, 9)))
    exact_in_columns = transport_plan(cost, n_iterations=1)
    np.testing.assert_allclose(exact_in_columns.sum(dim=1), np.full((3, 9), 1 / 9), rtol=1e-12)
    converged = transport_plan(cost, n_iterations=3000)
    np.testing.assert_allclose(converged.sum(dim=2), np.full((3, 6), 1 / 6), rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_plan_approaches_the_optimal_assignment(seed):
    a, b = random_z(seed, n_rows=8, n_members=2)
    cost = squared_distances(a[None], b[None])
    rows, columns = linear_sum_assignment(cost[0].numpy())
    optimum = float(cost[0, rows, columns].mean())
    gaps = []
    for regularization in (0.3, 0.03, 0.003):
        plan = transport_plan(cost, regularization, 3000)
        gaps.append(float((plan * cost).sum()) - optimum)
    assert gaps[0] > gaps[1] > gaps[2]
    # The last plan serves its rows nearly, so that it can be cheaper than the optimum, a little.
    # Entropies of plans are between log(n) and 2 log(n).
    assert abs(gaps[2]) <= 0.003 * float(cost.mean()) * math.log(8)
    assert abs(gaps[2]) < 0.01 * optimum


@pytest.mark.parametrize("seed", range(2))
def test_sinkhorn_is_the_cost_of_its_plan(seed):
    z = random_z(seed)
    expected = []
    for member in z:
        values = []
        for g, h in pairs_of(GROUPS):
            a, b = parts_of(member, GROUPS, g, h)
            cost = ((a[:, None] - b[None]) ** 2).sum(axis=2)
            plan = slow_plan(cost, SINKHORN_REGULARIZATION, SINKHORN_ITERATIONS)
            values.append((plan * cost).sum())
        expected.append(np.mean(values))
    np.testing.assert_allclose(sinkhorn(z, GROUPS), expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_contrastive_is_the_mean_cross_entropy_of_matched_rows(seed):
    z, matched_on = random_z(seed), random_z(seed + 10, n_units=2)
    values = contrastive(z, GROUPS, matched_on, BLOCKS)
    for member in range(2):
        expected = slow_contrastive(
            z[member].numpy(), GROUPS.numpy(), matched_on[member].numpy(), BLOCKS.numpy()
        )
        np.testing.assert_allclose(values[member], expected, rtol=1e-10)


def test_contrastive_leaves_out_blocks_that_a_group_lacks():
    groups, blocks = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 0, 2, 0, 0, 1])
    z, matched_on = random_z(0, n_rows=6), random_z(1, n_rows=6)
    kept = torch.tensor([0, 1, 3, 4])
    alone = contrastive(z[:, kept], groups[kept], matched_on[:, kept], blocks[kept])
    np.testing.assert_allclose(contrastive(z, groups, matched_on, blocks), alone, rtol=1e-12)


def test_contrastive_without_a_shared_block_is_zero_and_can_be_added_to_a_loss():
    groups = torch.tensor([0, 0, 1, 1])
    z = random_z(0, n_rows=4).requires_grad_()
    penalty = contrastive(z, groups, z.detach(), groups)
    np.testing.assert_array_equal(penalty.detach(), [0.0, 0.0])
    (penalty.sum() + (z**2).sum()).backward()
    np.testing.assert_allclose(z.grad, 2 * z.detach())


def test_contrastive_is_smallest_where_matched_rows_share_a_direction():
    z = torch.eye(4, dtype=torch.float64).repeat(1, 2, 1)
    groups, block = torch.tensor([0] * 4 + [1] * 4), torch.zeros(8, dtype=torch.int64)
    matched = contrastive(z, groups, z, block)
    # Cosine 1 with the match and 0 with three others.
    expected = math.log(math.exp(1 / TEMPERATURE) + 3) - 1 / TEMPERATURE
    np.testing.assert_allclose(matched, [expected], rtol=1e-6)
    rolled = torch.cat([z[:, :4], z[:, 4:].roll(1, dims=1)], dim=1)
    assert contrastive(rolled, groups, z, block) > matched + 5


@pytest.mark.parametrize(
    "penalty",
    [linear_mmd, sinkhorn, contrastive_on_itself],  # rbf_mmd has one bandwidth for all groups
    ids=lambda penalty: penalty.__name__,
)
def test_more_groups_are_the_mean_over_their_pairs(penalty):
    z = random_z(5)
    of_pairs = []
    for g, h in pairs_of(GROUPS):
        rows = (g == GROUPS) | (h == GROUPS)
        of_pairs.append(penalty(z[:, rows], (GROUPS[rows] == g).long()))
    np.testing.assert_allclose(penalty(z, GROUPS), torch.stack(of_pairs).mean(dim=0), rtol=1e-9)


# Invariances


@all_penalties
@settings(max_examples=15)
@given(seed=st.integers(0, 2**31 - 1), data=st.data())
def test_order_of_rows_names_of_groups_and_members_do_not_matter(penalty, seed, data):
    z = random_z(seed, n_members=3)
    rows = torch.tensor(data.draw(st.permutations(range(len(GROUPS)))))
    names = torch.tensor(data.draw(st.permutations(range(3))))
    members = torch.tensor(data.draw(st.permutations(range(3))))
    expected = penalty(z, GROUPS)
    np.testing.assert_allclose(penalty(z[:, rows], GROUPS[rows]), expected, rtol=1e-8, atol=1e-10)
    if penalty is not sinkhorn:
        np.testing.assert_allclose(penalty(z, names[GROUPS]), expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(penalty(z[members], GROUPS), expected[members], rtol=1e-8)


def test_order_of_the_groups_does_not_matter_to_a_converged_plan():
    # After a few iterations the columns are served exactly and the rows are not.
    cost = torch.from_numpy(np.random.default_rng(0).uniform(size=(2, 5, 7)))
    there = transport_plan(cost, n_iterations=3000)
    back = transport_plan(cost.transpose(1, 2), n_iterations=3000).transpose(1, 2)
    np.testing.assert_allclose(there, back, rtol=1e-6, atol=1e-12)


@shift_invariant
@settings(max_examples=15)
@given(seed=st.integers(0, 2**31 - 1), shift=st.floats(-10, 10))
def test_shift_and_rotation_do_not_matter(penalty, seed, shift):
    z = random_z(seed)
    rotation, _ = torch.linalg.qr(random_z(seed + 1, n_rows=3, n_members=1)[0])
    expected = penalty(z, GROUPS)
    np.testing.assert_allclose(penalty(z @ rotation + shift, GROUPS), expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("penalty", "power"),
    [(linear_mmd, 2), (rbf_mmd, 0), (sinkhorn, 2), (contrastive_on_itself, 0)],
    ids=["linear_mmd", "rbf_mmd", "sinkhorn", "contrastive"],
)
def test_unit_of_the_representation(penalty, power):
    z = random_z(0)
    np.testing.assert_allclose(penalty(7.0 * z, GROUPS), 7.0**power * penalty(z, GROUPS))


@shift_invariant
def test_penalty_grows_as_groups_move_apart(penalty):
    z = random_z(0, n_rows=40)
    groups = torch.arange(40) % 2
    values = [penalty(z + shift * groups[:, None], groups) for shift in (0.0, 1.0, 3.0)]
    assert (values[0] < values[1]).all()
    assert (values[1] < values[2]).all()


@shift_invariant
def test_float32_keeps_small_differences_far_from_the_origin(penalty):
    z = random_z(0) + 100.0
    exact = penalty(z.float().double(), GROUPS)
    np.testing.assert_allclose(penalty(z.float(), GROUPS), exact, rtol=2e-3, atol=2e-4)


# Gradients


def test_linear_mmd_gradient():
    assert torch.autograd.gradcheck(
        lambda z: linear_mmd(z, GROUPS), random_z(0).requires_grad_(), atol=1e-8
    )


def test_mmd_from_kernel_gradient():
    def of_fixed_bandwidth(z):
        mmd = mmd_from_kernel(torch.exp(-squared_distances(z, z) / 2.0), GROUPS)
        return mmd[:, [1, 2, 2], [0, 0, 1]]

    # On the diagonal the distance is clamped at zero, where its derivative is zero as well.
    assert torch.autograd.gradcheck(of_fixed_bandwidth, random_z(0).requires_grad_(), atol=1e-6)


def test_rbf_mmd_holds_the_bandwidth_fixed_in_its_gradient():
    z = random_z(1, n_members=1).requires_grad_()
    (gradient,) = torch.autograd.grad(rbf_mmd(z, GROUPS).sum(), z)
    bandwidth = slow_median(z[0].detach(), GROUPS)
    mmd = mmd_from_kernel(torch.exp(-squared_distances(z, z) / bandwidth), GROUPS)
    (expected,) = torch.autograd.grad(mmd[:, [1, 2, 2], [0, 0, 1]].mean(), z)
    np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=1e-12)
    assert gradient.abs().max() > 1e-3


def test_contrastive_gradient():
    matched_on = random_z(1)
    assert torch.autograd.gradcheck(
        lambda z: contrastive(z, GROUPS, matched_on, BLOCKS),
        random_z(0).requires_grad_(),
        atol=1e-6,
    )


def test_sinkhorn_gradient_is_that_of_the_cost_weighted_by_the_plan():
    groups = torch.tensor([0] * 4 + [1] * 6)
    z = random_z(2, n_rows=10).requires_grad_()
    (gradient,) = torch.autograd.grad(sinkhorn(z, groups).sum(), z)
    z = z.detach()
    a, b = z[:, :4], z[:, 4:]
    plan = transport_plan(squared_distances(b, a))  # columns: the group of the smaller number
    for i in range(4):
        expected = 2 * (plan[:, :, i, None] * (a[:, i, None] - b)).sum(dim=1)
        np.testing.assert_allclose(gradient[:, i], expected, rtol=1e-9, atol=1e-12)
    for j in range(6):
        expected = 2 * (plan[:, j, :, None] * (b[:, j, None] - a)).sum(dim=1)
        np.testing.assert_allclose(gradient[:, 4 + j], expected, rtol=1e-9, atol=1e-12)


def test_plan_is_the_derivative_of_the_regularised_cost():
    # Envelope theorem at convergence: d/dC of min <P, C> + eps KL(P | uniform) is P, eps fixed.
    rng = np.random.default_rng(0)
    cost, direction = rng.uniform(size=(4, 5)), rng.normal(size=(4, 5))
    epsilon = 0.2 * cost.mean()

    def plan_of(c):
        return transport_plan(torch.from_numpy(c)[None], epsilon / c.mean(), 3000)[0].numpy()

    def objective(c):
        plan = plan_of(c)
        return (plan * c).sum() + epsilon * (plan * np.log(plan * 20)).sum()

    step = 1e-5
    numeric = (objective(cost + step * direction) - objective(cost - step * direction)) / (2 * step)
    np.testing.assert_allclose(numeric, (plan_of(cost) * direction).sum(), rtol=1e-6)


# Degenerate representations

IDENTICAL = torch.ones(2, 6, 3)
PAIRS = torch.arange(6) % 2


@all_penalties
@pytest.mark.parametrize("level", [0.0, 1.0, 50.3])
def test_identical_rows_give_finite_values_and_gradients_in_float32(penalty, level):
    z = (level * IDENTICAL).requires_grad_()
    value = penalty(z, PAIRS)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(z.grad).all()
    if penalty is not contrastive_on_itself:  # that one is log(3): no row is told from another
        np.testing.assert_allclose(value.detach(), np.zeros(2), atol=1e-6)


@all_penalties
def test_pairs_of_identical_rows_in_float32(penalty):
    z = random_z(0, n_rows=3).float().repeat(1, 2, 1).requires_grad_()
    value = penalty(z, torch.tensor([0, 0, 0, 1, 1, 1]))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_extreme_costs_leave_a_plan_in_float32(scale):
    cost = scale * torch.from_numpy(np.random.default_rng(0).uniform(size=(1, 8, 8))).float()
    plan = transport_plan(cost)
    np.testing.assert_allclose(plan.sum(dim=1), np.full((1, 8), 1 / 8), rtol=1e-4)


def test_one_far_row_leaves_a_plan_in_float32():
    z = random_z(0, n_rows=8).float()
    z[:, 0] += 1e4
    plan = transport_plan(squared_distances(z[:, :4], z[:, 4:]))
    np.testing.assert_allclose(plan.sum(dim=1), np.full((2, 4), 1 / 4), rtol=1e-4)


def test_squared_distances_are_those_of_a_loop():
    a, b = random_z(0, n_rows=4), random_z(1, n_rows=5)
    expected = [[[((u - v) ** 2).sum() for v in y] for u in x] for x, y in zip(a, b)]
    np.testing.assert_allclose(squared_distances(a, b), expected, rtol=1e-10)
