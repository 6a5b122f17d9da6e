"""Bad outcomes, treatments, environments, weights and features are refused, or give numbers."""

from functools import partial

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from skcausal.effects import CFRRegressor
from skcausal.perturbation import GenerativeInterventionModel
from tests.conftest import PERTURBATION_ESTIMATORS, name_of
from tests.reliability.test_bad_tables import failure_of

pytestmark = [pytest.mark.timeout(30), pytest.mark.filterwarnings("error::RuntimeWarning")]

N_ROWS = 30
X = np.random.default_rng(0).normal(size=(N_ROWS, 4))
ARM = np.arange(N_ROWS) % 2
Y = X[:, 0] + ARM
EFFECTS = CFRRegressor(
    representation_layers=(4,), head_layers=(3,), max_epochs=2, n_ensemble=2, random_state=0
)


def with_entry(vector, value):
    """A copy with one bad entry."""
    vector = np.array(vector, dtype=np.result_type(vector, type(value)))
    vector[3] = value
    return vector


BAD_VECTORS = {
    "NaN": lambda v: with_entry(v, np.nan),
    "infinity": lambda v: with_entry(v, np.inf),
    "minus infinity": lambda v: with_entry(v, -np.inf),
    "1e300": lambda v: with_entry(v, 1e300),
    "negative": lambda v: with_entry(v, -5.0),
    "no rows": lambda v: v[:0],
    "one row": lambda v: v[:1],
    "too few rows": lambda v: v[1:],
    "two columns": lambda v: np.column_stack([v, v]),
    "three dimensions": lambda v: np.asarray(v)[:, None, None],
    "transposed": lambda v: np.asarray(v)[None, :],
    "strings": lambda v: np.full(N_ROWS, "high"),
    "complex numbers": lambda v: v + 1j,
    "scalar": lambda v: 1.0,
    "text": lambda v: "a table",
    "None in an entry": lambda v: np.where(np.arange(N_ROWS) == 3, None, v),
    "constant": lambda v: np.full(N_ROWS, 3.7),
    "zeros": lambda v: np.zeros(N_ROWS),
    "all different": lambda v: np.arange(N_ROWS) + 0.5,
    "sparse": lambda v: sparse.csr_array(np.asarray(v)[:, None]),
    "dict": lambda v: dict(enumerate(v)),
    "function": lambda v: len,
}
# Labels may be any numbers or strings, and an outcome of 1e300 may be beyond the squares.
MAY_PASS = {
    "y": {"constant", "zeros", "all different", "negative", "1e300"},
    "treatment": {"1e300", "negative"},
    "environment": {"strings", "constant", "zeros", "all different", "1e300", "negative"},
    "sample_weight": {"1e300", "constant", "all different", "scalar"},
}


@pytest.mark.parametrize("name", BAD_VECTORS)
@pytest.mark.parametrize("argument", ["y", "treatment", "environment", "sample_weight"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_vectors_in_fits_of_effects(method, argument, name):
    given = {
        "y": Y,
        "treatment": ARM,
        "environment": np.arange(N_ROWS) % 3,
        "sample_weight": np.ones(N_ROWS),
    }
    given[argument] = BAD_VECTORS[name](given[argument])
    model = clone(EFFECTS).set_params(env_alpha=1.0 * (argument == "environment"))

    def answer():
        learned = getattr(model, method)(X, **given)
        return learned.potential_outcomes(X), learned.transform(X)

    may_pass = name in MAY_PASS[argument]
    may_pass |= (method, argument, name) == ("partial_fit", "treatment", "all different")
    assert failure_of(answer, may_pass) is None


@pytest.fixture(scope="module")
def effects():
    return clone(EFFECTS).fit(X, Y, treatment=ARM)


QUERIES = {
    "treatment of predict": lambda m, v: m.predict(X, treatment=v),
    "treatment of score": lambda m, v: m.score(X, Y, treatment=v),
    "y of score": lambda m, v: m.score(X, v, treatment=ARM),
    "weight of score": lambda m, v: m.score(X, Y, v, treatment=ARM),
    "weight of ate": lambda m, v: tuple(m.ate(X, sample_weight=v)),
    "T0": lambda m, v: m.effect(X, T0=v),
    "T1": lambda m, v: m.effect_interval(X, T1=v),
    "level": lambda m, v: m.effect_interval(X, level=v),
}
QUERY_MAY_PASS = {
    "treatment of predict": {"scalar", "zeros"},
    "treatment of score": {"scalar", "zeros"},
    "y of score": {"1e300", "negative", "constant", "zeros", "all different"},
    "weight of score": {"scalar", "constant", "all different", "1e300"},
    "weight of ate": {"scalar", "constant", "all different", "1e300"},
    "T0": {"scalar"},
    "T1": {"scalar"},
}


@pytest.mark.parametrize("query", QUERIES)
def test_bad_vectors_in_queries_of_effects(effects, query):
    failures = {}
    for name, spoil in BAD_VECTORS.items():
        vector = spoil(Y if query.startswith("y") else ARM)
        may_pass = name in QUERY_MAY_PASS.get(query, ())
        failures[name] = failure_of(partial(QUERIES[query], effects, vector), may_pass)
    assert {name: failure for name, failure in failures.items() if failure} == {}


FEATURES = np.repeat(np.eye(5, 2, k=-1), 6, axis=0) * 1.5


def with_cell(value):
    """Good features with one bad cell."""
    features = FEATURES.astype(np.result_type(FEATURES, type(value)))
    features[8, 0] = value
    return features


BAD_FEATURES = {
    "NaN": with_cell(np.nan),
    "infinity": with_cell(np.inf),
    "minus infinity": with_cell(-np.inf),
    "1e300": with_cell(1e300),
    "1e-300": FEATURES * 1e-300,
    "no rows": FEATURES[:0],
    "one row": FEATURES[:1],
    "no columns": FEATURES[:, :0],
    "too few rows": FEATURES[1:],
    "one dimension": FEATURES[:, 0],
    "three dimensions": FEATURES[:, :, None],
    "strings": np.full(FEATURES.shape, "high"),
    "complex numbers": FEATURES + 1j,
    "text": "a table",
    "scalar": 1.0,
    "None in a cell": np.where(FEATURES > 1, None, FEATURES),
    "only controls": FEATURES * 0,
    "no control": FEATURES + 1,
    "duplicate columns": FEATURES[:, [0, 0]],
    "constant column": np.column_stack([FEATURES[:, 0], np.ones(N_ROWS)]),
    "sparse": sparse.csr_array(FEATURES),
    "dict": {0: FEATURES},
}
FEATURES_MAY_PASS = {"1e300", "1e-300", "only controls", "no control", "duplicate columns"}
FEATURES_MAY_PASS |= {"constant column", "no columns"}  # without columns all rows are controls


@pytest.mark.parametrize("method", ["fit", "predict", "score", "sample", "predict_targets"])
@pytest.mark.parametrize("estimator", PERTURBATION_ESTIMATORS, ids=name_of)
def test_bad_features_of_perturbations(estimator, method):
    if method in ("sample", "predict_targets") and not hasattr(estimator, method):
        pytest.skip("has no such method")
    if isinstance(estimator, GenerativeInterventionModel):
        estimator = clone(estimator).set_params(intervention="shift")
    fitted = clone(estimator).fit(X, interventions=FEATURES)
    ask = {
        "fit": lambda f: clone(estimator).fit(X, interventions=f).predict(X, interventions=f),
        "predict": lambda f: fitted.predict(X, interventions=f),
        "score": lambda f: fitted.score(X, interventions=f),
        "sample": lambda f: fitted.sample(N_ROWS, interventions=f, random_state=0),
        "predict_targets": lambda f: fitted.predict_targets(f),
    }[method]
    one_is_enough = {"sample": {"one row"}, "predict_targets": {"one row", "too few rows"}}
    may_pass = FEATURES_MAY_PASS | one_is_enough.get(method, set())
    failures = {}
    for name, features in BAD_FEATURES.items():
        failures[name] = failure_of(partial(ask, features), name in may_pass)
    assert {name: failure for name, failure in failures.items() if failure} == {}
