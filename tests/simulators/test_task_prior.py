"""Tasks and streams of them, on linear and nonlinear systems."""

import dataclasses
import gc
import itertools
import weakref

import numpy as np
import pytest
import torch
from scipy import stats

from skcausal.simulators import LinearPrior, concatenate
from skcausal.simulators._interventions import KINDS
from tests.simulators.conftest import EVERY_PRIOR, PRIORS, assert_same, first_variable

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


@pytest.mark.parametrize("bad", [-1, 0.0, "0", None])
def test_a_start_must_not_be_negative(bad):
    with pytest.raises(ValueError, match="start must be an integer of at least 0, found"):
        PRIORS["linear"].sample(3, 0, start=bad)
    with pytest.raises(ValueError, match="start must be an integer of at least 0, found"):
        PRIORS["linear"].stream(3, 0, start=bad)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device that is missing here is there")
def test_a_missing_device_is_refused():
    with pytest.raises(ValueError, match="device='cuda' is not available here"):
        PRIORS["linear"].sample(2, 0, device="cuda")
