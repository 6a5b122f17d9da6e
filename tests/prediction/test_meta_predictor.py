"""MetaInterventionPredictor: what it predicts, from what, and what it refuses."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skcausal.interventions import do
from skcausal.model_selection import LeaveInterventionsOut
from skcausal.prediction import MetaInterventionPredictor
from skcausal.simulators import LinearPrior
from skcausal.structure import GIES, KnownGraph

TINY = {"width": 4, "n_layers": 1, "n_tasks": 64, "prior": LinearPrior(4), "random_state": 0}
PAPER = {"variant": "paper", "width": 8, "n_layers": 1, "n_tasks": 2, "random_state": 0}


def simulate(prior, n_systems, n_rows, *, seed=0, value=2.0, targets=None, queries=None):
    """Rows, masks, queries and true means of systems: observational and single targets."""
    systems = prior.sample(n_systems, random_state=seed)
    d = systems.adjacency.shape[-1]
    targets = np.vstack([np.zeros(d, bool), np.eye(d, dtype=bool)]) if targets is None else targets
    queries = (
        np.eye(d, dtype=bool) | np.roll(np.eye(d, dtype=bool), 1, 1) if queries is None else queries
    )
    shape = (n_systems, 1, 1, 1)
    X = systems.sample(n_rows, np.tile(targets[None, :, None], shape), value, random_state=seed)
    means = systems.interventional_mean(np.tile(queries[None], (n_systems, 1, 1)), value)
    mask = np.repeat(targets, n_rows, axis=0)
    return X.double().flatten(1, 2).numpy(), mask, queries, means.double().numpy(), systems


def ask(model, queries, value=2.0, **options):
    return model.predict(np.where(queries, value, np.nan), interventions=queries, **options)


def random_data(seed, d=4, n=40):
    """Rows that no model needs to fit, under random targets."""
    rng = np.random.default_rng(seed)
    mask = rng.random((9, d))[rng.integers(9, size=n)] < 0.3
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    return np.where(mask, X + rng.normal(size=d), X), mask


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_numbering_order_of_rows_origin_units_and_signs_do_not_matter(seed):
    X, mask = random_data(seed)
    rng = np.random.default_rng(seed)
    columns, rows = rng.permutation(4), rng.permutation(len(X))
    scale, shift = rng.uniform(0.1, 10.0, 4) * rng.choice([-1.0, 1.0], 4), rng.normal(size=4)
    model = MetaInterventionPredictor().fit(X, interventions=mask)
    changed = ((X * scale + shift)[rows])[:, columns]
    other = MetaInterventionPredictor().fit(changed, interventions=mask[rows][:, columns])
    query = np.where(mask | (rng.random(X.shape) < 0.5), X, np.nan)[:9]
    expected, std = model.predict(query, interventions=mask[:9], return_std=True)
    found, other_std = other.predict(
        (query * scale + shift)[:, columns], interventions=mask[:9][:, columns], return_std=True
    )
    np.testing.assert_allclose(found, (expected * scale + shift)[:, columns], rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(other_std, (std * abs(scale))[:, columns], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        other.edge_probabilities_, model.edge_probabilities_[columns][:, columns], atol=1e-9
    )


def test_close_to_least_squares_on_the_true_graph():
    """With few rows and no graph; unseen pairs of targets."""
    X, mask, queries, means, systems = simulate(LinearPrior(6), 25, 10)
    errors = {"ours": [], "true graph": []}
    for k in range(len(X)):
        for name, model in (
            ("ours", MetaInterventionPredictor()),
            ("true graph", KnownGraph(systems.adjacency[k].numpy().astype(int))),
        ):
            predicted = ask(model.fit(X[k], interventions=mask), queries)
            errors[name].append(np.sqrt(np.mean(((predicted - means[k]) / X[k].std(axis=0)) ** 2)))
    assert np.mean(errors["ours"]) < 1.2 * np.mean(errors["true graph"])


@pytest.mark.parametrize(
    "changes",
    [
        {"graph": "directed_erdos_renyi", "edges_per_variable": 0.7, "n_cycles": 1},
        {"n_confounders": 2},
    ],
    ids=["feedback", "hidden confounders"],
)
def test_better_than_graphs_without_feedback_or_hidden_causes(changes):
    X, mask, queries, means, _ = simulate(LinearPrior(8, **changes), 10, 50)
    ours, theirs = [], []
    for k in range(len(X)):
        for errors, model in ((ours, MetaInterventionPredictor()), (theirs, GIES())):
            predicted = ask(model.fit(X[k], interventions=mask), queries)
            errors.append(np.sqrt(np.mean(((predicted - means[k]) / X[k].std(axis=0)) ** 2)))
    assert np.mean(ours) < 0.6 * np.mean(theirs)


def test_intervals_cover_the_true_means():
    X, mask, queries, means, _ = simulate(LinearPrior(6), 60, 8)
    inside = []
    for k in range(len(X)):
        model = MetaInterventionPredictor().fit(X[k], interventions=mask)
        mean, std = ask(model, queries, return_std=True)
        inside.append((np.abs(mean - means[k]) <= 1.645 * std)[~queries])
    assert 0.8 <= np.mean(inside) <= 0.98


def test_kinds_of_standard_deviations():
    X, mask = random_data(0)
    model = MetaInterventionPredictor().fit(X, interventions=mask)
    query = np.where(mask, X, np.nan)
    mean, std = model.predict(query, interventions=mask, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(query, interventions=mask))
    same = model.predict(query, interventions=mask, return_std="mean")[1]
    np.testing.assert_array_equal(std, same)
    row = model.predict(query, interventions=mask, return_std="row")[1]
    assert not std[mask].any()
    assert not row[mask].any()
    assert (row[~mask] > std[~mask]).all()
    draws = model.sample(4000, interventions=mask[:1], X=query[:1], random_state=0)
    np.testing.assert_allclose(
        draws.std(axis=0), np.sqrt(row[0] ** 2 - std[0] ** 2), rtol=0.1, atol=1e-12
    )
    with pytest.raises(ValueError, match="return_std must be True, False, 'mean' or 'row'"):
        model.predict(query, interventions=mask, return_std="error")


def test_attributes():
    X, mask, _, _, systems = simulate(LinearPrior(5), 1, 100, seed=3)
    model = MetaInterventionPredictor(threshold=0.5).fit(X[0], interventions=mask)
    np.testing.assert_array_equal(model.adjacency_, systems.adjacency[0].numpy())
    np.testing.assert_allclose(model.coef_, systems.coef[0].numpy(), atol=0.1)
    assert model.edge_probabilities_.min() >= 0
    assert model.edge_probabilities_.max() <= 1
    assert not np.diagonal(model.edge_probabilities_).any()
    assert model.loss_curve_ == {}
    assert model.finetuning_ is None
    assert set(model.to_networkx().edges) == set(zip(*model.adjacency_.nonzero()))
    everything = MetaInterventionPredictor(threshold=0.0).fit(X[0], interventions=mask)
    assert everything.adjacency_.sum() == 20


def test_fine_tuning_is_kept_only_if_it_helps():
    accepted = set()
    for seed in range(8):
        X, mask = random_data(seed)
        plain = MetaInterventionPredictor().fit(X, interventions=mask)
        tuned = MetaInterventionPredictor(n_finetune_steps=5).fit(X, interventions=mask)
        errors = tuned.finetuning_
        changed = not np.array_equal(plain.coef_, tuned.coef_)
        assert changed == (errors["after"] < errors["before"])
        accepted.add(changed)
    assert accepted == {True, False}


@pytest.mark.parametrize("d", [1, 2])
def test_one_and_two_variables(d):
    X, mask = random_data(0, d=d)
    model = MetaInterventionPredictor().fit(X, interventions=mask)
    predicted, std = model.predict(np.where(mask, X, np.nan), interventions=mask, return_std=True)
    assert np.isfinite(predicted).all()
    assert np.isfinite(std).all()


CONTEXTS = {
    "no observational rows": lambda mask: mask.any(axis=1),
    "a variable is never a target": lambda mask: ~mask[:, 0],
    "one row per regime": lambda mask: np.arange(len(mask)) % 10 == 0,
    "unequal regimes": lambda mask: np.arange(len(mask)) % 10 <= mask.argmax(axis=1),
    "observational rows alone": lambda mask: ~mask.any(axis=1),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_any_context_will_do(name):
    """Predictions are finite, and better than the mean over all rows in most systems."""
    X, mask, queries, means, _ = simulate(LinearPrior(5), 12, 10, seed=1)
    kept = CONTEXTS[name](mask)
    better = 0
    for k in range(len(X)):
        rows = X[k][kept]
        model = MetaInterventionPredictor().fit(rows, interventions=mask[kept])
        predicted, std = ask(model, queries, return_std=True)
        assert np.isfinite(predicted).all()
        assert np.isfinite(std).all()
        scale = X[k].std(axis=0)
        free = ~queries
        ours = np.abs((predicted - means[k]) / scale)[free].mean()
        better += ours < np.abs((rows.mean(axis=0) - means[k]) / scale)[free].mean()
    assert better >= 9


def test_values_that_vary_within_a_regime_are_used():
    """A target set to random values tells as much as many regimes."""
    rng = np.random.default_rng(0)
    mask = np.zeros((60, 2), dtype=bool)
    mask[20:, 0] = True
    X = rng.normal(size=(60, 2)) * 0.3
    X[mask[:, 0], 0] = 2.0 * rng.normal(size=40)
    X[:, 1] += 1.5 * X[:, 0]
    model = MetaInterventionPredictor().fit(X, interventions=mask)
    query, interventions = do({0: [-3.0, 3.0]}, variables=2)
    predicted = model.predict(query, interventions=interventions)[:, 1]
    np.testing.assert_allclose(predicted, [-4.5, 4.5], atol=0.4)


def test_pretraining_saving_and_clones(tmp_path):
    """Weights belong to the object that trained them; a file shares them."""
    X, mask = random_data(0)
    path = tmp_path / "mine.safetensors"
    model = MetaInterventionPredictor(**TINY).pretrain()
    assert set(model.loss_curve_) >= {"loss", "error", "edges", "coverage"}
    assert not hasattr(model, "scm_")
    with pytest.raises(NotFittedError):
        model.predict(X, interventions=mask)
    model.fit(X, interventions=mask).save_pretrained(path)
    loaded = MetaInterventionPredictor(pretrained=path).fit(X, interventions=mask)
    np.testing.assert_array_equal(loaded.coef_, model.coef_)
    shipped = clone(model).fit(X, interventions=mask)
    assert not np.allclose(shipped.coef_, model.coef_)
    again = MetaInterventionPredictor(**TINY, pretrained=None).fit(X, interventions=mask)
    np.testing.assert_array_equal(again.coef_, model.coef_)
    other = MetaInterventionPredictor(**TINY).pretrain(n_tasks=128)
    assert not np.array_equal(other.fit(X, interventions=mask).coef_, model.coef_)


def test_weights_know_their_variant(tmp_path):
    """Parameters that change afterwards do not mislabel a file, nor mix the networks."""
    X, mask = random_data(0, d=3)
    model = MetaInterventionPredictor(**TINY | {"prior": LinearPrior(3)}).pretrain()
    model.set_params(variant="paper").save_pretrained(tmp_path / "weights")
    again = MetaInterventionPredictor(pretrained=tmp_path / "weights")
    model.set_params(variant="amortized").fit(X, interventions=mask)
    np.testing.assert_array_equal(again.fit(X, interventions=mask).coef_, model.coef_)
    model.set_params(**PAPER).fit(X, interventions=mask)
    assert list(model.loss_curve_) == ["loss"]


def test_checkpoint_of_meta_training(tmp_path):
    """A finished training is not run again, and another one does not take it for its own."""
    X, mask = random_data(0)
    path = tmp_path / "mine.ckpt"
    options = TINY | {"pretrained": None, "checkpoint": path}
    first = MetaInterventionPredictor(**options).fit(X, interventions=mask)
    written = path.stat().st_mtime_ns
    second = MetaInterventionPredictor(**options).fit(X, interventions=mask)
    assert path.stat().st_mtime_ns == written
    np.testing.assert_array_equal(first.coef_, second.coef_)
    with pytest.raises(ValueError, match="belongs to another training"):
        MetaInterventionPredictor(**options | {"prior": LinearPrior(5)}).pretrain()
    with pytest.raises(ValueError, match="checkpoint needs an integer random_state"):
        MetaInterventionPredictor(**options | {"random_state": None}).pretrain()


def test_failed_fit_leaves_nothing_behind():
    X, mask = random_data(0)
    model = MetaInterventionPredictor().fit(X, interventions=mask)
    model.set_params(dtype="float16")
    with pytest.raises(ValueError, match="dtype"):
        model.fit(X, interventions=mask)
    with pytest.raises(NotFittedError):
        model.predict(X, interventions=mask)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"variant": "best"}, ValueError, "variant must be one of 'amortized', 'paper'"),
        ({"objective": "rl"}, ValueError, "objective must be one of"),
        ({"n_tasks": 0}, ValueError, "n_tasks must be at least 1"),
        ({"n_tasks": 2.5}, TypeError, "n_tasks must be an integer"),
        ({"n_finetune_steps": -1}, ValueError, "n_finetune_steps must be at least 0"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be positive"),
        ({"finetune_learning_rate": "big"}, TypeError, "finetune_learning_rate must be a number"),
        ({"threshold": 1.5}, ValueError, "threshold must be a probability"),
        ({"correct_means": "yes"}, TypeError, "correct_means must be True or False"),
        ({"pretrained": 3}, TypeError, "pretrained must be 'auto', the path of a file or None"),
        ({"pretrained": "missing.safetensors"}, OSError, "missing.safetensors"),
        ({"pretrained": None, "prior": 3}, TypeError, "prior must be a prior of"),
        ({"pretrained": None, "prior": []}, TypeError, "prior must be a prior of"),
        ({"device": "abacus"}, ValueError, "device must be"),
    ],
)
def test_bad_parameters(changes, error, message):
    X, mask = random_data(0)
    with pytest.raises(error, match=message):
        MetaInterventionPredictor(**changes).fit(X, interventions=mask)


def test_grid_search_over_predictors(routing):
    """In one search with a graph learner, behind a scaler."""
    X, mask, queries, _, _ = simulate(LinearPrior(4), 1, 20)
    search = GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("model", GIES())]),
        {"model": [MetaInterventionPredictor(), GIES()], "scale": [StandardScaler(), None]},
        cv=LeaveInterventionsOut(n_splits=None),
    )
    search.fit(X[0], interventions=mask)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert scores[0] == pytest.approx(scores[1], abs=0.05)
    assert ask(search.best_estimator_, queries).shape == (4, 4)


def test_pickle():
    X, mask = random_data(0)
    model = MetaInterventionPredictor().fit(X, interventions=mask)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        again.predict(X, interventions=mask), model.predict(X, interventions=mask)
    )


class TestPaper:
    def test_fine_tuning_lowers_the_error_on_the_data(self, tmp_path):
        """MIP-FT against MIP, from the same weights."""
        X, mask = random_data(0, d=3, n=60)
        first = MetaInterventionPredictor(**PAPER, n_finetune_steps=0).fit(X, interventions=mask)
        assert list(first.loss_curve_) == ["loss"]
        first.save_pretrained(tmp_path / "paper")
        options = {"variant": "paper", "pretrained": tmp_path / "paper"}

        def error(n_steps):
            model = MetaInterventionPredictor(**options, n_finetune_steps=n_steps)
            predicted = model.fit(X, interventions=mask).predict(X, interventions=mask)
            np.testing.assert_array_equal(predicted[mask], X[mask])
            return np.mean(((predicted - X) / X.std(axis=0))[~mask] ** 2)

        assert error(10) < error(0)
        wide, wide_mask = random_data(0)
        with pytest.raises(ValueError, match="X has 4 variables, but the pretrained network"):
            MetaInterventionPredictor(**options).fit(wide, interventions=wide_mask)

    def test_unknown_cells_are_filled(self):
        X, mask = random_data(0, d=3, n=30)
        model = MetaInterventionPredictor(**PAPER).fit(X, interventions=mask)
        query = np.where(mask, X, np.nan)
        predicted = model.predict(query, interventions=mask)
        assert np.isfinite(predicted).all()
        np.testing.assert_array_equal(predicted[mask], X[mask])
        assert np.isfinite(model.score(X, interventions=mask))

    def test_what_needs_equations_is_not_there(self):
        X, mask = random_data(0, d=3, n=30)
        model = MetaInterventionPredictor(**PAPER)
        for name in ("sample", "score_samples", "predict_from_parents", "to_networkx"):
            assert not hasattr(model, name)
        with pytest.raises(ValueError, match="return_std needs variant='amortized'"):
            model.fit(X, interventions=mask).predict(X, interventions=mask, return_std=True)
        with pytest.raises(ValueError, match="trained on one prior with a fixed n_variables"):
            MetaInterventionPredictor(**PAPER, prior=[LinearPrior(3), LinearPrior(4)]).pretrain()
        with pytest.raises(ValueError, match="pass a prior that has it"):
            MetaInterventionPredictor(**PAPER).pretrain()


def test_folds_of_fine_tuning_do_not_depend_on_the_numbering():
    """With more regimes than folds, too."""
    X, mask, _, _, _ = simulate(LinearPrior(12), 1, 4)
    order = np.random.default_rng(0).permutation(12)
    options = {"n_finetune_steps": 2}
    plain = MetaInterventionPredictor(**options).fit(X[0], interventions=mask)
    other = MetaInterventionPredictor(**options).fit(X[0][:, order], interventions=mask[:, order])
    for name, error in plain.finetuning_.items():
        assert other.finetuning_[name] == pytest.approx(error, rel=1e-6)


def test_samples_and_densities_are_those_of_the_corrected_means():
    """Where effects of single targets are bent, draws have the mean that is predicted."""
    rng = np.random.default_rng(0)
    values = np.repeat(np.linspace(-2.0, 2.0, 9), 40)
    X = np.column_stack([values, values**2 + 0.3 * rng.normal(size=len(values))])
    mask = np.column_stack([np.ones(len(X), bool), np.zeros(len(X), bool)])
    control = 0.3 * rng.normal(size=(100, 2))
    X, mask = np.vstack([control, X]), np.vstack([np.zeros((100, 2), bool), mask])
    regimes = np.r_[np.zeros(100), 1 + np.repeat(np.arange(9), 40)]
    model = MetaInterventionPredictor().fit(X, interventions=mask, regimes=regimes)
    query, interventions = do({0: [2.0]}, variables=2)
    predicted = model.predict(query, interventions=interventions)[0, 1]
    assert predicted == pytest.approx(4.0, abs=0.4)
    draws = model.sample(2000, interventions=interventions, X=query, random_state=0)
    assert draws[:, 1].mean() == pytest.approx(predicted, abs=0.1)
    rows = np.array([[2.0, predicted], [2.0, predicted + 2.0], [2.0, predicted - 2.0]])
    density = model.score_samples(rows, interventions=np.tile(interventions, (3, 1)))
    assert density[0] > density[1]
    assert density[1] == pytest.approx(density[2], abs=1e-6)


def test_means_of_too_many_regimes_are_not_corrected(monkeypatch):
    """The correction is cubic in the number of regimes."""
    rng = np.random.default_rng(0)
    values = np.repeat(np.linspace(-2.0, 2.0, 9), 40)
    X = np.column_stack([values, values**2 + 0.3 * rng.normal(size=len(values))])
    mask = np.column_stack([np.ones(len(X), bool), np.zeros(len(X), bool)])
    data = {"interventions": mask, "regimes": np.repeat(np.arange(9), 40)}

    def prediction(**options):
        with pytest.warns(UserWarning, match="target in every row"):
            model = MetaInterventionPredictor(**options).fit(X, **data)
        return model.predict([[2.0, np.nan]], interventions=mask[:1])[0, 1]

    corrected, plain = prediction(), prediction(correct_means=False)
    assert corrected != plain
    monkeypatch.setattr("skcausal.prediction._amortized_fit.MOST_REGIMES", 8)
    assert prediction() == plain


def test_error_of_a_variable_that_is_always_a_target():
    """Its mean is known as well as that of any sample."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2))
    mask = np.column_stack([np.ones(50, bool), np.zeros(50, bool)])
    with pytest.warns(UserWarning, match="target in every row"):
        model = MetaInterventionPredictor().fit(X, interventions=mask)
    none = np.zeros((1, 2), dtype=bool)
    _, std = model.predict(np.full((1, 2), np.nan), interventions=none, return_std=True)
    assert std[0, 0] == pytest.approx(X[:, 0].std() / np.sqrt(50))


def test_values_far_outside_of_the_data_are_refused():
    X, mask = random_data(0)
    model = MetaInterventionPredictor().fit(X, interventions=mask)
    query, interventions = do({0: 1e160}, variables=4)
    with pytest.raises(ValueError, match="overflow"):
        model.predict(query, interventions=interventions, return_std=True)


def test_failed_validation_leaves_nothing_behind():
    X, mask = random_data(0)
    model = MetaInterventionPredictor().fit(X, interventions=mask)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((5, 3), np.nan))
    with pytest.raises(NotFittedError):
        model.predict(X, interventions=mask)


def test_training_on_two_variables():
    """Where the only pair sets all there is, it has no error and no interval."""
    prior = LinearPrior(2, edges_per_variable=0.5)
    model = MetaInterventionPredictor(**TINY | {"prior": prior}).pretrain()
    assert all(np.isfinite(values).all() for values in model.loss_curve_.values())
