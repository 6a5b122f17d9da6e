import math
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch
from scipy import stats

from skcausal.simulators import LinearSystems, NonlinearPrior, NonlinearSystems
from skcausal.simulators._mechanisms import FourierFunctions, PerceptronFunctions
from skcausal.simulators._nonlinear import _N_PILOT_ROWS, _mean_over_rows
from skcausal.simulators._random import task_keys

WIDTHS = stats.randint(3, 6)
KINDS = ["hard", "shift", "scale", "noise"]
PRIORS = {
    "fourier": NonlinearPrior(WIDTHS, n_features=7),
    "mlp": NonlinearPrior(WIDTHS, mechanism="mlp", noise="gumbel", edges_per_variable=0.8),
    "unscaled": NonlinearPrior(
        WIDTHS, graph="scale_free", n_features=7, standardize=None, noise_variance=stats.expon()
    ),
    "heteroskedastic": NonlinearPrior(WIDTHS, mechanism="mlp", heteroskedastic=True),
}
EVERY_PRIOR = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)


def draw(prior, n=30, seed=0):
    """Systems in double precision."""
    return prior.sample(n, seed, dtype=torch.float64)


def own_noise(systems, n_rows, random_state):
    """The noise that `sample` uses, seen through systems that are nothing but noise."""
    silent = replace(
        systems,
        gain=torch.zeros_like(systems.gain),
        intercept=torch.zeros_like(systems.gain),
        noise_scale=torch.ones_like(systems.gain),
        noise_functions=None,
    )
    return silent.sample(n_rows, random_state=random_state).numpy()


def value_of(functions, s, t, x):
    """Value of function t of system s at the variables x in causal order, in numpy."""
    x = x[:t]
    if isinstance(functions, FourierFunctions):
        angles = functions.phases[s, t].numpy() + x @ functions.frequencies[s, t, :t].numpy()
        return functions.amplitudes[s, t].numpy() @ np.cos(angles)
    hidden = functions.biases[s, t].numpy() + x @ functions.inputs[s, t, :t].numpy()
    return functions.outputs[s, t].numpy() @ np.tanh(hidden)


def slow_rows(systems, n_rows, mask, values, kind, random_state):
    """Rows one by one, each variable from those before it in the causal order."""
    noise = own_noise(systems, n_rows, random_state)
    rows = np.zeros_like(noise)
    for s, r in np.ndindex(*noise.shape[:2]):
        order, x = systems.order[s].tolist(), rows[s, r]
        for t, j in enumerate(order):
            f = float(systems.gain[s, t]) * value_of(systems.functions, s, t, x[order])
            f += float(systems.intercept[s, t])
            e = float(systems.noise_scale[s, t]) * noise[s, r, j]
            if systems.noise_functions is not None:
                g = value_of(systems.noise_functions, s, t, x[order])
                e *= math.sqrt(math.log(1 + math.exp(g)))
            v = values[s, r, j]
            x[j] = f + e
            if mask[s, r, j]:
                x[j] = {"hard": v, "shift": f + e + v, "scale": v * (f + e), "noise": f + v * e}[
                    kind
                ]
    return rows


@EVERY_PRIOR
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_a_loop_over_variables(prior, kind):
    systems = draw(prior, n=20)
    rng = np.random.default_rng(0)
    mask = (rng.random((20, 4, 5)) < 0.3) & systems.present[:, None].numpy()
    values = rng.normal(size=mask.shape)
    X = systems.sample(4, mask, values, kind=kind, random_state=3)
    expected = slow_rows(systems, 4, mask, values, kind, 3)
    np.testing.assert_allclose(X, expected, rtol=1e-10, atol=1e-11)


@EVERY_PRIOR
def test_graphs_are_those_that_the_functions_use(prior):
    systems = draw(prior)
    assert systems.adjacency.any()
    for s, adjacency in enumerate(systems.adjacency.numpy()):
        assert nx.is_directed_acyclic_graph(nx.from_numpy_array(adjacency, create_using=nx.DiGraph))
        order = systems.order[s].tolist()
        for t, j in enumerate(order):
            functions = systems.functions
            weights = functions.frequencies if prior.mechanism == "fourier" else functions.inputs
            parents = {
                order[i] for i in torch.nonzero(weights[s, t].any(dim=-1)).flatten().tolist()
            }
            assert parents == set(np.flatnonzero(adjacency[:, j]))


@EVERY_PRIOR
def test_roots_are_pure_noise(prior):
    systems = draw(prior, n=60)
    X, noise = systems.sample(200, random_state=3), own_noise(systems, 200, 3)
    found = []
    for s, (adjacency, order) in enumerate(zip(systems.adjacency.numpy(), systems.order.tolist())):
        for t, j in enumerate(order):
            if adjacency[:, j].any() or not systems.present[s, j]:
                continue
            values = X[s, :, j].numpy()
            slope, intercept = np.polyfit(noise[s, :, j], values, 1)
            np.testing.assert_allclose(values, slope * noise[s, :, j] + intercept, atol=1e-9)
            assert systems.gain[s, t] == 0
            if prior.standardize:  # centred and scaled by the moments of pilot rows
                assert abs(slope - 1.0) < 5 / math.sqrt(_N_PILOT_ROWS)
                assert abs(intercept) < 5 / math.sqrt(_N_PILOT_ROWS)
            else:
                assert slope == pytest.approx(float(systems.noise_scale[s, t]))
                assert intercept == pytest.approx(0.0, abs=1e-12)
                found.append(slope**2)
    if found:
        assert stats.kstest(found, stats.expon.cdf).pvalue > 1e-3


def linear_functions(coef, size=1e-4):
    """Perceptrons whose single hidden unit works in the linear part of the tangent."""
    weights = torch.as_tensor(coef).mT[..., None] * size
    n_systems, d, _, _ = weights.shape
    return PerceptronFunctions(
        inputs=weights,
        biases=torch.zeros(n_systems, d, 1, dtype=torch.float64),
        outputs=torch.full((n_systems, d, 1), 1 / size, dtype=torch.float64),
    )


def linear_twins(n_systems=4, d=4, noise="gaussian", seed=0):
    """Linear systems, and nonlinear ones that are linear up to terms of third order."""
    rng = np.random.default_rng(seed)
    coef = np.triu(rng.normal(size=(n_systems, d, d)), 1)
    order = np.array([rng.permutation(d) for _ in range(n_systems)])
    relabelled = np.zeros_like(coef)
    for s in range(n_systems):
        relabelled[s][np.ix_(order[s], order[s])] = coef[s]
    variance = rng.uniform(0.2, 2.0, size=(n_systems, d))
    linear = LinearSystems.from_coef(relabelled, variance, noise=noise)
    linear = replace(linear, keys=task_keys(0, n_systems))
    ones = torch.ones(n_systems, d, dtype=torch.float64)
    nonlinear = NonlinearSystems(
        keys=linear.keys,
        n_variables=linear.n_variables,
        order=torch.from_numpy(order),
        edges=torch.from_numpy(coef != 0),
        functions=linear_functions(coef),
        gain=ones,
        intercept=0 * ones,
        noise_scale=linear.noise_scale.gather(1, torch.from_numpy(order)),
        noise=noise,
    )
    return linear, nonlinear


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", ["gaussian", "gumbel"])
def test_linear_functions_make_linear_systems(kind, noise):
    linear, nonlinear = linear_twins(noise=noise)
    assert torch.equal(linear.adjacency, nonlinear.adjacency)
    rng = np.random.default_rng(1)
    mask, values = rng.random((4, 50, 4)) < 0.4, rng.normal(size=(4, 50, 4))
    one, other = (
        s.sample(50, mask, values, kind=kind, random_state=2) for s in (linear, nonlinear)
    )
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    one, other = (
        s.sample(50, mask, stats.norm(), kind=kind, random_state=2) for s in (linear, nonlinear)
    )
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_means_by_simulation_cover_the_closed_form_of_a_linear_system(kind):
    linear, nonlinear = linear_twins(n_systems=8)
    mask = np.array([[True, False, False, True], [False, True, False, False]])
    for values in (1.3, stats.uniform(0.5, 1.0)):
        if kind == "scale" and not isinstance(values, float):
            continue
        exact = linear.interventional_mean(mask, values, kind=kind)
        mean, error = nonlinear.interventional_mean(
            mask, values, kind=kind, n_samples=20_000, return_standard_error=True
        )
        assert mean.shape == error.shape == exact.shape == (8, 2, 4)
        assert ((mean - exact).abs() <= 4 * error + 1e-5).all()
        covariance = linear.interventional_covariance(mask, values, kind=kind)
        deviation = covariance.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
        torch.testing.assert_close(error, deviation / math.sqrt(20_000), rtol=0.05, atol=1e-9)


@EVERY_PRIOR
def test_means_by_simulation_cover_those_of_long_simulations(prior):
    systems = draw(prior, n=6)
    mask = np.array([True, False, False, False, False])
    mean, error = systems.interventional_mean(
        mask, 1.5, n_samples=5000, random_state=1, return_standard_error=True
    )
    rows = systems.sample(20_000, mask, 1.5, random_state=2)
    total = (error[:, 0] ** 2 + rows.var(dim=1) / 20_000).sqrt()
    assert ((mean[:, 0] - rows.mean(dim=1)).abs() <= 4 * total + 1e-12).all()
    assert (mean[:, 0, 0] == 1.5).all()
    assert mean.dtype == torch.float64


def test_standard_errors_shrink_with_the_root_of_the_rows():
    systems = draw(PRIORS["fourier"], n=10)
    few, many = (
        systems.interventional_mean(n_samples=n, return_standard_error=True)[1]
        for n in (1000, 16_000)
    )
    there = systems.present[:, None]
    assert float((few / many)[there].mean()) == pytest.approx(4.0, rel=0.05)


@EVERY_PRIOR
def test_interventions_that_change_nothing(prior):
    systems = draw(prior, n=10)
    mask, plain = systems.present[:, None], systems.sample(5, random_state=0)
    for kind, neutral in (("shift", 0.0), ("scale", 1.0), ("noise", 1.0)):
        found = systems.sample(5, mask, neutral, kind=kind, random_state=0)
        torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12)
    held = systems.sample(5, mask, 0.0, kind="hard", random_state=0)
    assert not held.any()
    scaled = systems.sample(5, mask, 0.0, kind="scale", random_state=0)
    assert not scaled.any()


# Internal standardisation.


@pytest.mark.parametrize("name", ["fourier", "mlp", "heteroskedastic"])
def test_internally_standardised_variables_have_mean_zero_and_variance_one(name):
    systems = draw(PRIORS[name], n=30)
    X = systems.sample(6000, random_state=7)
    mean, variance = X.mean(dim=1)[systems.present], X.var(dim=1)[systems.present]
    # The moments of the pilot rows have errors of their own, which grow with the tails.
    error = math.sqrt(1 / _N_PILOT_ROWS + 1 / 6000)
    assert mean.abs().max() < 5 * error
    assert float(mean.std()) == pytest.approx(error, rel=0.35)
    assert (variance - 1).abs().max() < 10 * error
    assert abs(float(variance.mean()) - 1) < error


@pytest.mark.parametrize("mechanism", ["fourier", "mlp"])
def test_internal_standardisation_rescales_equations_along_the_order(mechanism):
    changes = {"mechanism": mechanism, "n_features": 7, "noise_variance": stats.expon(0.05)}
    plain = draw(NonlinearPrior(WIDTHS, standardize=None, **changes), n=5)
    standard = draw(NonlinearPrior(WIDTHS, **changes), n=5)
    assert torch.equal(plain.adjacency, standard.adjacency)
    n = 200_000
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(5, n, 5)))
    for s in range(5):
        size = int(plain.n_variables[s])
        inputs = torch.zeros(5, 1, 1, n, dtype=torch.float64)
        for t in range(size):
            f = plain[s].functions(t, inputs)[0, 0]
            raw = plain.gain[s, t] * f + plain.noise_scale[s, t] * noise[s, :, t]
            centre, scale = raw.mean(), raw.std()
            # The pilot meets these moments up to its standard errors.
            found = plain.noise_scale[s, t] / standard.noise_scale[s, t]
            fourth = float(((raw - centre) ** 4).mean() / scale**4)
            error = math.sqrt((fourth - 1) / 4 / _N_PILOT_ROWS)
            # Inputs that are off by the pilot's errors add to them, hence eight instead of four.
            assert abs(float(found / scale) - 1) < 8 * error
            assert abs(float(standard.intercept[s, t] + centre / scale)) < 8 / math.sqrt(
                _N_PILOT_ROWS
            )
            if plain.gain[s, t]:
                torch.testing.assert_close(standard.gain[s, t], 1 / found, rtol=1e-10, atol=0)
            inputs[t, 0, 0] = (raw - centre) / scale


def test_means_over_rows_are_means():
    X = np.random.default_rng(0).normal(3.0, 2.0, size=(4, 1, 1024))
    np.testing.assert_allclose(_mean_over_rows(torch.from_numpy(X)), X[:, 0].mean(axis=-1))


def test_variables_without_any_noise_stay_finite():
    systems = draw(NonlinearPrior(WIDTHS, noise_variance=0.0), n=20)
    X = systems.sample(5, random_state=0)
    assert X.isfinite().all()
    assert not X[~systems.present[:, None].expand_as(X)].any()


# The prior.


def test_parameters_reach_the_functions():
    prior = NonlinearPrior(
        3, mechanism="fourier", length_scale=2.0, output_scale=3.0, standardize=None, n_features=50
    )
    systems = draw(prior, n=200)
    assert systems.functions.phases.shape == (200, 3, 50)
    frequencies = systems.functions.frequencies
    frequencies = frequencies[frequencies != 0]
    assert stats.kstest(frequencies.numpy(), stats.norm(0, 1 / 2.0).cdf).pvalue > 1e-3
    amplitudes = systems.functions.amplitudes.flatten().numpy()
    exact = stats.norm(0, 3.0 * math.sqrt(2 / 50))
    assert stats.kstest(amplitudes, exact.cdf).pvalue > 1e-3
    assert NonlinearPrior(3).sample(2, 0).functions.phases.shape[-1] == 100
    assert NonlinearPrior(3, mechanism="mlp").sample(2, 0).functions.biases.shape[-1] == 10


def test_noise_variances_are_drawn_for_each_variable():
    systems = draw(NonlinearPrior(4, standardize=None, noise_variance=stats.expon()), n=1000)
    drawn = systems.noise_scale.numpy() ** 2
    assert stats.kstest(drawn.ravel(), stats.expon.cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 4 / math.sqrt(1000)
    fixed = draw(NonlinearPrior(WIDTHS, standardize=None, noise_variance=0.3), n=20)
    expected = math.sqrt(0.3) * fixed.present.double()
    torch.testing.assert_close(fixed.noise_scale, expected)


def test_graphs_follow_the_prior():
    systems = draw(NonlinearPrior(5, graph="scale_free", edges_per_variable=2, n_features=2))
    assert (systems.adjacency.sum(dim=(1, 2)) == 7).all()
    systems = draw(NonlinearPrior(5, edges_per_variable=1.0, n_features=2), n=1000)
    total = systems.adjacency.sum(dim=(1, 2)).double()
    assert abs(float(total.mean()) - 5) < 4 * float(total.std()) / math.sqrt(1000)


def test_noise_functions_are_absent_without_heteroskedasticity():
    assert NonlinearPrior(3).sample(2, 0).noise_functions is None
    systems = NonlinearPrior(3, heteroskedastic=True).sample(2, 0)
    assert systems.noise_functions.phases.shape == (2, 3, 100)
    assert not torch.equal(systems.noise_functions.phases, systems.functions.phases)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_variables": 1}, "n_variables must be at least 2, found 1"),
        ({"n_variables": stats.poisson(3, loc=2)}, "n_variables must be bounded"),
        ({"mechanism": "spline"}, "mechanism must be one of 'fourier', 'mlp', found 'spline'"),
        ({"graph": "directed_erdos_renyi"}, "graph must be one of 'erdos_renyi', 'scale_free', fo"),
        ({"graph": "tree"}, "graph must be one of"),
        ({"edges_per_variable": 2.1}, "edges_per_variable=2.1 is more than a graph 'erdos_renyi'"),
        (
            {"graph": "scale_free", "edges_per_variable": 4.1},
            "edges_per_variable=4.1 is more than a graph 'scale_free' of 5 variables holds",
        ),
        ({"length_scale": 0.0}, "length_scale must be above 0, found 0"),
        ({"output_scale": -1.0}, "output_scale must be at least 0, found -1"),
        ({"n_features": 0}, "n_features must be .*at least 1, found 0"),
        ({"noise": "cauchy"}, "noise must be one of 'gaussian', 'gumbel', found 'cauchy'"),
        ({"noise_variance": -0.1}, "noise_variance must be at least 0, found -0.1"),
        ({"standardize": "observational"}, "standardize must be one of None, 'internal', found"),
    ],
)
def test_parameters_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        NonlinearPrior(**{"n_variables": 5, **changes})


@pytest.mark.parametrize("bad", [2.0, "2", stats.randint(1, 4)])
def test_the_number_of_features_must_be_an_integer(bad):
    with pytest.raises(ValueError, match="n_features must be an integer of at least 1, found"):
        NonlinearPrior(5, n_features=bad)


@pytest.mark.parametrize("name", ["length_scale", "output_scale"])
def test_scales_of_functions_are_the_same_for_all_systems(name):
    with pytest.raises(TypeError, match=f"{name} must be a number, not a distribution"):
        NonlinearPrior(5, **{name: stats.uniform(1, 2)})
    with pytest.raises(TypeError, match=f"{name} must be a number or"):
        NonlinearPrior(5, **{name: "1"})


def test_there_is_no_covariance_in_closed_form():
    assert not hasattr(NonlinearPrior(3).sample(2, 0), "interventional_covariance")
