"""Rows are answered one by one: which others stand in the same call does not matter."""

import numpy as np
import pandas as pd
import pytest

from skcausal.effects import CFRRegressor
from tests.conftest import EFFECT_ESTIMATORS, name_of
from tests.reliability.conftest import PREDICTORS

# Sizes of consecutive blocks; the last takes what is left.
BLOCKS = (1, 2, 3, 50, 244)
PER_ROW = ("predict", "predict effects", "score_samples", "predict_from_parents")
EFFECT_PER_ROW = ("predict", "effect", "effect_interval", "potential_outcomes", "transform")


def ask(model, name, X, mask):
    """Ask a model for what it says about every row."""
    if isinstance(model, CFRRegressor):
        levels = {"T0": False, "T1": True} if "effect" in name else {}
        levels |= {"treatment": mask.any(axis=1)} if name == "predict" else {}
        return getattr(model, name)(X, **levels)
    if name == "predict effects":
        return model.predict(X.where(mask), interventions=mask)
    return getattr(model, name)(X, interventions=mask)


CASES = [(e, name) for e in PREDICTORS for name in PER_ROW if hasattr(e, name.split()[0])]
CASES += [(e, name) for e in EFFECT_ESTIMATORS for name in EFFECT_PER_ROW]


def in_blocks_and_together(model, name, X, mask):
    """What a model says about the rows of consecutive blocks, and about all at once."""
    ends = np.cumsum(BLOCKS)
    assert ends[-1] == len(X)
    parts = [ask(model, name, X[a:b], mask[a:b]) for a, b in zip([0, *ends], ends)]
    whole = ask(model, name, X, mask)
    if isinstance(whole, tuple):
        parts, whole = [np.column_stack(part) for part in parts], np.column_stack(whole)
    return np.concatenate(parts), whole


@pytest.mark.parametrize(
    ("estimator", "name"), CASES, ids=lambda v: v if isinstance(v, str) else name_of(v)
)
def test_blocks_of_rows_give_the_same(estimator, name, fitted_once, more_rows):
    parts, whole = in_blocks_and_together(fitted_once(estimator), name, *more_rows)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("estimator", PREDICTORS + EFFECT_ESTIMATORS, ids=name_of)
def test_order_of_rows_does_not_matter(estimator, fitted_once, more_rows):
    model, (X, mask) = fitted_once(estimator), more_rows
    order = np.random.default_rng(0).permutation(len(X))
    shuffled = ask(model, "predict", X.iloc[order], mask.iloc[order])
    expected = ask(model, "predict", X, mask)[order]
    np.testing.assert_allclose(shuffled, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("estimator", PREDICTORS + EFFECT_ESTIMATORS, ids=name_of)
def test_layout_in_memory_does_not_matter(estimator, fitted_once, more_rows):
    """Columns one after the other, every second row, backwards, and big-endian numbers."""
    model, (X, mask) = fitted_once(estimator), more_rows
    expected = ask(model, "predict", X, mask)
    values = X.to_numpy()
    spaced = np.repeat(values, 2, axis=0)[::2]
    backwards = np.ascontiguousarray(values[::-1])[::-1]
    for layout in (np.asfortranarray(values), spaced, backwards, values.astype(">f8")):
        frame = pd.DataFrame(layout, columns=X.columns)
        found = ask(model, "predict", frame, mask)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
