"""Computations in blocks of rows, and what happens when memory runs out."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from skcausal._row_blocks import in_row_blocks
from skcausal.effects import _network
from tests.conftest import EFFECT_ESTIMATORS, ESTIMATORS, fit_on, name_of, predict_on

ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("MPS backend out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
]


def row_sums(X, weight):
    return (X * weight[:, None]).sum(axis=1)


class Scarce:
    """A computation with memory for a limited number of rows at once."""

    def __init__(self, compute, most_rows, error):
        self.compute, self.most_rows, self.error = compute, most_rows, error
        self.tried = []

    def __call__(self, X, *args):
        self.tried.append(len(X))
        if len(X) > self.most_rows:
            raise self.error
        return self.compute(X, *args)


@given(n_rows=st.integers(1, 50), rows_at_once=st.integers(1, 60))
def test_blocks_make_no_difference(n_rows, rows_at_once):
    rng = np.random.default_rng(n_rows)
    X, weight = rng.normal(size=(n_rows, 3)), rng.normal(size=n_rows)
    found = in_row_blocks(row_sums, X, weight, rows_at_once=rows_at_once)
    np.testing.assert_array_equal(found, row_sums(X, weight))


def test_no_rows():
    assert in_row_blocks(row_sums, np.empty((0, 3)), np.empty(0)).shape == (0,)


def test_other_axis_and_library():
    X = torch.arange(10.0).reshape(5, 2)
    join = partial(torch.cat, dim=1)
    found = in_row_blocks(lambda rows: rows.T, X, join=join, rows_at_once=2)
    torch.testing.assert_close(found, X.T)


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("most_rows", [1, 3, 20])
def test_lack_of_memory_is_met_with_smaller_blocks(error, most_rows):
    X, weight = np.random.default_rng(0).normal(size=(50, 3)), np.ones(50)
    scarce = Scarce(row_sums, most_rows, error)
    found = in_row_blocks(scarce, X, weight, rows_at_once=32)
    np.testing.assert_array_equal(found, row_sums(X, weight))
    # Once a size has failed, it is not tried again.
    first_success = next(k for k, n in enumerate(scarce.tried) if n <= most_rows)
    assert max(scarce.tried[first_success:]) <= most_rows


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_no_memory_for_a_single_row(error):
    scarce = Scarce(row_sums, 0, error)
    with pytest.raises(type(error)):
        in_row_blocks(scarce, np.ones((50, 3)), np.ones(50))
    assert scarce.tried == [50, 25, 12, 6, 3, 1]


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory")])
def test_other_errors_are_raised_at_once(error):
    scarce = Scarce(row_sums, 0, error)
    with pytest.raises(type(error)):
        in_row_blocks(scarce, np.ones((50, 3)), np.ones(50))
    assert scarce.tried == [50]


@pytest.mark.parametrize("estimator", ESTIMATORS + EFFECT_ESTIMATORS, ids=name_of)
def test_predictions_survive_a_lack_of_memory(estimator, data, monkeypatch):
    """A device that has room for seven rows at once gives the same predictions."""
    fitted = fit_on(clone(estimator), data)
    expected = predict_on(fitted, data)
    seen = []

    def scarce(compute, *arrays, **options):
        limited = Scarce(compute, 7, torch.OutOfMemoryError("out of memory"))
        result = in_row_blocks(limited, *arrays, **options)
        seen.extend(limited.tried)
        return result

    for module in ("skcausal.base", _network.__name__):
        monkeypatch.setattr(f"{module}.in_row_blocks", scarce)
    np.testing.assert_allclose(predict_on(fitted, data), expected, rtol=1e-6, atol=1e-9)
    assert max(seen) > 7


def test_cached_memory_of_a_device_is_freed(monkeypatch):
    freed = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(True))
    scarce = Scarce(row_sums, 2, MemoryError())
    in_row_blocks(scarce, np.ones((4, 3)), np.ones(4))
    assert freed == [True]
