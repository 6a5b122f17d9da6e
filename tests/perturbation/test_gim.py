"""The generative intervention model: what it recovers, and that its answers agree."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from skcausal.interventions import do
from skcausal.perturbation import GenerativeInterventionModel

KINDS = ["shift", "do", "scale"]
COEF = np.array([[0, 1.2, 0, 0.8], [0, 0, -1.0, 0], [0, 0, 0, 1.1], [0, 0, 0, 0]])
UNKNOWN = np.full((1, 4), np.nan)


def screen(kind, seed=0, n_controls=100, n_rows=15):
    """Two doses of five drugs of which drug p acts on variable p modulo 4, and controls."""
    rng = np.random.default_rng(seed)
    contexts = np.vstack([np.zeros((1, 5)), np.eye(5), 2.0 * np.eye(5)])
    features = np.repeat(contexts, [n_controls] + [n_rows] * 10, axis=0)
    dose = features.sum(axis=1)
    target = np.where(dose > 0, features.argmax(axis=1) % 4, -1)
    X = rng.normal(size=(len(features), 4))
    for j in range(4):
        hit = target == j
        if kind == "scale":
            X[hit, j] *= np.exp(dose[hit])
        own = 3.0 * dose + 0.1 * X[:, j]
        X[:, j] += X[:, :j] @ COEF[:j, j] + 2.5 * dose * (hit & (kind == "shift"))
        if kind == "do":
            X[hit, j] = own[hit]
    return X, features


def true_targets(contexts):
    """Targets of distinct rows of features."""
    return contexts.any(axis=1)[:, None] & (contexts.argmax(axis=1)[:, None] % 4 == np.arange(4))


def fit(kind, X, features, **options):
    """Fit with few restarts and, unless told otherwise, the fast generator."""
    options = {"generator": "linear", "n_restarts": 2, "random_state": 0} | options
    model = GenerativeInterventionModel(intervention=kind, **options)
    return model.fit(X, interventions=features)


def means(model, features):
    """Predicted means under perturbations."""
    return model.predict(np.full((len(features), 4), np.nan), interventions=features)


def check_answers(model, X, features):
    """Whatever the model can be asked, it answers in finite numbers of the right shape."""
    probability, shift = model.predict_targets(features)
    answers = [
        model.predict(X, interventions=features),
        model.sample(len(X), interventions=features, random_state=0),
        probability,
        shift,
    ]
    for answer in answers:
        assert answer.shape == X.shape
        assert np.isfinite(answer).all()
    assert np.isfinite(model.score_samples(X, interventions=features)).all()
    assert ((probability >= 0) & (probability <= 1)).all()


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    """What perturbations do."""
    return request.param


@pytest.fixture(scope="module")
def data(kind):
    """Rows and features."""
    return screen(kind)


@pytest.fixture(scope="module")
def model(kind, data):
    """Model with the default generator."""
    return fit(kind, *data, generator="kernel")


@pytest.fixture(scope="module")
def linear(kind, data):
    """Model with the linear generator."""
    return fit(kind, *data)


class TestRecovery:
    def test_graph(self, model):
        np.testing.assert_array_equal(model.adjacency_, COEF != 0)
        np.testing.assert_allclose(model.coef_, COEF, atol=0.35)
        assert model.adjacency_.dtype == np.int8
        assert (model.edge_probabilities_[COEF != 0] > 0.9).all()
        assert not model.edge_probabilities_[COEF == 0].any()
        assert model.order_.tolist() == [0, 1, 2, 3]

    def test_targets(self, kind, model):
        expected = true_targets(model.contexts_)
        assert not model.intervention_targets_[0].any()
        assert model.intervention_targets_[expected].min() > 0.8
        assert model.intervention_targets_[1:][~expected[1:]].mean() < 0.2
        dose = model.contexts_.sum(axis=1)[1:]
        parameter = {"shift": 2.5 * dose, "do": 3.0 * dose, "scale": np.exp(dose)}[kind]
        found = model.intervention_shifts_[expected]
        np.testing.assert_allclose(found, parameter, rtol=0.4)

    def test_contexts(self, data, model):
        _, features = data
        np.testing.assert_array_equal(model.contexts_[model.context_of_row_], features)
        assert not model.contexts_[0].any()

    def test_a_dose_in_between(self, kind, model):
        query = 1.5 * np.eye(5)
        probability, parameter = model.predict_targets(query)
        expected = true_targets(query)
        assert probability[expected].min() > 0.7
        assert probability[~expected].mean() < 0.25
        truth = {"shift": 3.75, "do": 4.5, "scale": np.exp(1.5)}[kind]
        np.testing.assert_allclose(parameter[expected], truth, rtol=0.4)


class TestAnswersAgree:
    def test_controls_have_no_targets(self, model):
        probability, _ = model.predict_targets(np.zeros((2, 5)))
        np.testing.assert_array_equal(probability, 0.0)

    def test_mean_of_controls_solves_the_equations(self, model):
        expected = model.intercept_ @ np.linalg.inv(np.eye(4) - model.coef_)
        np.testing.assert_allclose(means(model, np.zeros((1, 5))), [expected])

    def test_conditionals_of_controls(self, data, model):
        """Each variable given all others, by the precision matrix of the normal model."""
        X = data[0][:6]
        direction = (np.eye(4) - model.coef_) / model.noise_scale_
        precision = direction @ direction.T
        mean = means(model, np.zeros((1, 5)))
        expected = X - (X - mean) @ precision / np.diag(precision)
        found = model.predict(X, interventions=np.zeros((6, 5)))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)

    def test_draws_have_the_means_predicted(self, model):
        n = 20_000
        for row in (model.contexts_[[0]], model.contexts_[[3]], 1.5 * np.eye(5)[[1]]):
            drawn = model.sample(n, interventions=row, random_state=0)
            error = drawn.std(axis=0) / np.sqrt(n)
            assert (np.abs(drawn.mean(axis=0) - means(model, row)[0]) < 4 * error).all()

    def test_score_is_that_of_the_means(self, data, model):
        X, features = data
        expected = -(((X - means(model, features)) / X.std(axis=0)) ** 2).mean()
        np.testing.assert_allclose(model.score(X, interventions=features), expected)

    def test_densities(self, kind, data, model):
        """Mixtures over the targets of each equation, from the attributes in the units of X."""
        X, features = (a[::20] for a in data)
        residual = X - X @ model.coef_ - model.intercept_
        probability, parameter = model.predict_targets(features)
        variance = model.generator_.predict(features).variance
        scale = model.noise_scale_
        without = norm.logpdf(residual, scale=scale)
        if kind == "shift":
            hit = norm.logpdf(residual, parameter, scale * np.sqrt(1.0 + variance))
        elif kind == "do":
            spread = np.sqrt(variance + model._model.target_variance) * model._unit
            hit = norm.logpdf(X, parameter, spread)
        else:
            nodes, weights = np.polynomial.hermite_e.hermegauss(60)
            factors = parameter[..., None] * np.exp(np.sqrt(variance)[..., None] * nodes)
            density = norm.pdf(residual[..., None], scale=scale[:, None] * factors)
            hit = np.log(density @ (weights / weights.sum()))
        with np.errstate(divide="ignore"):
            logs = np.logaddexp(without + np.log1p(-probability), hit + np.log(probability))
        found = model.score_samples(X, interventions=features)
        np.testing.assert_allclose(found, logs.sum(axis=1), atol=1e-3)

    def test_draws_are_reproducible(self, model):
        row = model.contexts_[[2]]
        first, second = (model.sample(5, interventions=row, random_state=3) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert (model.sample(5, interventions=row, random_state=4) != first).all()


class TestInvariance:
    def test_same_seed_same_model(self, kind, data, linear):
        """Also if the model had learned from other rows before."""
        X, features = data
        again = fit(kind, X[:150], features[:150]).fit(X, interventions=features)
        np.testing.assert_array_equal(means(again, features), means(linear, features))
        np.testing.assert_array_equal(again.intervention_targets_, linear.intervention_targets_)

    def test_rows(self, kind, data, linear):
        order = np.random.default_rng(0).permutation(len(data[0]))
        shuffled = fit(kind, data[0][order], data[1][order])
        np.testing.assert_allclose(
            means(shuffled, linear.contexts_), means(linear, linear.contexts_), atol=1e-6
        )

    @pytest.mark.parametrize("place", [(2, 0, 3, 1), (3, 2, 1, 0)], ids=str)
    def test_columns(self, kind, data, linear, place):
        place = list(place)
        permuted = fit(kind, data[0][:, place], data[1])
        np.testing.assert_array_equal(permuted.adjacency_, linear.adjacency_[np.ix_(place, place)])
        np.testing.assert_allclose(
            means(permuted, linear.contexts_), means(linear, linear.contexts_)[:, place], atol=1e-4
        )

    def test_features(self, kind, data, linear):
        order = [3, 1, 0, 4, 2]
        permuted = fit(kind, data[0], data[1][:, order])
        np.testing.assert_allclose(
            means(permuted, linear.contexts_[:, order]), means(linear, linear.contexts_), atol=1e-4
        )

    @pytest.mark.parametrize("unit", [1e-6, 1e6])
    def test_units(self, kind, data, linear, unit):
        """Of all variables and features together, and another one of the first variable."""
        X, features = data
        units = unit * np.array([1000.0, 1.0, 1.0, 1.0])
        scaled = fit(kind, X * units + 7.0 * units, features * unit)
        np.testing.assert_array_equal(scaled.adjacency_, linear.adjacency_)
        np.testing.assert_allclose(scaled.coef_, linear.coef_ * units / units[:, None], rtol=1e-4)
        found = means(scaled, linear.contexts_ * unit) / units - 7.0
        np.testing.assert_allclose(found, means(linear, linear.contexts_), atol=1e-3)
        probability = linear.intervention_targets_
        np.testing.assert_allclose(scaled.intervention_targets_, probability, atol=1e-3)

    def test_copies_of_rows(self, kind, data, linear):
        """They count as more evidence for the same."""
        X, features = (np.tile(a, (2, 1)) for a in data)
        doubled = fit(kind, X, features)
        np.testing.assert_array_equal(doubled.adjacency_, linear.adjacency_)
        found, expected = (means(m, linear.contexts_) for m in (doubled, linear))
        np.testing.assert_allclose(found, expected, atol=0.3)


class TestKnowledge:
    def test_graph_is_kept(self, kind, data):
        X, features = data
        names = list("abcd")
        adjacency = pd.DataFrame(np.tri(4, k=-1), index=names, columns=names)
        shuffled = adjacency.loc[list("dbca"), list("dbca")]
        X = pd.DataFrame(X, columns=names)
        model = fit(kind, X, features, adjacency=shuffled)
        np.testing.assert_array_equal(model.adjacency_, np.tri(4, k=-1))
        assert not model.coef_[adjacency.to_numpy() == 0].any()
        assert model.order_.tolist() == [3, 2, 1, 0]
        check_answers(model, X, features)

    def test_targets_are_kept(self, kind):
        """A mask, here in part a wrong one, has the last word on targets."""
        X, features = screen(kind)
        mask = features[:, :4] != 0
        mask[features[:, 4] != 0] = [True, True, False, False]
        model = fit(kind, X, mask)
        np.testing.assert_array_equal(model.intervention_targets_, model.contexts_)
        np.testing.assert_array_equal(model.predict_targets(mask)[0], mask)
        check_answers(model, X, mask)

    def test_do_values_of_a_mask(self):
        """Means under interventions solve the equations; draws keep the values that are set."""
        X, features = screen("do")
        model = fit("do", X, (features[:, :4] != 0) | (features[:, [4] * 4] * [1, 0, 0, 0] != 0))
        query, mask = do({"x1": 5.0}, variables=["x0", "x1", "x2", "x3"])
        query, mask = query.to_numpy(), mask.to_numpy()
        coef, expected = model.coef_.copy(), model.intercept_.copy()
        coef[:, 1], expected[1] = 0.0, 5.0
        expected = expected @ np.linalg.inv(np.eye(4) - coef)
        np.testing.assert_allclose(model.predict(query, interventions=mask)[0], expected)
        drawn = model.sample(20_000, interventions=mask, X=query, random_state=0)
        np.testing.assert_array_equal(drawn[:, 1], 5.0)
        error = drawn.std(axis=0) / np.sqrt(20_000)
        assert (np.abs(drawn.mean(axis=0) - expected) < 4 * error + 1e-12).all()
        # Of a cell that is set there is no density; of the others that given it.
        row = drawn[[0]]
        residual = row - row @ model.coef_ - model.intercept_
        logs = norm.logpdf(residual, scale=model.noise_scale_)
        found = model.score_samples(row, interventions=mask)
        np.testing.assert_allclose(found, logs[:, [0, 2, 3]].sum(axis=1))

    def test_prior_probabilities(self, kind, data):
        X, features = data
        sparse = fit(kind, X, features, edge_probability=1e-300)
        assert not sparse.adjacency_.any()
        dense = fit(kind, X, features, edge_probability=1.0 - 1e-15)
        assert dense.adjacency_.sum() > (COEF != 0).sum()


class TestUnusualData:
    """No error, no warning, and finite answers; what is certain is asserted besides."""

    pytestmark = pytest.mark.filterwarnings("error")

    def check(self, kind, X, features, **options):
        model = fit(kind, X, features, **options)
        check_answers(model, X, features)
        return model

    def test_feature_without_values(self, kind, data, linear):
        X, features = data
        model = self.check(kind, X, np.column_stack([features, np.zeros(len(X))]))
        np.testing.assert_allclose(
            means(model, model.contexts_), means(linear, linear.contexts_), atol=1e-6
        )

    @pytest.mark.parametrize("generator", ["linear", "kernel"])
    def test_one_perturbed_context(self, kind, data, generator):
        X, features = (a[:115] for a in data)
        self.check(kind, X, features, generator=generator)

    @pytest.mark.parametrize("n_controls", [1, 100])
    def test_one_row_each(self, kind, data, n_controls):
        rows = np.r_[0:n_controls, 100:250:15]
        self.check(kind, data[0][rows], data[1][rows])

    def test_features_of_which_no_two_rows_agree(self, kind, data):
        X, features = (a[50::3] for a in data)
        features = features * np.random.default_rng(0).uniform(0.9, 1.1, size=(len(X), 1))
        model = self.check(kind, X, features)
        assert len(model.contexts_) == 1 + features.any(axis=1).sum()

    def test_controls_only(self, kind, data):
        X, features = (a[:100] for a in data)
        model = self.check(kind, X, features)
        assert model.generator_ is None
        np.testing.assert_allclose(means(model, features[:1])[0], X.mean(axis=0), atol=1e-6)
        # Perturbations of which nothing is known change nothing.
        np.testing.assert_array_equal(means(model, np.ones((1, 5))), means(model, features[:1]))
        without = GenerativeInterventionModel(intervention=kind).fit(X)
        assert without.predict_targets(None)[0].tolist() == [[0.0] * 4]

    def test_more_variables_than_rows(self, kind):
        rng = np.random.default_rng(0)
        features = np.vstack([np.zeros((3, 2)), np.eye(2), np.eye(2)])
        self.check(kind, rng.normal(size=(7, 12)), features, n_restarts=1)

    def test_two_rows(self, kind, data):
        self.check(kind, data[0][[0, -1]], data[1][[0, -1]])

    def test_one_variable(self, kind, data):
        self.check(kind, data[0][:, :1], data[1])

    def test_constant_variable(self, kind, data, linear):
        X = np.column_stack([data[0], np.full(250, 3.3)])
        model = self.check(kind, X, data[1])
        np.testing.assert_array_equal(model.adjacency_[:4, :4], linear.adjacency_)
        assert not model.adjacency_[4].any()
        assert not model.adjacency_[:, 4].any()
        np.testing.assert_allclose(model.predict(X, interventions=data[1])[:, 4], 3.3)

    def test_copy_of_a_variable(self, kind, data):
        X = np.column_stack([data[0], data[0][:, 1]])
        model = self.check(kind, X, data[1])
        found = model.predict(X[:100], interventions=data[1][:100])
        np.testing.assert_allclose(found[:, [1, 4]], X[:100, [4, 1]], atol=1e-2)


class TestErrors:
    def test_no_control(self):
        X, features = (a[100:] for a in screen("shift"))
        with pytest.raises(ValueError, match=r"no control: .* Mark controls by rows of zeros"):
            GenerativeInterventionModel().fit(X, interventions=features)

    def test_regimes_that_split_a_context(self):
        X, features = screen("shift")
        regimes = np.array([str(row) for row in features])
        regimes[131] = "another"
        message = r"same label in regimes, but those of label 'another' share features"
        with pytest.raises(ValueError, match=message):
            GenerativeInterventionModel().fit(X, interventions=features, regimes=regimes)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"mechanism": "tree"}, r"mechanism must be one of 'linear', .*; found 'tree'"),
            ({"intervention": "hard"}, r"intervention must be one of 'shift', 'do', 'scale'; fou"),
            ({"generator": None}, r"generator must be one of 'auto', .*; found None"),
            ({"solver": "exact"}, r"solver must be one of 'order', .*; found 'exact'"),
            ({"edge_probability": 0.0}, r"edge_probability must be None or a number between 0 an"),
            ({"edge_probability": "low"}, r"between 0 and 1, found 'low'"),
            ({"target_probability": 1}, r"target_probability must be None or .*, found 1\."),
            ({"n_restarts": 0}, r"n_restarts must be an integer of at least 1, found 0"),
            ({"n_restarts": 2.0}, r"n_restarts must be an integer of at least 1, found 2\.0"),
            ({"adjacency": 1 - np.eye(4)}, r"adjacency .*cycle"),
            ({"adjacency": np.zeros((3, 3))}, r"adjacency .*4"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
    )
    def test_parameters(self, parameters, message):
        X, features = screen("shift")
        model = GenerativeInterventionModel(**parameters)
        with pytest.raises(ValueError, match=message):
            model.fit(X, interventions=features)

    def test_queries(self):
        linear = fit("shift", *screen("shift"))
        with pytest.raises(ValueError, match=r"must have 3 rows, one per sample, or .*found 2"):
            linear.sample(3, interventions=np.zeros((2, 5)))
        with pytest.raises(ValueError, match=r"one row for each of the 1 rows of interv.*found 2"):
            linear.sample(3, interventions=np.zeros((1, 5)), X=np.zeros((2, 4)))
        with pytest.raises(ValueError, match=r"predict needs them too: pass rows of zeros"):
            linear.predict(UNKNOWN)
        with pytest.raises(ValueError, match=r"must have the 5 features that fit had, found 4"):
            linear.predict_targets(np.zeros((1, 4)))
        with pytest.raises(ValueError, match=r"score_samples refuses"):
            linear.score_samples(UNKNOWN, interventions=np.zeros((1, 5)))
