import numpy as np
import pandas as pd
import pytest

from skcausal.datasets import make_leaky_hum, make_sensor_noise


def test_leaky_hum_follows_its_equations():
    data = make_leaky_hum(20_000, offsets=(-2.0, 0.0, 2.0), covariate_shift=0.25, random_state=0)
    for suffix, offsets, slope in (
        ("", {0: -2.0, 1: 0.0, 2: 2.0}, 1.0),
        ("_heldout", {3: 6.0}, -1.0),
    ):
        X, y, t, e = (data[key + suffix] for key in ("X", "y", "treatment", "environment"))
        mu = data["potential_outcomes" + suffix]
        np.testing.assert_allclose(mu["mu0"], 2 * X.z1 + np.sin(2 * X.z3))
        np.testing.assert_allclose(data["effect" + suffix], 1 + X.z2 / 2)
        np.testing.assert_allclose(mu["mu1"] - mu["mu0"], data["effect" + suffix])
        noise = y - np.where(t == 1, mu["mu1"], mu["mu0"])
        hum = X.s - e.map(offsets) - slope * y
        for residual, scale in ((noise, 1.0), (hum, 0.5)):
            assert abs(residual.mean()) < 4 * scale / np.sqrt(len(y))
            assert abs(residual.std() / scale - 1) < 4 / np.sqrt(2 * len(y))
    shift = data.X.z1.groupby(data.environment).mean()
    assert np.abs(shift - [-0.25, 0.25, -0.25]).max() < 4 / np.sqrt(20_000 / 3)


def test_sensor_noise_follows_its_equations():
    data = make_sensor_noise(20_000, sensor_scales=(0.5, 2.0), random_state=1)
    expected = 2 * data.X.z + data.treatment - data.X.z * data.X.s
    assert abs((data.y - expected).std() / 0.05 - 1) < 4 / np.sqrt(2 * 20_000)
    scales = data.X.s.groupby(data.environment).std()
    assert np.abs(scales / [0.5, 2.0] - 1).max() < 4 / np.sqrt(20_000)
    assert (data.effect == 1.0).all()


@pytest.mark.parametrize("make", [make_leaky_hum, make_sensor_noise])
def test_layout_and_seeds(make):
    data, again, other = (make(100, random_state=seed) for seed in (0, 0, 1))
    for key in ("y", "treatment", "environment", "effect"):
        assert data[key].name == key
        assert data[key].index.equals(data.X.index)
    assert data.potential_outcomes.columns.tolist() == ["mu0", "mu1"]
    assert data.treatment.isin([0, 1]).all()
    assert data.environment.value_counts().tolist() == [50, 50]
    assert data.X.columns.tolist() == data.feature_names
    assert "Synthetic treatment problem" in data.DESCR
    pd.testing.assert_frame_equal(data.X, again.X)
    assert not data.X.equals(other.X)


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (make_leaky_hum, {"n_samples": 0}, ValueError, "n_samples must be an integer of at least"),
        (make_leaky_hum, {"n_heldout": 0}, ValueError, "n_heldout must be an integer of at least"),
        (make_leaky_hum, {"offsets": ()}, ValueError, "offsets must be a sequence"),
        (make_leaky_hum, {"covariate_shift": "1"}, TypeError, "covariate_shift must be a number"),
        (make_sensor_noise, {"sensor_scales": (1, -1)}, ValueError, r"sensor_scales\[1\] must be"),
    ],
)
def test_bad_arguments(make, options, error, message):
    with pytest.raises(error, match=message):
        make(**options)
