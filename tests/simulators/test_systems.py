"""What all batches of systems share, on linear and nonlinear ones."""

import copy
import dataclasses
import gc
import itertools
import pickle
import weakref

import networkx as nx
import numpy as np
import pytest
import torch
from scipy import stats

from skcausal.simulators import LinearPrior, LinearSystems, NonlinearPrior, _systems, concatenate

WIDTHS = stats.randint(3, 6)
PRIORS = {
    "linear": LinearPrior(5),
    "padded": LinearPrior(WIDTHS, n_confounders=2, noise="gumbel", noise_variance=stats.expon()),
    "observational": LinearPrior(WIDTHS, n_confounders=1, standardize="observational"),
    "internal": LinearPrior(WIDTHS, n_confounders=1, standardize="internal"),
    "scale_free": LinearPrior(5, graph="scale_free", edges_per_variable=1.5),
    "rings": LinearPrior(WIDTHS, n_cycles=stats.randint(0, 3), n_confounders=1),
    "directed": LinearPrior(5, graph="directed_erdos_renyi", standardize="observational"),
    "heteroskedastic": LinearPrior(WIDTHS, heteroskedastic=True),
    "fourier": NonlinearPrior(WIDTHS, n_features=20),
    "mlp": NonlinearPrior(5, mechanism="mlp", noise="gumbel"),
    "unscaled": NonlinearPrior(WIDTHS, n_features=20, standardize=None, heteroskedastic=True),
}
EVERY_PRIOR = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
KINDS = ["hard", "shift", "scale", "noise"]


def leaves(systems, name=""):
    """Names and tensors of a batch, also those inside its functions."""
    if isinstance(systems, torch.Tensor):
        yield name, systems
    elif dataclasses.is_dataclass(systems):
        for field in dataclasses.fields(systems):
            yield from leaves(getattr(systems, field.name), f"{name}.{field.name}")


def assert_same(one, other):
    """Two batches agree bit for bit."""
    assert type(one) is type(other)
    for (name, a), (_, b) in zip(leaves(one), leaves(other), strict=True):
        assert a.dtype == b.dtype, name
        assert torch.equal(a, b), name


def first_variable(systems):
    """A mask of one row whose target is the variable that every system has."""
    return (systems.present & (torch.arange(systems.present.shape[1]) == 0))[:, None]


# Task k of a seed is the same system in any batch.


@EVERY_PRIOR
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_split_yields_the_same_tasks(prior, dtype):
    whole = prior.sample(100, 7, dtype=dtype)
    assert len(whole) == 100
    for sizes in ([40, 60], [1, 2, 97], [1] * 6 + [94], [33, 33, 34]):
        starts = np.cumsum([0, *sizes[:-1]])
        pieces = [prior.sample(n, 7, start=int(k), dtype=dtype) for n, k in zip(sizes, starts)]
        for piece, n, k in zip(pieces, sizes, starts):
            assert_same(piece, whole[k : k + n])
        assert_same(concatenate(pieces), whole)


@EVERY_PRIOR
def test_rows_of_a_sub_batch_are_the_sub_batch_of_the_rows(prior):
    systems = prior.sample(40, 3, dtype=torch.float64)
    for values in (1.5, stats.norm()):
        whole = systems.sample(30, first_variable(systems), values, random_state=2)
        for index in (slice(3, 4), slice(10, 40), [5, 2, 2], np.arange(40) % 3 == 0):
            part = systems[index]
            rows = part.sample(30, first_variable(part), values, random_state=2)
            assert torch.equal(rows, whole[index]), index


@EVERY_PRIOR
def test_rows_of_a_sub_batch_agree_up_to_rounding(prior):
    systems = prior.sample(40, 3, dtype=torch.float64)
    for kind in KINDS:
        whole = systems.sample(30, first_variable(systems), 0.7, kind=kind, random_state=2)
        for index in (slice(3, 4), slice(10, 40), [5, 2, 2]):
            part = systems[index]
            rows = part.sample(30, first_variable(part), 0.7, kind=kind, random_state=2)
            torch.testing.assert_close(rows, whole[index], rtol=1e-9, atol=1e-9)


@EVERY_PRIOR
def test_a_larger_sample_begins_with_the_smaller_one(prior):
    systems = prior.sample(10, 3, dtype=torch.float64)
    for values in (0.7, stats.norm()):
        large = systems.sample(50, first_variable(systems), values, random_state=2)
        small = systems.sample(8, first_variable(systems), values, random_state=2)
        torch.testing.assert_close(small, large[:, :8], rtol=1e-9, atol=1e-9)


@EVERY_PRIOR
def test_seeds_decide(prior):
    assert_same(prior.sample(5, 3), prior.sample(5, np.int64(3)))
    assert not torch.equal(prior.sample(5, 3).keys, prior.sample(5, 4).keys)
    assert not torch.equal(prior.sample(5).keys, prior.sample(5).keys)
    one, two = np.random.default_rng(0), np.random.default_rng(0)
    assert_same(prior.sample(5, one), prior.sample(5, two))
    assert not torch.equal(prior.sample(5, one).keys, prior.sample(5, 0).keys)
    systems = prior.sample(5, 3)
    assert torch.equal(systems.sample(4, random_state=1), systems.sample(4, random_state=1))
    there = systems.present[:, None].expand(-1, 4, -1)
    different = systems.sample(4, random_state=1) != systems.sample(4, random_state=2)
    assert different[there].all()
    assert (systems.sample(4) != systems.sample(4))[there].all()


@EVERY_PRIOR
def test_precisions_agree(prior):
    single, double = prior.sample(20, 3), prior.sample(20, 3, dtype=torch.float64)
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64
    assert torch.equal(single.keys, double.keys)
    assert torch.equal(single.adjacency, double.adjacency)
    assert torch.equal(single.present, double.present)
    for kind, values in itertools.product(KINDS, (0.7, stats.norm())):
        if kind == "scale" and not isinstance(values, float):
            continue
        rows, exact = (
            systems.sample(20, first_variable(systems), values, kind=kind, random_state=1)
            for systems in (single, double)
        )
        assert rows.dtype == torch.float32
        torch.testing.assert_close(rows.double(), exact, rtol=1e-2, atol=1e-2)
        assert float((rows - exact).abs().mean()) < 1e-4


# Streams.


@dataclasses.dataclass(frozen=True)
class CountedPrior(LinearPrior):
    """A prior that counts how many batches were drawn."""

    drawn: list = dataclasses.field(default_factory=list)

    def _draw(self, keys, dtype):
        self.drawn.append(len(keys))
        return super()._draw(keys, dtype)


@EVERY_PRIOR
def test_a_stream_yields_the_tasks_of_one_large_sample(prior):
    batches = list(prior.stream(25, 7, batch_size=10))
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert_same(concatenate(batches), prior.sample(25, 7))


def test_a_stream_resumes_where_it_was_interrupted():
    prior = PRIORS["padded"]
    whole = prior.sample(25, 7, dtype=torch.float64)
    resumed = list(prior.stream(12, 7, batch_size=5, start=13, dtype=torch.float64))
    assert [len(batch) for batch in resumed] == [5, 5, 2]
    assert_same(concatenate(resumed), whole[13:])


def test_a_stream_draws_on_demand_and_forgets():
    prior = CountedPrior(3)
    stream = prior.stream(None, 0, batch_size=4)
    assert prior.drawn == []
    for count in range(1, 6):
        batch = next(stream)
        assert prior.drawn == [4] * count
        forgotten = weakref.ref(batch)
        del batch
        gc.collect()
        assert forgotten() is None


def test_a_stream_without_end_goes_on():
    stream = PRIORS["linear"].stream(random_state=3, batch_size=7)
    batches = list(itertools.islice(stream, 20))
    assert_same(concatenate(batches), PRIORS["linear"].sample(140, 3))


def test_a_stream_fixes_its_seed_when_it_is_made():
    prior = PRIORS["linear"]
    fresh = list(prior.stream(6, batch_size=2))
    assert len(torch.cat([batch.keys for batch in fresh]).unique()) == 6
    generator = np.random.default_rng(0)
    stream = prior.stream(6, generator, batch_size=2)
    generator.integers(10)
    expected = prior.sample(6, np.random.default_rng(0))
    assert_same(concatenate(stream), expected)


def test_streams_default_to_batches_of_64():
    assert [len(batch) for batch in PRIORS["linear"].stream(100, 0)] == [64, 36]


# Batches.


@EVERY_PRIOR
def test_indexing_selects_systems(prior):
    systems = prior.sample(9, 1)
    for index in (
        slice(2, 7),
        slice(None, None, 2),
        [3, 0],
        np.array([3, 0]),
        torch.tensor([8, 8]),
    ):
        chosen = systems[index]
        for (name, part), (_, whole) in zip(leaves(chosen), leaves(systems), strict=True):
            assert torch.equal(part, whole[index]), name
    for integer in (4, -2, np.int64(4)):
        assert len(systems[integer]) == 1
        assert_same(systems[integer], systems[[int(integer)]])
    mask = np.arange(9) % 2 == 1
    assert_same(systems[mask], systems[1::2])
    assert_same(systems[mask.tolist()], systems[1::2])
    assert len(systems[:0]) == 0
    for integer in (9, -10):
        with pytest.raises(IndexError):
            systems[integer]


@pytest.mark.parametrize("index", [torch.tensor(2), np.array(2)])
def test_an_integer_in_an_array_gives_a_batch_of_one(index):
    systems = PRIORS["linear"].sample(5, 1)
    assert_same(systems[index], systems[2])


def test_a_batch_iterates_over_systems():
    systems = PRIORS["linear"].sample(3, 1)
    assert_same(concatenate(list(systems)), systems)


def test_an_empty_selection_is_an_empty_batch():
    systems = PRIORS["linear"].sample(3, 1)
    assert len(systems[[]]) == 0
    assert systems[:0].sample(4).shape == (0, 4, 5)


@EVERY_PRIOR
def test_batches_move_and_survive_pickling(prior):
    systems = prior.sample(4, 1)
    assert_same(systems.to("cpu"), systems)
    assert {tensor.device.type for _, tensor in leaves(systems.to("meta"))} == {"meta"}
    for clone in (pickle.loads(pickle.dumps(systems)), copy.deepcopy(systems)):
        assert_same(clone, systems)
        assert clone.noise == systems.noise
        mask = first_variable(systems)
        one, other = (s.sample(3, mask, 1.0, random_state=0) for s in (clone, systems))
        assert torch.equal(one, other)


@EVERY_PRIOR
def test_priors_survive_pickling(prior):
    clone = pickle.loads(pickle.dumps(prior))
    assert_same(clone.sample(4, 1), prior.sample(4, 1))


@EVERY_PRIOR
def test_missing_variables_are_zero_throughout(prior):
    systems = prior.sample(60, 1)
    assert torch.equal(systems.present.sum(dim=1), systems.n_variables)
    assert (systems.present[:, :3]).all()
    X = systems.sample(5, first_variable(systems), 2.0, random_state=0)
    missing = ~systems.present[:, None].expand_as(X)
    assert not X[missing].any()
    assert (X[~missing] != 0).all()
    assert not (systems.adjacency & ~systems.present[:, :, None]).any()
    assert not (systems.adjacency & ~systems.present[:, None]).any()


@EVERY_PRIOR
def test_the_global_random_state_is_left_alone(prior):
    torch.manual_seed(0)
    before, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for seed in (None, 3, np.random.default_rng(0)):
        systems = prior.sample(3, seed)
        systems.sample(4, first_variable(systems), stats.norm(), random_state=seed)
        systems.interventional_mean(first_variable(systems), 1.0, n_samples=10, random_state=seed)
        next(prior.stream(3, seed))
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    torch.manual_seed(1)
    assert_same(prior.sample(3, 5), prior.sample(3, 5))


# Rows under interventions.


def in_four_dimensions(array):
    """Systems, regimes, rows and variables of an array that may lack some."""
    array = array.reshape((1,) * (3 - array.ndim) + array.shape)
    return array if array.ndim == 4 else array[:, None]


@pytest.mark.parametrize("name", ["padded", "rings", "heteroskedastic", "fourier", "mlp"])
@pytest.mark.parametrize(
    ("mask_shape", "value_shape", "shape"),
    [
        (None, None, (6, 7)),
        ((5,), (), (6, 7)),
        ((1, 5), (5,), (6, 7)),
        ((7, 5), (), (6, 7)),
        ((5,), (7, 1), (6, 7)),
        ((6, 1, 5), (7, 5), (6, 7)),
        ((6, 7, 5), (6, 1, 5), (6, 7)),
        ((1, 7, 5), (6, 7, 1), (6, 7)),
        ((1, 2, 1, 5), (), (6, 2, 7)),
        ((6, 2, 7, 5), (1, 5), (6, 2, 7)),
        ((6, 1, 1, 5), (1, 2, 7, 1), (6, 2, 7)),
        ((5,), (1, 2, 1, 1), (6, 2, 7)),
    ],
)
def test_shapes_of_rows(name, mask_shape, value_shape, shape):
    rng = np.random.default_rng(0)
    systems = PRIORS[name].sample(6, 4, dtype=torch.float64)
    mask, values = None, None
    if mask_shape is not None:
        there = np.arange(5) < int(systems.n_variables.min())
        mask, values = (rng.random(mask_shape) < 0.5) & there, rng.normal(size=value_shape)
    X = systems.sample(7, mask, values, random_state=0)
    assert X.shape == (*shape, 5)
    if mask is not None:
        four = X if X.ndim == 4 else X[:, None]
        mask, values = (
            np.broadcast_to(in_four_dimensions(array), four.shape) for array in (mask, values)
        )
        assert mask.any()
        np.testing.assert_allclose(four.numpy()[mask], values[mask], rtol=1e-12)
        # The same intervention with every cell written out yields the same rows.
        again = systems.sample(7, mask.copy(), np.where(mask, values, np.nan), random_state=0)
        torch.testing.assert_close(again, four, rtol=1e-12, atol=1e-12)


@EVERY_PRIOR
def test_drawn_values_differ_between_rows_and_follow_the_distribution(prior):
    systems = prior.sample(20, 4, dtype=torch.float64)
    X = systems.sample(200, first_variable(systems), stats.uniform(1, 2), random_state=0)
    assert stats.kstest(X[..., 0].flatten().numpy(), stats.uniform(1, 2).cdf).pvalue > 1e-3
    assert len(X[..., 0].unique()) == X[..., 0].numel()


def acyclic_only(systems):
    """The systems without feedback, whose rows are propagated along the causal order."""
    graphs = systems.adjacency.numpy()
    return systems[
        [
            nx.is_directed_acyclic_graph(nx.from_numpy_array(graph, create_using=nx.DiGraph))
            for graph in graphs
        ]
    ]


@EVERY_PRIOR
@pytest.mark.parametrize("kind", KINDS)
def test_variables_that_no_target_affects_keep_their_values_exactly(prior, kind):
    systems = acyclic_only(prior.sample(30, 4))
    mask = first_variable(systems)
    observed = systems.sample(10, random_state=1)
    changed = systems.sample(10, mask, 1.7, kind=kind, random_state=1)
    regimes = systems.sample(10, mask[:, None], 1.7, kind=kind, random_state=1)
    torch.testing.assert_close(regimes[:, 0], changed)
    affected = 0
    for graph, before, after in zip(systems.adjacency.numpy(), observed, changed):
        digraph = nx.from_numpy_array(graph, create_using=nx.DiGraph)
        downstream = {0, *nx.descendants(digraph, 0)}
        for j in range(len(graph)):
            if j in downstream:
                assert (before[:, j] != after[:, j]).any()
                affected += 1
            else:
                assert torch.equal(before[:, j], after[:, j])
    assert affected > len(systems)


@EVERY_PRIOR
def test_regimes_have_noise_of_their_own(prior):
    systems = prior.sample(100, 4, dtype=torch.float64)
    none = torch.zeros(1, 2, 1, 5, dtype=torch.bool)
    X = systems.sample(100, none, 0.0, random_state=1)
    there = systems.present[:, None].expand(-1, 100, -1)
    assert (X[:, 0] != X[:, 1])[there].all()
    X = (X - X.mean(dim=2, keepdim=True)) / X.std(dim=2, keepdim=True)
    correlation = float((X[:, 0] * X[:, 1])[there].mean())
    assert abs(correlation) < 4 / np.sqrt(100 * 100)


# Means by simulation.


def rows_of_means(systems, n_samples, mask, values, random_state):
    """All rows (n_systems, n_regimes, n_samples, n_variables) of a mean, at once."""
    regimes = systems._design(mask, values, "hard").by_regime()
    return systems._simulate(n_samples, regimes, "hard", systems._draw_keys("mean", random_state))


@pytest.mark.parametrize("rows_at_once", [1, 100, 5000, 2**18])
@pytest.mark.parametrize("n_samples", [2, 100, 301])
def test_running_moments_are_those_of_all_rows_at_once(rows_at_once, n_samples, monkeypatch):
    monkeypatch.setattr(_systems, "_ROWS_AT_ONCE", rows_at_once)
    systems = NonlinearPrior(WIDTHS, n_features=5).sample(2, 4, dtype=torch.float64)
    mask = first_variable(systems).expand(-1, 3, -1)
    for values in (np.array([[0.0], [1.0], [50.0]]), stats.norm()):
        mean, error = systems.interventional_mean(
            mask, values, n_samples=n_samples, random_state=5, return_standard_error=True
        )
        rows = rows_of_means(systems, n_samples, mask, values, 5)
        torch.testing.assert_close(mean, rows.mean(dim=2), rtol=1e-10, atol=1e-10)
        expected = rows.std(dim=2) / np.sqrt(n_samples)
        torch.testing.assert_close(error, expected, rtol=1e-8, atol=1e-10)
        assert mean.shape == error.shape == (2, 3, 5)


def test_rows_of_means_are_not_those_of_samples():
    systems = NonlinearPrior(4, n_features=5).sample(50, 4, dtype=torch.float64)
    mean = systems.interventional_mean(n_samples=2, random_state=3)[:, 0]
    assert (mean != systems.sample(2, random_state=3).mean(dim=1)).all()


@pytest.mark.parametrize(
    ("mask_shape", "value_shape", "shape"),
    [
        (None, None, (2, 1)),
        ((4,), (), (2, 1)),
        ((3, 4), (), (2, 3)),
        ((4,), (3, 1), (2, 3)),
        ((2, 3, 4), (4,), (2, 3)),
        ((1, 5, 1, 4), (), (2, 5, 1)),
        ((2, 5, 3, 4), (3, 1), (2, 5, 3)),
        ((4,), (1, 5, 3, 1), (2, 5, 3)),
    ],
)
def test_shapes_of_means(mask_shape, value_shape, shape):
    rng = np.random.default_rng(0)
    mask = None if mask_shape is None else rng.random(mask_shape) < 0.5
    values = None if mask is None else rng.normal(size=value_shape)
    for prior in (LinearPrior(4), NonlinearPrior(4, n_features=5)):
        systems = prior.sample(2, 0, dtype=torch.float64)
        mean, error = systems.interventional_mean(
            mask, values, n_samples=10, return_standard_error=True
        )
        assert mean.shape == error.shape == (*shape, 4)
        if mask is not None:
            same = systems.interventional_mean(mask, values, n_samples=10)
            assert torch.equal(same, mean)


# What is refused.


@pytest.mark.parametrize("bad", [0, -1, 2.0, "3", True, None])
def test_counts_must_be_positive_integers(bad):
    prior = PRIORS["linear"]
    systems = prior.sample(2, 0)
    for name, call in {
        "n_tasks": lambda: prior.sample(bad, 0),
        "batch_size": lambda: prior.stream(3, 0, batch_size=bad),
        "n_rows": lambda: systems.sample(bad),
    }.items():
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, found"):
            call()
    if bad is not None:
        with pytest.raises(ValueError, match="n_tasks must be an integer of at least 1, found"):
            prior.stream(bad, 0)
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 2, found"):
        systems.interventional_mean(n_samples=bad)


@pytest.mark.parametrize("bad", [-1, 0.0, "0", None])
def test_a_start_must_not_be_negative(bad):
    with pytest.raises(ValueError, match="start must be an integer of at least 0, found"):
        PRIORS["linear"].sample(3, 0, start=bad)
    with pytest.raises(ValueError, match="start must be an integer of at least 0, found"):
        PRIORS["linear"].stream(3, 0, start=bad)


@EVERY_PRIOR
def test_bad_random_states_are_refused(prior):
    systems = prior.sample(2, 0)
    for call in (
        lambda: prior.sample(2, -1),
        lambda: prior.stream(2, "0"),
        lambda: systems.sample(2, random_state=1.5),
        lambda: systems.interventional_mean(random_state=-1),
    ):
        with pytest.raises(ValueError, match="random_state must be None, an integer from 0"):
            call()


@EVERY_PRIOR
def test_bad_interventions_are_refused_everywhere(prior):
    systems = prior.sample(3, 0)
    mask = first_variable(systems)
    methods = [lambda *args, **kw: systems.sample(4, *args, **kw), systems.interventional_mean]
    if isinstance(systems, LinearSystems) and systems.noise_functions is None:
        methods.append(systems.interventional_covariance)
    for method in methods:
        with pytest.raises(TypeError, match="interventions must be a boolean mask"):
            method(mask.double(), 1.0)
        with pytest.raises(ValueError, match="interventions must have 5 columns"):
            method(mask[..., :4], 1.0)
        with pytest.raises(ValueError, match="one mask for each of the 3 systems"):
            method(mask[:2], 1.0)
        with pytest.raises(ValueError, match="values is missing"):
            method(mask)
        with pytest.raises(ValueError, match="values must be finite"):
            method(mask, float("nan"))
        with pytest.raises(ValueError, match="values must be a number or fit the interventions"):
            method(mask, np.ones(4))
        with pytest.raises(ValueError, match="kind must be one of 'hard', 'shift', 'scale', 'noi"):
            method(mask, 1.0, kind="soft")
    with pytest.raises(ValueError, match="interventions and values must have one row, or n_rows=4"):
        systems.sample(4, mask.expand(-1, 3, -1), 1.0)
    with pytest.raises(ValueError, match="interventions and values must have one row, or n_rows=4"):
        systems.sample(4, mask, np.ones((3, 5)))


@pytest.mark.parametrize("name", ["padded", "rings", "heteroskedastic", "fourier"])
def test_targets_that_a_padded_system_does_not_have_are_refused(name):
    systems = PRIORS[name].sample(20, 0)
    assert not systems.present.all()
    with pytest.raises(ValueError, match="interventions has a target out of range"):
        systems.sample(4, [False, False, False, False, True], 1.0)
    with pytest.raises(ValueError, match="interventions has a target out of range"):
        systems.interventional_mean([False, False, False, False, True], 1.0)
    wide = systems[systems.n_variables == 5]
    X = wide.sample(4, [False, False, False, False, True], 1.0)
    torch.testing.assert_close(X[..., 4], torch.ones_like(X[..., 4]))


OTHERS = {
    "noise": (LinearPrior(4), LinearPrior(4, noise="gumbel")),
    "noise functions": (LinearPrior(4), LinearPrior(4, heteroskedastic=True)),
    "number of variables": (LinearPrior(4), LinearPrior(5)),
    "number of confounders": (LinearPrior(4), LinearPrior(4, n_confounders=1)),
    "family": (LinearPrior(4), NonlinearPrior(4)),
    "mechanism": (NonlinearPrior(4), NonlinearPrior(4, mechanism="mlp")),
    "number of features": (NonlinearPrior(4), NonlinearPrior(4, n_features=7)),
}


@pytest.mark.parametrize("priors", OTHERS.values(), ids=OTHERS)
def test_batches_of_different_priors_are_not_joined(priors):
    for one, other in (priors, priors[::-1]):
        with pytest.raises(ValueError, match="drawn from different priors") as caught:
            concatenate([one.sample(2, 0), other.sample(2, 0)])
        assert len(str(caught.value)) < 300


def test_nothing_cannot_be_joined():
    with pytest.raises(ValueError, match="batch"):
        concatenate([])
