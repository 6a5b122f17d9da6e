"""The memory of a prediction is a small multiple of what goes in and comes out.

What NumPy allocates, that is; benchmarks/reproduce/reliability.py measures whole processes.
"""

import tracemalloc

import numpy as np
import pytest

from skcausal.effects import CFRRegressor
from skcausal.prediction import InterventionRidge, MetaInterventionPredictor
from skcausal.structure import BootstrapEnsemble, KnownGraph
from tests.conftest import EFFECT_ESTIMATORS, name_of
from tests.reliability.conftest import PREDICTORS

N_ROWS = 200_000
# Copies of input or output at the same time, the results included.
MULTIPLE = 5.0


@pytest.fixture(scope="module")
def many_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 4))
    mask = np.zeros(X.shape, dtype=bool)
    mask[np.arange(N_ROWS), rng.integers(4, size=N_ROWS)] = rng.random(N_ROWS) < 0.8
    return X, mask


def ask(model, method, X, mask):
    """Ask a model for what it says about many rows."""
    if isinstance(model, CFRRegressor):
        given = {"T0": False, "T1": True} if "effect" in method else {}
        given |= {"treatment": mask.any(axis=1)} if method == "predict" else {}
        return getattr(model, method)(X, **given)
    if method == "predict effects":
        return model.predict(np.where(mask, X, np.nan), interventions=mask)
    return getattr(model, method)(X, interventions=mask)


SOME = (BootstrapEnsemble, InterventionRidge, KnownGraph, MetaInterventionPredictor)
METHODS = ("predict", "predict effects", "score", "score_samples", "predict_from_parents")
CASES = [
    (estimator, method)
    for estimator in PREDICTORS
    for method in METHODS
    if isinstance(estimator, SOME) and hasattr(estimator, method.split()[0])
]
CASES += [(e, m) for e in EFFECT_ESTIMATORS for m in ("predict", "effect_interval", "transform")]


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize(
    ("estimator", "method"), CASES, ids=lambda v: v if isinstance(v, str) else name_of(v)
)
def test_peak_of_a_prediction(estimator, method, fitted_once, many_rows):
    model, (X, mask) = fitted_once(estimator), many_rows
    tracemalloc.start()
    try:
        result = ask(model, method, X, mask)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size_of_result = sum(np.asarray(part).nbytes for part in np.atleast_1d(result))
    assert peak <= MULTIPLE * (X.nbytes + size_of_result)
