"""The estimator of counterfactual regression, by its public behaviour."""

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skcausal.datasets import make_leaky_hum
from skcausal.effects import CFRRegressor

SMALL = {
    "representation_layers": (16,),
    "head_layers": (8,),
    "max_epochs": 30,
    "n_ensemble": 3,
    "random_state": 0,
}


def small(**parameters):
    """A small estimator."""
    return CFRRegressor(**(SMALL | parameters))


def make_units(n=400, seed=0, levels=(0, 1)):
    """Covariates, outcomes, treatment and effects (n, n_levels) of randomised units."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    position = rng.integers(len(levels), size=n)
    effects = np.arange(len(levels)) * (2 + X[:, [1]])
    y = X[:, 0] + effects[np.arange(n), position] + 0.1 * rng.normal(size=n)
    return X, y, np.array(levels)[position], effects


@pytest.fixture(scope="module")
def units():
    return make_units()


@pytest.fixture(scope="module")
def fitted(units):
    X, y, treatment, _ = units
    return small().fit(X, y, treatment=treatment)


def test_effects_are_learned(units, fitted):
    X, y, treatment, _ = units
    X_new, _, _, effects_new = make_units(seed=1)
    assert r2_score(effects_new[:, 1], fitted.effect(X_new)) > 0.8
    assert fitted.score(X, y, treatment=treatment) > 0.9


def test_effects_are_differences_of_potential_outcomes(units, fitted):
    X = units[0]
    outcomes = fitted.potential_outcomes(X)
    assert outcomes.shape == (len(X), 2)
    np.testing.assert_allclose(fitted.effect(X), outcomes[:, 1] - outcomes[:, 0], atol=1e-12)
    np.testing.assert_array_equal(fitted.effect(X, T0=1, T1=0), -fitted.effect(X))
    np.testing.assert_array_equal(fitted.effect(X, T0=1, T1=1), 0.0)


def test_predict_is_the_outcome_under_the_given_level(units, fitted):
    X, _, treatment, _ = units
    outcomes = fitted.potential_outcomes(X)
    expected = outcomes[np.arange(len(X)), treatment]
    np.testing.assert_array_equal(fitted.predict(X, treatment=treatment), expected)
    np.testing.assert_array_equal(fitted.predict(X, treatment=1), outcomes[:, 1])


def test_score_gives_all_arms_the_same_weight(units, fitted):
    X, y, treatment, _ = units
    keep = (treatment == 0) | (np.arange(len(y)) % 10 == 0)
    X, y, treatment = X[keep], y[keep], treatment[keep]
    y_pred = fitted.predict(X, treatment=treatment)
    weight = 1.0 / np.bincount(treatment)[treatment]
    assert fitted.score(X, y, treatment=treatment) == pytest.approx(
        r2_score(y, y_pred, sample_weight=weight), rel=1e-12
    )
    doubled = np.where(np.arange(len(y)) < 50, 2.0, 1.0)
    rows = np.repeat(np.arange(len(y)), doubled.astype(int))
    assert fitted.score(X, y, doubled, treatment=treatment) == pytest.approx(
        fitted.score(X[rows], y[rows], treatment=treatment[rows]), rel=1e-9
    )


@pytest.fixture(scope="module")
def brief(units):
    """A short fit, for what has to be the same in every bit."""
    X, y, treatment, _ = units
    return small(max_epochs=4).fit(X, y, treatment=treatment)


@pytest.mark.parametrize(
    "levels", [("control", "drug"), (False, True), (3, 7), (0.5, 1.5)], ids=str
)
def test_names_of_levels_do_not_matter(units, brief, levels):
    X, y, treatment, _ = units
    named = small(max_epochs=4).fit(X, y, treatment=np.array(levels)[treatment])
    assert named.treatments_.tolist() == list(levels)
    effect = named.effect(X, T0=levels[0], T1=levels[1])
    np.testing.assert_array_equal(effect, brief.effect(X))


@pytest.mark.parametrize("effect_head", [False, True])
@pytest.mark.parametrize("ipm", ["linear_mmd", "rbf_mmd", "sinkhorn", "contrastive"])
def test_three_levels(ipm, effect_head):
    X, y, treatment, effects = make_units(levels=("a", "b", "c"))
    model = small(ipm=ipm, alpha=0.1, effect_head=effect_head, n_ensemble=2)
    model.fit(X, y, treatment=treatment)
    assert model.potential_outcomes(X).shape == (len(X), 3)
    for position, level in enumerate("bc", start=1):
        effect = model.effect(X, T0="a", T1=level)
        assert r2_score(effects[:, position], effect) > 0.5
    assert np.isfinite(model.loss_curve_["treatment_discrepancy"]).all()


def test_units_of_measurement_do_not_matter(units, fitted):
    X, y, treatment, _ = units
    scaled = small().fit(X * [1e-3, 1.0, 50.0] + [5, 0, -7], 100 * y - 3, treatment=treatment)
    effect = scaled.effect(X * [1e-3, 1.0, 50.0] + [5, 0, -7])
    np.testing.assert_allclose(effect, 100 * fitted.effect(X), rtol=0.02, atol=2)


def test_treatment_as_a_column_is_the_same_as_metadata(units, brief):
    X, y, treatment, _ = units
    frame = pd.DataFrame(X, columns=["p", "q", "r"])
    frame.insert(1, "arm", np.where(treatment == 1, "drug", "control"))
    model = small(treatment_column="arm", max_epochs=4).fit(frame, y)
    np.testing.assert_array_equal(model.effect(frame, T0="control", T1="drug"), brief.effect(X))
    np.testing.assert_array_equal(model.predict(frame), brief.predict(X, treatment=treatment))
    assert model.score(frame, y) == brief.score(X, y, treatment=treatment)
    assert model.feature_names_in_.tolist() == ["p", "arm", "q", "r"]

    table = np.column_stack([treatment, X])
    by_position = small(treatment_column=0, max_epochs=4).fit(table, y)
    np.testing.assert_array_equal(by_position.effect(table), brief.effect(X))
    with pytest.raises(ValueError, match="treatment was passed although treatment_column"):
        by_position.predict(table, treatment=treatment)


def test_environment_as_a_column_is_the_same_as_metadata(units):
    X, y, treatment, _ = units
    environment = np.where(X[:, 2] > 0, "ward", "clinic")
    options = {"env_alpha": 1.0, "max_epochs": 4}
    aligned = small(**options).fit(X, y, treatment=treatment, environment=environment)
    frame = pd.DataFrame(X, columns=["p", "q", "r"]).assign(place=environment)
    by_column = small(environment_column="place", **options)
    by_column.fit(frame, y, treatment=treatment)
    assert by_column.environments_.tolist() == ["clinic", "ward"]
    np.testing.assert_array_equal(by_column.effect(frame), aligned.effect(X))


def test_alignment_of_environments_brings_their_representations_together():
    data = make_leaky_hum(600, random_state=0)
    gaps = []
    for env_alpha in (0.0, 30.0):
        model = small(env_alpha=env_alpha, alpha=0.0, normalize=False)
        model.fit(data.X, data.y, treatment=data.treatment, environment=data.environment)
        z = model.transform(data.X)
        first = (data.environment == 0).to_numpy()
        gaps.append(np.linalg.norm(z[first].mean(axis=0) - z[~first].mean(axis=0)) / z.std())
    assert gaps[1] < 0.3 * gaps[0]


def test_loss_curve_has_the_terms_of_the_objective(units):
    X, y, treatment, _ = units
    environment = np.arange(len(y)) % 2
    plain = small(alpha=0.0, early_stopping=False).fit(X, y, treatment=treatment)
    assert set(plain.loss_curve_) == {"loss", "factual"}
    assert plain.best_epoch_ is None
    np.testing.assert_array_equal(plain.loss_curve_["loss"], plain.loss_curve_["factual"])
    full = small(alpha=0.5, env_alpha=2.0)
    full.fit(X, y, treatment=treatment, environment=environment)
    curve = full.loss_curve_
    np.testing.assert_allclose(
        curve["loss"],
        curve["factual"]
        + 0.5 * curve["treatment_discrepancy"]
        + 2.0 * curve["environment_discrepancy"],
        rtol=1e-5,
    )
    assert len(curve["validation"]) == full.n_epochs_ == 30
    assert full.best_epoch_.shape == (3,)


def test_binary_outcomes_are_probabilities():
    X, y, treatment, _ = make_units(600)
    model = small(outcome="binary").fit(X, y > 1, treatment=treatment)
    outcomes = model.potential_outcomes(X)
    assert outcomes.min() >= 0
    assert outcomes.max() <= 1
    assert model.score(X, y > 1, treatment=treatment) > 0.5
    lower, upper = model.effect_interval(X, level=0.999)
    assert lower.min() >= -1
    assert upper.max() <= 1
    with pytest.raises(ValueError, match="y must hold zeros and ones"):
        small(outcome="binary").fit(X, y, treatment=treatment)


def test_interval_of_effects(units, fitted):
    X = units[0]
    lower, upper = fitted.effect_interval(X)
    wider = fitted.effect_interval(X, level=0.99)
    effect = fitted.effect(X)
    assert (lower < effect).all()
    assert (effect < upper).all()
    assert (wider[0] < lower).all()
    assert (upper < wider[1]).all()
    single = small(n_ensemble=1, max_epochs=2).fit(*units[:2], treatment=units[2])
    with pytest.raises(ValueError, match="set n_ensemble to 2 or more"):
        single.effect_interval(X)
    for level in (0, 1, "0.9"):
        with pytest.raises(ValueError, match="level must be a number between 0 and 1"):
            fitted.effect_interval(X, level=level)


def test_average_effect(units, fitted):
    X, _, _, effects = units
    average = fitted.ate(X)
    assert average.lower < effects[:, 1].mean() < average.upper
    assert average.estimate == pytest.approx((average.lower + average.upper) / 2)
    assert fitted.ate(X, T0=1, T1=1)[:3] == (0.0, 0.0, 0.0)
    opposite = fitted.ate(X, T0=1, T1=0)
    np.testing.assert_allclose(
        opposite[:3], [-average.estimate, -average.upper, -average.lower], rtol=1e-9
    )
    some = np.arange(len(X)) < 100
    weighted = fitted.ate(X, sample_weight=some.astype(float))
    assert weighted.estimate == pytest.approx(fitted.ate(X[some]).estimate)


def test_average_effect_corrects_selection_with_any_classifier():
    """The network is stopped at once, so that all of the estimate is the correction."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 2))
    treatment = rng.binomial(1, 1 / (1 + np.exp(-X[:, 0])))
    y = 3 * X[:, 0] + 2 * treatment + 0.1 * rng.normal(size=4000)
    options = {"learning_rate": 1e-6, "max_epochs": 1, "early_stopping": False}
    naive = y[treatment == 1].mean() - y[treatment == 0].mean()
    assert naive > 4
    model = small(**options).fit(X, y, treatment=treatment)
    assert model.ate(X).estimate == pytest.approx(2, abs=0.2)
    forest = RandomForestClassifier(30, min_samples_leaf=50, random_state=0)
    other = small(propensity=forest, **options).fit(X, y, treatment=treatment)
    assert isinstance(other.propensity_, RandomForestClassifier)
    assert other.ate(X).estimate == pytest.approx(2, abs=0.3)


def test_transform(units, fitted):
    X = units[0]
    z = fitted.transform(X)
    assert z.shape == (len(X), 3 * 16)
    np.testing.assert_allclose((z**2).sum(axis=1), 1.0, rtol=1e-5)
    assert len(fitted.get_feature_names_out()) == 48
    framed = deepcopy(fitted).set_output(transform="pandas")
    np.testing.assert_array_equal(framed.transform(X).to_numpy(), z)


def test_drift_is_flagged_and_false_alarms_are_rare():
    rng = np.random.default_rng(0)
    X, y, treatment, _ = make_units(600)
    environment = np.arange(600) % 2
    X[environment == 1, 2] += 2.0
    model = small().fit(X, y, treatment=treatment, environment=environment)
    alarms = 0
    for batch in range(60):
        fresh, _, _, _ = make_units(40, seed=100 + batch)
        fresh[:, 2] += 2.0 * rng.integers(2)
        alarms += model.environment_drift(fresh, n_permutations=99).p_value <= 0.1
    assert alarms <= 12  # Binomial(60, 0.1) exceeds this with a chance of 0.5 %
    shifted, _, _, _ = make_units(40, seed=99)
    drift = model.environment_drift(shifted + np.array([3.0, 0.0, 0.0]))
    assert drift.p_value < 0.01
    assert set(drift.p_values) == {None, 0, 1}
    assert drift.p_value == max(drift.p_values.values()) == drift.p_values[drift.closest]
    with pytest.raises(ValueError, match="at least 2 rows"):
        model.environment_drift(shifted[:1])


def test_partial_fit_learns_in_chunks():
    X, y, treatment, effects = make_units(2000)
    model = small()
    for first in range(0, 2000, 100):
        rows = slice(first, first + 100)
        model.partial_fit(X[rows], y[rows], treatment=treatment[rows], treatments=[0, 1])
    assert model.n_samples_seen_ == 2000
    assert model.n_epochs_ == len(model.loss_curve_["loss"]) == 20
    assert r2_score(effects[:, 1], model.effect(X)) > 0.5
    before = model.effect(X)
    untreated = treatment == 0
    model.partial_fit(X[untreated][:50], y[untreated][:50], treatment=np.zeros(50, dtype=int))
    assert not np.array_equal(model.effect(X), before)
    assert np.isfinite(model.ate(X)).all()
    with pytest.raises(ValueError, match="treatment has the level 2, which fit has not seen"):
        model.partial_fit(X, y, treatment=np.full(2000, 2))


def test_partial_fit_depends_on_the_seed_alone():
    X, y, treatment, _ = make_units(200)

    def learn():
        model = small()
        for rows in (slice(0, 100), slice(100, 200)):
            model.partial_fit(X[rows], y[rows], treatment=treatment[rows])
        return model.effect(X)

    np.testing.assert_array_equal(learn(), learn())


def test_warm_start_goes_on_from_the_networks(units):
    X, y, treatment, _ = units
    cold = small(max_epochs=10, early_stopping=False).fit(X, y, treatment=treatment)
    warm = clone(cold).set_params(warm_start=True).fit(X, y, treatment=treatment)
    np.testing.assert_array_equal(warm.effect(X), cold.effect(X))
    first = warm.loss_curve_["factual"][0]
    warm.fit(X, y, treatment=treatment)
    assert warm.loss_curve_["factual"][0] < 0.7 * first
    with pytest.raises(ValueError, match="expecting 3 features"):
        warm.fit(X[:, :2], y, treatment=treatment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_ensemble", 2),
        ("representation_layers", (8,)),
        ("head_layers", [4]),
        ("activation", "tanh"),
        ("effect_head", True),
        ("outcome", "binary"),
        ("dtype", "float64"),
        ("env_alpha", 1.0),  # decides on "auto" of normalize
    ],
)
def test_networks_cannot_go_on_with_another_structure(units, fitted, name, value):
    X, y, treatment, _ = units
    given = {"treatment": treatment, "environment": np.arange(len(y)) % 2}
    model = deepcopy(fitted).set_params(**{name: value, "warm_start": True})
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=r"was .* when the networks were made and is .* now"):
            method(X, y > 1 if name == "outcome" else y, **given)


def test_networks_go_on_with_the_same_structure_in_other_types(units, fitted):
    X, y, treatment, _ = units
    same = deepcopy(fitted).set_params(warm_start=True, representation_layers=[np.int64(16)])
    same.fit(X, y, treatment=treatment)


def test_treatment_cannot_be_added_later(units, fitted):
    X, y, treatment, _ = units
    model = small().partial_fit(X, y)
    with pytest.raises(ValueError, match="has learned without before"):
        model.partial_fit(X, y, treatment=treatment)
    with pytest.raises(ValueError, match="treatments was given without treatment"):
        small().partial_fit(X, y, treatments=[0, 1])
    with pytest.raises(ValueError, match=r"the first call fixed the levels as \[0, 1\]"):
        deepcopy(fitted).partial_fit(X, y, treatment=treatment, treatments=[0, 1, 2])


def test_average_needs_rows_of_every_level(units):
    X, y, treatment, _ = units
    control = treatment == 0
    model = small().partial_fit(
        X[control], y[control], treatment=treatment[control], treatments=[0, 1]
    )
    assert np.isfinite(model.effect_interval(X)).all()
    assert 0 <= model.environment_drift(X).p_value <= 1
    assert model.propensity_ is None
    with pytest.raises(ValueError, match="ate needs two rows of every level"):
        model.ate(X)


def test_average_effect_with_a_rare_arm():
    """The floor of the propensities is relative: a rare arm is no reason for bias."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 2))
    treatment = (rng.uniform(size=4000) < 0.03).astype(int)
    y = X[:, 0] + 2 * treatment + 0.1 * rng.normal(size=4000)
    options = {"learning_rate": 1e-6, "max_epochs": 1, "early_stopping": False}
    model = small(**options).fit(X, y, treatment=treatment)
    assert model.ate(X).estimate == pytest.approx(2, abs=0.3)
    assert model.effect(X).mean() < 1


def test_parameters_that_are_changed_later_do_not_change_predictions(units, fitted):
    X = units[0]
    model = deepcopy(fitted).set_params(outcome="binary", representation_layers=(3,))
    np.testing.assert_array_equal(model.effect(X), fitted.effect(X))
    assert len(model.get_feature_names_out()) == model.transform(X).shape[1]


def test_effects_do_not_need_the_columns_of_metadata(units):
    X, y, treatment, _ = units
    frame = pd.DataFrame(X, columns=["p", "q", "r"]).assign(arm=treatment)
    model = small(treatment_column="arm", max_epochs=4).fit(frame, y)
    without = frame[["p", "q", "r"]]
    for method in (model.effect, model.potential_outcomes, model.transform):
        np.testing.assert_array_equal(method(without), method(frame))
    assert model.ate(without) == model.ate(frame)
    with pytest.raises(ValueError, match="arm"):
        model.predict(without)
    with pytest.raises(ValueError, match="feature names"):
        model.effect(frame[["p", "q"]])


def test_without_treatment_it_is_a_regression(units):
    X, y, _, _ = units
    model = small(max_epochs=4).fit(X, y)
    assert model.treatments_.tolist() == [0]
    assert model.propensity_ is None
    np.testing.assert_array_equal(model.predict(X), model.potential_outcomes(X)[:, 0])
    with pytest.raises(ValueError, match="fitted without treatment"):
        model.effect(X)
    with pytest.raises(ValueError, match="was not in fit: pass it to both"):
        model.predict(X, treatment=1)


def test_precision(units, fitted):
    X, y, treatment, _ = units
    double = small(dtype="float64").fit(X, y, treatment=treatment)
    assert double.effect(X).dtype == fitted.effect(X).dtype == np.float64
    np.testing.assert_allclose(double.effect(X), fitted.effect(X), atol=0.05)


def test_scale_of_weights_does_not_matter_but_weights_do(units, fitted):
    X, y, treatment, _ = units
    ones = small().fit(X, y, treatment=treatment, sample_weight=np.full(len(y), 7.0))
    np.testing.assert_allclose(ones.effect(X), fitted.effect(X), atol=1e-3)
    spoilt = y.copy()
    spoilt[:100] += 50.0
    weight = np.where(np.arange(len(y)) < 100, 0.0, 1.0)
    robust = small().fit(X, spoilt, treatment=treatment, sample_weight=weight)
    naive = small().fit(X, spoilt, treatment=treatment)
    outcomes = fitted.potential_outcomes(X)
    error = np.abs(robust.potential_outcomes(X) - outcomes).mean()
    assert error < 0.2 * np.abs(naive.potential_outcomes(X) - outcomes).mean()


def test_constant_outcome_has_no_effect(units):
    X, _, treatment, _ = units
    model = small().fit(X, np.full(len(X), 3.0), treatment=treatment)
    np.testing.assert_allclose(model.potential_outcomes(X), 3.0, atol=0.1)
    np.testing.assert_allclose(model.effect(X), 0.0, atol=0.1)


def test_small_arms_and_environments_are_repeated(units):
    X, y, treatment, _ = units
    keep = np.r_[np.flatnonzero(treatment == 0), np.flatnonzero(treatment == 1)[:2]]
    model = small(env_alpha=1.0)
    environment = np.r_[np.zeros(len(keep) - 3), [1, 1, 0]]
    model.fit(X[keep], y[keep], treatment=treatment[keep], environment=environment)
    assert np.isfinite(model.effect(X)).all()


def test_progress_is_shown_on_demand(units, capsys):
    X, y, treatment, _ = units
    small(max_epochs=2).fit(X, y, treatment=treatment)
    assert not capsys.readouterr().err
    small(max_epochs=2, verbose=True).fit(X, y, treatment=treatment)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"treatment": np.zeros(20)}, ValueError, "same level, 0.0, in all 20 rows"),
        ({"treatment": np.r_[1, np.zeros(19)]}, ValueError, "1 rows of the level 1.0"),
        ({"treatment": np.r_[np.nan, np.zeros(19)]}, ValueError, "treatment is missing"),
        ({"treatment": np.zeros(19)}, ValueError, "treatment must hold one label"),
        ({"treatment": np.zeros((20, 2))}, ValueError, "treatment must hold one label"),
        ({"environment": np.zeros(3)}, ValueError, "environment must hold one label"),
        ({"treatment": ["a", np.nan] * 10}, ValueError, "treatment is missing .* in 10 of 20"),
        ({"treatment": [1, "a"] * 10}, ValueError, "labels of one kind"),
        ({"y": np.array([1e300, -1e300] * 10)}, ValueError, "y contains values too large"),
        ({"X": np.full((20, 2), np.nan)}, ValueError, "Input X contains NaN"),
        ({"y": np.full(20, np.nan)}, ValueError, "Input y contains NaN"),
        ({"y": np.zeros(19)}, ValueError, "inconsistent numbers of samples"),
        ({"sample_weight": np.zeros(20)}, ValueError, "must be positive|at least one non-zero"),
        ({"sample_weight": -np.ones(20)}, ValueError, "Negative values"),
        (
            {"X": np.full((20, 2), 1e308) * np.array([[1], [-1]] * 10)},
            ValueError,
            "X contains inf|too large",
        ),
    ],
)
def test_bad_rows(change, error, message):
    rng = np.random.default_rng(0)
    given = {"X": rng.normal(size=(20, 2)), "y": rng.normal(size=20), "treatment": [0, 1] * 10}
    with pytest.raises(error, match=message), np.errstate(over="ignore"):
        small().fit(**(given | change))


def test_bad_environments(units):
    X, y, treatment, _ = units
    for environment, message in (
        (None, "needs at least 2 of them"),
        (np.zeros(len(y)), "needs at least 2 of them"),
        (np.r_[1, np.zeros(len(y) - 1)], "one row only"),
    ):
        with pytest.raises(ValueError, match=message):
            small(env_alpha=1.0).fit(X, y, treatment=treatment, environment=environment)
    lone = np.r_[1, np.zeros(len(y) - 1)]
    model = small(max_epochs=1).fit(X, y, treatment=treatment, environment=lone)
    assert set(model.environment_drift(X[:20]).p_values) == {None, 0.0}


def test_unseen_levels(units, fitted):
    X, y, _, _ = units
    with pytest.raises(ValueError, match=r"level 5, which fit has not seen. Its levels are \[0, 1"):
        fitted.predict(X, treatment=np.full(len(X), 5))
    with pytest.raises(ValueError, match="T1 has the level 'drug'"):
        fitted.effect(X, T1="drug")
    with pytest.raises(ValueError, match="so predict needs it too"):
        fitted.predict(X)
    with pytest.raises(ValueError, match="so score needs it too"):
        fitted.score(X, y)


def test_unknown_device(units):
    X, y, treatment, _ = units
    with pytest.raises(ValueError, match="device must be 'auto' or a device of torch"):
        small(device="abacus").fit(X, y, treatment=treatment)


def test_grid_search_in_a_pipeline_on_a_frame(units):
    X, y, treatment, _ = units
    frame = pd.DataFrame(X, columns=["p", "q", "r"])
    frame["place"] = np.where(X[:, 2] > 0, "north", "south")
    columns = make_column_transformer(
        (StandardScaler(), ["p", "q", "r"]), (OneHotEncoder(), ["place"])
    )
    pipeline = make_pipeline(columns, small(max_epochs=10, n_ensemble=1))
    grid = {"cfrregressor__alpha": [0.0, 100.0], "cfrregressor__env_alpha": [0.0, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=KFold(2))
    with sklearn.config_context(enable_metadata_routing=True):
        search.fit(frame, y, treatment=treatment, environment=frame["place"])
        score = search.score(frame, y, treatment=treatment)
        prediction = search.best_estimator_.predict(frame, treatment=treatment)
    assert search.best_params_["cfrregressor__alpha"] == 0.0
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    weight = 1.0 / np.bincount(treatment)[treatment]
    assert score == pytest.approx(r2_score(y, prediction, sample_weight=weight))


def test_search_without_routing_by_columns(units):
    X, y, treatment, _ = units
    frame = pd.DataFrame(X, columns=["p", "q", "r"]).assign(arm=treatment)
    search = GridSearchCV(
        small(treatment_column="arm", max_epochs=3, n_ensemble=1), {"alpha": [0.0, 1.0]}, cv=2
    ).fit(frame, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(frame).shape == (len(y),)
