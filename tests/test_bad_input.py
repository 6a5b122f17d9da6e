"""Bad input ends in an error that says what is wrong, or in finite numbers; never in a hang."""

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone

from skcausal.base import InterventionPredictor
from skcausal.perturbation._base import PerturbationPredictor
from skcausal.structure import GES, PC, KnownGraph
from tests.conftest import DESIGN_ESTIMATORS, ESTIMATORS, N_VARIABLES, name_of

PREDICTORS = [e for e in ESTIMATORS if isinstance(e, InterventionPredictor)]
all_predictors = pytest.mark.parametrize("estimator", PREDICTORS, ids=name_of)
with_designers = pytest.mark.parametrize("estimator", PREDICTORS + DESIGN_ESTIMATORS, ids=name_of)

# A search that never ends on bad numbers counts as a failure.
pytestmark = pytest.mark.timeout(30)

GOOD = np.random.default_rng(0).normal(size=(30, N_VARIABLES))


def with_cell(value):
    """Good data with one bad cell."""
    X = GOOD.copy()
    X[3, 1] = value
    return X


def with_last_column(column):
    """Good data with another last column."""
    return np.column_stack([GOOD[:, :-1], column])


REFUSED = {
    "NaN": (with_cell(np.nan), "X contains NaN in 1 of 30 rows"),
    "infinity": (with_cell(np.inf), "X contains infinity"),
    "minus infinity": (with_cell(-np.inf), "X contains infinity"),
    "1e300": (with_cell(1e300), "X contains values too large .* rescale"),
    "no rows": (GOOD[:0], r"0 sample\(s\).* minimum of 2 is required"),
    "one row": (GOOD[:1], r"1 sample\(s\).* minimum of 2 is required"),
    "no columns": (GOOD[:, :0], r"0 feature\(s\).* minimum of 1 is required"),
    "one dimension": (GOOD[:, 0], "Expected 2D array, got 1D array"),
    "three dimensions": (GOOD[:, :, None], "array with dim 3"),
    "strings": (np.full((30, N_VARIABLES), "high"), "could not convert string to float: .*high"),
    "complex numbers": (GOOD + 1j, "Complex data not supported"),
    "None": (None, "Expected 2D array, got scalar"),
    "text": ("a table", "could not convert string to float: 'a table'"),
    "None in a cell": (with_cell(0.0).astype(object), "X contains NaN in 1 of 30 rows"),
    "sparse": (sparse.csr_array(GOOD), "Sparse data was passed"),
}
REFUSED["None in a cell"][0][3, 1] = None

ACCEPTED = {
    "fewer rows than columns": GOOD[:3],
    "constant column": with_last_column(np.full(30, 3.7)),
    "duplicate column": with_last_column(GOOD[:, 0]),
    "collinear columns": with_last_column(GOOD[:, 0] + GOOD[:, 1]),
    "all columns constant": np.tile([1.0, -2.0, 0.0, 1e6], (30, 1)),
    "all rows equal but one": np.vstack([np.tile(GOOD[0], (29, 1)), GOOD[1]]),
    "tiny numbers": GOOD * 1e-200,
    "large numbers": GOOD * 1e140,
    "mixed scales": GOOD * [1e-100, 1.0, 1e8, 1e100],
    "far from zero": GOOD + 1e9,
    "integers": np.arange(4 * N_VARIABLES).reshape(4, N_VARIABLES) % 7,
    "booleans": GOOD > 0,
    "float32": GOOD.astype(np.float32),
}
# What PC and GES need besides, without and with a mask; all others must return numbers.
DEPENDENT = "columns of X are linearly dependent"
NEEDS = {
    (PC, "fewer rows than columns", False): "PC needs at least 4 rows",
    (PC, "fewer rows than columns", True): "PC found 1 observational rows; pass rows='all'",
    (GES, "fewer rows than columns", True): "GES found 1 observational rows; pass rows='all'",
    (PC, "duplicate column", False): DEPENDENT,
    (PC, "duplicate column", True): DEPENDENT,
    (PC, "all rows equal but one", False): DEPENDENT,
    (PC, "integers", False): DEPENDENT,
    (PC, "integers", True): "PC needs at least 4 rows",
}


def takes_features(estimator):
    """Whether `fit` takes numbers too, as features of perturbations of unknown targets."""
    return isinstance(estimator, PerturbationPredictor)


def some_mask(X):
    """Every third row intervenes on the first variable, every third on the last."""
    mask = np.zeros(np.shape(X), dtype=bool)
    if mask.ndim == 2 and mask.size:
        mask[1::3, 0] = mask[2::3, -1] = True
    return mask


def check_numbers(estimator, X, mask):
    """Fit, then ask for everything; assert that each answer is finite."""
    estimator.fit(X, interventions=mask)
    nothing_known = np.full(X.shape, np.nan)
    free = None if mask is None else np.zeros(X.shape, dtype=bool)
    answers = [
        estimator.predict(X, interventions=mask),
        estimator.predict(nothing_known, interventions=free),
        estimator.score(X, interventions=mask),
    ]
    if hasattr(estimator, "score_samples"):
        answers.append(estimator.score_samples(X, interventions=mask))
    if hasattr(estimator, "predict_from_parents"):
        answers.append(estimator.predict_from_parents(X, interventions=mask))
        answers.append(estimator.sample(5, random_state=0))
    for answer in answers:
        assert np.isfinite(answer).all()


def check_numbers_or_need(estimator, X, mask, need):
    """Assert finite answers, or the error that `need` describes."""
    if need is None:
        check_numbers(estimator, X, mask)
        return
    with pytest.raises(ValueError, match=need):
        check_numbers(estimator, X, mask)


@with_designers
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("name", REFUSED)
def test_fit_refuses(estimator, name, masked):
    X, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        clone(estimator).fit(X, interventions=some_mask(X) if masked else None)


@all_predictors
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("name", ACCEPTED)
@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.filterwarnings("ignore:The number of features is much larger")
def test_degenerate_data_give_finite_numbers(estimator, name, masked):
    X, need = ACCEPTED[name], NEEDS.get((type(estimator), name, masked))
    check_numbers_or_need(clone(estimator), X, some_mask(X) if masked else None, need)


@all_predictors
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_one_variable_works(estimator, masked):
    X = GOOD[:, :1]
    estimator = clone(estimator)
    if isinstance(estimator, KnownGraph):
        estimator.set_params(adjacency=[[0]])
    check_numbers(estimator, X, some_mask(X) if masked else None)


@all_predictors
@pytest.mark.filterwarnings("ignore:Variable . is a target in every row")
def test_variable_that_is_always_a_target(estimator):
    """Its mechanism cannot be learned, yet every answer is finite or the need is named."""
    mask = np.zeros(GOOD.shape, dtype=bool)
    mask[:, 0] = True
    need = "found 0 observational rows" if isinstance(estimator, (GES, PC)) else None
    need = "interventions hold no control" if takes_features(estimator) else need
    check_numbers_or_need(clone(estimator), GOOD, mask, need)


@pytest.fixture
def fitted(estimator, data):
    """A clone fitted to DataFrames that were never intervened on in the last variable."""
    rows = ~data.interventions["x3"]
    X, mask = data.X[rows], data.interventions[rows]
    return clone(estimator).fit(X, interventions=mask)


BAD_MASKS = {
    "missing": (lambda m: None, ValueError, "fitted with interventions, so"),
    "too few rows": (lambda m: m[1:], ValueError, "interventions must have the shape of X"),
    "too many columns": (lambda m: m[:, [0, 0, 1, 2, 3]], ValueError, "the shape of X"),
    "transposed": (lambda m: m.T, ValueError, "interventions must have the shape of X"),
    "one dimension": (lambda m: m[:, 0], ValueError, "interventions must have two dimensions"),
    "scalar": (lambda m: True, ValueError, "interventions must have two dimensions"),
    "integers": (lambda m: m.astype(int), TypeError, "pass interventions != 0"),
    "floats": (lambda m: np.where(m, np.nan, 0.0), TypeError, "must be a boolean mask"),
    "labels": (lambda m: np.where(m[:, 0], "x0", ""), TypeError, "intervention_mask"),
    "missing values": (lambda m: np.where(m, None, False), TypeError, "must be a boolean mask"),
    "sparse": (lambda m: sparse.csr_array(m), TypeError, r"pass interventions.toarray\(\)"),
    "other names": (
        lambda m: pd.DataFrame(m, columns=["x0", "x1", "x2", "y"]),
        ValueError,
        r"lacks \['x3'\] and has \['y'\]",
    ),
    "repeated names": (
        lambda m: pd.DataFrame(m, columns=["x0", "x1", "x2", "x2"]),
        ValueError,
        "same column names",
    ),
}


@with_designers
@pytest.mark.parametrize("method", ["fit", "predict", "score"])
@pytest.mark.parametrize("name", BAD_MASKS)
def test_bad_masks_are_refused(fitted, data, method, name):
    # `fit` needs no mask; what is none are features, if it takes these.
    if method == "fit" and (name == "missing" or takes_features(fitted)):
        method = "predict"
    spoil, error, message = BAD_MASKS[name]
    with pytest.raises(error, match=message):
        getattr(fitted, method)(data.X, interventions=spoil(data.interventions.to_numpy()))


BAD_REGIMES = {
    "too few": (lambda r: r[1:], "regimes must hold one label for each of the 60 rows"),
    "two dimensions": (lambda r: r.to_frame(), "regimes must hold one label for each"),
    "text": (lambda r: "x0", "regimes must hold one label for each"),
    "other targets": (lambda r: r.replace("x1", "x0"), "regime .*'x0'.* differ"),
}


@with_designers
@pytest.mark.parametrize("name", BAD_REGIMES)
def test_bad_regimes_are_refused(estimator, data, name):
    spoil, message = BAD_REGIMES[name]
    # One drug may have several doses, and so one label several rows of features.
    several = takes_features(estimator) and name == "other targets"
    with nullcontext() if several else pytest.raises(ValueError, match=message):
        clone(estimator).fit(data.X, interventions=data.interventions, regimes=spoil(data.regimes))


BAD_QUERIES = {
    "too few columns": (lambda X: X.to_numpy()[:, :-1], "X has 3 features, but .* 4 features"),
    "too many columns": (lambda X: X.to_numpy()[:, [0, 0, 1, 2, 3]], "X has 5 features"),
    "names in another order": (lambda X: X[X.columns[::-1]], "feature names should match"),
    "other names": (lambda X: X.rename(columns={"x0": "y"}), "feature names should match"),
    "infinity": (lambda X: X.replace(X.iloc[0, 0], np.inf), "X contains infinity"),
    "no rows": (lambda X: X[:0], r"0 sample\(s\)"),
    "one dimension": (lambda X: X.to_numpy()[0], "Expected 2D array"),
    "strings": (lambda X: X.astype(object).replace(X.iloc[0, 0], "high"), "could not convert"),
}


@with_designers
@pytest.mark.parametrize("method", ["predict", "score"])
@pytest.mark.parametrize("name", BAD_QUERIES)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_bad_queries_are_refused(fitted, data, method, name):
    spoil, message = BAD_QUERIES[name]
    query = spoil(data.X)
    with pytest.raises(ValueError, match=message):
        getattr(fitted, method)(query, interventions=np.zeros(np.shape(query), dtype=bool))


@all_predictors
def test_score_refuses_what_it_cannot_compare(fitted, data):
    mask = np.zeros(data.X.shape, dtype=bool)
    with pytest.raises(ValueError, match=r"NaN in 60 of 60 rows, which \w+\.score refuses"):
        fitted.score(data.X * np.nan, interventions=mask)
    with pytest.raises(ValueError, match="nothing is left to score"):
        fitted.score(data.X, interventions=~mask)
    mask[0] = True
    only_first_row = np.arange(len(mask)) == 0
    with pytest.raises(ValueError, match="sample_weight must not be negative"):
        fitted.score(data.X, sample_weight=only_first_row, interventions=mask)


@all_predictors
def test_unknown_value_of_a_new_target_is_refused_by_name(fitted):
    query = np.full((1, N_VARIABLES), np.nan)
    with pytest.raises(ValueError, match="variable 'x3' is NaN and it was never a target"):
        fitted.predict(
            pd.DataFrame(query, columns=fitted.feature_names_in_),
            interventions=np.arange(N_VARIABLES)[None] == 3,
        )


@all_predictors
def test_large_do_value_is_predicted(fitted):
    query = pd.DataFrame([[1e30, np.nan, np.nan, np.nan]], columns=fitted.feature_names_in_)
    assert np.isfinite(fitted.predict(query, interventions=query.notna())).all()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_overflow_is_refused():
    """No silent infinity: a prediction beyond the floating point numbers is an error."""
    cause = GOOD[:, 0]
    model = KnownGraph([[0, 1], [0, 0]]).fit(np.column_stack([cause, 1e6 * cause]))
    with pytest.raises(ValueError, match="predictions overflow: X holds values far outside"):
        model.predict([[1e305, np.nan]], interventions=[[True, False]])


@all_predictors
def test_infinite_weight_is_refused(fitted, data):
    weight = np.ones(len(data.X))
    weight[0] = np.inf
    with pytest.raises(ValueError, match="sample_weight contains infinity"):
        fitted.score(data.X, sample_weight=weight, interventions=data.interventions)
