"""Fixed rules of design: where their targets and values come from."""

import pytest
import torch
from scipy.stats import kstest, norm

from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Histories
from skcausal.design._rules import (
    RULES,
    draw_candidates,
    entropy_of_edges,
    uncertain_half,
    uncertain_single,
)
from tests.design.test_design_space import assert_in_space

RANGES = DesignSpace.unrestricted(6, -2.0, 4.0)
RESTRICTED = DesignSpace(
    torch.tensor([True, False, True, True, False, True]),
    torch.arange(6.0),
    torch.arange(6.0) + torch.tensor([1.0, 1.0, 0.0, 3.0, 1.0, 1.0]),
    1,
    3,
)
EXPERIMENTAL = [name for name in RULES if name != "observational"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def counts(n=200, d=6, dtype=torch.float64):
    return torch.randint(0, 4, (n, d), generator=generator(9)).to(dtype)


def probabilities(n=200, d=6):
    p = torch.rand((n, d, d), generator=generator(8), dtype=torch.float64)
    return p * (1.0 - torch.eye(d))


def by_name(name, space, n_targeted=None, seed=0):
    """Designs of any rule."""
    n_targeted = counts(d=len(space.allowed)) if n_targeted is None else n_targeted
    if name in RULES:
        return RULES[name](n_targeted, space, generator(seed))
    rule = {"uncertain_single": uncertain_single, "uncertain_half": uncertain_half}[name]
    histories = Histories.observational(n_targeted.new_zeros(len(n_targeted), 3, 6))
    return rule(histories, probabilities(len(n_targeted)), space, generator(seed))


every_rule = pytest.mark.parametrize("name", [*EXPERIMENTAL, "uncertain_single", "uncertain_half"])


@every_rule
@pytest.mark.parametrize("space", [RANGES, RESTRICTED], ids=["ranges", "restricted"])
def test_designs_are_in_the_space(name, space):
    designs = by_name(name, space)
    assert_in_space(designs, space)


@every_rule
def test_a_seed_determines_the_designs(name):
    first, again, other = (by_name(name, RANGES, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.targets, again.targets)
    assert torch.equal(first.values, again.values)
    assert not torch.equal(first.values, other.values)


@every_rule
def test_a_number_of_targets_is_kept(name):
    for n in range(1, 7):
        space = DesignSpace(RANGES.allowed, RANGES.low, RANGES.high, n, n)
        assert (by_name(name, space).targets.sum(dim=-1) == n).all()


@every_rule
def test_designs_have_the_shape_of_the_counts(name):
    """Several candidates for each system, as a lookahead needs them."""
    if name not in RULES:
        return
    designs = RULES[name](counts()[:, None].expand(-1, 5, -1), RANGES, generator())
    assert designs.targets.shape == designs.values.shape == (200, 5, 6)


def test_observational_has_no_targets():
    designs = by_name("observational", RANGES)
    assert not designs.targets.any()
    assert not designs.values.any()


@pytest.mark.parametrize("name", ["random_extreme", "balanced_half", "single_cycle"])
def test_values_are_ends_of_ranges_equally_often(name):
    designs = by_name(name, RANGES, counts(2000))
    values = designs.values[designs.targets]
    assert set(values.tolist()) == {-2.0, 4.0}
    assert float((values == 4.0).double().mean()) == pytest.approx(0.5, abs=0.05)


class TestRandom:
    @pytest.mark.parametrize("name", ["random", "random_extreme"])
    def test_each_variable_is_a_target_with_probability_one_half(self, name):
        share = by_name(name, RANGES, counts(4000)).targets.double().mean(dim=0)
        torch.testing.assert_close(share, torch.full((6,), 0.5).double(), atol=0.03, rtol=0)

    def test_targets_are_independent(self):
        targets = by_name("random", RANGES, counts(4000)).targets.double()
        correlation = torch.corrcoef(targets.T) - torch.eye(6)
        assert correlation.abs().max() < 0.06

    def test_values_are_clipped_normal_in_units_of_the_range(self):
        designs = by_name("random", RANGES, counts(4000))
        position = (designs.values[designs.targets] - 1.0) / 3.0
        inside = position[position.abs() < 1.0]
        for end in (-1.0, 1.0):
            share = float((position == end).double().mean())
            assert share == pytest.approx(norm.cdf(-1.0), abs=0.02)
        low, high = norm.cdf(-1.0), norm.cdf(1.0)
        cdf = lambda x: (norm.cdf(x) - low) / (high - low)  # noqa: E731
        assert kstest(inside.numpy(), cdf).pvalue > 1e-3


class TestBalance:
    @pytest.mark.parametrize("d", [2, 4, 6])
    def test_halves_of_an_even_number_take_turns(self, d):
        space = DesignSpace.unrestricted(d)
        count, source = torch.zeros(50, d), generator()
        for _ in range(9):
            targets = RULES["balanced_half"](count, space, source).targets
            assert (targets.sum(dim=-1) == d // 2).all()
            count += targets
            assert (count.amax(dim=-1) - count.amin(dim=-1) <= 1).all()

    @pytest.mark.parametrize("d", [1, 3, 5])
    def test_halves_of_an_odd_number_are_balanced_too(self, d):
        space = DesignSpace.unrestricted(d)
        count, source, sizes = torch.zeros(50, d), generator(), []
        for _ in range(9):
            targets = RULES["balanced_half"](count, space, source).targets
            sizes.append(targets.sum(dim=-1))
            count += targets
            assert (count.amax(dim=-1) - count.amin(dim=-1) <= 1).all()
        sizes = torch.stack(sizes).flatten()
        assert set(sizes.tolist()) == {d // 2, d - d // 2}
        assert float((sizes == d // 2).double().mean()) == pytest.approx(0.5, abs=0.1)

    @pytest.mark.parametrize("name", ["balanced_half", "single_cycle"])
    def test_only_allowed_variables_take_turns(self, name):
        space = DesignSpace(RESTRICTED.allowed, RANGES.low, RANGES.high, 0, 6)
        count, source = torch.zeros(50, 6), generator()
        for _ in range(8):
            count += RULES[name](count, space, source).targets
            inside = count[:, RESTRICTED.allowed]
            assert (inside.amax(dim=-1) - inside.amin(dim=-1) <= 1).all()
        assert not count[:, ~RESTRICTED.allowed].any()

    def test_a_cycle_visits_every_variable(self):
        count, source = torch.zeros(50, 6), generator()
        for step in range(1, 7):
            count += RULES["single_cycle"](count, RANGES, source).targets
            assert (count.sum(dim=-1) == step).all()
        assert (count == 1).all()

    def test_which_half_is_random(self):
        targets = RULES["balanced_half"](
            torch.zeros(4000, 4), DesignSpace.unrestricted(4), generator()
        )
        share = targets.targets.double().mean(dim=0)
        torch.testing.assert_close(share, torch.full((4,), 0.5).double(), atol=0.03, rtol=0)
        pairs = torch.unique(targets.targets, dim=0)
        assert len(pairs) == 6


class TestCandidates:
    def test_are_balanced_halves(self):
        found = draw_candidates(counts(), 30, RANGES, generator())
        assert found.targets.shape == (200, 30, 6)
        assert_in_space(found, RANGES)
        assert (found.targets.sum(dim=-1) == 3).all()
        least = counts().sort(dim=-1)[0][:, None, :3].sum(dim=-1)
        waited = (found.targets * counts()[:, None]).sum(dim=-1)
        torch.testing.assert_close(waited, least.expand(-1, 30))

    @pytest.mark.parametrize("restricted", [False, True])
    def test_knock_outs_have_any_number_of_targets(self, restricted):
        allowed = RESTRICTED.allowed if restricted else RANGES.allowed
        fewest, most = (2, 3) if restricted else (0, 6)
        space = DesignSpace(allowed, torch.zeros(6), torch.zeros(6), fewest, most)
        found = draw_candidates(counts(), 30, space, generator())
        assert_in_space(found, space)
        assert not found.values.any()
        n_targets = found.targets.sum(dim=-1)
        assert (n_targets[:, ::2] == int(allowed.sum()) // 2).all()
        expected = {2, 3} if restricted else {1, 2, 3, 4, 5}  # one is free, to learn from
        assert set(n_targets[:, 1::2].flatten().tolist()) == expected
        # Those first that were targets least often.
        chosen = torch.where(found.targets, counts()[:, None], -1.0).amax(dim=-1)
        others = allowed & ~found.targets
        left = torch.where(others, counts()[:, None], torch.inf).amin(dim=-1)
        assert (chosen <= left).all()

    @pytest.mark.parametrize("d", [1, 2, 6])
    def test_knock_outs_of_all_variables_if_nothing_else_is_feasible(self, d):
        space = DesignSpace(torch.ones(d).bool(), torch.zeros(d), torch.zeros(d), d, d)
        found = draw_candidates(counts(d=d), 4, space, generator())
        assert found.targets.all()


class TestUncertainty:
    def test_entropy_counts_both_directions_and_no_diagonal(self):
        p = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 0.5, 1.0], [0.0, 0.0, 0.5]]]).double()
        found = entropy_of_edges(p)
        expected = torch.tensor([[1.0, 1.0, 0.0]]).double() * torch.log(torch.tensor(2.0))
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)

    @pytest.mark.parametrize("space", [RANGES, RESTRICTED], ids=["ranges", "restricted"])
    def test_single_takes_the_least_certain(self, space):
        entropy = entropy_of_edges(probabilities()).where(space.allowed, -torch.inf)
        targets = by_name("uncertain_single", space).targets
        assert (targets.sum(dim=-1) == 1).all()
        assert torch.equal(targets.double().argmax(dim=-1), entropy.argmax(dim=-1))

    def test_half_prefers_the_uncertain(self):
        p = torch.zeros(4000, 4, 4).double()
        p[:, 0, 1] = 0.5  # two of four variables are part of an uncertain edge
        p[:, 2, 3] = 0.001
        histories = Histories.observational(torch.zeros(4000, 3, 4))
        space = DesignSpace.unrestricted(4)
        targets = uncertain_half(histories, p, space, generator()).targets
        assert (targets.sum(dim=-1) == 2).all()
        share = targets.double().mean(dim=0)
        assert share[:2].min() > 0.9
        assert 0 < share[2:].max() < 0.1
