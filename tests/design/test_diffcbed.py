"""Ascent on the expected information: its estimate, its gradient, and where it ends."""

import math

import numpy as np
import pytest
import torch

from skcausal.design._design_space import DesignSpace
from skcausal.design._diffcbed import (
    _simulate,
    _temperature,
    diffcbed_designs,
    expected_information,
)
from skcausal.design._histories import Designs
from skcausal.design._posterior_systems import PosteriorSystems


def systems_of(coef, intercept=0.0, noise_scale=1.0):
    """One history's systems with the weights (n_draws, d, d)."""
    coef = torch.as_tensor(coef, dtype=torch.float32)[None]
    like = torch.ones(coef.shape[:3])
    return PosteriorSystems(coef != 0.0, coef, intercept * like, noise_scale * like)


def two_weights(first, second, noise_scale=1.0):
    coef = torch.zeros(2, 2, 2)
    coef[0, 0, 1], coef[1, 0, 1] = first, second
    return systems_of(coef, noise_scale=noise_scale)


def either_direction():
    """0 -> 1 or 1 -> 0, of the same observational distribution, and variable 2 apart."""
    coef = torch.zeros(2, 3, 3)
    coef[0, 0, 1] = coef[1, 1, 0] = 0.9
    systems = systems_of(coef)
    scale = systems.noise_scale.clone()
    scale[0, 0, 1] = scale[0, 1, 0] = math.sqrt(1.0 - 0.81)
    return PosteriorSystems(systems.adjacency, systems.coef, systems.intercept, scale)


def random_systems(n_histories=2, n_draws=6, d=4, seed=0):
    generator = seeded(seed)
    shape = (n_histories, n_draws, d, d)
    graphs = (torch.rand(shape, generator=generator) < 0.6).triu(1)
    order = torch.rand(shape[:3], generator=generator).argsort(dim=-1)
    graphs = graphs.gather(2, order[..., None].expand(shape))
    graphs = graphs.gather(3, order[:, :, None].expand(shape))
    coef = torch.randn(shape, generator=generator) * graphs
    ones = torch.ones(shape[:3])
    return PosteriorSystems(graphs, coef, 0.3 * ones, 0.7 * ones)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def information_of_mixture(distance):
    """Information between an even choice of N(0, 1) or N(distance, 1) and the value, in nats."""
    y = np.linspace(-12.0, 12.0 + distance, 20001)
    densities = [np.exp(-0.5 * (y - m) ** 2) / math.sqrt(2 * math.pi) for m in (0.0, distance)]
    mean = 0.5 * sum(densities)
    gain = sum(
        0.5 * p * np.log(np.maximum(p, 1e-300) / np.maximum(mean, 1e-300)) for p in densities
    )
    return float(gain.sum() * (y[1] - y[0]))


def test_the_estimates_agree_with_integration():
    first, second, scale, value = 0.3, 1.5, 0.8, 1.0
    systems = two_weights(first, second, scale)
    noise = torch.randn((2, 40_000, 1, 2), generator=seeded())
    targets, values = torch.tensor([[1.0, 0.0]]), torch.tensor([[value, 0.0]])
    distance = (second - first) * value / scale
    contrastive = expected_information(systems, targets, values, noise, "contrastive")
    assert contrastive.item() == pytest.approx(information_of_mixture(distance), abs=0.01)
    nested = expected_information(systems, targets, values, noise)
    assert nested.item() == pytest.approx(0.5 * distance**2, abs=0.03)


def test_rows_add_up():
    systems = two_weights(0.0, 0.7)
    targets, values = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    noise = torch.randn((2, 20_000, 4, 2), generator=seeded())
    contrastive = expected_information(systems, targets, values, noise, "contrastive")
    # Four rows are worth one with half of the standard deviation.
    assert contrastive.item() == pytest.approx(information_of_mixture(2 * 0.7), abs=0.01)


def test_what_no_system_depends_on_tells_nothing():
    systems = two_weights(0.3, 1.5)
    noise = torch.randn((2, 50, 1, 2), generator=seeded())
    everything = torch.ones(1, 2)
    assert expected_information(systems, everything, everything, noise).item() == 0.0


def test_contrastive_information_is_at_most_the_logarithm_of_the_number():
    systems = random_systems(1)
    noise = torch.randn((6, 20, 9, 4), generator=seeded())
    targets = (torch.rand((5, 4), generator=seeded()) < 0.5).float()
    information = expected_information(systems, targets, 5.0 * targets, noise, "contrastive")
    assert (information <= math.log(6) + 1e-5).all()


def test_outcomes_are_those_of_the_systems():
    systems = random_systems(1)
    targets = torch.tensor([[True, False, False, True], [False, True, False, False]])
    values = torch.tensor([[1.0, 0.0, 0.0, -0.5], [0.0, 0.3, 0.0, 0.0]])
    noise = torch.randn((6, 1, 2, 4), generator=seeded())
    outcomes = _simulate(systems, targets.float(), values, noise)
    expected = systems.simulate(Designs(targets[None], values[None]), noise[None, :, 0])[0]
    torch.testing.assert_close(outcomes, expected, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_differences():
    systems = random_systems(1)
    noise = torch.randn((6, 30, 1, 4), generator=seeded())
    point = torch.tensor([[0.7, 0.2, 0.9, 0.4], [0.5, -0.8, 0.3, 0.1]]).requires_grad_()

    def information(point):
        return expected_information(systems, point[:1], point[1:], noise)[0]

    gradient = torch.autograd.grad(information(point), point)[0]
    step = 1e-2
    for index in ((0, 0), (0, 3), (1, 0), (1, 2)):
        shift = torch.zeros_like(point)
        shift[index] = step
        with torch.no_grad():
            slope = (information(point + shift) - information(point - shift)) / (2 * step)
        assert gradient[index].item() == pytest.approx(slope.item(), rel=0.05, abs=0.01)


def test_an_unknown_estimator_or_a_single_system_is_refused():
    noise = torch.zeros(2, 1, 1, 2)
    with pytest.raises(ValueError, match="'nested' or 'contrastive', got 'exact'"):
        expected_information(
            two_weights(0.0, 1.0), torch.ones(1, 2), torch.ones(1, 2), noise, "exact"
        )
    with pytest.raises(ValueError, match="two systems"):
        diffcbed_designs(
            systems_of(torch.zeros(1, 3, 3)),
            DesignSpace.unrestricted(3),
            rows_per_design=1,
            generator=seeded(),
        )


@pytest.mark.parametrize("estimator", ["nested", "contrastive"])
def test_one_end_of_an_edge_of_unknown_direction_is_set_to_an_extreme(estimator):
    designs = diffcbed_designs(
        either_direction(),
        DesignSpace.unrestricted(3),
        rows_per_design=1,
        generator=seeded(),
        n_steps=60,
        estimator=estimator,
    )
    assert designs.targets[0, :2].sum() == 1
    assert designs.values[0, :2].abs().max() > 0.9


def test_the_ascent_beats_random_designs():
    systems = random_systems(1, seed=3)
    space = DesignSpace.unrestricted(4)
    designs = diffcbed_designs(
        systems, space, rows_per_design=1, generator=seeded(), estimator="contrastive"
    )
    noise = torch.randn((6, 2000, 1, 4), generator=seeded(1))
    targets = torch.rand((60, 4), generator=seeded(2)) < 0.5
    values = 2.0 * torch.rand((60, 4), generator=seeded(3)) - 1.0
    candidates = torch.cat([designs.targets, targets]).float()
    settings = torch.cat([designs.values, values])
    information = expected_information(systems, candidates, settings, noise, "contrastive")
    assert information[0] > information[1:].quantile(0.95)


@pytest.mark.parametrize(("fewest", "most"), [(0, 1), (2, 2), (3, 3), (1, 4)])
def test_designs_lie_in_the_space(fewest, most):
    space = DesignSpace(
        torch.tensor([True, True, False, True]),
        torch.tensor([-2.0, 0.5, -1.0, 0.0]),
        torch.tensor([-1.0, 0.5, 1.0, 3.0]),
        fewest,
        most,
    )
    designs = diffcbed_designs(
        random_systems(), space, rows_per_design=2, generator=seeded(), n_steps=5
    )
    n_targets = designs.targets.sum(dim=-1)
    assert ((n_targets >= fewest) & (n_targets <= most)).all()
    assert not designs.targets[:, 2].any()
    assert (designs.values[~designs.targets] == 0.0).all()
    inside = (designs.values >= space.low) & (designs.values <= space.high)
    assert inside[designs.targets].all()


def test_the_generator_decides():
    arguments = {"rows_per_design": 1, "n_steps": 5}
    space = DesignSpace.unrestricted(4)
    first, again, other = (
        diffcbed_designs(random_systems(), space, generator=seeded(seed), **arguments)
        for seed in (0, 0, 1)
    )
    torch.testing.assert_close(first.values, again.values, rtol=0.0, atol=0.0)
    assert not torch.equal(first.values, other.values)


def test_the_temperature_falls_and_stays():
    heats = [_temperature(step, 100, (5.0, 0.5)) for step in (0, 40, 80, 99)]
    assert heats == pytest.approx([5.0, 2.75, 0.5, 0.5])
