import numpy as np
import pandas as pd
import pytest
from scipy.stats import randint

from skcausal.datasets import make_dose_response
from skcausal.simulators import DoseResponsePrior, LinearPrior, NonlinearPrior

SMALL = DoseResponsePrior(
    LinearPrior(4, standardize="observational"), n_perturbations=6, n_heldout_perturbations=2
)


def test_published_numbers_of_contexts_and_rows():
    data = make_dose_response(n_samples=3, random_state=0)
    assert data.X.shape == (800 + 160 * 3, 20)
    assert data.X_partly_ood.shape == (200 * 3, 20)
    assert data.X_fully_ood.shape == (80 * 3, 20)
    assert data.targets.sum(axis=1).isin([1, 2, 3]).all()


def test_parts_are_aligned():
    data = make_dose_response(SMALL, n_samples=5, n_controls=7, random_state=1)
    for suffix, n_rows in (("", 7 + 80), ("_partly_ood", 100), ("_fully_ood", 40)):
        for key in ("X", "interventions", "regimes", "perturbations", "doses", "means"):
            assert len(data[key + suffix]) == n_rows
            assert data[key + suffix].index.equals(pd.RangeIndex(n_rows))
    control = data.regimes == "control"
    assert control.sum() == 7
    assert ((data.interventions == 0).all(axis=1) == control).all()
    assert (data.doses[control] == 0).all()
    assert (data.perturbations[control] == -1).all()
    assert (data.interventions["dose"] == data.doses).all()
    assert set(data.perturbations_fully_ood) == {4, 5}
    assert set(data.perturbations_partly_ood) == {0, 1, 2, 3}
    assert data.regimes_partly_ood.iloc[0] == "p0@0.25"
    raw = data.interventions.loc[~control, [f"raw_{name}" for name in data.feature_names]] != 0
    targets = data.targets.loc[data.perturbations[~control]]
    np.testing.assert_array_equal(raw, targets)
    assert "Synthetic dose response" in data.DESCR


def test_rows_scatter_around_the_means():
    data = make_dose_response(SMALL, n_samples=2000, n_controls=2000, random_state=2)
    for suffix in ("", "_fully_ood"):
        for _, rows in data["X" + suffix].groupby(data["regimes" + suffix]):
            mean = data["means" + suffix].loc[rows.index[0]]
            assert ((rows.mean() - mean).abs() <= 4.5 * rows.std() / np.sqrt(2000)).all()


def test_padded_and_nonlinear_systems():
    prior = DoseResponsePrior(
        NonlinearPrior(randint(3, 6)), n_perturbations=3, n_heldout_perturbations=0
    )
    data = make_dose_response(prior, n_samples=2, n_controls=2, random_state=5)
    n_variables = int(data.tasks.systems.n_variables[0])
    assert n_variables < 5
    assert data.X.shape[1] == data.targets.shape[1] == len(data.adjacency) == n_variables
    assert data.interventions.shape[1] == n_variables + 3
    assert "X_fully_ood" not in data


def test_same_seed_same_data():
    first, again, other = (
        make_dose_response(SMALL, n_samples=2, random_state=seed) for seed in (3, 3, 4)
    )
    pd.testing.assert_frame_equal(first.X_fully_ood, again.X_fully_ood)
    assert not first.X.equals(other.X)


@pytest.mark.parametrize(
    ("prior", "options", "error", "message"),
    [
        (LinearPrior(3), {}, TypeError, "prior must be a DoseResponsePrior or None"),
        (SMALL, {"n_samples": 0}, ValueError, "n_samples must be an integer of at least 1"),
        (SMALL, {"n_controls": 0}, ValueError, "n_controls must be an integer of at least 1"),
    ],
)
def test_bad_arguments(prior, options, error, message):
    with pytest.raises(error, match=message):
        make_dose_response(prior, **options)
