import numpy as np
import pandas as pd
import pytest

from skcausal.metrics import delta_correlation, delta_rmse

NAMES = ["v", "w", "x", "y", "z"]


@pytest.fixture(params=[0, 1, 2])
def case(request):
    """Observed and predicted rows of three regimes over five variables, and control rows."""
    rng = np.random.default_rng(request.param)
    regimes = np.array(["c", "a", "b"])[np.r_[0, 1, 2, rng.integers(3, size=27)]]
    X, X_pred = rng.normal(size=(2, 30, 5)) + rng.normal(size=(1, 1, 5))
    return X, X_pred, regimes, rng.normal(size=(8, 5))


def shifts_of(case, top=None):
    """For each regime: observed and predicted shifts of the variables with the largest ones."""
    X, X_pred, regimes, control = case
    shifts = {}
    for regime in ["a", "b", "c"]:
        rows = [i for i, label in enumerate(regimes) if label == regime]
        pairs = []
        for j in range(5):
            origin = sum(control[:, j]) / len(control)
            observed = sum(X[i, j] for i in rows) / len(rows) - origin
            predicted = sum(X_pred[i, j] for i in rows) / len(rows) - origin
            pairs.append((observed, predicted))
        pairs.sort(key=lambda pair: -abs(pair[0]))
        shifts[regime] = list(zip(*pairs[:top]))
    return shifts


@pytest.mark.parametrize("top", [None, 2, 3, 5])
class TestRegimeByRegime:
    def test_delta_correlation(self, case, top):
        X, X_pred, regimes, control = case
        expected = {
            regime: np.corrcoef(observed, predicted)[0, 1]
            for regime, (observed, predicted) in shifts_of(case, top).items()
        }
        arguments = {"control": control, "regimes": regimes, "top": top}
        correlations = delta_correlation(X, X_pred, **arguments, average=False)
        pd.testing.assert_series_equal(correlations, pd.Series(expected), check_names=False)
        assert correlations.index.name == "regime"
        average = delta_correlation(X, X_pred, **arguments)
        np.testing.assert_allclose(average, sum(expected.values()) / 3)
        assert type(average) is float

    def test_delta_rmse(self, case, top):
        X, X_pred, regimes, control = case
        squared = {
            regime: sum((a - b) ** 2 for a, b in zip(*pair)) / len(pair[0])
            for regime, pair in shifts_of(case, top).items()
        }
        arguments = {"control": control, "regimes": regimes, "top": top}
        errors = delta_rmse(X, X_pred, **arguments, average=False)
        pd.testing.assert_series_equal(errors**2, pd.Series(squared), check_names=False)
        assert errors.index.name == "regime"
        average = delta_rmse(X, X_pred, **arguments)
        np.testing.assert_allclose(average, (sum(squared.values()) / 3) ** 0.5)
        assert type(average) is float


class TestDeltaCorrelation:
    def test_perfect_opposite_and_scaled(self, case):
        X, _, regimes, control = case
        mean = control.mean(axis=0)
        arguments = {"control": mean, "regimes": regimes}
        np.testing.assert_allclose(delta_correlation(X, X, **arguments), 1.0)
        np.testing.assert_allclose(delta_correlation(X, mean - 0.1 * (X - mean), **arguments), -1.0)
        np.testing.assert_allclose(delta_correlation(X, X + 7.0, **arguments), 1.0)
        assert delta_correlation(X, X, **arguments) <= 1.0

    @pytest.mark.parametrize("shift", [0.0, 0.3])
    def test_equal_predicted_shifts_count_as_zero(self, case, shift):
        """Rounding leaves differences between the means, but no correlation of them."""
        X, _, regimes, control = case
        X_pred = np.tile(control.mean(axis=0) + shift, (30, 1))
        X_pred[regimes == "a"] = X[regimes == "a"]
        correlations = delta_correlation(X, X_pred, control=control, regimes=regimes, average=False)
        np.testing.assert_allclose(correlations, [1.0, 0.0, 0.0])
        average = delta_correlation(X, X_pred, control=control, regimes=regimes)
        np.testing.assert_allclose(average, 1 / 3)

    def test_equal_observed_shifts_are_left_out(self, case):
        X, X_pred, regimes, control = case
        X = np.where((regimes == "b")[:, None], control.mean(axis=0) + 0.1, X)
        correlations = delta_correlation(X, X_pred, control=control, regimes=regimes, average=False)
        assert correlations.isna().tolist() == [False, True, False]
        average = delta_correlation(X, X_pred, control=control, regimes=regimes)
        np.testing.assert_allclose(average, correlations.mean())

    def test_no_observed_shift_at_all(self):
        X = np.ones((4, 3))
        with pytest.raises(ValueError, match="X is shifted from control by the same amount"):
            delta_correlation(X, np.eye(4, 3), control=np.zeros(3))

    def test_one_variable(self):
        with pytest.raises(ValueError, match="X must have 2 or more variables"):
            delta_correlation(np.eye(4, 1), np.eye(4, 1), control=[0.0])


class TestDeltaRmse:
    def test_perfect_means_of_noisy_rows(self, case):
        X, _, regimes, _ = case
        means = pd.DataFrame(X).groupby(regimes).transform("mean")
        np.testing.assert_allclose(delta_rmse(X, means, regimes=regimes), 0.0, atol=1e-14)

    def test_control_without_top_changes_nothing(self, case):
        X, X_pred, regimes, control = case
        np.testing.assert_allclose(
            delta_rmse(X, X_pred, regimes=regimes, control=control),
            delta_rmse(X, X_pred, regimes=regimes),
        )

    def test_regimes_count_the_same_however_many_rows_they_have(self):
        X, X_pred = np.zeros((10, 1)), np.r_[np.zeros(9), 2.0][:, None]
        regimes = ["often"] * 9 + ["once"]
        np.testing.assert_allclose(delta_rmse(X, X_pred, regimes=regimes), np.sqrt(2.0))

    def test_top_needs_control(self, case):
        X, X_pred, *_ = case
        with pytest.raises(ValueError, match="top=2 needs control"):
            delta_rmse(X, X_pred, top=2)

    def test_equal_shifts_are_taken_in_order(self):
        X, X_pred = np.ones((1, 3)), [[1.0, 2.0, 3.0]]
        assert delta_rmse(X, X_pred, control=np.zeros(3), top=1) == 0.0


@pytest.mark.parametrize("metric", [delta_correlation, delta_rmse])
class TestInput:
    def test_no_regimes(self, metric, case):
        X, X_pred, _, control = case
        value = metric(X, X_pred, control=control, average=False)
        assert value.index.tolist() == ["all"]
        one = metric(X, X_pred, control=control, regimes=np.zeros(30))
        np.testing.assert_allclose([value["all"], metric(X, X_pred, control=control)], one)

    def test_control_rows_their_mean_and_its_frames(self, metric, case):
        X, X_pred, regimes, control = case
        X, control = pd.DataFrame(X, columns=NAMES), pd.DataFrame(control, columns=NAMES)
        values = [
            metric(X, X_pred, control=given, regimes=regimes, top=3)
            for given in (control, control.mean(), control.to_numpy(), control.mean().tolist())
        ]
        np.testing.assert_allclose(values, values[0])

    def test_columns_must_match(self, metric, case):
        X, X_pred, _, control = case
        X, X_pred, control = (pd.DataFrame(Z, columns=NAMES) for Z in (X, X_pred, control))
        moved = NAMES[::-1]
        with pytest.raises(ValueError, match="X_pred must have the columns of X in the same order"):
            metric(X, X_pred[moved], control=control)
        for wrong in (control[moved], control[moved].mean()):
            with pytest.raises(ValueError, match=r"pass control\[X.columns\]"):
                metric(X, X_pred, control=wrong)

    def test_shapes(self, metric, case):
        X, X_pred, regimes, control = case
        with pytest.raises(ValueError, match=r"X_pred must have the shape of X, \(30, 5\), got"):
            metric(X, X_pred[:, :4], control=control)
        with pytest.raises(ValueError, match="control must be one mean for each of the 5"):
            metric(X, X_pred, control=control[:, :4])
        with pytest.raises(ValueError, match="regimes must hold one label for each of the 30"):
            metric(X, X_pred, control=control, regimes=regimes[1:])
        with pytest.raises(ValueError, match="regimes is missing"):
            metric(X, X_pred, control=control, regimes=[None, *regimes[1:]])

    @pytest.mark.parametrize("top", [0, 6, 2.0, True, "all"])
    def test_top(self, metric, case, top):
        X, X_pred, _, control = case
        with pytest.raises(ValueError, match=r"top must be an integer from \d to the number of"):
            metric(X, X_pred, control=control, top=top)

    @pytest.mark.parametrize("name", ["X", "X_pred", "control"])
    def test_values_must_be_finite(self, metric, case, name):
        X, X_pred, _, control = case
        arguments = {"X": X, "X_pred": X_pred, "control": control}
        arguments[name] = np.where(np.eye(*arguments[name].shape) > 0, np.nan, arguments[name])
        with pytest.raises(ValueError, match=f"Input {name} contains NaN"):
            metric(**arguments)
