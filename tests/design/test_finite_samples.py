"""Greedy search for information about the graph: its estimate and its choices."""

import math

import numpy as np
import pytest
import torch

from skcausal.design._design_space import DesignSpace
from skcausal.design._finite_samples import graph_information, ss_finite_designs
from skcausal.design._histories import Designs
from skcausal.design._posterior_systems import PosteriorSystems


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def chain_or_reverse():
    """0 -> 1 or 1 -> 0, of the same observational distribution, and variable 2 apart."""
    coef = torch.zeros(1, 2, 3, 3)
    coef[0, 0, 0, 1] = coef[0, 1, 1, 0] = 0.9
    scale = torch.ones(1, 2, 3)
    scale[0, 0, 1] = scale[0, 1, 0] = math.sqrt(1.0 - 0.81)
    return PosteriorSystems(coef != 0.0, coef, torch.zeros(1, 2, 3), scale)


def random_systems(n_histories=2, n_draws=6, d=4, seed=0):
    generator = seeded(seed)
    shape = (n_histories, n_draws, d, d)
    graphs = (torch.rand(shape, generator=generator) < 0.6).triu(1)
    graphs[:, ::2] = graphs[:, ::2].mT
    coef = torch.randn(shape, generator=generator) * graphs
    ones = torch.ones(shape[:3])
    return PosteriorSystems(graphs, coef, 0.3 * ones, 0.7 * ones)


def design_of(*rows):
    values = torch.tensor(rows)
    return Designs(values != 0.0, values)


def test_information_agrees_with_integration():
    systems = chain_or_reverse()
    noise = torch.randn((2, 20_000, 1, 3), generator=seeded())
    found = graph_information(systems, design_of([1.0, 0.0, 0.0]), noise)
    y = np.linspace(-10.0, 10.0, 20001)
    spread = math.sqrt(1.0 - 0.81)
    density = np.stack(
        [np.exp(-0.5 * ((y - 0.9) / spread) ** 2) / spread, np.exp(-0.5 * y**2)]
    ) / math.sqrt(2 * math.pi)
    ratio = np.maximum(density, 1e-300) / np.maximum(density.mean(axis=0), 1e-300)
    expected = (0.5 * density * np.log(ratio)).sum() * (y[1] - y[0])
    assert found.item() == pytest.approx(expected, abs=0.01)


def test_weights_alone_are_no_information_about_the_graph():
    coef = torch.zeros(1, 2, 2, 2)
    coef[0, 0, 0, 1], coef[0, 1, 0, 1] = 1.0, -3.0
    systems = PosteriorSystems(coef != 0.0, coef, torch.zeros(1, 2, 2), torch.ones(1, 2, 2))
    noise = torch.randn((2, 50, 1, 2), generator=seeded())
    found = graph_information(systems, design_of([1.0, 0.0], [0.0, 1.0]), noise)
    assert found.abs().max() < 1e-5


def test_information_is_at_most_the_entropy_of_the_graphs():
    systems = random_systems(1)
    noise = torch.randn((6, 30, 9, 4), generator=seeded())
    targets = torch.rand((8, 4), generator=seeded()) < 0.5
    found = graph_information(systems, Designs(targets, 3.0 * targets.float()), noise)
    assert (found <= math.log(6) + 1e-5).all()


def test_one_end_of_an_edge_of_unknown_direction_is_chosen():
    designs = ss_finite_designs(
        chain_or_reverse(), DesignSpace.unrestricted(3), rows_per_design=1, generator=seeded()
    )
    assert designs.targets[0].sum() == 1
    assert designs.targets[0, :2].any()
    assert designs.values.max() == 1.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_search_never_ends_below_its_start(seed):
    systems = random_systems(1, seed=seed)
    designs = ss_finite_designs(
        systems, DesignSpace.unrestricted(4), rows_per_design=1, generator=seeded(seed)
    )
    noise = torch.randn((1, 6, 8, 1, 4), generator=seeded(seed))[0]  # the noise of the search
    nothing = Designs(torch.zeros(1, 4, dtype=torch.bool), torch.zeros(1, 4))
    found = graph_information(systems, designs, noise)
    assert found >= graph_information(systems, nothing, noise)
    singles = torch.eye(4)
    assert found >= graph_information(systems, Designs(singles > 0.0, singles), noise).max() - 1e-4


@pytest.mark.parametrize(("fewest", "most"), [(0, 1), (2, 2), (3, 3), (1, 4), (0, 0)])
def test_designs_lie_in_the_space(fewest, most):
    space = DesignSpace(
        torch.tensor([True, True, False, True]),
        torch.tensor([-2.0, 0.5, -1.0, 0.0]),
        torch.tensor([-1.0, 0.5, 1.0, 3.0]),
        fewest,
        most,
    )
    designs = ss_finite_designs(random_systems(), space, rows_per_design=2, generator=seeded())
    n_targets = designs.targets.sum(dim=-1)
    assert ((n_targets >= fewest) & (n_targets <= most)).all()
    assert not designs.targets[:, 2].any()
    expected = torch.where(designs.targets, space.high, 0.0)
    torch.testing.assert_close(designs.values, expected)


def test_the_generator_decides():
    space = DesignSpace.unrestricted(4)
    first, again = (
        ss_finite_designs(random_systems(), space, rows_per_design=1, generator=seeded())
        for _ in range(2)
    )
    assert torch.equal(first.targets, again.targets)
