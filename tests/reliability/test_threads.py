"""Fits at the same time, in several threads, are those one after the other."""

import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone

from skcausal.design import ActiveDesigner
from skcausal.effects import CFRRegressor
from skcausal.structure import GIES, BootstrapEnsemble, FullGraph
from tests.conftest import fit_on, name_of
from tests.reliability.conftest import FAMILIES, answers, assert_same_answers

N_FITS, N_THREADS = 8, 4


def made_quick(estimator):
    """A clone whose fits take little time."""
    estimator = clone(estimator)
    if isinstance(estimator, CFRRegressor):
        return estimator.set_params(representation_layers=(4,), head_layers=(3,), max_epochs=3)
    return estimator


def with_seed(estimator, seed):
    """A clone with another random state, where there is one."""
    estimator = clone(estimator)
    if "random_state" in estimator.get_params(deep=False):
        estimator.set_params(random_state=seed)
    return estimator


@pytest.fixture
def frequent_switches():
    """Threads take turns ten times as often as usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(interval / 10)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("estimator", FAMILIES, ids=name_of)
def test_concurrent_fits_are_serial_ones(estimator, data):
    """Of estimators with two seeds, in turns: what they share may not mix them up."""
    estimator = made_quick(estimator)
    expected = [answers(fit_on(with_seed(estimator, seed), data), data) for seed in (0, 1)]
    state = torch.random.get_rng_state()

    def run(number):
        return answers(fit_on(with_seed(estimator, number % 2), data), data)

    with ThreadPoolExecutor(N_THREADS) as pool:
        found = list(pool.map(run, range(N_FITS)))
    for number, said in enumerate(found):
        assert_same_answers(said, expected[number % 2])
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("estimator", FAMILIES, ids=name_of)
def test_one_fitted_estimator_answers_many_threads(estimator, fitted_once, data):
    """As a server asks it."""
    fitted = fitted_once(estimator)
    expected = answers(fitted, data)
    with ThreadPoolExecutor(N_THREADS) as pool:
        for said in pool.map(lambda _: answers(fitted, data), range(N_FITS)):
            assert_same_answers(said, expected)


PARALLEL = {
    "bootstrap": BootstrapEnsemble(FullGraph(), n_bootstrap=4, random_state=0),
    "designer": ActiveDesigner(
        algorithm="uncertain_half",
        posterior=BootstrapEnsemble(GIES(), n_bootstrap=4, random_state=0),
        random_state=0,
    ),
}


@pytest.mark.parametrize("backend", ["threading", "sequential"])
@pytest.mark.parametrize("name", PARALLEL)
def test_any_number_of_jobs_gives_the_same(name, backend, data):
    """By processes, too, which tests/structure/test_bootstrap.py starts."""
    expected = fit_on(PARALLEL[name], data)
    jobs = clone(PARALLEL[name])
    if name == "bootstrap":
        jobs.set_params(n_jobs=2)
    else:
        jobs.set_params(n_jobs=2, posterior__n_jobs=2)
    with joblib.parallel_config(backend):
        found = fit_on(jobs, data)
    np.testing.assert_array_equal(found.edge_probabilities_, expected.edge_probabilities_)
    assert_same_answers(answers(found, data), answers(expected, data))
