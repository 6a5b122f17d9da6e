"""Batches as arrays of tasks, on linear and nonlinear systems."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from skcausal.simulators import LinearPrior, NonlinearPrior, concatenate
from tests.simulators.conftest import (
    EVERY_PRIOR,
    PRIORS,
    assert_same,
    first_variable,
    leaves,
)

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
