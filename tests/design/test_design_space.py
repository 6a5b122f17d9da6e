"""The space of feasible designs, and repairs of designs that are outside."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Designs


@st.composite
def spaces(draw):
    d = draw(st.integers(1, 6))
    allowed = torch.tensor(draw(st.lists(st.booleans(), min_size=d, max_size=d)))
    allowed[draw(st.integers(0, d - 1))] = True
    n_allowed = int(allowed.sum())
    fewest = draw(st.integers(0, n_allowed))
    most = draw(st.integers(max(fewest, 1), d))
    numbers = st.floats(-100, 100, width=32)
    low = torch.tensor(draw(st.lists(numbers, min_size=d, max_size=d)))
    width = torch.tensor(draw(st.lists(st.floats(0, 10, width=32), min_size=d, max_size=d)))
    return DesignSpace(allowed, low, low + width, fewest, most)


def random_designs(space, seed, n=5):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, n, len(space.allowed))
    targets = torch.rand(shape, generator=generator) < torch.rand((2, n, 1), generator=generator)
    values = 100.0 * torch.randn(shape, generator=generator)
    priority = torch.rand(shape, generator=generator)
    return Designs(targets, torch.where(targets, values, 0.0)), priority


def assert_in_space(designs, space):
    n_targets = designs.targets.sum(dim=-1)
    most = min(space.most, int(space.allowed.sum()))
    assert not (designs.targets & ~space.allowed).any()
    assert (n_targets >= space.fewest).all()
    assert (n_targets <= most).all()
    inside = (designs.values >= space.low) & (designs.values <= space.high)
    assert inside[designs.targets].all()
    assert not designs.values[~designs.targets].any()


class TestRepaired:
    @given(spaces(), st.integers(0, 1000))
    @settings(max_examples=25)
    def test_repaired_designs_are_in_the_space(self, space, seed):
        designs, priority = random_designs(space, seed)
        assert_in_space(space.repaired(designs, priority), space)

    @given(spaces(), st.integers(0, 1000))
    @settings(max_examples=25)
    def test_designs_of_the_space_stay_as_they_are(self, space, seed):
        designs, priority = random_designs(space, seed)
        designs = space.repaired(designs, priority)
        again = space.repaired(designs, torch.rand_like(priority))
        assert torch.equal(again.targets, designs.targets)
        assert torch.equal(again.values, designs.values)

    @given(spaces(), st.integers(0, 1000))
    @settings(max_examples=25)
    def test_as_little_as_possible_is_changed(self, space, seed):
        """Either targets are left out or added; those of the highest priority remain."""
        designs, priority = random_designs(space, seed)
        repaired = space.repaired(designs, priority)
        wanted = designs.targets & space.allowed
        most = min(space.most, int(space.allowed.sum()))
        for before, after, rank in zip(
            wanted.flatten(0, 1), repaired.targets.flatten(0, 1), priority.flatten(0, 1)
        ):
            if before.sum() > most:
                best = rank[before].sort(descending=True)[0][most - 1]
                assert torch.equal(after, before & (rank >= best))
            else:
                assert (after | ~before).all()
                assert after.sum() == max(int(before.sum()), space.fewest)
                added = after & ~before
                others = space.allowed & ~after
                if added.any() and others.any():
                    assert rank[added].min() >= rank[others].max()

    def test_added_targets_are_set_to_the_middle(self):
        space = DesignSpace(
            torch.ones(2, dtype=torch.bool),
            torch.tensor([0.0, 2.0]),
            torch.tensor([1.0, 6.0]),
            2,
            2,
        )
        designs = Designs(torch.tensor([[True, False]]), torch.tensor([[5.0, 0.0]]))
        repaired = space.repaired(designs, torch.zeros(1, 2))
        assert repaired.values.tolist() == [[1.0, 4.0]]
        assert repaired.targets.all()


class TestHalf:
    @pytest.mark.parametrize(
        ("d", "fewest", "most", "expected"),
        [
            (6, 0, 6, (3, 3)),
            (5, 0, 5, (2, 3)),
            (1, 0, 1, (0, 1)),
            (6, 1, 1, (1, 1)),
            (6, 5, 6, (5, 5)),
            (5, 3, 4, (3, 3)),
            (5, 0, 2, (2, 2)),
        ],
    )
    def test_numbers(self, d, fewest, most, expected):
        space = DesignSpace(
            torch.ones(d, dtype=torch.bool), torch.zeros(d), torch.ones(d), fewest, most
        )
        assert space.half() == expected

    def test_only_allowed_variables_count(self):
        allowed = torch.tensor([True, True, False, False, True, True])
        space = DesignSpace(allowed, torch.zeros(6), torch.ones(6), 0, 6)
        assert space.half() == (2, 2)

    @given(spaces())
    @settings(max_examples=40)
    def test_a_half_is_feasible(self, space):
        most = min(space.most, int(space.allowed.sum()))
        smaller, larger = space.half()
        assert space.fewest <= smaller <= larger <= most
        assert larger - smaller <= 1


@given(spaces(), st.integers(0, 1000))
@settings(max_examples=25)
def test_ends_are_ends_of_the_ranges(space, seed):
    designs, priority = random_designs(space, seed)
    targets = designs.targets
    found = space.at_ends(targets, priority < 0.5)
    assert torch.equal(found.targets, targets)
    expected = torch.where(priority < 0.5, space.high, space.low)
    assert torch.equal(found.values[targets], expected[targets])
    assert not found.values[~targets].any()


def test_unrestricted():
    space = DesignSpace.unrestricted(3, -2.0, 4.0)
    assert space.allowed.all()
    assert (space.fewest, space.most) == (0, 3)
    assert space.low.tolist() == [-2.0] * 3
    assert space.high.tolist() == [4.0] * 3
    moved = space.to(torch.zeros(1, dtype=torch.float64))
    assert moved.low.dtype == moved.high.dtype == torch.float64
    assert moved.allowed.dtype == torch.bool
