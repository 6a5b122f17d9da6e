import numpy as np
import pytest

from skcausal.datasets import load_jobs


@pytest.fixture(scope="module")
def jobs():
    return load_jobs()


def test_shapes_and_groups(jobs):
    assert jobs.X.shape == (2867, 17)
    assert jobs.X.columns.tolist() == [f"x{i}" for i in range(1, 18)]
    assert jobs.treatment.sum() == 264
    assert jobs.experimental.dtype == np.bool_
    assert jobs.experimental.sum() == 653
    assert jobs.experimental[jobs.treatment == 1].all()
    assert set(jobs.y) == {0, 1}


def test_no_potential_outcomes(jobs):
    assert "potential_outcomes" not in jobs
    assert "effect" not in jobs


def test_units_are_a_part_of_the_published_ones(jobs):
    assert jobs.unit_id.is_unique
    assert jobs.unit_id.between(0, 3211).all()


def test_the_comparison_group_hides_the_gain_of_the_experiment(jobs):
    means = jobs.y.groupby(jobs.treatment).mean()
    assert means[1] - means[0] == pytest.approx(-0.080, abs=5e-4)
    randomised = jobs.y[jobs.experimental].groupby(jobs.treatment).mean()
    assert randomised[1] - randomised[0] == pytest.approx(0.070, abs=5e-4)
    assert jobs.att == pytest.approx(0.078, abs=5e-4)


def test_meaning_of_derived_covariates(jobs):
    X = jobs.X
    for square, base in (("x9", "x1"), ("x11", "x2"), ("x12", "x7"), ("x13", "x8")):
        fitted = np.polyval(np.polyfit(X[base], X[square], 2), X[base])
        np.testing.assert_allclose(X[square], fitted, atol=1e-10)
    for flag, base in (("x14", "x7"), ("x15", "x8")):
        np.testing.assert_array_equal(X[flag] == 1, X[base] == X[base].min())
    np.testing.assert_array_equal(X["x17"], X["x4"] * X["x14"])


def test_the_ten_splits():
    splits = [load_jobs(split=split) for split in range(1, 11)]
    for data in splits:
        assert (len(data.train_index), len(data.test_index)) == (2225, 642)
        assert not set(data.train_index) & set(data.test_index)
        assert data.experimental[data.test_index].sum() == 144
        assert data.X.equals(splits[0].X)
    tests = {tuple(data.test_index) for data in splits}
    assert len(tests) == 10
    assert len(set().union(*tests)) == 2867


@pytest.mark.parametrize("split", [0, 11, 1.0, "1", True])
def test_unknown_split(split):
    with pytest.raises(ValueError, match=r"split must be an integer"):
        load_jobs(split)


def test_description_states_what_is_missing(jobs):
    for part in ("2,867", "3,212", "13 % smaller", "policy risk", "MIT licence"):
        assert part in jobs.DESCR
