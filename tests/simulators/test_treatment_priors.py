import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm, uniform

from skcausal.simulators._treatment_priors import LeakyHumPrior, SensorNoisePrior

N = 100_000


def draw(prior, environment=None, n_rows=N):
    """Rows of one problem as float64 arrays."""
    data = prior.sample(1, 0, dtype=torch.float64).sample(n_rows, environment, random_state=0)
    return {name: value[0].numpy() for name, value in vars(data).items()}


def assert_mean(values, expected):
    """The mean is the expected one within 4 standard errors."""
    assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(len(values))


def assert_normal(values, mean, scale):
    """The values are draws of a normal distribution."""
    assert kstest(values, norm(mean, scale).cdf).pvalue > 1e-3


def assert_uncorrelated(*columns):
    """All correlations are 0 within 4.5 standard errors."""
    correlation = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlation).max() < 4.5 / np.sqrt(len(columns[0]))


def gaussian_mean(function):
    """Expectation of a function of two standard normal variables."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    values = function(nodes[:, None], nodes[None, :])
    return weights @ values @ weights / (2 * np.pi)


@pytest.fixture(scope="module", params=[0, 1])
def sensor(request):
    """Index and rows of one environment of sensor noise."""
    return request.param, draw(SensorNoisePrior(), request.param)


@pytest.fixture(scope="module", params=[0, 1, "heldout"])
def hum(request):
    """Offset and slope of the hum, mean of z_1, and rows of one environment of leaky hum."""
    offset, slope, shift = {
        0: (-3.0, 1.0, -0.25),
        1: (3.0, 1.0, 0.25),
        "heldout": (6.0, -1.0, 0.0),
    }[request.param]
    prior = LeakyHumPrior(covariate_shift=0.25)
    return offset, slope, shift, draw(prior, request.param)


class TestSensorNoise:
    def test_causes(self, sensor):
        e, data = sensor
        assert_normal(data["X"][:, 0], 0.0, 1.0)
        assert_normal(data["X"][:, 1], 0.0, (0.1, 1.0)[e])
        assert_mean(data["treatment"], 0.5)
        assert_uncorrelated(*data["X"].T, data["treatment"])

    def test_outcome(self, sensor):
        _, data = sensor
        (z, s), t = data["X"].T, data["treatment"]
        np.testing.assert_allclose(data["potential_outcomes"][:, 0], 2 * z - z * s, atol=1e-12)
        noise = data["y"] - (2 * z + t - z * s)
        assert_normal(noise, 0.0, 0.05)
        assert_uncorrelated(noise, z, s, t)

    def test_marginal_moments_of_the_outcome(self, sensor):
        # z s has mean 0, variance sigma^2 and no correlation with z.
        e, data = sensor
        assert_mean(data["y"], 0.5)
        variance = 4.0 + 0.25 + (0.1, 1.0)[e] ** 2 + 0.05**2
        assert_mean((data["y"] - 0.5) ** 2, variance)

    def test_predictions_without_the_sensor_miss_its_variance(self, sensor):
        e, data = sensor
        residual = data["y"] - 2 * data["X"][:, 0] - data["treatment"]
        assert_mean(residual**2, (0.1, 1.0)[e] ** 2 + 0.05**2)

    def test_difference_of_means_estimates_the_effect(self):
        data = draw(SensorNoisePrior())
        treated = data["treatment"] == 1
        np.testing.assert_array_equal(data["effect"], 1.0)
        difference = data["y"][treated].mean() - data["y"][~treated].mean()
        assert difference == pytest.approx(1.0, abs=4 * data["y"].std() * 2 / np.sqrt(N))

    def test_other_scales(self):
        prior = SensorNoisePrior([0.5, 2.0, 0.0], outcome_noise=0.0)
        data = draw(prior, n_rows=3000)
        z, s = data["X"].T
        assert (s[2::3] == 0.0).all()
        assert np.std(s[1::3]) == pytest.approx(2.0, rel=0.1)
        np.testing.assert_allclose(data["y"], 2 * z + data["treatment"] - z * s, atol=1e-12)


class TestLeakyHum:
    def test_causes(self, hum):
        _, _, shift, data = hum
        assert_normal(data["X"][:, 0], shift, 1.0)
        assert_normal(data["X"][:, 1], 0.0, 1.0)
        assert_normal(data["X"][:, 2], 0.0, 1.0)
        assert_uncorrelated(*data["X"][:, :3].T)

    def test_propensity(self, hum):
        """Where the propensity has been subtracted, nothing in z predicts the treatment."""
        *_, data = hum
        z = data["X"][:, :3]
        propensity = 1 / (1 + np.exp(-(z[:, 0] + 0.5 * z[:, 1])))
        surprise = data["treatment"] - propensity
        assert_mean(surprise, 0.0)
        assert_mean(surprise**2 - propensity * (1 - propensity), 0.0)
        for column in [*z.T, *(z**2).T, z[:, 0] * z[:, 1]]:
            assert_mean(surprise * column, 0.0)

    def test_potential_outcomes(self, hum):
        *_, data = hum
        z_1, z_2, z_3, _ = data["X"].T
        mu_0 = 2 * z_1 + np.sin(2 * z_3)
        expected = np.column_stack([mu_0, mu_0 + 1 + 0.5 * z_2])
        np.testing.assert_allclose(data["potential_outcomes"], expected, atol=1e-12)

    def test_noise(self, hum):
        offset, slope, _, data = hum
        given = np.take_along_axis(data["potential_outcomes"], data["treatment"][:, None], axis=1)
        noise = data["y"] - given[:, 0]
        hum_noise = data["X"][:, 3] - offset - slope * data["y"]
        assert_normal(noise, 0.0, 1.0)
        assert_normal(hum_noise, 0.0, 0.5)
        assert_uncorrelated(noise, hum_noise)
        for cause in [data["treatment"], *data["X"][:, :3].T]:
            assert_mean(noise * cause, 0.0)
            assert_mean(hum_noise * cause, 0.0)

    def test_marginal_moments(self, hum):
        """Outcome and hum, by quadrature over z_1 and z_2."""
        offset, slope, shift, data = hum

        def propensity(a, b):
            return 1 / (1 + np.exp(-(shift + a + 0.5 * b)))

        treated = gaussian_mean(propensity)
        outcome = 2 * shift + gaussian_mean(lambda a, b: propensity(a, b) * (1 + 0.5 * b))
        # y^2 = (2 z_1)^2 + sin^2 + noise^2 + t (tau^2 + 4 z_1 tau), terms of mean 0 left out.
        square = (
            4 * (1 + shift**2)
            + 0.5 * (1 - np.exp(-8))
            + 1
            + gaussian_mean(
                lambda a, b: propensity(a, b) * ((1 + b / 2) ** 2 + 4 * (shift + a) * (1 + b / 2))
            )
        )
        assert_mean(data["treatment"], treated)
        assert_mean(data["y"], outcome)
        assert_mean(data["y"] ** 2, square)
        assert_mean(data["X"][:, 3], offset + slope * outcome)
        variance = slope**2 * (square - outcome**2) + 0.25
        assert_mean((data["X"][:, 3] - offset - slope * outcome) ** 2, variance)

    def test_effect(self, hum):
        *_, data = hum
        assert_mean(data["effect"], 1.0)
        assert np.sqrt(np.mean(data["effect"] ** 2)) == pytest.approx(1.118, abs=0.01)

    def test_hum_hides_four_fifths_of_the_effect(self, hum):
        """At fixed z and hum, the best prediction differs between treatments by tau / 5."""
        _, slope, _, data = hum
        z_1, z_2, z_3, s = data["X"].T
        t = data["treatment"]
        basis = np.column_stack([np.ones(N), z_1, np.sin(2 * z_3), t, t * z_2, s])
        coef = np.linalg.lstsq(basis, data["y"], rcond=None)[0]
        np.testing.assert_allclose(coef[1:], [0.4, 0.2, 0.2, 0.1, 0.8 * slope], atol=0.02)

    def test_difference_of_means_is_biased(self):
        data = draw(LeakyHumPrior())
        treated = data["treatment"] == 1
        assert data["y"][treated].mean() - data["y"][~treated].mean() > 2.0

    def test_shifts_alternate(self):
        data = draw(LeakyHumPrior((-6, 0, 6), covariate_shift=2.0), n_rows=9000)
        means = [data["X"][data["environment"] == e, 0].mean() for e in range(3)]
        np.testing.assert_allclose(means, [-2.0, 2.0, -2.0], atol=0.1)

    def test_parameters_of_the_hum(self):
        prior = LeakyHumPrior(
            (1.0, 2.0), slope=3.0, hum_noise=0.0, heldout_offset=-4.0, heldout_slope=0.5
        )
        for environment, line in [(0, (1.0, 3.0)), (1, (2.0, 3.0)), ("heldout", (-4.0, 0.5))]:
            data = draw(prior, environment, n_rows=10)
            np.testing.assert_allclose(data["X"][:, 3], line[0] + line[1] * data["y"], atol=1e-12)


@pytest.mark.parametrize(
    ("prior", "parameters", "error", "message"),
    [
        (SensorNoisePrior, {"sensor_scales": ()}, ValueError, r"at least one; found \(\)"),
        (SensorNoisePrior, {"sensor_scales": 0.1}, ValueError, r"sensor_scales must be a sequence"),
        (SensorNoisePrior, {"sensor_scales": (1.0, -0.5)}, ValueError, r"sensor_scales\[1\] must"),
        (
            SensorNoisePrior,
            {"outcome_noise": np.nan},
            ValueError,
            "outcome_noise must be at least 0, found nan",
        ),
        (SensorNoisePrior, {"outcome_noise": uniform()}, TypeError, "outcome_noise must be a num"),
        (LeakyHumPrior, {"offsets": "-3, 3"}, ValueError, "offsets must be a sequence of one num"),
        (LeakyHumPrior, {"offsets": (0.0, None)}, TypeError, r"offsets\[1\] must be a number"),
        (
            LeakyHumPrior,
            {"hum_noise": -0.5},
            ValueError,
            "hum_noise must be at least 0, found -0.5",
        ),
        (LeakyHumPrior, {"slope": np.inf}, ValueError, "slope must be finite, found inf"),
        (LeakyHumPrior, {"covariate_shift": True}, TypeError, "covariate_shift must be a number"),
        (LeakyHumPrior, {"heldout_offset": "6"}, TypeError, "heldout_offset must be a number"),
        (LeakyHumPrior, {"heldout_slope": None}, TypeError, "heldout_slope must be a number"),
    ],
)
def test_bad_parameters(prior, parameters, error, message):
    with pytest.raises(error, match=message):
        prior(**parameters)
