from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from skcausal.simulators import GeneNetworkPrior, concatenate
from skcausal.simulators._random import fold_in, normal_pairs, uniform

F64 = {"dtype": torch.float64}


def only(*targets, size):
    mask = torch.zeros(size, dtype=torch.bool)
    mask[list(targets)] = True
    return mask


def saturation(x, half, n):
    return x**n / (half**n + x**n) if x > 0 else 0.0


def reference_rates(network, x, basal):
    """Production of every gene, edge by edge."""
    K, n, h = (
        getattr(network, name)[0].numpy() for name in ("interactions", "hill", "half_response")
    )
    rates = basal.copy()
    for i, j in zip(*np.nonzero(K)):
        s = saturation(x[i], h[i], n[i])
        rates[j] += K[i, j] * s if K[i, j] > 0 else -K[i, j] * (1 - s)
    return rates


def reference_rest(network, basal, factors):
    """Steady state without noise, gene by gene along the graph."""
    decay, x = network.decay[0].numpy(), np.zeros(len(basal))
    for _ in range(len(basal)):
        for j in range(len(basal)):
            x[j] = factors[j] * reference_rates(network, x, basal)[j] / decay[j]
    return x


def reference_trajectory(network, basal, factors, n_steps, draw):
    """Every state of one Euler-Maruyama trajectory; `draw(step)` gives both Wiener increments."""
    decay, dt, q = network.decay[0].numpy(), network.dt, network.noise_scale
    x, states = reference_rest(network, basal, factors), []
    for step in range(n_steps):
        states.append(x)
        first, second = draw(step)
        new = np.empty_like(x)
        for j in range(len(x)):
            up = factors[j] * reference_rates(network, x, basal)[j]
            down = decay[j] * x[j]
            kick = {
                "dpd": np.sqrt(up) * first[j] + np.sqrt(down) * second[j],
                "spd": (np.sqrt(up) + np.sqrt(down)) * first[j],
                "sp": np.sqrt(up) * first[j],
            }[network.noise_type]
            new[j] = max(0.0, x[j] + (up - down) * dt + q * np.sqrt(dt) * kick)
        x = new
    return np.array(states)


@pytest.mark.parametrize("noise_type", ["dpd", "spd", "sp"])
@pytest.mark.parametrize("factor", [None, 0.0, 0.5, 2.0])
def test_cells_equal_a_slow_loop_driven_by_the_same_noise(noise_type, factor):
    prior = GeneNetworkPrior(
        4,
        edges_per_variable=1.5,
        n_cell_types=2,
        noise_type=noise_type,
        steps_per_cell=5,
        burn_in=7,
        hill_coefficient=stats.uniform(1, 2),
        decay=stats.uniform(0.5, 1),
        dt=0.02,
    )
    network, n_rows = prior.sample(1, 3, start=5, **F64), 6
    mask = None if factor is None else only(1, size=4)
    cells = network.sample(n_rows, mask, factor, random_state=8)[0].numpy()

    factors = np.ones(4) if factor is None else np.where(mask, factor, 1.0)
    row_key = fold_in(fold_in(network.keys, "rows"), 8)
    regime_key = fold_in(fold_in(row_key, "cells"), 0)
    first_type = int(uniform(regime_key) * 2)
    for chain in range(2):
        key = fold_in(regime_key, chain)
        noise = normal_pairs(fold_in(key, "intrinsic"), 40, 4)
        trajectory = reference_trajectory(
            network,
            network.basal[0, (first_type + chain) % 2].numpy(),
            factors,
            7 + 3 * 5,
            lambda step, noise=noise: [wiener[0, step].numpy() for wiener in noise],
        )
        times = 7 + 5 * np.arange(3) + (uniform(fold_in(key, "times"), 3)[0] * 5).long().numpy()
        np.testing.assert_allclose(cells[chain::2], trajectory[times], rtol=1e-10)


def test_moments_equal_those_of_an_independent_slow_simulation():
    prior = GeneNetworkPrior(
        3, edges_per_variable=1.0, n_cell_types=1, dt=0.05, steps_per_cell=60, noise_scale=0.5
    )
    network = prior.sample(1, 4, **F64)
    assert network.adjacency.sum() == 3
    rng = np.random.default_rng(0)
    trajectory = reference_trajectory(
        network,
        network.basal[0, 0].numpy(),
        np.ones(3),
        12_000,
        lambda step: rng.normal(size=(2, 3)),
    )
    cells = replace(concatenate([network] * 200), keys=torch.arange(200))
    cells = cells.sample(40, random_state=0).numpy()
    # Pieces of ten relaxation times of the one, and trajectories of the other, are independent.
    pieces = trajectory[250:].reshape(47, 250, 3)
    for power in (1, 2):
        slow, fast = ((x**power).mean(axis=1) for x in (pieces, cells))
        error = np.sqrt(slow.var(axis=0) / len(slow) + fast.var(axis=0) / len(fast))
        assert (np.abs(slow.mean(axis=0) - fast.mean(axis=0)) < 4 * error).all()


def test_a_master_regulator_has_the_moments_of_its_linear_equation():
    # Production b is constant, the noise has variance q^2 (b + lambda x), so Var = q^2 b / lambda.
    prior = GeneNetworkPrior(
        2, edges_per_variable=0.0, n_cell_types=1, burn_in=1000, noise_scale=0.3
    )
    networks = prior.sample(4000, 0)
    cells = networks.sample(1, random_state=1)[:, 0].double()
    b, decay = networks.basal[:, 0].double(), 0.8
    standardised = (cells - b / decay) / (0.3 * (b / decay).sqrt())
    flat = standardised.flatten().numpy()
    # The Euler scheme inflates the variance of a linear decay by 1 / (1 - decay dt / 2).
    expected = 1 / (1 - 0.8 * 0.01 / 2)
    assert abs(flat.mean()) < 4 / np.sqrt(len(flat))
    # The noise depends on the state, so the fourth moment is taken from the sample.
    error = np.std(flat**2) / np.sqrt(len(flat))
    assert abs((flat**2).mean() - expected) < 4 * error


def test_steady_state_solves_the_equations():
    prior = GeneNetworkPrior(5, edges_per_variable=2.0, n_cell_types=3)
    networks = prior.sample(6, 0, **F64)
    mask = only(0, 3, size=5)
    rest = networks.steady_state(mask, 0.3)
    assert rest.shape == (6, 1, 3, 5)
    for s in range(6):
        network = networks[s]
        factors = np.where(mask, 0.3, 1.0)
        for c in range(3):
            basal = network.basal[0, c].numpy()
            expected = reference_rest(network, basal, factors)
            np.testing.assert_allclose(rest[s, 0, c], expected, rtol=1e-10)
    half = networks.steady_state().mean(dim=(1, 2))
    torch.testing.assert_close(networks.half_response, half, rtol=1e-12, atol=0)


def test_without_noise_cells_rest_at_the_steady_state_of_their_type():
    networks = GeneNetworkPrior(5, noise_scale=0.0, edges_per_variable=1.0).sample(8, 0, **F64)
    cells = networks.sample(10, random_state=0)
    rest = networks.steady_state()[:, 0]
    distance = (cells[:, :, None] - rest[:, None]).abs().amax(dim=-1)
    nearest = distance.min(dim=-1)
    assert nearest.values.max() < 1e-9
    assert torch.equal(nearest.indices, networks.cell_types(10, random_state=0))
    for s in range(8):  # every type in turn
        assert (np.bincount(nearest.indices[s], minlength=5) == 2).all()
        assert (nearest.indices[s, :5] == nearest.indices[s, 5:]).all()


@pytest.mark.parametrize("target_error", [0.0, 0.3])
def test_recorded_types_and_targets_explain_the_cells(target_error):
    prior = GeneNetworkPrior(
        4, noise_scale=0.0, edges_per_variable=1.0, burn_in=2, target_error=target_error
    )
    networks = prior.sample(5, 0, **F64)
    for mask in (only(1, size=4), torch.eye(4, dtype=torch.bool)[[0, 1, 2, 3, 3, 0]]):
        hit = networks.actual_targets(6, mask, random_state=0)
        types = networks.cell_types(6, mask, random_state=0)
        rest = networks.steady_state(hit)
        chosen = types[..., None, None].expand(-1, -1, 1, 4)
        cells = networks.sample(6, mask, random_state=0)
        torch.testing.assert_close(cells, rest.gather(2, chosen).squeeze(2))


def test_single_cells_have_types_at_random():
    networks = GeneNetworkPrior(2, noise_scale=0.0, edges_per_variable=0.0).sample(2000, 0, **F64)
    cells = networks.sample(1, random_state=0)
    nearest = (cells - networks.steady_state()[:, 0]).abs().amax(dim=-1).argmin(dim=-1)
    assert stats.chisquare(np.bincount(nearest, minlength=5)).pvalue > 0.001


def test_knock_out_silences_the_target_and_acts_downstream_alone():
    networks = GeneNetworkPrior(5, edges_per_variable=1.0).sample(50, 0, **F64)
    mask = only(2, size=5)
    wild, knocked = (networks.sample(20, m, random_state=0) for m in (None, mask))
    assert (knocked[..., 2] == 0).all()
    reach = torch.eye(5, dtype=torch.bool) | networks.adjacency
    for _ in range(5):
        reach = (reach.double() @ reach.double()) > 0
    untouched = ~reach[:, 2][:, None].expand_as(wild)
    assert (wild[untouched] == knocked[untouched]).all()
    assert (wild[~untouched] != knocked[~untouched]).double().mean() > 0.9


def test_knock_down_halves_the_production():
    networks = GeneNetworkPrior(4, edges_per_variable=0.5).sample(20, 0, **F64)
    mask = only(0, size=4)
    half = networks.steady_state(mask, kind="knock_down")[..., 0]
    torch.testing.assert_close(half, networks.steady_state()[..., 0] / 2)
    named = networks.sample(5, mask, kind="knock_down", random_state=0)
    by_value = networks.sample(5, mask, 0.5, random_state=0)
    assert torch.equal(named, by_value)


def test_mean_covers_a_long_simulation():
    networks = GeneNetworkPrior(3, edges_per_variable=1.0, n_cell_types=2).sample(5, 0, **F64)
    masks = torch.eye(3, dtype=torch.bool)[:2]
    mean, error = networks.interventional_mean(
        masks, n_samples=2000, return_standard_error=True, random_state=0
    )
    again = networks.interventional_mean(masks, n_samples=4000, random_state=1)
    assert mean.shape == error.shape == (5, 2, 3)
    assert (mean[:, 0, 0] == 0).all()
    assert (mean[:, 1, 1] == 0).all()
    assert ((error == 0) == (mean == 0)).all()  # silent for want of activators
    assert (error > 0).sum() > 12
    # The standard error has 31 degrees of freedom, and the other estimate has one too.
    assert ((mean - again).abs() <= 5 * 1.3 * error).all()


def test_noisy_targets_are_recorded_and_missed_at_the_stated_rate():
    prior = GeneNetworkPrior(5, edges_per_variable=1.0, target_error=0.1, burn_in=5)
    networks = prior.sample(60, 0, **F64)
    mask = only(1, 2, size=5)
    actual = networks.actual_targets(100, mask, random_state=3)
    assert actual.shape == (60, 100, 5)
    missed, hit = ~actual[..., [1, 2]], actual[..., [0, 3, 4]]
    for wrong in (missed, hit):
        count = wrong.numel()
        assert abs(wrong.double().mean() - 0.1) < 4 * np.sqrt(0.09 / count)
    cells = networks.sample(100, mask, random_state=3)
    assert (cells[actual] == 0).all()
    assert (cells[~actual] > 0).double().mean() > 0.8
    control = torch.zeros(5, dtype=torch.bool)
    assert not networks.actual_targets(100, control, random_state=3).any()
    assert not networks.actual_targets(100, random_state=3).any()
    factors = torch.tensor([0.0, 0.2, 0.4, 0.0, 0.0])
    half = networks.sample(4, mask, factors, random_state=3)
    assert half.isfinite().all()


def test_rows_with_masks_of_their_own_and_regimes():
    networks = GeneNetworkPrior(3, edges_per_variable=1.0, burn_in=20).sample(4, 0, **F64)
    rows = torch.eye(3, dtype=torch.bool)
    cells = networks.sample(3, rows, random_state=0)
    assert (cells.diagonal(dim1=1, dim2=2) == 0).all()
    assert ((cells > 0).sum(dim=(1, 2)) > 0).all()
    regimes = rows[None, :, None].expand(4, 3, 1, 3)
    cells = networks.sample(12, regimes, random_state=0)
    assert cells.shape == (4, 3, 12, 3)
    for k in range(3):
        assert (cells[:, k, :, k] == 0).all()
    assert not torch.equal(cells[:, 0, :, 2], cells[:, 1, :, 2])  # regimes have their own noise


@pytest.mark.parametrize("options", [{}, {"technical_noise": "10x_chromium", "target_error": 0.2}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_cells_however_the_batch_is_split(options, dtype):
    prior = GeneNetworkPrior(stats.randint(3, 6), edges_per_variable=1.0, burn_in=10, **options)
    whole = prior.sample(12, 5, dtype=dtype)
    mask = torch.zeros(12, 1, 5, dtype=torch.bool)
    mask[::2, :, 1] = True
    cells = whole.sample(9, mask, random_state=2)
    for n in (1, 5):
        parts = [prior.sample(n, 5, dtype=dtype), prior.sample(12 - n, 5, start=n, dtype=dtype)]
        halves = [part.sample(9, m, random_state=2) for part, m in zip(parts, (mask[:n], mask[n:]))]
        assert torch.equal(torch.cat(halves), cells)
        assert torch.equal(concatenate(parts).sample(9, mask, random_state=2), cells)
    assert torch.equal(whole[[7, 3]].sample(9, mask[[7, 3]], random_state=2), cells[[7, 3]])
    assert (cells[~whole.present[:, None].expand_as(cells)] == 0).all()


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (-0.5, None, "values must not be negative: .* found -0.5"),
        (None, "hard", "kind must be one of 'knock_out', 'knock_down', found 'hard'"),
        (np.full(3, np.nan), None, "values must be finite"),
    ],
)
def test_bad_interventions(values, kind, message):
    networks = GeneNetworkPrior(3, edges_per_variable=0.5).sample(2, 0)
    with pytest.raises(ValueError, match=message):
        networks.sample(2, only(0, size=3), values, kind=kind)


@pytest.mark.parametrize("technical_noise", [None, "10x_chromium"])
def test_a_larger_sample_begins_with_the_smaller_one(technical_noise):
    prior = GeneNetworkPrior(
        4, edges_per_variable=1.0, burn_in=10, technical_noise=technical_noise, target_error=0.2
    )
    networks = prior.sample(3, 0, **F64)
    regimes = torch.eye(4, dtype=torch.bool)[None, :, None].expand(3, 4, 1, 4)
    few, many = (networks.sample(n, regimes, random_state=1) for n in (7, 12))
    assert torch.equal(few, many[:, :, :7])
    few, many = (networks.sample(n, random_state=1) for n in (7, 12))
    assert torch.equal(few, many[:, :7])


def test_cell_types_take_turns_in_every_layout():
    networks = GeneNetworkPrior(3, edges_per_variable=1.0, noise_scale=0.0).sample(4, 0, **F64)
    mask, values = only(1, size=3), torch.full((10, 3), 0.3, dtype=torch.float64)
    shared = networks.sample(10, mask, 0.3, random_state=0)
    own = networks.sample(10, mask, values, random_state=0)
    torch.testing.assert_close(shared, own)  # without noise a cell is its type
    types = networks.cell_types(10, mask, random_state=0)
    assert all((row.bincount(minlength=5) == 2).all() for row in types)


def test_first_cells_of_all_types_are_the_same_in_both_layouts():
    networks = GeneNetworkPrior(3, edges_per_variable=1.0, burn_in=20).sample(2, 0, **F64)
    mask = only(0, size=3)
    shared = networks.sample(12, mask, random_state=0)
    own = networks.sample(12, mask.expand(12, 3), random_state=0)
    assert torch.equal(shared[:, :5], own[:, :5])
    assert not torch.equal(shared[:, 5:], own[:, 5:])


def test_pilot_and_monte_carlo_cells_are_not_the_users():
    prior = GeneNetworkPrior(3, edges_per_variable=1.0, n_cell_types=1)
    network = prior.sample(1, 0, **F64)
    cells = network.sample(64, random_state=0).mean(dim=1)
    means = [network.interventional_mean(n_samples=64, random_state=s)[:, 0] for s in (0, 1)]
    distance = [(cells - mean).abs().max() for mean in means]
    assert min(distance) > 0.01
