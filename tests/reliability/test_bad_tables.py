"""Every argument of every method refuses what is no table of finite numbers, or gives numbers.

`tests/test_bad_input.py` asks `fit`, `predict` and `score` of predictors; here are all methods, and
the estimators of effects and designs.
"""

import inspect
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone

from skcausal.base import InterventionPredictor
from skcausal.design import ActiveDesigner
from skcausal.effects import CFRRegressor
from tests.conftest import N_VARIABLES, name_of
from tests.reliability.conftest import FAMILIES
from tests.test_bad_input import GOOD, with_cell, with_last_column

# A search that never ends on bad numbers counts as a failure.
pytestmark = [
    pytest.mark.timeout(30),
    pytest.mark.filterwarnings("ignore:X does not have valid feature names"),
    pytest.mark.filterwarnings("ignore:The number of features is much larger"),
    pytest.mark.filterwarnings("error::RuntimeWarning"),
]

N_ROWS = len(GOOD)

BAD_TABLES = {
    "NaN": with_cell(np.nan),
    "infinity": with_cell(np.inf),
    "minus infinity": with_cell(-np.inf),
    "1e300": with_cell(1e300),
    "no rows": GOOD[:0],
    "one row": GOOD[:1],
    "no columns": GOOD[:, :0],
    "fewer rows than columns": GOOD[: N_VARIABLES - 1],
    "one dimension": GOOD[:, 0],
    "three dimensions": GOOD[:, :, None],
    "strings": np.full((N_ROWS, N_VARIABLES), "high"),
    "complex numbers": GOOD + 1j,
    "None": None,
    "text": "a table",
    "constant column": with_last_column(np.full(N_ROWS, 3.7)),
    "duplicate column": with_last_column(GOOD[:, 0]),
    "collinear columns": with_last_column(GOOD[:, 0] + GOOD[:, 1]),
}
MAY_PASS = {
    "1e300",
    "one row",
    "fewer rows than columns",
    "constant column",
    "duplicate column",
    "collinear columns",
}


NO_SENTENCES = (
    "unsupported operand",
    "object has no",
    "not subscriptable",
    "has no len",
    "not iterable",
)


def numbers_in(answer):
    """All numbers of an answer, in one array."""
    if isinstance(answer, dict):
        answer = tuple(answer.values())
    if isinstance(answer, tuple):
        kept = [part for part in answer if part is not None and not isinstance(part, str)]
        return np.concatenate([numbers_in(part) for part in kept])
    return np.asarray(answer, dtype=float).ravel()


def failure_of(call, may_pass, may_hold_nan=False):
    """What is wrong with what a call does: None if it refuses with a sentence, or gives numbers."""
    try:
        answer = call()
    except (ValueError, TypeError) as error:
        message = str(error)
        # What Python or NumPy say about the operation that failed is no help.
        if len(message) < 20 or any(phrase in message for phrase in NO_SENTENCES):
            return f"{type(error).__name__} is no sentence: {message}"
        return None
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    if not may_pass:
        return f"no error, but {answer!r:.80}"
    is_finite = hasattr(answer, "fit") or np.isfinite(numbers_in(answer)).all()
    if may_hold_nan:
        is_finite = not np.isinf(numbers_in(answer)).any()
    return None if is_finite else "the answer is not finite"


def mask_for(X):
    """A mask of the shape of X, where it has one."""
    mask = np.zeros(np.shape(X), dtype=bool)
    if mask.ndim == 2 and mask.size:
        mask[1::3, 0] = mask[2::3, -1] = True
    return mask


def metadata_for(estimator, method, X):
    """What a method needs besides X."""
    if not isinstance(estimator, CFRRegressor):
        return {"interventions": mask_for(X)}
    n_rows = len(X) if isinstance(X, np.ndarray) else N_ROWS
    treatment = np.arange(n_rows) % 2
    learned_from = {"y": np.arange(n_rows) * 0.1 + treatment, "treatment": treatment}
    needs = dict.fromkeys(("fit", "partial_fit", "score"), learned_from)
    needs |= {"predict": {"treatment": 1}, "environment_drift": {"n_permutations": 3}}
    return needs.get(method, {})


def takes_X(estimator, method):
    """Whether an estimator has this public method, and asks for X."""
    if method.startswith("_") or not callable(getattr(estimator, method, None)):
        return False
    return "X" in inspect.signature(getattr(estimator, method)).parameters


CASES = [
    pytest.param(estimator, method, id=f"{name_of(estimator)}-{method}")
    for estimator in FAMILIES
    for method in dir(estimator)
    if takes_X(estimator, method)
    and method not in ("fit_transform", "sample")  # there X is optional, or that of `fit`
    and (
        method != "fit" or not isinstance(estimator, InterventionPredictor)
    )  # tests/test_bad_input.py
]
QUICK = {"representation_layers": (4,), "head_layers": (3,), "max_epochs": 2}


@pytest.mark.parametrize(("estimator", "method"), CASES)
def test_bad_tables_are_refused_or_give_numbers(estimator, method):
    model, failures = clone(estimator), {}
    if isinstance(model, CFRRegressor):
        model.set_params(**QUICK)
    model.fit(GOOD, **metadata_for(estimator, "fit", GOOD))
    means_unknown = method == "predict" and hasattr(model, "target_mean_")
    may_hold_nan = method == "predict" and isinstance(model, ActiveDesigner)
    for name, X in BAD_TABLES.items():
        asked = deepcopy(model) if "fit" in method else model
        if (name, method, type(model)) == ("one row", "score", CFRRegressor):
            continue  # scikit-learn's R^2 of one row is NaN, with a warning
        may_pass = name in MAY_PASS or (name == "NaN" and means_unknown)
        call = partial(getattr(asked, method), X, **metadata_for(asked, method, X))
        failures[name] = failure_of(call, may_pass, may_hold_nan)
    assert {name: failure for name, failure in failures.items() if failure} == {}
