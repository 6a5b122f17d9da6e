"""Metrics of effects over arrays: slow loops and closed forms, invariances, bad input."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold

from skcausal.metrics import (
    arm_balanced_error,
    ate_error,
    nearest_neighbor_pehe,
    pehe,
    policy_risk,
    policy_value,
    r_score,
)

seeds = st.integers(0, 2**32 - 1)
DUMMIES = {"model_y": DummyRegressor(), "model_t": DummyClassifier(strategy="prior")}
# Searches for penalties take most of the time: for what does not concern the default models.
QUICK_MODELS = {"model_y": LinearRegression(), "model_t": LogisticRegression()}
few_examples = settings(max_examples=25)
two_and_three_levels = pytest.mark.parametrize("n_levels", [2, 3])


def make_units(seed, n_levels=2, n_samples=40):
    """Covariates, outcomes, treatment and predicted potential outcomes of random units."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(n_samples, 2)), rng.random(n_samples) < 0.3])
    treatment = np.r_[np.arange(n_levels).repeat(6), rng.integers(n_levels, size=n_samples)]
    treatment = rng.permutation(treatment[:n_samples])
    outcomes = rng.normal(size=(n_samples, n_levels)) + X[:, :1] * np.arange(n_levels)
    y = outcomes[np.arange(n_samples), treatment] + rng.normal(size=n_samples)
    return X, y, treatment, outcomes


def effects_of(outcomes):
    """Effect of each level against the lowest."""
    return outcomes[:, 1:] - outcomes[:, :1]


def slow_folds(treatment, n_folds):
    """The folds that cross-fitting uses by default."""
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    return list(splitter.split(treatment, treatment))


class TestPehe:
    @given(seeds)
    def test_unit_by_unit(self, seed):
        effect, predicted = np.random.default_rng(seed).normal(size=(2, 13))
        expected = (sum((a - b) ** 2 for a, b in zip(effect, predicted)) / 13) ** 0.5
        assert pehe(effect, predicted) == pytest.approx(expected, rel=1e-12)
        assert type(pehe(effect, predicted)) is float

    @given(seeds)
    def test_invariances(self, seed):
        rng = np.random.default_rng(seed)
        effect, predicted, weight = rng.random(size=(3, 13)) + 0.1
        order = rng.permutation(13)
        expected = pehe(effect, predicted, sample_weight=weight)
        permuted = pehe(effect[order], predicted[order], sample_weight=weight[order])
        assert permuted == pytest.approx(expected, rel=1e-12)
        shifted = pehe(effect + 3, predicted + 3, sample_weight=7 * weight)
        assert shifted == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("metric", [pehe, ate_error])
    def test_weights_are_repetitions(self, metric):
        rng = np.random.default_rng(0)
        effect, predicted = rng.normal(size=(2, 13))
        times = rng.integers(3, size=13)
        expected = metric(effect.repeat(times), predicted.repeat(times))
        weighted = metric(effect, predicted, sample_weight=times)
        assert weighted == pytest.approx(expected, rel=1e-12)

    def test_is_zero_for_the_truth(self):
        effect = np.random.default_rng(0).normal(size=5)
        assert pehe(effect, pd.Series(effect)) == 0.0
        assert ate_error(effect, effect) == 0.0


class TestAteError:
    @given(seeds)
    def test_difference_of_means(self, seed):
        effect, predicted = np.random.default_rng(seed).normal(size=(2, 13))
        expected = abs(sum(effect) - sum(predicted)) / 13
        np.testing.assert_allclose(ate_error(effect, predicted), expected, rtol=1e-9, atol=1e-14)

    def test_errors_cancel(self):
        assert ate_error([1.0, 3.0], [3.0, 1.0]) == 0.0
        assert pehe([1.0, 3.0], [3.0, 1.0]) == 2.0


class TestPolicyRisk:
    @given(seeds)
    def test_group_by_group(self, seed):
        rng = np.random.default_rng(seed)
        y, treatment, randomised = rng.integers(2, size=(3, 80))
        effect, threshold = rng.normal(size=80), 0.2
        # In each group somebody followed the policy.
        treatment[:2], randomised[:2], effect[:2] = (0, 1), 1, (-1, 1)
        value = 0.0
        units = [i for i in range(80) if randomised[i]]
        for level in (0, 1):
            group = [i for i in units if (effect[i] > threshold) == level]
            followed = [y[i] for i in group if treatment[i] == level]
            value += sum(followed) / len(followed) * len(group) / len(units)
        risk = policy_risk(y, treatment, effect, experimental=randomised, threshold=threshold)
        assert risk == pytest.approx(1 - value, rel=1e-12)

    def test_of_a_trial_is_the_mean_under_the_policy(self):
        """With many randomised units the estimate approaches what the policy would bring."""
        rng = np.random.default_rng(0)
        outcomes, treatment = rng.random((20_000, 2)), rng.integers(2, size=20_000)
        effect = outcomes[:, 1] - outcomes[:, 0] + rng.normal(size=20_000)
        y = np.where(treatment == 1, outcomes[:, 1], outcomes[:, 0])
        expected = 1 - np.where(effect > 0, outcomes[:, 1], outcomes[:, 0]).mean()
        assert policy_risk(y, treatment, effect) == pytest.approx(expected, abs=0.01)

    def test_labels_of_any_type(self):
        y, effect = [1.0, 0.0, 1.0, 0.5], [1.0, -1.0, 1.0, -1.0]
        expected = policy_risk(y, [0, 0, 1, 1], effect)
        assert policy_risk(y, [False, False, True, True], effect) == expected
        assert policy_risk(y, list("aabb"), effect) == expected
        assert policy_risk(y, pd.Series(list("aabb"), dtype="category"), effect) == expected

    def test_everybody_treated(self):
        """An empty group has no share in the value; nobody needs to have followed."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            risk = policy_risk([1.0, 0.0, 0.25], [1, 1, 0], [1.0, 1.0, 1.0])
        assert risk == 0.5

    @pytest.mark.parametrize(
        ("treatment", "value", "message"),
        [
            ([1, 0, 1, 1], 1.0 / 2, "does not treat 2 units, none of which was left untreated"),
            ([0, 0, 0, 1], 0.25 / 2, "treats 2 units, none of which was treated"),
        ],
    )
    def test_group_that_nobody_followed_counts_as_zero(self, treatment, value, message):
        effect = [1.0, 1.0, -1.0, -1.0]
        with pytest.warns(UndefinedMetricWarning, match=message):
            risk = policy_risk([1.0, 0.5, 0.25, 0.75], treatment, effect)
        assert risk == 1 - value

    def test_three_levels_are_refused(self):
        with pytest.raises(ValueError, match=r"treatment must have two levels .* \[0, 1, 2\]"):
            policy_risk([1, 1, 1], [0, 1, 2], [1, 1, 1])

    @pytest.mark.parametrize("experimental", [[True], [0.5, 1, 1], ["yes", "no", "no"]])
    def test_bad_selections(self, experimental):
        with pytest.raises(ValueError, match="experimental must hold True or False for each"):
            policy_risk([1, 0, 1], [0, 1, 1], [1, 1, 1], experimental=experimental)

    def test_no_randomised_unit(self):
        with pytest.raises(ValueError, match="experimental marks no unit as randomised"):
            policy_risk([1, 0], [0, 1], [1, 1], experimental=[False, False])


class TestArmBalancedError:
    @two_and_three_levels
    @given(seed=seeds)
    def test_arm_by_arm(self, n_levels, seed):
        _, y, treatment, outcomes = make_units(seed, n_levels)
        predicted = outcomes[:, 0]
        errors = []
        for level in range(n_levels):
            rows = [i for i in range(len(y)) if treatment[i] == level]
            errors.append(sum((y[i] - predicted[i]) ** 2 for i in rows) / len(rows))
        expected = sum(errors) / n_levels
        assert arm_balanced_error(y, treatment, predicted) == pytest.approx(expected, rel=1e-12)

    @given(seed=seeds)
    def test_invariances(self, seed):
        _, y, treatment, outcomes = make_units(seed)
        expected = arm_balanced_error(y, treatment, outcomes[:, 0])
        order = np.random.default_rng(seed).permutation(len(y))
        permuted = arm_balanced_error(y[order], treatment[order], outcomes[order, 0])
        assert permuted == pytest.approx(expected, rel=1e-12)
        shifted = arm_balanced_error(y + 2, treatment, outcomes[:, 0] + 2)
        assert shifted == pytest.approx(expected, rel=1e-9)
        assert arm_balanced_error(y, 1 - treatment, outcomes[:, 0]) == pytest.approx(expected)

    def test_weights_are_repetitions(self):
        _, y, treatment, outcomes = make_units(0, 3)
        times = np.random.default_rng(0).integers(3, size=len(y))
        repeated = arm_balanced_error(*(v.repeat(times) for v in (y, treatment, outcomes[:, 0])))
        weighted = arm_balanced_error(y, treatment, outcomes[:, 0], sample_weight=times)
        assert weighted == pytest.approx(repeated, rel=1e-12)

    def test_arm_without_weight_is_left_out(self):
        error = arm_balanced_error([1.0, 2.0], [0, 1], [0.0, 0.0], sample_weight=[1.0, 0.0])
        assert error == 1.0


class TestNearestNeighborPehe:
    @two_and_three_levels
    @pytest.mark.parametrize("n_neighbors", [1, 5])
    @few_examples
    @given(seed=seeds)
    def test_unit_by_unit(self, n_levels, n_neighbors, seed):
        X, y, treatment, outcomes = make_units(seed, n_levels)
        weight = np.random.default_rng(seed).random(len(y)) + 0.1
        Z = np.column_stack([X[:, :2] / X[:, :2].std(axis=0), X[:, 2]])
        squared, total = 0.0, 0.0
        for i in range(len(y)):
            for other in set(range(n_levels)) - {treatment[i]}:
                pool = [j for j in range(len(y)) if treatment[j] == other]
                pool.sort(key=lambda j: ((Z[i] - Z[j]) ** 2).sum())
                matched = sum(y[j] for j in pool[:n_neighbors]) / n_neighbors
                predicted = outcomes[i, treatment[i]] - outcomes[i, other]
                squared += weight[i] * (predicted - (y[i] - matched)) ** 2
                total += weight[i]
        error = nearest_neighbor_pehe(
            X,
            y,
            treatment,
            effects_of(outcomes),
            n_neighbors=n_neighbors,
            sample_weight=weight,
        )
        assert error == pytest.approx((squared / total) ** 0.5, rel=1e-9)

    def test_sign_of_the_untreated(self):
        """Each unit's twin in the other arm tells its effect."""
        X = np.arange(10.0).repeat(2)[:, None] * 10
        treatment = np.tile([0, 1], 10)
        effect = np.random.default_rng(0).normal(size=10).repeat(2)
        y = X[:, 0] + treatment * effect
        args = X, y, treatment
        assert nearest_neighbor_pehe(*args, effect, n_neighbors=1) == pytest.approx(0, abs=1e-12)
        assert nearest_neighbor_pehe(*args, -effect, n_neighbors=1) == pytest.approx(
            2 * np.sqrt(np.mean(effect**2))
        )

    @two_and_three_levels
    @few_examples
    @given(seed=seeds)
    def test_invariances(self, n_levels, seed):
        X, y, treatment, outcomes = make_units(seed, n_levels)
        effects = effects_of(outcomes)
        expected = nearest_neighbor_pehe(X, y, treatment, effects)
        order = np.random.default_rng(seed).permutation(len(y))
        permuted = nearest_neighbor_pehe(X[order], y[order], treatment[order], effects[order])
        assert permuted == pytest.approx(expected, rel=1e-9)
        scaled = nearest_neighbor_pehe(X * [5, 0.1, 100] + 3, y + 2, treatment, effects)
        assert scaled == pytest.approx(expected, rel=1e-9)

    def test_constant_columns_do_not_matter(self):
        X, y, treatment, outcomes = make_units(0)
        effect = effects_of(outcomes)
        wide = np.column_stack([X, np.full(len(X), 0.1)])
        expected = nearest_neighbor_pehe(X, y, treatment, effect)
        assert nearest_neighbor_pehe(wide, y, treatment, effect) == expected
        assert nearest_neighbor_pehe(pd.DataFrame(X), y, treatment, effect[:, 0]) == expected

    def test_levels_with_too_few_units(self):
        X, y, _, outcomes = make_units(0)
        few = np.where(np.arange(len(y)) < 4, "drug", "control")
        with pytest.raises(
            ValueError, match=r"at least 5 units at each level .* 4 at level 'drug'"
        ):
            nearest_neighbor_pehe(X, y, few, effects_of(outcomes))


class TestRScore:
    @two_and_three_levels
    @few_examples
    @given(seed=seeds)
    def test_step_by_step(self, n_levels, seed):
        X, y, treatment, outcomes = make_units(seed, n_levels)
        rng = np.random.default_rng(seed)
        weight, effects = rng.random(len(y)) + 0.1, effects_of(outcomes)
        m, e = np.empty(len(y)), np.empty((len(y), n_levels))
        for train, test in slow_folds(treatment, 5):
            m[test] = y[train].mean()
            for level in range(n_levels):
                e[test, level] = (treatment[train] == level).mean()

        def loss(effects):
            total = 0.0
            for i in range(len(y)):
                fitted = m[i]
                for k in range(1, n_levels):
                    fitted += ((treatment[i] == k) - e[i, k]) * effects[i, k - 1]
                total += weight[i] * (y[i] - fitted) ** 2
            return total / weight.sum()

        best = minimize(lambda c: loss(np.tile(c, (len(y), 1))), np.zeros(n_levels - 1)).fun
        score = r_score(X, y, treatment, effects, sample_weight=weight, **DUMMIES)
        np.testing.assert_allclose(score, 1 - loss(effects) / best, rtol=1e-6, atol=1e-8)

    @two_and_three_levels
    def test_nuisances_are_out_of_fold(self, n_levels):
        """Given models are fitted to the other folds and applied to the one left out."""
        X, y, treatment, outcomes = make_units(0, n_levels)
        m, e = np.empty(len(y)), np.empty((len(y), n_levels))
        for train, test in slow_folds(treatment, 4):
            m[test] = LinearRegression().fit(X[train], y[train]).predict(X[test])
            model = LogisticRegression().fit(X[train], treatment[train])
            e[test] = model.predict_proba(X[test])
        T = ((treatment[:, None] == np.arange(n_levels)) - e)[:, 1:]
        constant = LinearRegression(fit_intercept=False).fit(T, y - m)
        best = np.mean((y - m - constant.predict(T)) ** 2)
        loss = np.mean((y - m - (T * effects_of(outcomes)).sum(axis=1)) ** 2)
        score = r_score(X, y, treatment, effects_of(outcomes), n_folds=4, **QUICK_MODELS)
        assert score == pytest.approx(1 - loss / best, rel=1e-9)

    @two_and_three_levels
    def test_default_models_recover_the_truth(self, n_levels):
        """Confounded units with little noise: true effects near 1, constants at most 0."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(400, 3))
        logits = np.column_stack([X[:, 0] * k / 2 for k in range(n_levels)])
        treatment = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        effects = np.column_stack([k * X[:, 1] for k in range(1, n_levels)])
        outcomes = np.column_stack([np.zeros(400), effects]) + 2 * X[:, :1]
        y = outcomes[np.arange(400), treatment] + 0.1 * rng.normal(size=400)

        def score(predicted):
            return r_score(X, y, treatment, predicted, n_folds=2)

        true = score(effects)
        assert 0.75 < true < 1
        assert score(0.5 * effects) < true
        assert -0.1 < score(np.full_like(effects, effects.mean())) <= 0
        assert score(-effects) < -1

    def test_units_of_outcome_and_covariates_do_not_matter(self):
        X, y, treatment, outcomes = make_units(1)
        effect = effects_of(outcomes)
        expected = r_score(X, y, treatment, effect)
        scaled = r_score(X * [5, 0.1, 100] + 3, 10 * y + 2, treatment, 10 * effect)
        assert scaled == pytest.approx(expected, rel=1e-6)

    def test_weights_act_in_the_loss_alone(self):
        X, y, treatment, outcomes = make_units(2)
        effect, ones = effects_of(outcomes), np.ones(len(y))
        expected = r_score(X, y, treatment, effect, **QUICK_MODELS)
        for weight in (ones, 5 * ones):
            score = r_score(X, y, treatment, effect, sample_weight=weight, **QUICK_MODELS)
            assert score == pytest.approx(expected, rel=1e-12)

    def test_constant_outcome(self):
        X, y, treatment, _ = make_units(0)
        y = np.full_like(y, 0.1)
        assert r_score(X, y, treatment, np.zeros(len(y)), n_folds=2) == 1.0
        assert r_score(X, y, treatment, np.ones(len(y)), n_folds=2) == 0.0

    def test_same_seed_same_folds(self):
        X, y, treatment, outcomes = make_units(3)
        effect = effects_of(outcomes)
        score = r_score(X, y, treatment, effect, **QUICK_MODELS)
        assert r_score(X, y, treatment, effect, **QUICK_MODELS) == score
        assert r_score(X, y, treatment, effect, random_state=1, **QUICK_MODELS) != score


class TestPolicyValue:
    @two_and_three_levels
    @few_examples
    @given(seed=seeds)
    def test_unit_by_unit(self, n_levels, seed):
        X, y, treatment, outcomes = make_units(seed, n_levels)
        weight = np.random.default_rng(seed).random(len(y)) + 0.1
        total = 0.0
        for train, test in slow_folds(treatment, 5):
            for i in test:
                level = max(range(n_levels), key=lambda k: outcomes[i, k])
                same = [j for j in train if treatment[j] == level]
                q, e = sum(y[j] for j in same) / len(same), len(same) / len(train)
                value = q + (treatment[i] == level) / e * (y[i] - q)
                total += weight[i] * value
        value = policy_value(X, y, treatment, outcomes, sample_weight=weight, **DUMMIES)
        np.testing.assert_allclose(value, total / weight.sum(), rtol=1e-9, atol=1e-12)

    @few_examples
    @given(seed=seeds)
    def test_shift_of_the_outcome(self, seed):
        X, y, treatment, outcomes = make_units(seed)
        value = policy_value(X, y, treatment, outcomes, **DUMMIES)
        shifted = policy_value(X, y + 3, treatment, outcomes, **DUMMIES)
        assert shifted == pytest.approx(value + 3, rel=1e-9, abs=1e-9)

    def test_only_the_order_of_predictions_matters(self):
        X, y, treatment, outcomes = make_units(0)
        value = policy_value(X, y, treatment, outcomes, **QUICK_MODELS)
        assert policy_value(X, y, treatment, 100 * outcomes + 7, **QUICK_MODELS) == value

    def test_ties_go_to_the_lowest_level(self):
        X, y, treatment, outcomes = make_units(0)
        lowest = np.column_stack([np.ones(len(y)), np.zeros(len(y))])
        expected = policy_value(X, y, treatment, lowest, **QUICK_MODELS)
        zeros = np.zeros_like(outcomes)
        assert policy_value(X, y, treatment, zeros, **QUICK_MODELS) == expected

    @pytest.mark.parametrize(
        "wrong",
        [{"model_y": DummyRegressor()}, {"model_t": DummyClassifier(strategy="prior")}],
        ids=["outcomes", "propensities"],
    )
    def test_is_right_if_one_model_is(self, wrong):
        """Double robustness, where a mean of those who followed the policy is biased."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(4000, 1))
        treatment = (rng.random(4000) < 1 / (1 + np.exp(-X[:, 0]))).astype(int)
        outcomes = np.column_stack([2 * X[:, 0], X[:, 0] + 0.5])
        y = outcomes[np.arange(4000), treatment] + 0.1 * rng.normal(size=4000)
        always = np.tile([0.0, 1.0], (4000, 1))
        truth = outcomes[:, 1].mean()
        assert abs(y[treatment == 1].mean() - truth) > 0.3
        assert policy_value(X, y, treatment, always, **wrong) == pytest.approx(truth, abs=0.08)
        both = policy_value(X, y, treatment, always, **DUMMIES)
        assert abs(both - truth) > 0.3

    def test_small_propensities_are_raised(self):
        X, y, treatment, _ = make_units(0)

        class Certain(DummyClassifier):
            def predict_proba(self, X):
                return np.tile([1.0, 0.0], (len(X), 1))

        always = np.tile([0.0, 1.0], (len(y), 1))
        models = {"model_y": DummyRegressor(strategy="constant", constant=0.0)}
        models["model_t"] = Certain()
        value = policy_value(X, y, treatment, always, min_propensity=0.25, **models)
        assert value == pytest.approx(np.mean(4 * y * (treatment == 1)))

    @pytest.mark.parametrize("min_propensity", [0.0, -1, 0.5, np.nan])
    def test_bad_limits(self, min_propensity):
        X, y, treatment, outcomes = make_units(0)
        with pytest.raises(ValueError, match="min_propensity must be above 0"):
            policy_value(X, y, treatment, outcomes, min_propensity=min_propensity)

    def test_one_column_per_level(self):
        X, y, treatment, outcomes = make_units(0)
        with pytest.raises(ValueError, match=r"outcomes_pred must have the shape \(40, 2\)"):
            policy_value(X, y, treatment, outcomes[:, :1])


CROSS_FITTED = {
    "r_score": lambda X, y, t, outcomes, **kw: r_score(X, y, t, effects_of(outcomes), **kw),
    "policy_value": policy_value,
}
cross_fitted = pytest.mark.parametrize("metric", CROSS_FITTED.values(), ids=CROSS_FITTED)


@cross_fitted
class TestCrossFitting:
    @pytest.mark.parametrize("n_folds", [2, 5])
    @pytest.mark.parametrize("n_levels", [2, 3])
    @pytest.mark.filterwarnings("error")
    def test_four_units_at_a_level_suffice(self, metric, n_levels, n_folds):
        X, y, _, outcomes = make_units(0, n_levels)
        treatment = np.minimum(np.arange(40) // 4, n_levels - 1)
        assert np.isfinite(metric(X, y, treatment, outcomes, n_folds=n_folds))
        with pytest.raises(ValueError, match=r"at least 4 units at each level .cross-fitting"):
            metric(X[1:], y[1:], treatment[1:], outcomes[1:])

    def test_sorted_rows_are_no_trouble(self, metric):
        """Folds are shuffled: a trend along the rows does not separate training from test."""
        X, y, treatment, outcomes = make_units(0)
        order = np.argsort(X[:, 0])
        arrays = [v[order] for v in (X, y, treatment, outcomes)]
        of_sorted = metric(*arrays, **QUICK_MODELS)
        assert abs(of_sorted - metric(X, y, treatment, outcomes, **QUICK_MODELS)) < 0.5

    @pytest.mark.filterwarnings("error")
    def test_routing_and_warnings(self, metric):
        """Nothing in the default models is deprecated, with metadata routing or without."""
        X, y, treatment, outcomes = make_units(0)
        expected = metric(X, y, treatment, outcomes)
        with sklearn.config_context(enable_metadata_routing=True):
            assert metric(X, y, treatment, outcomes, sample_weight=np.ones(40)) == expected

    def test_models_are_not_changed(self, metric):
        X, y, treatment, outcomes = make_units(0)
        models = {"model_y": Ridge(), "model_t": LogisticRegression()}
        metric(X, y, treatment, outcomes, **models)
        assert not any(hasattr(model, "coef_") for model in models.values())

    def test_labels_of_any_type(self, metric):
        X, y, treatment, outcomes = make_units(0)
        expected = metric(X, y, treatment, outcomes, **QUICK_MODELS)
        named, frame = np.array(["a", "b"])[treatment], pd.DataFrame(X)
        assert metric(X, y, named, outcomes, **QUICK_MODELS) == expected
        found = metric(frame, pd.Series(y), treatment == 1, outcomes, **QUICK_MODELS)
        assert found == expected

    def test_forests_as_models(self, metric):
        X, y, treatment, outcomes = make_units(0)
        forest = RandomForestRegressor(n_estimators=3, random_state=0)
        assert np.isfinite(metric(X, y, treatment, outcomes, model_y=forest))


BARE = {
    "arm_balanced_error": lambda X, y, t, effect, **kw: arm_balanced_error(y, t, effect, **kw),
    "nearest_neighbor_pehe": nearest_neighbor_pehe,
    "r_score": r_score,
    "policy_value": lambda X, y, t, effect, **kw: policy_value(
        X, y, t, np.column_stack([np.zeros(len(effect)), effect]), **kw
    ),
}


@pytest.mark.parametrize("metric", BARE.values(), ids=BARE)
class TestBadInput:
    def arrays(self):
        X, y, treatment, outcomes = make_units(0)
        return X, y, treatment, effects_of(outcomes)[:, 0]

    def test_treatment_of_another_length(self, metric):
        X, y, treatment, effect = self.arrays()
        with pytest.raises(ValueError, match="treatment must hold one label for each of the 40"):
            metric(X, y, treatment[1:], effect)

    @pytest.mark.parametrize("missing", [np.nan, None])
    def test_missing_labels(self, metric, missing):
        X, y, treatment, effect = self.arrays()
        treatment = treatment.astype(object)
        treatment[3] = missing
        with pytest.raises(ValueError, match=r"treatment is missing .* in 1 of 40 rows"):
            metric(X, y, treatment, effect)

    def test_missing_outcomes(self, metric):
        X, y, treatment, effect = self.arrays()
        y[0] = np.nan
        with pytest.raises(ValueError, match="Input y contains NaN"):
            metric(X, y, treatment, effect)

    def test_missing_predictions(self, metric):
        X, y, treatment, effect = self.arrays()
        effect[0] = np.nan
        with pytest.raises(ValueError, match="_pred contains NaN"):
            metric(X, y, treatment, effect)

    def test_predictions_of_another_length(self, metric):
        X, y, treatment, effect = self.arrays()
        with pytest.raises(ValueError, match="_pred must have"):
            metric(X, y, treatment, effect[1:])

    @pytest.mark.parametrize("weight", [np.zeros(40), np.r_[-1.0, np.ones(39)]])
    def test_weights(self, metric, weight):
        with pytest.raises(ValueError, match="sample_weight must not be negative"):
            metric(*self.arrays(), sample_weight=weight)


@pytest.mark.parametrize("name", ["nearest_neighbor_pehe", "r_score", "policy_value"])
class TestBadCovariates:
    def test_one_level(self, name):
        X, y, treatment, outcomes = make_units(0)
        with pytest.raises(ValueError, match=r"treatment must have at least two levels .* \[0\]"):
            BARE[name](X, y, 0 * treatment, outcomes[:, 0])

    def test_another_number_of_rows(self, name):
        X, y, treatment, outcomes = make_units(0)
        with pytest.raises(ValueError, match="X must have a row for each of the 40 values of y"):
            BARE[name](X[1:], y, treatment, outcomes[:, 0])


@pytest.mark.parametrize("metric", [pehe, ate_error])
def test_oracles_of_other_lengths(metric):
    with pytest.raises(ValueError, match="effect and effect_pred must have one value per unit"):
        metric([1.0, 2.0], [1.0])


@pytest.mark.parametrize("metric", [nearest_neighbor_pehe, r_score])
def test_one_effect_per_level(metric):
    X, y, treatment, outcomes = make_units(0, 3)
    with pytest.raises(ValueError, match=r"effect_pred must have the shape \(40, 2\), one column"):
        metric(X, y, treatment, outcomes[:, 0])
