import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcausal.datasets import load_twins


@pytest.fixture(scope="module")
def twins():
    return load_twins()


def weighted_difference(data, propensity):
    """Difference of means between the arms, weighted by the inverse propensity."""
    treated = data.treatment == 1
    with_treatment = np.average(data.y[treated], weights=1 / propensity[treated])
    return with_treatment - np.average(data.y[~treated], weights=1 / (1 - propensity[~treated]))


def test_shapes(twins):
    assert twins.X.shape == (11984, 75)
    assert (twins.X.dtypes == np.float64).all()
    np.testing.assert_array_equal(twins.train_index, np.arange(9587))
    np.testing.assert_array_equal(twins.test_index, np.arange(9587, 11984))


def test_both_outcomes_are_known(twins):
    outcomes = twins.potential_outcomes
    assert outcomes.columns.tolist() == ["y0", "y1"]
    np.testing.assert_array_equal(twins.y, np.where(twins.treatment == 1, outcomes.y1, outcomes.y0))
    assert twins.effect.value_counts().to_dict() == {0: 10750, -1: 768, 1: 466}
    np.testing.assert_allclose(outcomes.mean(), [0.189, 0.164], atol=5e-4)


def test_assignment_follows_the_propensity(twins):
    assert twins.propensity.between(0, 1, inclusive="neither").all()
    residual = twins.treatment - twins.propensity
    variance = (twins.propensity * (1 - twins.propensity)).mean()
    assert abs(residual.mean()) < 4 * np.sqrt(variance / len(residual))


def test_the_covariates_do_not_identify_the_average_effect(twins):
    assert twins.effect.mean() == pytest.approx(-0.025, abs=5e-4)
    means = twins.y.groupby(twins.treatment).mean()
    assert means[1] - means[0] == pytest.approx(-0.112, abs=5e-4)
    assert weighted_difference(twins, twins.propensity) == pytest.approx(-0.025, abs=1e-3)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(twins.X, twins.treatment)
    fitted = model.predict_proba(twins.X)[:, 1]
    assert weighted_difference(twins, fitted) == pytest.approx(-0.082, abs=3e-3)


def test_description_warns(twins):
    for part in ("not identifiable", "-0.112", "hidden", "identify a person", "MIT licence"):
        assert part in twins.DESCR
