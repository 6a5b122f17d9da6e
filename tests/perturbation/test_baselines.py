"""Baselines of perturbation predictors, against closed forms and plain loops."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from skcausal.perturbation import FeatureRegression, MeanTreated, NoChange
from skcausal.perturbation._features import perturbation_groups

NAMES = ["ridge", "lasso", "kernel_ridge", "mlp"]
D = 3


def drugs_and_doses(n_drugs=4, doses=(1.0, 2.0), n_controls=5, seed=0):
    """Rows of drugs (one column each) at doses, of which the effects are linear, and controls."""
    rng = np.random.default_rng(seed)
    contexts = np.vstack([dose * np.eye(n_drugs) for dose in doses])
    features = np.vstack([np.zeros((n_controls, n_drugs)), np.repeat(contexts, 3, axis=0)])
    effects = rng.normal(size=(n_drugs, D))
    return features @ effects + 0.1 * rng.normal(size=(len(features), D)) + 7.0, features


def means_by_context(X, features):
    """Distinct features and the means of their rows, by pandas; sorted, not the control first."""
    grouped = pd.DataFrame(X).groupby([features[:, j] for j in range(features.shape[1])])
    means = grouped.mean()
    return means.index.to_frame().to_numpy(), means.to_numpy()


def ask(model, features):
    """Predict rows of which nothing is known but their features."""
    return model.predict(np.full((len(features), D), np.nan), interventions=features)


class TestMeans:
    def test_no_change(self):
        X, features = drugs_and_doses()
        model = NoChange().fit(X, interventions=features)
        expected = np.tile(X[:5].mean(axis=0), (len(X), 1))
        np.testing.assert_allclose(model.predict(X, interventions=features), expected)

    def test_each_treated_context_counts_once(self):
        X, features = drugs_and_doses()
        rows = np.r_[0:5, 5:7, 8:29]  # one context has two rows only
        model = MeanTreated().fit(X[rows], interventions=features[rows])
        contexts, means = means_by_context(X[rows], features[rows])
        treated = means[contexts.any(axis=1)].mean(axis=0)
        predicted = ask(model, features[[0, 28]] * 3.0)
        np.testing.assert_allclose(predicted, [X[:5].mean(axis=0), treated])

    def test_controls_only(self):
        X, features = drugs_and_doses()
        for model in (NoChange(), MeanTreated(), FeatureRegression()):
            model.fit(X[:5], interventions=features[:5])
            np.testing.assert_allclose(ask(model, features), np.tile(X[:5].mean(0), (29, 1)))


@pytest.mark.parametrize("model", [NoChange(), MeanTreated(), FeatureRegression()])
def test_without_controls_there_is_nothing_to_compare_with(model):
    X, features = drugs_and_doses()
    with pytest.raises(ValueError, match=r"no control: .* Mark controls by rows of zeros"):
        model.fit(X[5:], interventions=features[5:])


class TestFeatureRegression:
    def test_linear_effects_are_found_exactly(self):
        X, features = drugs_and_doses()
        X = features @ np.arange(12.0).reshape(4, 3) + 7.0
        for regressor in (LinearRegression(), Ridge(alpha=1e-9)):
            model = FeatureRegression(regressor).fit(X, interventions=features)
            query = np.array([[1.0, 0.0, 5.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
            expected = query @ np.arange(12.0).reshape(4, 3) + 7.0
            np.testing.assert_allclose(ask(model, query), expected, rtol=1e-6)

    @pytest.mark.parametrize("given", [True, False])
    def test_penalty_is_chosen_on_whole_perturbations(self, given):
        """With one fold for each perturbation nothing is random: a plain loop chooses the same."""
        X, features = drugs_and_doses(n_drugs=5, seed=1)
        drug = np.where(features.any(axis=1), features.argmax(axis=1), -1).astype(str)
        model = FeatureRegression("ridge", n_folds=5)
        model.fit(X, interventions=features, regimes=drug if given else None)

        contexts, means = means_by_context(X, features)
        control, treated = ~contexts.any(axis=1), contexts.any(axis=1)
        Y = (means - means[control]) / X.std(axis=0)
        F, Y = np.vstack([contexts[control], contexts[treated]]), np.vstack([0 * Y[:1], Y[treated]])
        losses = {}
        for alpha in np.logspace(-4, 4, 17):
            loss = []
            groups = contexts[treated].argmax(axis=1)
            for train, test in GroupKFold(5).split(F[1:], groups=groups):
                train = np.append(0, train + 1)
                varying = F[train].std(axis=0) > 0
                scaler = StandardScaler().fit(F[train][:, varying])
                ridge = Ridge(alpha).fit(scaler.transform(F[train][:, varying]), Y[train])
                predicted = ridge.predict(scaler.transform(F[test + 1][:, varying]))
                loss.append(((predicted - Y[test + 1]) ** 2).mean())
            losses[alpha] = np.mean(loss)
        alpha = min(losses, key=losses.get)
        np.testing.assert_allclose(model.best_params_["alpha"], alpha)

        scaler = StandardScaler().fit(F)
        ridge = Ridge(alpha).fit(scaler.transform(F), Y)
        expected = ridge.predict(scaler.transform(F[1:])) * X.std(axis=0) + means[control]
        np.testing.assert_allclose(ask(model, F[1:]), expected)

    @pytest.mark.parametrize("name", NAMES)
    def test_beats_the_baselines_that_ignore_features(self, name):
        """New doses of known drugs that act in opposite ways."""
        X, features = drugs_and_doses(2, doses=(0.5, 1.0, 1.5, 2.0, 3.0))
        X[:, 0] += 5.0 * (features[:, 0] - features[:, 1])
        regimes = [str(row) for row in features]
        model = FeatureRegression(name, n_folds=2, random_state=0)
        model.fit(X, interventions=features, regimes=regimes)
        assert set(model.best_params_) <= {"alpha", "gamma"}
        query = np.array([[2.5, 0.0], [0.0, 2.5]])
        errors = ask(model, query)[:, 0] - X[:5, 0].mean() - [12.5, -12.5]
        assert np.abs(errors).max() < 3.0

    def test_controls_get_their_mean(self):
        X, features = drugs_and_doses()
        for model in (FeatureRegression(random_state=0), FeatureRegression(LinearRegression())):
            model.fit(X, interventions=features)
            np.testing.assert_array_equal(ask(model, features[:1])[0], model.control_mean_)

    def test_products(self):
        """An effect of two drugs together, which sums of single effects have not."""
        pairs = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 1], [1, 2], [2, 0], [0, 2]], float)
        X = np.outer(pairs[:, 0] * pairs[:, 1], [1.0, 2.0, -1.0])
        query = np.array([[3.0, 3.0]])
        plain = FeatureRegression(LinearRegression()).fit(X, interventions=pairs)
        products = FeatureRegression(LinearRegression(), degree=2).fit(X, interventions=pairs)
        np.testing.assert_allclose(ask(products, query), [[9.0, 18.0, -9.0]])
        assert np.abs(ask(plain, query) - [[9.0, 18.0, -9.0]]).max() > 1.0

    def test_constant_features_change_nothing(self):
        X, features = drugs_and_doses()
        more = np.column_stack([features, np.zeros(len(X))])
        for name in ("ridge", "kernel_ridge"):
            model = FeatureRegression(name, n_folds=2, random_state=0)
            expected = ask(model.fit(X, interventions=features), features)
            np.testing.assert_allclose(ask(model.fit(X, interventions=more), more), expected)

    def test_contexts_are_held_out_where_all_belong_together(self):
        X, features = drugs_and_doses(1, doses=(1.0, 2.0, 3.0))
        assert not perturbation_groups(np.unique(features[5:], axis=0)).any()
        for regimes in (None, ["one"] * len(X)):
            model = FeatureRegression(random_state=0)
            assert hasattr(model.fit(X, interventions=features, regimes=regimes), "best_params_")

    def test_one_context_leaves_no_choice(self):
        X, features = drugs_and_doses(1, doses=(1.0, 2.0, 3.0))
        model = FeatureRegression(random_state=0).fit(X, interventions=features)
        model.fit(X[:8], interventions=features[:8])
        assert not hasattr(model, "best_params_")
        assert model.regressor_["model"].alpha == 1.0

    @pytest.mark.parametrize(
        "regressor", [RandomForestRegressor(5, random_state=0), GradientBoostingRegressor()]
    )
    @pytest.mark.parametrize("n_variables", [1, D])
    @pytest.mark.filterwarnings("error")
    def test_any_regressor(self, regressor, n_variables):
        """With several outputs or one, whether it can handle several or not; it stays unfitted."""
        X, features = drugs_and_doses()
        X = X[:, :n_variables]
        model = FeatureRegression(regressor).fit(X, interventions=features)
        assert not hasattr(regressor, "n_features_in_")
        assert not hasattr(model, "best_params_")
        assert model.predict(X, interventions=features).shape == X.shape

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"model": "forest"}, "model must be one of .* or a scikit-learn regressor, got 'fore"),
            ({"model": LogisticRegression()}, "or a scikit-learn regressor, got LogisticRegressi"),
            ({"model": Ridge}, "or a scikit-learn regressor, got <class"),
            ({"degree": 3}, "degree must be 1 or 2, got 3"),
            ({"n_folds": 1}, "n_folds must be an integer of at least 2, got 1"),
            ({"n_folds": 2.0}, "n_folds must be an integer of at least 2, got 2.0"),
        ],
    )
    def test_bad_parameters(self, parameters, message):
        X, features = drugs_and_doses()
        with pytest.raises(ValueError, match=message):
            FeatureRegression(**parameters).fit(X, interventions=features)
