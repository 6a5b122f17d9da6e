import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.preprocessing import OneHotEncoder

from skcausal.datasets import load_acic2016
from skcausal.datasets._effect_data import read_arrays
from skcausal.datasets._shipped import shipped_file


@pytest.fixture(scope="module")
def realizations():
    return [load_acic2016(realization) for realization in range(1, 6)]


def test_shapes_and_columns(realizations):
    X = realizations[0].X
    assert X.shape == (4802, 58)
    assert X.columns.tolist() == [f"x_{i}" for i in range(1, 59)]
    kinds = X.dtypes.map(str).value_counts()
    assert kinds.to_dict() == {"int64": 53, "category": 3, "float64": 2}
    for name, n_levels in (("x_2", 6), ("x_21", 16), ("x_24", 5)):
        assert len(X[name].cat.categories) == n_levels


def test_realizations_share_the_covariates_only(realizations):
    first = realizations[0]
    for data in realizations[1:]:
        pd.testing.assert_frame_equal(data.X, first.X)
        assert (data.treatment != first.treatment).any()
        assert (data.y != first.y).all()


def test_effects(realizations):
    means = [data.effect.mean() for data in realizations]
    np.testing.assert_allclose(means, [2.128, 4.679, 4.752, 4.796, 3.353], atol=5e-4)
    spreads = [data.effect.std() for data in realizations]
    np.testing.assert_allclose(spreads, [3.977, 0, 0, 5.018, 4.531], atol=1e-3)


def test_outcomes_are_the_means_with_unit_noise(realizations):
    for data in realizations:
        mean = data.potential_outcomes["mu0"] + data.treatment * data.effect
        noise = data.y - mean
        assert abs(noise.mean()) < 4 / np.sqrt(len(noise))
        assert noise.std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(noise)))
        assert 0.17 < data.treatment.mean() < 0.37


def test_categorical_columns_can_be_selected_by_type(realizations):
    encode = make_column_transformer(
        (OneHotEncoder(), make_column_selector(dtype_include="category")), remainder="passthrough"
    )
    assert encode.fit_transform(realizations[0].X).shape == (4802, 55 + 6 + 16 + 5)


@pytest.mark.parametrize("realization", [0, 6, 1.0, "1", True])
def test_unknown_realization(realization):
    with pytest.raises(ValueError, match="realization must be an integer"):
        load_acic2016(realization)


def test_agreement_and_notice_of_changes_come_with_the_data(realizations):
    agreement = shipped_file("acic2016", "LICENSE.txt").read_text(encoding="utf-8")
    title = "Community Data License Agreement – Sharing – Version 1.0"
    assert title in agreement
    assert "published by the Steward." in agreement
    assert "simulations.npz holds values of zymu_1.csv" in agreement
    notice = str(read_arrays("acic2016", "simulations.npz")["notice"])
    assert notice.startswith("Changed from the source")
    assert title.replace("–", "-") in notice
    assert title.replace("–", "-") in " ".join(realizations[0].DESCR.split())
