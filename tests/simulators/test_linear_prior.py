import math
from dataclasses import fields

import networkx as nx
import numpy as np
import pytest
import torch
from scipy import integrate, stats

from skcausal.simulators import LinearPrior

WIDTHS = stats.randint(3, 6)


def draw(prior, n=2000, seed=0):
    """Systems in double precision."""
    return prior.sample(n, seed, dtype=torch.float64)


def present_weights(systems):
    return systems.coef[systems.adjacency].numpy()


def assert_distributed(values, cdf):
    assert stats.kstest(np.asarray(values).ravel(), cdf).pvalue > 1e-3


def two_tails(mean, scale, gap):
    """Distribution function of a normal number given that it is larger than `gap` in size."""
    lower = stats.truncnorm(-np.inf, (-gap - mean) / scale, loc=mean, scale=scale)
    upper = stats.truncnorm((gap - mean) / scale, np.inf, loc=mean, scale=scale)
    masses = stats.norm(mean, scale).cdf(-gap), stats.norm(mean, scale).sf(gap)
    share = masses[0] / sum(masses)
    return lambda x: share * lower.cdf(x) + (1 - share) * upper.cdf(x)


def observational_covariance(coef, noise_scale, loadings):
    total = np.linalg.inv(np.eye(len(coef)) - coef)
    return total.T @ (np.diag(noise_scale**2) + loadings.T @ loadings) @ total


def parameters(systems):
    """Weights, noise scales and loadings of each system, in numpy."""
    tensors = (systems.coef, systems.noise_scale, systems.loadings)
    return zip(*(tensor.double().numpy() for tensor in tensors))


def radius(coef):
    return np.abs(np.linalg.eigvals(np.abs(coef))).max()


def is_acyclic(coef):
    return nx.is_directed_acyclic_graph(nx.from_numpy_array(coef != 0, create_using=nx.DiGraph))


# Weights.


@pytest.mark.parametrize(
    ("mean", "scale", "gap"),
    [(0.0, 1.0, 0.5), (0.1, 1.0, 0.5), (1.5, 0.8, 0.5), (-2.0, 1.0, 0.3), (0.5, 2.0, 0.0)],
)
def test_weights_follow_a_normal_distribution_with_a_gap(mean, scale, gap):
    prior = LinearPrior(4, weight_mean=mean, weight_scale=scale, weight_gap=gap)
    weights = present_weights(draw(prior))
    assert (np.abs(weights) >= gap).all()
    assert_distributed(weights, two_tails(mean, scale, gap))


@pytest.mark.parametrize("gap", [0.6, 1.0, 3.0])
def test_weights_far_in_the_tails_are_still_right(gap):
    weights = present_weights(draw(LinearPrior(4, weight_scale=0.1, weight_gap=gap)))
    assert_distributed(weights, two_tails(0.0, 0.1, gap))
    assert stats.binomtest(int((weights < 0).sum()), len(weights)).pvalue > 1e-3


def test_gaps_beyond_which_no_weight_can_be_drawn_are_refused():
    prior = LinearPrior(3, weight_scale=0.01, weight_gap=0.5)
    with pytest.raises(ValueError, match="weight_gap is so many standard deviations away from the"):
        prior.sample(50, 0)


def test_weights_of_a_system_are_independent():
    systems = draw(LinearPrior(3, edges_per_variable=1.0), n=3000)
    assert (systems.adjacency.sum(dim=(1, 2)) == 3).all()
    sizes = systems.coef[systems.adjacency].abs().reshape(3000, 3).numpy()
    assert np.abs(np.corrcoef(sizes.T) - np.eye(3)).max() < 4 / math.sqrt(3000)


def test_scales_and_means_of_the_weights_are_drawn_for_each_system():
    # Graphs of two variables with half an edge per variable have exactly one edge.
    systems = draw(
        LinearPrior(
            2,
            edges_per_variable=0.5,
            weight_scale=stats.uniform(0.5, 1.0),
            weight_mean=stats.uniform(-1.0, 3.0),
            weight_gap=0.0,
        ),
        n=10_000,
    )
    grid = np.linspace(-8, 8, 400)
    scales = (np.arange(200) + 0.5) / 200 + 0.5
    means = 3 * (np.arange(200) + 0.5) / 200 - 1
    cdf = np.array([stats.norm.cdf((x - means[:, None]) / scales).mean() for x in grid])
    assert_distributed(present_weights(systems), lambda x: np.interp(x, grid, cdf))
    shared = draw(
        LinearPrior(5, edges_per_variable=2.0, weight_mean=stats.norm(0, 5), weight_gap=0.0)
    )
    within = torch.where(shared.adjacency, shared.coef, torch.nan).flatten(1)
    spread = within.numpy()[:, ~np.eye(5, dtype=bool).ravel()]
    assert np.nanmean(np.nanvar(spread, axis=1, ddof=1)) == pytest.approx(1.0, abs=0.05)
    assert np.nanmean(spread, axis=1).std() == pytest.approx(5.0, abs=0.4)


def test_gaps_are_drawn_for_each_system():
    systems = draw(LinearPrior(2, edges_per_variable=0.5, weight_gap=stats.uniform(0, 1)), n=8000)

    def cdf(size):
        """Chance that |w| <= size: the gap is below it and the tail beyond the gap is cut off."""
        beyond = stats.norm.sf(size)
        chance = integrate.quad(lambda g: 1 - beyond / stats.norm.sf(g), 0, min(size, 1.0))[0]
        return chance

    grid = np.linspace(0, 5, 200)
    values = np.array([cdf(size) for size in grid])
    assert_distributed(np.abs(present_weights(systems)), lambda x: np.interp(x, grid, values))


def test_weights_may_shrink_with_the_number_of_parents():
    prior = LinearPrior(5, edges_per_variable=1.5, weight_scale="in_degree", weight_gap=0.0)
    systems = draw(prior)
    n_parents = systems.adjacency.sum(dim=1, keepdim=True)
    assert set(n_parents.unique().tolist()) == {0, 1, 2, 3, 4}
    scaled = (systems.coef * n_parents.sqrt())[systems.adjacency]
    assert_distributed(scaled, stats.norm.cdf)
    for k in (1, 2, 4):
        of_one_size = systems.adjacency & (n_parents == k)
        assert_distributed(systems.coef[of_one_size], stats.norm(0, 1 / math.sqrt(k)).cdf)


def test_weights_that_shrink_keep_the_gap():
    prior = LinearPrior(4, edges_per_variable=1.5, weight_scale="in_degree", weight_gap=0.5)
    systems = draw(prior)
    n_parents = systems.adjacency.sum(dim=1, keepdim=True)
    for k in (1, 2, 3):
        weights = systems.coef[systems.adjacency & (n_parents == k)]
        assert_distributed(weights, two_tails(0.0, 1 / math.sqrt(k), 0.5))


# Numbers of variables and graphs.


def test_numbers_of_variables_and_edges_are_drawn_for_each_system():
    prior = LinearPrior(stats.randint(3, 6), edges_per_variable=stats.uniform(0.2, 0.6))
    systems = draw(prior, n=6000)
    counts = np.bincount(systems.n_variables)[3:]
    assert stats.chisquare(counts).pvalue > 1e-3
    density = systems.adjacency.sum(dim=(1, 2)) / systems.n_variables
    assert float(density.mean()) == pytest.approx(0.5, abs=0.02)
    # Between systems, the density varies by more than chance alone would allow.
    n = 5
    wide = systems.adjacency[systems.n_variables == n].sum(dim=(1, 2)).double()
    p, spread = 2 * 0.5 / (n - 1), 2 / (n - 1) * 0.6 / math.sqrt(12)
    pairs = n * (n - 1) / 2
    expected = pairs * (p * (1 - p) - spread**2) + pairs**2 * spread**2
    assert float(wide.var()) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("graph", ["erdos_renyi", "scale_free"])
def test_graphs_are_acyclic_and_in_a_random_order(graph):
    systems = draw(LinearPrior(4, graph=graph), n=3000)
    assert systems.acyclic.all()
    assert all(is_acyclic(coef) for coef in systems.coef.numpy())
    for coef, order in zip(systems.coef.numpy(), systems.order.numpy()):
        assert not np.tril(coef[np.ix_(order, order)]).any()
    orders, counts = systems.order.unique(dim=0, return_counts=True)
    assert len(orders) == 24
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    frequency = systems.adjacency.double().mean(dim=0).numpy()[~np.eye(4, dtype=bool)]
    expected = frequency.mean()
    assert (np.abs(frequency - expected) < 4 * math.sqrt(expected / 3000)).all()


@pytest.mark.parametrize("graph", ["erdos_renyi", "directed_erdos_renyi", "scale_free"])
def test_priors_have_the_expected_number_of_edges(graph):
    total = draw(LinearPrior(5, graph=graph, edges_per_variable=1.2)).adjacency.sum(dim=(1, 2))
    expected = 1 + 1.2 * 3 if graph == "scale_free" else 6.0
    assert (
        abs(float(total.double().mean()) - expected) < 4 * float(total.double().std()) / 2000**0.5
    )


# Feedback.

CYCLIC = {
    "rings": LinearPrior(WIDTHS, n_cycles=stats.randint(0, 3), weight_scale=2.0),
    "directed": LinearPrior(5, graph="directed_erdos_renyi", weight_mean=1.0),
    "both": LinearPrior(
        WIDTHS, graph="directed_erdos_renyi", edges_per_variable=0.5, n_cycles=1, cycle_length=2
    ),
}


@pytest.mark.parametrize("prior", CYCLIC.values(), ids=CYCLIC)
def test_systems_with_feedback_are_stable(prior):
    systems = draw(prior, n=500)
    free = draw(LinearPrior(**{**vars(prior), "max_spectral_radius": 0.3}), n=500)
    shrunk = 0
    for coef, other, acyclic in zip(systems.coef.numpy(), free.coef.numpy(), systems.acyclic):
        assert is_acyclic(coef) == bool(acyclic)
        assert ((coef != 0) == (other != 0)).all()
        if acyclic:
            assert (coef == other).all()
            assert (np.abs(coef[coef != 0]) >= 0.5).all()
        else:
            assert radius(coef) <= 0.8 * (1 + 1e-9)
            assert radius(other) <= 0.3 * (1 + 1e-9)
            # All weights are shrunk together, and no further than needed.
            ratio = other[coef != 0] / coef[coef != 0]
            np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
            shrunk += abs(radius(coef) - 0.8) < 1e-9
    assert shrunk > 50
    if prior.n_cycles != 1:
        assert 50 < systems.acyclic.sum() < 450
    else:
        assert not systems.acyclic.any()


def test_weights_of_mild_feedback_are_left_alone():
    prior = LinearPrior(4, n_cycles=1, weight_scale=0.1, weight_gap=0.0)
    systems = draw(prior, n=200)
    assert not systems.acyclic.any()
    assert max(radius(coef) for coef in systems.coef.numpy()) < 0.8
    assert_distributed(present_weights(systems), stats.norm(0, 0.1).cdf)


# Noise.


def test_noise_has_the_variance_asked_for():
    systems = draw(LinearPrior(WIDTHS, noise_variance=0.3, noise_level=2.0), n=50)
    expected = math.sqrt(0.6) * systems.present.double()
    torch.testing.assert_close(systems.noise_scale, expected)
    assert systems.noise == "gaussian"
    assert LinearPrior(3, noise="gumbel").sample(2, 0).noise == "gumbel"


def test_noise_variances_are_drawn_for_each_variable_and_levels_for_each_system():
    variances = stats.invgamma(10.0)
    prior = LinearPrior(4, noise_variance=variances)
    drawn = draw(prior).noise_scale.numpy() ** 2
    assert_distributed(drawn, variances.cdf)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 4.5 / math.sqrt(2000)
    scaled = draw(
        LinearPrior(4, noise_variance=variances, noise_level=stats.uniform(1, 4))
    ).noise_scale.numpy()
    level = scaled**2 / drawn
    np.testing.assert_allclose(level, level[:, :1].repeat(4, axis=1), rtol=1e-9)
    assert_distributed(level[:, 0], stats.uniform(1, 4).cdf)


# Hidden confounders.


def test_confounders_act_on_variables_that_exist():
    prior = LinearPrior(WIDTHS, n_confounders=stats.randint(0, 4), confounder_children=2)
    systems = draw(prior)
    assert systems.loadings.shape == (2000, 3, 5)
    children = (systems.loadings != 0).sum(dim=2)
    assert set(children.unique().tolist()) == {0, 2}
    assert not systems.loadings[~systems.present[:, None].expand(-1, 3, -1)].any()
    n_hidden = (children > 0).sum(dim=1)
    assert stats.chisquare(np.bincount(n_hidden)).pvalue > 1e-3
    assert (children.sort(dim=1, descending=True).values == children).all()
    wide = systems.loadings[systems.n_variables == 5] != 0
    pairs, counts = wide[children[systems.n_variables == 5] > 0].unique(dim=0, return_counts=True)
    assert len(pairs) == 10
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    assert (children[n_hidden >= 2][:, :2] == 2).all()
    two = systems.loadings[n_hidden >= 2]
    assert ((two[:, 0] != 0) != (two[:, 1] != 0)).any()


def test_loadings_are_weights_times_the_confounders_deviation():
    prior = LinearPrior(4, n_confounders=1, weight_mean=0.4, confounder_variance=0.25)
    systems = draw(prior)
    loadings = systems.loadings[systems.loadings != 0].numpy()
    assert len(loadings) == 2000 * 3
    assert_distributed(loadings / 0.5, two_tails(0.4, 1.0, 0.5))


def test_confounder_variances_are_drawn_for_each_system():
    one = draw(LinearPrior(4, n_confounders=2, confounder_variance=1.0))
    other = draw(LinearPrior(4, n_confounders=2, confounder_variance=stats.expon()))
    ratio = (other.loadings / one.loadings)[one.loadings != 0].reshape(2000, 6).numpy()
    np.testing.assert_allclose(ratio, ratio[:, :1].repeat(6, axis=1), rtol=1e-9)
    assert_distributed(ratio[:, 0] ** 2, stats.expon.cdf)


def test_loadings_have_unit_scale_where_weights_shrink_with_the_in_degree():
    changes = {"weight_scale": "in_degree", "weight_gap": 0.0, "confounder_variance": 1.0}
    loadings = draw(LinearPrior(4, edges_per_variable=1.5, n_confounders=1, **changes)).loadings
    assert_distributed(loadings[loadings != 0], stats.norm.cdf)


def test_confounders_leave_the_rest_of_the_system_as_it_is():
    one, other = draw(LinearPrior(4), n=50), draw(LinearPrior(4, n_confounders=2), n=50)
    assert torch.equal(one.coef, other.coef)
    assert torch.equal(one.noise_scale, other.noise_scale)
    assert one.loadings.shape == (50, 0, 4)


def test_hidden_variables_correlate_their_children():
    prior = LinearPrior(3, edges_per_variable=0.0, n_confounders=1, confounder_children=2)
    systems = draw(prior, n=20)
    X = systems.sample(20_000, random_state=0)
    X = X - X.mean(dim=1, keepdim=True)
    found = X.mT @ X / 20_000
    for covariance, (coef, noise_scale, loadings) in zip(found.numpy(), parameters(systems)):
        expected = observational_covariance(coef, noise_scale, loadings)
        assert (np.count_nonzero(expected, axis=1) > 1).sum() == 2
        variances = np.diag(expected)
        error = np.sqrt((np.outer(variances, variances) + expected**2) / 20_000)
        assert (np.abs(covariance - expected) < 4.5 * error).all()


# Standardisation.

SHAPES = {
    "plain": {},
    "confounded": {"n_confounders": 2, "weight_mean": 0.5},
    "scale_free": {"graph": "scale_free", "edges_per_variable": 1.5, "noise": "gumbel"},
}


@pytest.mark.parametrize(
    "changes",
    [*SHAPES.values(), {"n_cycles": 1, "n_confounders": 1}, {"graph": "directed_erdos_renyi"}],
    ids=[*SHAPES, "rings", "directed"],
)
def test_observational_standardisation_changes_the_units_alone(changes):
    plain = draw(LinearPrior(WIDTHS, **changes), n=50)
    standard = draw(LinearPrior(WIDTHS, standardize="observational", **changes), n=50)
    covariances = standard.interventional_covariance()[:, 0].numpy()
    for s, (one, other) in enumerate(zip(parameters(plain), parameters(standard))):
        there = standard.present[s].numpy()
        deviation = np.sqrt(np.diag(observational_covariance(*one)))
        deviation[~there] = 1.0
        coef, noise_scale, loadings = other
        np.testing.assert_allclose(coef, one[0] * deviation[:, None] / deviation, rtol=1e-9)
        np.testing.assert_allclose(noise_scale, one[1] / deviation, rtol=1e-9)
        np.testing.assert_allclose(loadings, one[2] / deviation, rtol=1e-9)
        variances = np.diag(observational_covariance(*other))
        np.testing.assert_allclose(variances, there.astype(float), rtol=0, atol=1e-10)
        np.testing.assert_allclose(np.diag(covariances[s]), there, rtol=0, atol=1e-10)


def standardized_along_the_order(coef, noise_scale, loadings, order):
    """Bring variables to variance 1 one by one, each before its children are computed."""
    coef, noise_scale, loadings = coef.copy(), noise_scale.copy(), loadings.copy()
    for j in order:
        deviation = math.sqrt(observational_covariance(coef, noise_scale, loadings)[j, j])
        if deviation > 0:
            coef[:, j] /= deviation
            noise_scale[j] /= deviation
            loadings[:, j] /= deviation
    return coef, noise_scale, loadings


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_internal_standardisation_follows_the_causal_order(changes):
    plain = draw(LinearPrior(WIDTHS, **changes), n=50)
    standard = draw(LinearPrior(WIDTHS, standardize="internal", **changes), n=50)
    observational = draw(LinearPrior(WIDTHS, standardize="observational", **changes), n=50)
    for s, (one, other) in enumerate(zip(parameters(plain), parameters(standard))):
        expected = standardized_along_the_order(*one, plain.order[s].tolist())
        for found, wanted in zip(other, expected):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
        variances = np.diag(observational_covariance(*other))
        there = standard.present[s].numpy()
        np.testing.assert_allclose(variances, there.astype(float), rtol=0, atol=1e-10)
    assert torch.equal(standard.adjacency, plain.adjacency)
    different = (standard.coef - observational.coef).abs().amax(dim=(1, 2)) > 1e-3
    assert different.sum() > 10


def test_standardised_systems_without_noise_stay_finite():
    for how in ("observational", "internal"):
        systems = draw(LinearPrior(4, noise_variance=0.0, standardize=how), n=5)
        assert systems.coef.isfinite().all()
        assert not systems.sample(3, random_state=0).any()


# Presets.


def test_the_mip_preset_is_the_default():
    assert LinearPrior.preset("mip") == LinearPrior()
    prior = LinearPrior()
    assert (prior.n_variables, prior.graph, prior.edges_per_variable) == (10, "erdos_renyi", 1.0)
    systems = draw(LinearPrior.preset("mip", n_variables=4))
    assert_distributed(present_weights(systems), two_tails(0.0, 1.0, 0.5))
    torch.testing.assert_close(systems.noise_scale**2, torch.full((2000, 4), 0.1).double())
    assert systems.noise == "gaussian"
    assert systems.noise_functions is None
    assert systems.loadings.shape[1] == 0


def test_the_caasl_preset_is_that_of_its_appendix():
    systems = draw(LinearPrior.preset("caasl"), n=500)
    n_parents = systems.adjacency.sum(dim=1, keepdim=True)
    weights = (systems.coef * n_parents.sqrt())[systems.adjacency]
    assert_distributed(weights, stats.norm.cdf)
    assert_distributed(systems.noise_scale**2, stats.invgamma(10, scale=1).cdf)
    assert systems.acyclic.all()
    total = systems.adjacency.sum(dim=(1, 2)).double()
    assert abs(float(total.mean()) - 30) < 4 * float(total.std()) / math.sqrt(500)


@pytest.mark.parametrize(
    "changes",
    [
        {"graph": "scale_free"},
        {"weight_mean": 0.1},
        {"noise": "gumbel"},
        {"heteroskedastic": True, "noise_variance": 1.0},
        {"n_variables": 20, "edges_per_variable": 2.0},
    ],
)
def test_presets_may_be_changed(changes):
    base, prior = LinearPrior.preset("caasl"), LinearPrior.preset("caasl", **changes)
    for field in fields(LinearPrior):
        found, expected = getattr(prior, field.name), getattr(base, field.name)
        if field.name in changes:
            assert found == changes[field.name]
        elif field.name != "noise_variance":  # distributions compare by identity
            assert found == expected
    assert prior.sample(2, 0).sample(3, random_state=0).isfinite().all()


def test_unknown_presets_are_refused():
    with pytest.raises(ValueError, match="name must be one of 'mip', 'caasl', found 'dag'"):
        LinearPrior.preset("dag")
    with pytest.raises(TypeError, match="edges"):
        LinearPrior.preset("mip", edges=3)


# Heteroskedastic noise.


def test_heteroskedastic_noise_is_scaled_by_functions_of_the_parents():
    systems = draw(LinearPrior(WIDTHS, heteroskedastic=True, noise_variance=0.5), n=40)
    plain = draw(LinearPrior(WIDTHS, noise_variance=0.5), n=40)
    assert torch.equal(systems.coef, plain.coef)
    assert torch.equal(systems.noise_scale, plain.noise_scale)
    X, Y = (s.sample(6, random_state=3).numpy() for s in (systems, plain))
    innovation = X - np.einsum("sri,sij->srj", X, systems.coef)
    unscaled = Y - np.einsum("sri,sij->srj", Y, plain.coef)
    functions = systems.noise_functions
    for s, r in np.ndindex(40, 6):
        order = systems.order[s].tolist()
        for t, j in enumerate(order[: systems.n_variables[s]]):
            angles = functions.phases[s, t].numpy().copy()
            for place, i in enumerate(order):
                if systems.adjacency[s, i, j]:
                    angles += functions.frequencies[s, t, place].numpy() * X[s, r, i]
            g = functions.amplitudes[s, t].numpy() @ np.cos(angles)
            factor = math.sqrt(math.log(1 + math.exp(g)))
            assert innovation[s, r, j] == pytest.approx(factor * unscaled[s, r, j], abs=1e-10)


def test_scales_of_the_noise_depend_on_the_parents():
    systems = draw(LinearPrior(2, edges_per_variable=0.5, heteroskedastic=True), n=200)
    causes = systems.order[:, 0]
    mask = torch.nn.functional.one_hot(causes, 2).bool()[:, None, None]
    values = torch.tensor([-20.0, 0.0, 20.0])[None, :, None, None]
    spread = systems.sample(500, mask, values, random_state=0).std(dim=2)
    spread = spread.gather(2, systems.order[:, None, 1:].expand(-1, 3, -1))[..., 0]
    assert (spread.amax(dim=1) / spread.amin(dim=1)).median() > 1.5


# What is refused.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_variables": 1}, "n_variables must be at least 2, found 1"),
        ({"n_variables": stats.randint(1, 4)}, r"n_variables must be at least 2, found values in"),
        ({"n_variables": stats.poisson(3, loc=2)}, "n_variables must be bounded; use a distrib"),
        ({"graph": "barabasi"}, "graph must be one of 'erdos_renyi', 'scale_free', 'directed_er"),
        ({"edges_per_variable": -1.0}, "edges_per_variable must be at least 0, found -1"),
        ({"edges_per_variable": math.nan}, "edges_per_variable must be at least 0, found nan"),
        ({"n_cycles": -1}, "n_cycles must be at least 0, found -1"),
        (
            {"n_cycles": 1, "cycle_length": 1},
            "cycle_length must be an integer of at least 2, found 1",
        ),
        ({"max_spectral_radius": 1.0}, "max_spectral_radius must be below 1, otherwise cycles"),
        ({"max_spectral_radius": 0.0}, "max_spectral_radius must be above 0, found 0"),
        ({"weight_mean": math.inf}, "weight_mean must be finite"),
        ({"weight_scale": 0.0}, "weight_scale must be above 0, found 0"),
        ({"weight_scale": stats.norm()}, "weight_scale must be above 0, found values in"),
        ({"weight_gap": -0.1}, "weight_gap must be at least 0, found -0.1"),
        ({"noise": "cauchy"}, "noise must be one of 'gaussian', 'gumbel', found 'cauchy'"),
        ({"noise_variance": -0.1}, "noise_variance must be at least 0, found -0.1"),
        ({"noise_variance": stats.norm(1)}, "noise_variance must be at least 0, found values in"),
        ({"noise_level": -2}, "noise_level must be at least 0, found -2"),
        ({"n_confounders": -1}, "n_confounders must be at least 0, found -1"),
        ({"n_confounders": 1, "confounder_children": 0}, "confounder_children must be an integer"),
        ({"n_confounders": 1, "confounder_variance": -1}, "confounder_variance must be at least 0"),
        (
            {"standardize": "external"},
            "standardize must be one of None, 'observational', 'internal",
        ),
        (
            {"standardize": "observational", "heteroskedastic": True},
            "standardize needs the variances in closed form",
        ),
        ({"standardize": "internal", "n_cycles": 1}, 'standardize="internal" follows the causal'),
        (
            {"standardize": "internal", "graph": "directed_erdos_renyi"},
            'standardize="internal" follows the causal order',
        ),
        ({"heteroskedastic": True, "n_cycles": 1}, "heteroskedastic noise .* needs acyclic graphs"),
        (
            {"heteroskedastic": True, "graph": "directed_erdos_renyi"},
            "heteroskedastic noise .* needs acyclic graphs",
        ),
    ],
)
def test_parameters_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        LinearPrior(**{"n_variables": 5, **changes})


@pytest.mark.parametrize("name", ["n_cycles", "n_confounders"])
def test_unbounded_counts_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be bounded; use a distribution"):
        LinearPrior(4, **{name: stats.poisson(1.0)})


@pytest.mark.parametrize("name", ["n_variables", "n_cycles", "n_confounders"])
@pytest.mark.parametrize("bad", [3.0, "3", True, None, stats.uniform(2, 3)])
def test_counts_must_be_integers_or_discrete_distributions(name, bad):
    with pytest.raises(TypeError, match=f"{name} must be an integer or a"):
        LinearPrior(**{"n_variables": 5, name: bad})


@pytest.mark.parametrize("name", ["cycle_length", "confounder_children"])
@pytest.mark.parametrize("bad", [3.0, "3", True, None, stats.randint(2, 4)])
def test_sizes_must_be_integers(name, bad):
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least"):
        LinearPrior(5, n_cycles=1, n_confounders=1, **{name: bad})


def test_the_spectral_radius_is_the_same_for_all_systems():
    with pytest.raises(TypeError, match="max_spectral_radius must be a number, not a distributi"):
        LinearPrior(5, max_spectral_radius=stats.uniform(0, 0.5))


@pytest.mark.parametrize(
    "name",
    ["edges_per_variable", "weight_mean", "weight_scale", "noise_variance", "max_spectral_radius"],
)
@pytest.mark.parametrize("bad", ["a", None, [1.0], True])
def test_quantities_must_be_numbers_or_distributions(name, bad):
    with pytest.raises(TypeError, match=f"{name} must be a number or a frozen distribution"):
        LinearPrior(5, **{name: bad})


@pytest.mark.parametrize(
    ("graph", "most"), [("erdos_renyi", 2.0), ("directed_erdos_renyi", 4.0), ("scale_free", 4.0)]
)
def test_no_graph_has_more_edges_than_it_holds(graph, most):
    systems = LinearPrior(5, graph=graph, edges_per_variable=most).sample(3, 0)
    expected = 20 if graph == "directed_erdos_renyi" else 10
    assert (systems.adjacency.sum(dim=(1, 2)) == expected).all()
    message = f"edges_per_variable=.* is more than a graph '{graph}' of 5 variables holds: at most"
    for bad in (most + 0.1, stats.uniform(1, most)):
        with pytest.raises(ValueError, match=message):
            LinearPrior(5, graph=graph, edges_per_variable=bad)
    with pytest.raises(ValueError, match=message):
        LinearPrior(stats.randint(5, 20), graph=graph, edges_per_variable=most + 0.1)
    LinearPrior(stats.randint(5, 20), graph=graph, edges_per_variable=stats.uniform(0, most))


def test_the_smallest_system_must_hold_cycles_and_confounders():
    with pytest.raises(ValueError, match="cycle_length=4 is more than the 3 variables of the smal"):
        LinearPrior(WIDTHS, n_cycles=1, cycle_length=4)
    with pytest.raises(ValueError, match="confounder_children=4 is more than the 3 variables of"):
        LinearPrior(WIDTHS, n_confounders=stats.randint(0, 2), confounder_children=4)
    LinearPrior(2, edges_per_variable=0.5)  # the defaults of what is not used do not matter
