"""Linear systems against matrix algebra in numpy, slow loops over variables, and 10^6 rows."""

import itertools
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from skcausal.simulators import LinearPrior, LinearSystems
from skcausal.simulators._interventions import KINDS

# The families of a batch: no feedback, feedback in every system, or both side by side.
FEEDBACK = ["acyclic", "cyclic", "mixed"]


def random_coef(rng, n_systems, d, feedback, density=0.7):
    """Weights on random graphs; a cycle's absolute weights have a spectral radius of 0.7."""
    coef = np.zeros((n_systems, d, d))
    for s in range(n_systems):
        order = rng.permutation(d)
        weights = np.triu(rng.normal(size=(d, d)), 1) * (rng.random((d, d)) < density)
        if d > 1 and (feedback == "cyclic" or (feedback == "mixed" and s % 2)):
            weights[0, -1], weights[-1, 0] = rng.uniform(0.2, 1.0, 2) * rng.choice([-1, 1], 2)
            weights *= 0.7 / np.abs(np.linalg.eigvals(np.abs(weights))).max()
        coef[s][np.ix_(order, order)] = weights
    return coef


def random_systems(
    rng, n_systems, d, feedback="acyclic", n_confounders=0, noise="gaussian", density=0.7
):
    """A batch of random systems in double precision."""
    return LinearSystems.from_coef(
        random_coef(rng, n_systems, d, feedback, density),
        rng.uniform(0.2, 2.0, size=(n_systems, d)),
        loadings=rng.normal(size=(n_systems, n_confounders, d)),
        noise=noise,
    )


def closed_form(coef, loadings, noise_scale, mask, values, kind, value_variance=0.0):
    """Mean and covariance of one system: write down its equations, then invert them."""
    coef, loadings, noise = coef.copy(), loadings.copy(), np.diag(noise_scale**2)
    constant = np.zeros(len(coef))
    for j in np.flatnonzero(mask):
        v = values[j]
        if kind == "hard":
            coef[:, j], loadings[:, j], noise[j, j], constant[j] = 0.0, 0.0, value_variance, v
        elif kind == "shift":
            constant[j], noise[j, j] = v, noise[j, j] + value_variance
        elif kind == "scale":
            coef[:, j], loadings[:, j], noise[j, j] = (
                v * coef[:, j],
                v * loadings[:, j],
                v**2 * noise[j, j],
            )
        elif kind == "noise":
            noise[j, j] *= v**2 + value_variance
    total = np.linalg.inv(np.eye(len(coef)) - coef)
    return constant @ total, total.T @ (loadings.T @ loadings + noise) @ total


def reference_moments(systems, mask, values, kind, value_variance=0.0):
    """Closed forms (n_systems, n_rows, ...) system by system and row by row."""
    parameters = [t.double().numpy() for t in (systems.coef, systems.loadings, systems.noise_scale)]
    found = [
        [closed_form(*system, m, v, kind, value_variance) for m, v in zip(rows, row_values)]
        for *system, rows, row_values in zip(*parameters, mask, values)
    ]
    means = np.array([[mean for mean, _ in rows] for rows in found])
    return means, np.array([[covariance for _, covariance in rows] for rows in found])


def own_noise(systems, n_rows, random_state):
    """The noise and hidden variables that `sample` uses, seen through systems without edges."""
    silent = replace(
        systems,
        coef=torch.zeros_like(systems.coef),
        acyclic=torch.ones_like(systems.acyclic),
        noise_scale=torch.ones_like(systems.noise_scale),
        loadings=torch.zeros_like(systems.loadings),
        noise_functions=None,
    )
    noise = silent.sample(n_rows, random_state=random_state)
    n_confounders, d = systems.loadings.shape[1:]
    assert n_confounders <= d
    seen = replace(
        silent,
        noise_scale=torch.zeros_like(systems.noise_scale),
        loadings=torch.eye(d, dtype=systems.dtype)[:n_confounders].expand_as(systems.loadings),
    )
    hidden = seen.sample(n_rows, random_state=random_state)[..., :n_confounders]
    return noise.numpy(), hidden.numpy()


def slow_rows(systems, n_rows, mask, values, kind, random_state):
    """Rows variable by variable: once along the order of a DAG, to convergence around a cycle."""
    noise, hidden = own_noise(systems, n_rows, random_state)
    rows = np.zeros_like(noise)
    tensors = (systems.coef, systems.loadings, systems.noise_scale)
    for s, (coef, loadings, scale) in enumerate(zip(*(t.numpy() for t in tensors))):
        graph = nx.from_numpy_array(coef != 0, create_using=nx.DiGraph)
        acyclic = nx.is_directed_acyclic_graph(graph)
        sweep = list(nx.topological_sort(graph)) if acyclic else list(graph)
        for r in range(n_rows):
            x, before = rows[s, r], np.full(len(coef), np.inf)
            while not np.allclose(x, before, rtol=1e-14, atol=1e-14):
                before = x.copy()
                for j in sweep:
                    pull = sum(x[i] * coef[i, j] for i in graph.predecessors(j))
                    pull += sum(u * loading[j] for u, loading in zip(hidden[s, r], loadings))
                    e, v = scale[j] * noise[s, r, j], values[s, r, j]
                    x[j] = pull + e
                    if mask[s, r, j]:
                        x[j] = equation(kind, pull, e, v)
                if acyclic:
                    break
    return rows


def equation(kind, pull, e, v):
    """A target's value, given what its mechanism and its noise yield."""
    return {"hard": v, "shift": pull + e + v, "scale": v * (pull + e), "noise": pull + v * e}[kind]


# Means and covariances by simulation.

N_ROWS, PIECES = 1_000_000, 8
FIXED = {"hard": 1.5, "shift": -0.8, "scale": -0.6, "noise": 2.0}
DRAWN = {
    "hard": stats.uniform(-1, 3),
    "shift": stats.expon(),
    "scale": stats.uniform(-0.5, 2),
    "noise": stats.norm(1.0, 0.5),
}
CASES = {
    f"{kind}-{how}-{feedback}": (kind, values[kind], feedback)
    for kind in KINDS
    for how, values in (("fixed", FIXED), ("drawn", DRAWN))
    for feedback in ("acyclic", "cyclic")
    if (kind, how, feedback) != ("scale", "drawn", "cyclic")
}


@pytest.mark.parametrize("noise", ["gaussian", "gumbel"])
@pytest.mark.parametrize(("kind", "value", "feedback"), CASES.values(), ids=CASES)
def test_a_million_rows_have_the_moments_of_the_closed_form(kind, value, feedback, noise):
    # In all, 30 tests of 2 systems with 4 means and 10 (co)variances each. Of 840 statistics
    # 0.05 are expected beyond four standard errors under the truth: the seeds are fixed because
    # one fresh set in twenty would fail.
    rng = np.random.default_rng([KINDS.index(kind), len(feedback), len(noise)])
    systems = random_systems(rng, 2, 4, feedback, n_confounders=2, noise=noise, density=1.0)
    systems.loadings[0] = 0.0  # the first system has no confounders
    mask = np.array([[[True, False, True, False]], [[False, True, True, False]]])
    exact = systems
    systems = replace(
        systems,
        coef=systems.coef.float(),
        noise_scale=systems.noise_scale.float(),
        loadings=systems.loadings.float(),
    )
    mean = exact.interventional_mean(mask, value, kind=kind)
    covariance = exact.interventional_covariance(mask, value, kind=kind)[:, 0]
    total, products, squares = 0.0, 0.0, 0.0
    for piece in range(PIECES):
        X = systems.sample(N_ROWS // PIECES, mask, value, kind=kind, random_state=piece).double()
        X -= mean
        total = total + X.sum(dim=1)
        products = products + X.mT @ X
        squares = squares + (X**2).mT @ X**2
    variance = products.diagonal(dim1=1, dim2=2) / N_ROWS
    assert (total.abs() / N_ROWS <= 4 * (variance / N_ROWS).sqrt() + 1e-6).all()
    products, squares = products / N_ROWS, squares / N_ROWS
    error = ((squares - products**2).clamp(min=0) / N_ROWS).sqrt()
    assert ((products - covariance).abs() <= 4 * error + 1e-6).all()


# Closed forms and rows against references.


@st.composite
def problems(draw, max_variables=5, n_rows=3, kinds=KINDS, feedback=FEEDBACK):
    """A batch of systems with a kind, a mask and values for each of a few rows."""
    n_systems, d = draw(st.integers(1, 3)), draw(st.integers(1, max_variables))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    systems = random_systems(
        rng,
        n_systems,
        d,
        draw(st.sampled_from(feedback)),
        n_confounders=draw(st.integers(0, min(2, d))),
        noise=draw(st.sampled_from(["gaussian", "gumbel"])),
    )
    mask = draw(hnp.arrays(bool, (n_systems, n_rows, d)))
    kind = draw(st.sampled_from(kinds))
    # Scales up to 1.2 keep feedback with a spectral radius of 0.7 stable.
    values = rng.uniform(-1.2, 1.2, size=mask.shape)
    return systems, mask, values, kind


@settings(max_examples=50)
@given(problems())
def test_closed_forms_are_those_of_matrix_algebra(problem):
    systems, mask, values, kind = problem
    mean, covariance = reference_moments(systems, mask, values, kind)
    found = systems.interventional_mean(mask, values, kind=kind)
    np.testing.assert_allclose(found, mean, rtol=1e-8, atol=1e-10)
    found = systems.interventional_covariance(mask, values, kind=kind)
    np.testing.assert_allclose(found, covariance, rtol=1e-8, atol=1e-10)


@settings(max_examples=50)
@given(problems(kinds=("hard", "shift", "noise")), st.sampled_from([0, 1, 2]))
def test_closed_forms_with_drawn_values_are_those_of_matrix_algebra(problem, which):
    systems, mask, _, kind = problem
    distribution = [stats.uniform(-0.3, 1.1), stats.gamma(1.7), stats.norm(0.3, 0.7)][which]
    centre, variance = distribution.stats("mv")
    values = np.full(mask.shape, float(centre))
    mean, covariance = reference_moments(systems, mask, values, kind, float(variance))
    found = systems.interventional_mean(mask, distribution, kind=kind)
    np.testing.assert_allclose(found, mean, rtol=1e-8, atol=1e-10)
    found = systems.interventional_covariance(mask, distribution, kind=kind)
    np.testing.assert_allclose(found, covariance, rtol=1e-8, atol=1e-10)


@settings(max_examples=30)
@given(problems(max_variables=4, n_rows=1, feedback=["acyclic"]), st.sampled_from([-1, 1]))
def test_drawn_scales_average_the_moments_of_all_their_values(problem, low):
    systems, mask, _, _ = problem
    three = stats.randint(low, low + 3)
    expected = 0.0
    for values in itertools.product(range(low, low + 3), repeat=mask.shape[-1]):
        values = np.broadcast_to(np.array(values, dtype=float), mask.shape)
        mean, covariance = reference_moments(systems, mask, values, "scale")
        assert not mean.any()
        expected = expected + covariance / 3 ** mask.shape[-1]
    assert not systems.interventional_mean(mask, three, kind="scale").any()
    found = systems.interventional_covariance(mask, three, kind="scale")
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("noise", ["gaussian", "gumbel"])
def test_drawn_scales_leave_means_at_zero_with_feedback(noise):
    rng = np.random.default_rng(4)
    systems = random_systems(rng, 3, 4, "cyclic", n_confounders=1, noise=noise)
    mask, values = np.array([True, False, True, False]), stats.uniform(0.2, 1.0)
    X = systems.sample(10_000, mask, values, kind="scale", random_state=0)
    assert not systems.interventional_mean(mask, values, kind="scale").any()
    assert (X.mean(dim=1).abs() <= 4 * X.std(dim=1) / 100).all()
    assert (X[..., mask].std(dim=1) > 0.1).all()


@settings(max_examples=40)
@given(problems(max_variables=4), st.integers(0, 2**63 - 1))
def test_rows_are_those_of_a_loop_over_variables(problem, seed):
    systems, mask, values, kind = problem
    X = systems.sample(3, mask, values, kind=kind, random_state=seed)
    expected = slow_rows(systems, 3, mask, values, kind, seed)
    np.testing.assert_allclose(X, expected, rtol=1e-8, atol=1e-9)


@settings(max_examples=40)
@given(problems(feedback=["acyclic"]), st.integers(0, 2**32))
def test_propagation_agrees_with_the_equilibrium(problem, seed):
    systems, mask, values, kind = problem
    X = systems.sample(3, mask, values, kind=kind, random_state=seed)
    solved = replace(systems, acyclic=torch.zeros_like(systems.acyclic))
    Y = solved.sample(3, mask, values, kind=kind, random_state=seed)
    torch.testing.assert_close(X, Y, rtol=1e-9, atol=1e-10)


@settings(max_examples=40)
@given(problems(), st.randoms(use_true_random=False))
def test_relabelled_systems_have_relabelled_moments(problem, random):
    systems, mask, values, kind = problem
    p = list(range(mask.shape[-1]))
    random.shuffle(p)
    relabelled = LinearSystems.from_coef(
        systems.coef[:, p][:, :, p],
        systems.noise_scale[:, p] ** 2,
        loadings=systems.loadings[:, :, p],
    )
    one = systems.interventional_mean(mask, values, kind=kind)
    other = relabelled.interventional_mean(mask[..., p], values[..., p], kind=kind)
    torch.testing.assert_close(other, one[..., p], rtol=1e-9, atol=1e-10)
    one = systems.interventional_covariance(mask, values, kind=kind)
    other = relabelled.interventional_covariance(mask[..., p], values[..., p], kind=kind)
    torch.testing.assert_close(other, one[..., p, :][..., p], rtol=1e-9, atol=1e-10)


@settings(max_examples=25)
@given(problems())
def test_interventions_that_change_nothing(problem):
    systems, mask, _, _ = problem
    plain = systems.interventional_covariance()
    rows = systems.sample(3, random_state=0)
    for kind, neutral in (("shift", 0.0), ("scale", 1.0), ("noise", 1.0)):
        found = systems.interventional_covariance(mask, neutral, kind=kind)
        torch.testing.assert_close(found, plain.expand_as(found), rtol=1e-9, atol=1e-10)
        found = systems.sample(3, mask, neutral, kind=kind, random_state=0)
        torch.testing.assert_close(found, rows, rtol=1e-9, atol=1e-10)
        assert not systems.interventional_mean(mask, neutral, kind=kind).any()


@settings(max_examples=40)
@given(problems())
def test_scaling_by_zero_is_setting_to_zero(problem):
    systems, mask, _, _ = problem
    scaled = systems.interventional_covariance(mask, 0.0, kind="scale")
    held = systems.interventional_covariance(mask, 0.0, kind="hard")
    torch.testing.assert_close(scaled, held)


@pytest.mark.parametrize("feedback", FEEDBACK)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_targets_hold_their_value_exactly(feedback, dtype):
    prior = LinearPrior(
        6,
        graph={"acyclic": "erdos_renyi"}.get(feedback, "directed_erdos_renyi"),
        n_cycles=int(feedback == "cyclic"),
        edges_per_variable=1.0,
        weight_scale=3.0,
        max_spectral_radius=0.95,
    )
    systems = prior.sample(200, 0, dtype=dtype)
    mask = np.array([True, False, False, True, False, False])
    X = systems.sample(20, mask, 2.3, random_state=0)
    assert (X[..., mask] == torch.tensor(2.3, dtype=dtype)).all()


@pytest.mark.parametrize("feedback", FEEDBACK)
def test_a_system_is_simulated_alike_in_any_batch(feedback):
    systems = random_systems(np.random.default_rng(0), 12, 5, feedback, n_confounders=1)
    mask, value = np.array([True, False, False, True, False]), 0.7
    for kind in KINDS:
        whole = systems.sample(7, mask, value, kind=kind, random_state=3)
        for index in (slice(0, 1), slice(1, 2), slice(3, 8), [4, 0], [1, 3, 5], [0, 2]):
            part = systems[index].sample(7, mask, value, kind=kind, random_state=3)
            assert torch.equal(part, whole[index]), (kind, index)


def in_four_dimensions(array):
    """Systems, regimes, rows and variables of an array that may lack some."""
    array = array.reshape((1,) * (3 - array.ndim) + array.shape)
    return array if array.ndim == 4 else array[:, None]


@pytest.mark.parametrize(
    ("mask_shape", "value_shape", "shape"),
    [
        (None, (), (2, 1)),
        ((3,), (), (2, 1)),
        ((4, 3), (), (2, 4)),
        ((3,), (4, 1), (2, 4)),
        ((2, 4, 3), (4, 3), (2, 4)),
        ((1, 5, 4, 3), (), (2, 5, 4)),
        ((2, 5, 1, 3), (3,), (2, 5, 1)),
        ((1, 3), (2, 5, 4, 1), (2, 5, 4)),
    ],
)
@pytest.mark.parametrize("feedback", FEEDBACK)
def test_shapes_of_closed_forms(mask_shape, value_shape, shape, feedback):
    rng = np.random.default_rng(0)
    systems = random_systems(rng, 2, 3, feedback, n_confounders=1)
    mask = None if mask_shape is None else rng.random(mask_shape) < 0.5
    values = rng.normal(size=value_shape)
    mean, error = systems.interventional_mean(mask, values, return_standard_error=True)
    covariance = systems.interventional_covariance(mask, values)
    assert mean.shape == error.shape == (*shape, 3)
    assert not error.any()
    assert covariance.shape == (*shape, 3, 3)
    four = in_four_dimensions(np.zeros(3, dtype=bool) if mask is None else mask)
    values = in_four_dimensions(values)
    four, values = np.broadcast_arrays(four, values, np.empty((2, 1, 1, 1)))[:2]
    expected = reference_moments(systems, four.reshape(2, -1, 3), values.reshape(2, -1, 3), "hard")
    np.testing.assert_allclose(mean, expected[0].reshape(mean.shape), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(
        covariance, expected[1].reshape(covariance.shape), rtol=1e-9, atol=1e-10
    )


# Heteroskedastic noise.

HETEROSKEDASTIC = LinearPrior(4, edges_per_variable=1.2, heteroskedastic=True, noise_variance=0.5)


def test_heteroskedastic_rows_are_those_of_a_loop_over_variables():
    systems = HETEROSKEDASTIC.sample(20, 0, dtype=torch.float64)
    rng = np.random.default_rng(0)
    mask, values = rng.random((20, 4, 4)) < 0.3, rng.normal(size=(20, 4, 4))
    noise, _ = own_noise(systems, 4, 5)
    functions = systems.noise_functions
    for kind in KINDS:
        X = systems.sample(4, mask, values, kind=kind, random_state=5).numpy()
        expected = np.zeros_like(X)
        for s, r in np.ndindex(20, 4):
            order, x = systems.order[s].tolist(), expected[s, r]
            for t, j in enumerate(order):
                angles = functions.phases[s, t].numpy().copy()
                for place, i in enumerate(order[:t]):
                    angles += functions.frequencies[s, t, place].numpy() * x[i]
                g = functions.amplitudes[s, t].numpy() @ np.cos(angles)
                e = (
                    float(systems.noise_scale[s, j])
                    * np.sqrt(np.log(1 + np.exp(g)))
                    * noise[s, r, j]
                )
                pull, v = x @ systems.coef[s, :, j].numpy(), values[s, r, j]
                x[j] = pull + e
                if mask[s, r, j]:
                    x[j] = equation(kind, pull, e, v)
        np.testing.assert_allclose(X, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_heteroskedastic_noise_leaves_means_as_they_are(kind):
    systems = HETEROSKEDASTIC.sample(10, 1, dtype=torch.float64)
    mask = np.array([True, False, True, False])
    X = systems.sample(8000, mask, 1.5, kind=kind, random_state=1)
    mean = systems.interventional_mean(mask, 1.5, kind=kind)[:, 0]
    error = X.std(dim=1) / np.sqrt(8000)
    assert ((X.mean(dim=1) - mean).abs() <= 4 * error + 1e-10).all()
    plain = LinearSystems.from_coef(systems.coef, 0.5)
    torch.testing.assert_close(plain.interventional_mean(mask, 1.5, kind=kind)[:, 0], mean)


# What is refused.


@pytest.mark.parametrize("values", [None, 1.0])
def test_heteroskedastic_systems_have_no_closed_form_of_the_covariance(values):
    systems = HETEROSKEDASTIC.sample(2, 0)
    mask = None if values is None else [True, False, False, False]
    with pytest.raises(ValueError, match="Heteroskedastic systems have no covariance in closed fo"):
        systems.interventional_covariance(mask, values)


@pytest.mark.parametrize("feedback", ["cyclic", "mixed"])
def test_drawn_scales_have_no_closed_form_of_the_covariance_with_feedback(feedback):
    systems = random_systems(np.random.default_rng(0), 2, 3, feedback)
    with pytest.raises(ValueError, match="Systems with feedback have no covariance in closed form"):
        systems.interventional_covariance([True, False, False], stats.uniform(0, 1), kind="scale")


@pytest.mark.parametrize("kind", KINDS)
def test_distributions_without_moments_are_refused(kind):
    systems = random_systems(np.random.default_rng(0), 2, 3)
    mask = [True, False, False]
    for method in (systems.interventional_mean, systems.interventional_covariance):
        with pytest.raises(ValueError, match="values must have a finite mean, found"):
            method(mask, stats.cauchy(), kind=kind)
    systems.interventional_mean(mask, stats.t(1.5), kind=kind)
    with pytest.raises(ValueError, match="values must have a finite variance, found"):
        systems.interventional_covariance(mask, stats.t(1.5), kind=kind)


def cycle(weight, n_systems=1):
    """Systems whose two variables drive each other."""
    return np.array([[[0.0, weight], [weight, 0.0]]] * n_systems)


@pytest.mark.parametrize("weight", [1.0, -1.0, 1.7, -3.0])
def test_unstable_cycles_are_refused(weight):
    message = (
        rf"A cycle is unstable: the spectral radius .* is {abs(weight):.3g} and must be below 1"
    )
    with pytest.raises(ValueError, match=message):
        LinearSystems.from_coef(np.concatenate([cycle(0.5), cycle(weight)]))
    stable = np.array([[[0.0, weight], [0.0, 0.0]]])
    assert LinearSystems.from_coef(np.concatenate([cycle(0.99), stable])).acyclic.tolist() == [
        False,
        True,
    ]


def test_feedback_that_cancels_is_refused_since_holding_a_variable_uncovers_it():
    def opposite_cycles(weight):
        """Variable 0 and variable 1 amplify each other as much as 0 and 2 damp each other."""
        coef = np.zeros((1, 3, 3))
        coef[0, 0, 1:], coef[0, 1:, 0] = weight, (weight, -weight)
        return coef

    assert np.abs(np.linalg.eigvals(opposite_cycles(5.0))).max() < 1e-6
    with pytest.raises(ValueError, match=r"A cycle is unstable: .* is 1\.27 and"):
        LinearSystems.from_coef(opposite_cycles(0.9))
    systems = LinearSystems.from_coef(opposite_cycles(0.6))
    systems.interventional_mean([True, False, False], 1.3, kind="scale")
    with pytest.raises(ValueError, match=r"A cycle is unstable: .* scales of the intervention"):
        systems.interventional_mean([True, False, False], 1.5, kind="scale")


def test_a_variable_that_drives_itself_must_be_stable():
    with pytest.raises(ValueError, match=r"A cycle is unstable: .* is 1\.5 and"):
        LinearSystems.from_coef(np.array([[[1.5]]]))
    covariance = LinearSystems.from_coef(np.array([[[0.5]]])).interventional_covariance()
    assert covariance.item() == pytest.approx(4.0)


@pytest.mark.parametrize("method", ["sample", "interventional_mean", "interventional_covariance"])
@pytest.mark.parametrize("scale", [2.0, -2.0, 2.5])
def test_scales_that_make_a_cycle_unstable_are_refused(method, scale):
    systems = LinearSystems.from_coef(cycle(0.8, n_systems=2))
    rows = (5,) if method == "sample" else ()
    mask = np.array([[[True, False]], [[False, False]]])
    with pytest.raises(ValueError, match=r"A cycle is unstable: .* or the scales of the interv"):
        getattr(systems, method)(*rows, mask, scale, kind="scale")
    getattr(systems, method)(*rows, mask, 1.5, kind="scale")
    getattr(systems, method)(*rows, mask, scale, kind="noise")
    if method == "sample":
        with pytest.raises(ValueError, match="A cycle is unstable"):
            systems.sample(5, mask, stats.uniform(scale, 0.5), kind="scale", random_state=0)


@pytest.mark.parametrize(
    "coef",
    [
        np.zeros((3, 3)),
        np.zeros((1, 2, 3)),
        np.zeros((1, 3, 3), dtype=int),
        np.zeros((1, 3, 3), dtype=bool),
        np.zeros((1, 1, 3, 3)),
    ],
)
def test_weights_of_a_wrong_shape_or_type_are_refused(coef):
    with pytest.raises(ValueError, match="coef must be an array of floats of shape"):
        LinearSystems.from_coef(coef)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(bad):
    coef = np.zeros((2, 3, 3))
    coef[1, 0, 1] = bad
    with pytest.raises(ValueError, match="coef"):
        LinearSystems.from_coef(coef)


@pytest.mark.parametrize("variance", [-0.1, np.nan, np.inf, [1.0, -1.0, 1.0]])
def test_negative_or_infinite_variances_are_refused(variance):
    with pytest.raises(ValueError, match="noise_variance must be finite and not negative"):
        LinearSystems.from_coef(np.zeros((2, 3, 3)), variance)


@pytest.mark.parametrize("shape", [(4,), (3, 3), (1, 2, 3), (2, 3, 1)])
def test_variances_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match="noise_variance"):
        LinearSystems.from_coef(np.zeros((2, 3, 3)), np.ones(shape))


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 1, 3), (2, 1, 4), (2, 1, 1, 3)])
def test_loadings_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match="loadings"):
        LinearSystems.from_coef(np.zeros((2, 3, 3)), loadings=np.ones(shape))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="noise must be one of 'gaussian', 'gumbel', found 'cauch"):
        LinearSystems.from_coef(np.zeros((1, 2, 2)), noise="cauchy")
    systems = LinearSystems.from_coef(np.zeros((1, 2, 2)))
    for method in (systems.interventional_mean, systems.interventional_covariance):
        with pytest.raises(
            ValueError, match="kind must be one of 'hard', 'shift', 'scale', 'noise'"
        ):
            method([True, False], 1.0, kind="soft")
    with pytest.raises(
        ValueError, match="kind must be one of 'hard', 'shift', 'scale', 'noise', f"
    ):
        systems.sample(3, [True, False], 1.0, kind="soft")


# Construction.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_given_weights_are_kept_in_their_precision(dtype):
    coef = random_coef(np.random.default_rng(0), 2, 3, "mixed").astype(dtype)
    systems = LinearSystems.from_coef(coef, [0.5, 1.0, 2.0], loadings=np.ones((2, 1, 3)))
    np.testing.assert_array_equal(systems.coef, coef)
    np.testing.assert_array_equal(systems.adjacency, coef != 0)
    np.testing.assert_allclose(systems.noise_scale, np.sqrt([[0.5, 1.0, 2.0]] * 2), rtol=1e-6)
    expected = torch.from_numpy(coef).dtype
    assert systems.dtype == systems.noise_scale.dtype == systems.loadings.dtype == expected
    assert systems.sample(2, random_state=0).dtype == expected
    assert systems.interventional_mean().dtype == expected
    assert systems.present.all()
    assert systems.acyclic.tolist() == [True, False]


def test_kinds_default_to_hard():
    systems = random_systems(np.random.default_rng(0), 2, 3)
    mask = [True, False, True]
    for method in (systems.interventional_mean, systems.interventional_covariance):
        assert torch.equal(method(mask, 2.0), method(mask, 2.0, kind="hard"))
    one, other = (systems.sample(4, mask, 2.0, kind=k, random_state=0) for k in (None, "hard"))
    assert torch.equal(one, other)
