"""One step of lookahead against loops that are slow and plain."""

import itertools
import math

import pytest
import torch

from skcausal.design._histories import Designs
from skcausal.design._lookahead import _log_densities, _utility_of_one, expected_utility
from skcausal.design._posterior_systems import PosteriorSystems
from tests.design.test_posterior_systems import generator, random_systems, some_designs

N_DRAWS, N_OUTCOMES = 7, 4


def log_density(systems, k, design, rows):
    """Log-density of rows (n, d) under draw k of the first system, from torch.distributions."""
    total = torch.zeros(())
    for j in range(rows.shape[-1]):
        if not design.targets[j]:
            mean = systems.intercept[0, k, j] + rows @ systems.coef[0, k, :, j]
            normal = torch.distributions.Normal(mean, systems.noise_scale[0, k, j])
            total = total + normal.log_prob(rows[:, j]).sum()
    return total


def reference(systems, designs, noise, utility):
    """Utilities (n_candidates,) of the first system by three loops."""
    result = []
    for c in range(designs.targets.shape[1]):
        design, total = designs[0, c], 0.0
        for m in range(noise.shape[1]):
            source = PosteriorSystems(
                *(
                    tensor[:1, m : m + 1]
                    for tensor in (
                        systems.adjacency,
                        systems.coef,
                        systems.intercept,
                        systems.noise_scale,
                    )
                )
            )
            rows = source.simulate(designs[:1, c : c + 1], noise[:1, m : m + 1])[0, 0, 0]
            others = [k for k in range(systems.coef.shape[1]) if k != m]
            densities = torch.stack([log_density(systems, k, design, rows) for k in others])
            if utility == "information":
                total += log_density(systems, m, design, rows) - densities.logsumexp(dim=0)
                continue
            weights = densities.softmax(dim=0)
            truth = systems.adjacency[0, m]
            agree = [(systems.adjacency[0, k] == truth).sum() for k in others]
            total += (weights * torch.stack(agree)).sum()
        result.append(total / noise.shape[1])
    return torch.stack(result)


def utilities(systems, designs, utility="edges", rows_per_design=2, seed=5):
    return expected_utility(
        systems,
        designs,
        n_outcomes=N_OUTCOMES,
        rows_per_design=rows_per_design,
        utility=utility,
        generator=generator(seed),
    )


@pytest.mark.parametrize("n_rows", [1, 3])
def test_log_densities_of_all_draws_candidates_and_outcomes(n_rows):
    systems, _ = random_systems(1, N_DRAWS)
    designs = some_designs(1)
    noise = torch.randn((1, N_OUTCOMES, n_rows, 4), generator=generator(2))
    sources, _ = random_systems(1, N_OUTCOMES, seed=9)
    outcomes = sources.simulate(designs, noise)[0]
    found = _log_densities(systems, ~designs.targets[0], outcomes)
    assert found.shape == (5, N_OUTCOMES, N_DRAWS)
    n_free = (~designs.targets[0]).sum(dim=-1)
    constant = -0.5 * n_rows * n_free * math.log(2 * math.pi)
    for c, m, k in itertools.product(range(5), range(N_OUTCOMES), range(N_DRAWS)):
        expected = log_density(systems, k, designs[0, c], outcomes[m, c])
        torch.testing.assert_close(found[c, m, k] + constant[c], expected, atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize("utility", ["edges", "information"])
@pytest.mark.parametrize("n_rows", [1, 2])
def test_utilities_are_those_of_the_loops(utility, n_rows):
    """The constants that are left out depend on no candidate, but for the number of free cells."""
    systems, _ = random_systems(2, N_DRAWS)
    designs = some_designs(2)
    noise = torch.randn((2, N_OUTCOMES, n_rows, 4), generator=generator(5))
    found = utilities(systems, designs, utility, n_rows)
    assert found.shape == (2, 5)
    for s in range(2):
        expected = reference(systems[s : s + 1], designs[s : s + 1], noise[s : s + 1], utility)
        difference = found[s] - expected
        torch.testing.assert_close(
            difference, difference.mean().expand(5), atol=2e-3, rtol=0, msg=utility
        )


@pytest.mark.parametrize("utility", ["edges", "information"])
def test_permuting_the_variables_changes_nothing(utility):
    """With noise that is permuted, too."""
    systems, _ = random_systems(1, N_DRAWS)
    designs, order = some_designs(1), torch.tensor([2, 0, 3, 1])
    noise = torch.randn((1, N_OUTCOMES, 2, 4), generator=generator(5))
    permuted = PosteriorSystems(
        systems.adjacency[..., order, :][..., order],
        systems.coef[..., order, :][..., order],
        systems.intercept[..., order],
        systems.noise_scale[..., order],
    )
    moved = Designs(designs.targets[..., order], designs.values[..., order])
    first = reference(systems, designs, noise, utility)
    second = reference(permuted, moved, noise[..., order], utility)
    torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)
    found = _utility_of_one(permuted, moved, noise[..., order], utility)
    expected = _utility_of_one(systems, designs, noise, utility)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_a_seed_determines_the_utilities_and_systems_stand_alone():
    systems, _ = random_systems(2, N_DRAWS)
    designs = some_designs(2)
    assert torch.equal(utilities(systems, designs), utilities(systems, designs))
    first = utilities(systems[:1], designs[:1])
    torch.testing.assert_close(first, utilities(systems, designs)[:1])


@pytest.mark.parametrize("utility", ["edges", "information"])
def test_designs_that_tell_nothing_are_worth_least(utility):
    """Two directions of one edge: setting both variables tells nothing, setting one tells most."""
    coef = torch.tensor([[[0.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [2.0, 0.0]]])
    coef = coef.repeat(64, 1, 1)[None]
    systems = PosteriorSystems(coef != 0, coef, torch.zeros(1, 128, 2), torch.ones(1, 128, 2))
    targets = torch.tensor([[[True, True], [True, False], [False, True]]])
    found = expected_utility(
        systems,
        Designs(targets, 5.0 * targets),
        n_outcomes=32,
        rows_per_design=1,
        utility=utility,
        generator=generator(),
    )[0]
    assert found[0] < found[1] - 0.5
    assert found[0] < found[2] - 0.5


@pytest.mark.parametrize("offset", [0.0, 100.0], ids=str)
def test_the_origin_of_the_units_does_not_matter(offset):
    """Far from zero designers standardise first: the quadratic form is rounded to float32."""
    systems, _ = random_systems(1, N_DRAWS)
    designs = some_designs(1)
    centre = torch.full((1, 4), offset)
    moved = systems.in_units(centre, torch.ones(1, 4))
    values = torch.where(designs.targets, designs.values + offset, 0.0)
    found = utilities(moved, Designs(designs.targets, values), "information")
    expected = utilities(systems, designs, "information")
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)
