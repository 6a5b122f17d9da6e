"""The amortized posterior as an estimator: its weights, its invariances, and what it refuses."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import uniform
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skcausal.datasets import make_linear_scm
from skcausal.graphs import is_dag
from skcausal.interventions import do
from skcausal.simulators import LinearPrior
from skcausal.structure import AmortizedGraphPosterior, _graph_training
from skcausal.structure._amortized_posterior import _separate_by_values
from skcausal.structure._graph_posterior import EdgeDraws, edges_above
from skcausal.structure._graph_weights import NETWORK_FILES, SHIPPED

ARCHITECTURES = ["pairs", "rows"]
D = 4
ORDERS = [[1, 0, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [0, 3, 1, 2], [1, 2, 3, 0]]
SIGNS = [[-1, 1, 1, 1], [1, 1, -1, 1], [-1, -1, 1, 1], [1, -1, 1, -1], [-1, -1, -1, -1]]
both = pytest.mark.parametrize("architecture", ARCHITECTURES)


def tiny(architecture="pairs", **parameters):
    """An estimator whose training takes a moment."""
    settings = {
        "pretrained": None,
        "architecture": architecture,
        "prior": LinearPrior(3),
        "experiments": "sequential",
        "width": 4,
        "n_layers": 1,
        "n_heads": 2,
        "n_steps": 2,
        "n_draws": 4,
        "device": "cpu",
        "random_state": 0,
    }
    return AmortizedGraphPosterior(**settings | parameters)


def random_rows(seed=0, n=30, d=D):
    """Rows in few regimes, the first of them observational."""
    rng = np.random.default_rng(seed)
    targets = rng.random((6, d)) < 0.3
    targets[0] = False
    mask = targets[np.arange(n) % 6]
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    return np.where(mask, rng.normal(2.0, 1.0, X.shape), X), mask


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Few tasks a batch."""
    monkeypatch.setattr(_graph_training, "_PAIRS_PER_BATCH", 100)
    monkeypatch.setattr(_graph_training, "_VARIABLES_PER_BATCH", 15)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of tiny weights by architecture, with probabilities all over the range."""
    folder = tmp_path_factory.mktemp("weights")
    for architecture in ARCHITECTURES:
        model = tiny(architecture, scale_free=False).pretrain()
        _, network, card = model._weights_of_fit
        with torch.no_grad():
            if architecture == "pairs":
                network.head.weight *= 10.0
                network.head.bias.fill_(0.0)
            else:
                network.bias.fill_(0.0)
        NETWORK_FILES.save(folder / architecture, architecture, network, card)
    return folder


@pytest.fixture(params=ARCHITECTURES)
def model(request, weights):
    """An estimator with such weights."""
    return tiny(request.param, pretrained=weights / request.param)


@pytest.fixture
def rows():
    return random_rows()


def probabilities_of(model, X, mask):
    return clone(model).fit(X, interventions=mask).edge_probabilities_


class TestWeights:
    @both
    def test_fit_trains_where_none_are_given(self, architecture, rows):
        X, mask = rows
        model = tiny(architecture).fit(X, interventions=mask)
        probabilities = model.edge_probabilities_
        assert probabilities.shape == (D, D)
        assert probabilities.dtype == np.float64
        assert not probabilities.diagonal().any()
        off = probabilities[~np.eye(D, dtype=bool)]
        assert ((off > 0) & (off < 1)).all()
        assert len(model.loss_curve_["loss"]) == 1
        assert model.adjacency_.dtype == np.int8
        query, targets = do({1: 1.0}, variables=D)
        assert np.isfinite(model.predict(query, interventions=targets)).all()

    @both
    def test_fit_after_pretrain_does_not_train_again(self, architecture, rows):
        X, mask = rows
        first = tiny(architecture).fit(X, interventions=mask)
        second = tiny(architecture).pretrain()
        curve = second.loss_curve_
        assert set(curve) == {"loss", "cross_entropy"} | ({"cycles"} & set(curve))
        assert ("cycles" in curve) == (architecture == "rows")
        second.fit(X, interventions=mask)
        assert second.loss_curve_ is curve
        np.testing.assert_array_equal(second.edge_probabilities_, first.edge_probabilities_)

    @both
    def test_saved_weights_give_equal_probabilities(self, architecture, rows, tmp_path):
        X, mask = rows
        model = tiny(architecture).pretrain()
        expected = model.fit(X, interventions=mask).edge_probabilities_
        for path in (tmp_path / "a", str(tmp_path / "b")):
            model.save_pretrained(path)
            loaded = AmortizedGraphPosterior(path, architecture=architecture, device="cpu")
            np.testing.assert_array_equal(probabilities_of(loaded, X, mask), expected)
            assert not loaded.fit(X, interventions=mask).loss_curve_

    def test_save_before_fit_writes_the_weights_it_would_use(self, model, rows, tmp_path):
        model.save_pretrained(tmp_path / "copy")
        copied = clone(model).set_params(pretrained=tmp_path / "copy")
        np.testing.assert_array_equal(
            probabilities_of(copied, *rows), probabilities_of(model, *rows)
        )

    def test_the_card_holds_the_settings(self, tmp_path):
        model = tiny("rows", acyclic=False, learning_rate=0.01).pretrain(LinearPrior(4), n_steps=1)
        model.save_pretrained(tmp_path / "w")
        _, card = NETWORK_FILES.load(tmp_path / "w", "rows")
        expected = {"n_steps": 1, "learning_rate": 0.01, "acyclic": False}
        assert expected.items() <= card.items()
        assert card["experiments"] == "sequential"
        assert card["prior"] == repr(LinearPrior(4))
        assert card["sizes"] == {"width": 4, "n_layers": 1, "n_heads": 2}
        assert card["final"]["loss"] == model.loss_curve_["loss"][-1]

    @pytest.mark.parametrize(("scale_free", "n_features"), [(True, 38), (False, 42)])
    def test_scale_free_networks_do_not_see_the_units(self, scale_free, n_features, rows):
        X, mask = rows
        model = tiny(scale_free=scale_free).pretrain()
        assert model._weights_of_fit[1].sizes["n_features"] == n_features
        changed = probabilities_of_same(model, X * [1.0, 10.0, 0.1, 3.0], mask)
        same = np.allclose(changed, probabilities_of_same(model, X, mask), rtol=0, atol=1e-9)
        assert same == scale_free

    def test_pretrained_weights_belong_to_the_object(self, rows):
        X, mask = rows
        model = tiny().pretrain(n_steps=3)
        copied = clone(model).fit(X, interventions=mask)
        expected = tiny().fit(X, interventions=mask)
        np.testing.assert_array_equal(copied.edge_probabilities_, expected.edge_probabilities_)

    def test_another_architecture_does_not_use_them(self, rows):
        model = tiny("pairs").pretrain().set_params(architecture="rows")
        model.fit(rows[0], interventions=rows[1])
        assert model._weights_of_fit[0] == "rows"

    def test_unknown_path(self, rows, tmp_path):
        for path in ("nowhere", tmp_path / "nowhere"):
            with pytest.raises(OSError, match="nowhere"):
                tiny(pretrained=path).fit(rows[0])

    def test_path_that_cannot_be_written(self, model, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match="cannot be written"):
            model.save_pretrained(tmp_path / "file" / "w")

    @both
    def test_weights_of_the_other_architecture(self, architecture, weights, rows):
        other = {"pairs": "rows", "rows": "pairs"}[architecture]
        with pytest.raises(ValueError, match=f"no weights of the variant '{architecture}'"):
            tiny(architecture, pretrained=weights / other).fit(rows[0])

    @pytest.mark.parametrize("name", SHIPPED)
    def test_names_of_shipped_weights_with_rows(self, name, rows):
        with pytest.raises(ValueError, match="are weights of architecture='pairs'"):
            tiny("rows", pretrained=name).fit(rows[0])

    def test_rows_are_trained_where_nothing_is_said(self, rows):
        model = tiny("rows", pretrained="auto").fit(rows[0])
        assert len(model.loss_curve_["loss"]) == 1

    @pytest.mark.parametrize("damage", ["truncated", "flipped"])
    @both
    def test_damaged_files_are_refused(self, damage, architecture, weights, rows, tmp_path):
        content = (weights / architecture).read_bytes()
        rng = np.random.default_rng(0)
        for position in rng.integers(len(content), size=20):
            damaged = bytearray(content)
            if damage == "flipped":
                damaged[position] ^= 1 << rng.integers(8)
            else:
                del damaged[position:]
            (tmp_path / "w").write_bytes(damaged)
            with pytest.raises((ValueError, OSError)):
                tiny(architecture, pretrained=tmp_path / "w").fit(rows[0])


def probabilities_of_same(model, X, mask):
    """Without cloning, which would forget the weights."""
    return model.fit(X, interventions=mask).edge_probabilities_


class TestParameters:
    @pytest.mark.parametrize(
        ("parameter", "value", "error"),
        [
            ("pretrained", 3, TypeError),
            ("pretrained", True, TypeError),
            ("architecture", "cells", ValueError),
            ("architecture", None, ValueError),
            ("threshold", 1.5, ValueError),
            ("threshold", -0.1, ValueError),
            ("threshold", "half", ValueError),
            ("acyclic", "yes", TypeError),
            ("acyclic", None, TypeError),
            ("n_draws", 0, ValueError),
            ("n_draws", 1.5, ValueError),
            ("prior", "linear", TypeError),
            ("prior", [], TypeError),
            ("prior", [LinearPrior(3), 4], TypeError),
            ("experiments", "all", ValueError),
            ("scale_free", 1, TypeError),
            ("n_steps", 0, ValueError),
            ("n_steps", 2.5, ValueError),
            ("learning_rate", 0.0, ValueError),
            ("learning_rate", "slow", TypeError),
            ("learning_rate", uniform(0, 1), TypeError),
            ("width", 1, ValueError),
            ("width", 4.0, ValueError),
            ("n_layers", 0, ValueError),
            ("n_heads", 0, ValueError),
            ("n_heads", 3, ValueError),
            ("device", "abacus", ValueError),
            ("dtype", "float16", ValueError),
        ],
    )
    def test_refused(self, rows, parameter, value, error):
        model = tiny("rows").set_params(**{parameter: value})
        with pytest.raises(error, match="width" if parameter == "n_heads" and value else parameter):
            model.fit(rows[0])
        with pytest.raises(NotFittedError):
            model.predict(rows[0])

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [({"n_steps": 0}, ValueError), ({"prior": "linear"}, TypeError)],
    )
    def test_refused_by_pretrain(self, arguments, error):
        with pytest.raises(error, match=next(iter(arguments))):
            tiny().pretrain(**arguments)

    @pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
    def test_checkpoint_needs_an_integer_seed(self, random_state, rows, tmp_path):
        model = tiny(checkpoint=tmp_path / "c", random_state=random_state)
        with pytest.raises(ValueError, match="checkpoint needs an integer random_state"):
            model.fit(rows[0])
        assert not (tmp_path / "c").exists()

    def test_finished_checkpoint_is_read(self, rows, tmp_path):
        X, mask = rows
        expected = probabilities_of(tiny(), X, mask)
        model = tiny(checkpoint=tmp_path / "c")
        for _ in range(2):
            np.testing.assert_array_equal(probabilities_of(model, X, mask), expected)
            assert (tmp_path / "c").exists()

    @pytest.mark.parametrize(
        "changes",
        [
            {"random_state": 1},
            {"n_steps": 3},
            {"width": 6},
            {"prior": LinearPrior(4)},
            {"experiments": "observational"},
            {"learning_rate": 0.1},
            {"scale_free": False},
            {"architecture": "rows"},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_checkpoint_of_another_training_is_refused(self, changes, tmp_path):
        tiny(checkpoint=tmp_path / "c", n_steps=1).pretrain()
        other = tiny(checkpoint=tmp_path / "c", **{"n_steps": 1} | changes)
        with pytest.raises(ValueError, match="belongs to another"):
            other.pretrain()


class TestInvariances:
    def test_permuting_the_variables_permutes_the_probabilities(self, model, rows):
        X, mask = rows
        expected = probabilities_of(model, X, mask)
        assert np.ptp(expected[~np.eye(D, dtype=bool)]) > 0.01
        for order in ORDERS:
            found = probabilities_of(model, X[:, order], mask[:, order])
            np.testing.assert_allclose(found, expected[np.ix_(order, order)], rtol=0, atol=1e-10)

    def test_signs_of_the_variables_do_not_matter(self, model, rows):
        X, mask = rows
        expected = probabilities_of(model, X, mask)
        for signs in SIGNS:
            np.testing.assert_allclose(
                probabilities_of(model, X * signs, mask), expected, rtol=0, atol=1e-9
            )

    @pytest.mark.parametrize("change", ["signs", "order"])
    def test_neither_matters_without_interventions(self, model, change):
        X, none = random_rows(1)[0], None
        expected = probabilities_of(model, X, none)
        for order, signs in zip(ORDERS, SIGNS):
            if change == "signs":
                found = probabilities_of(model, X * signs, none)
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
            else:
                found = probabilities_of(model, X[:, order], none)
                np.testing.assert_allclose(found, expected[np.ix_(order, order)], rtol=0, atol=1e-9)

    def test_order_of_the_rows_does_not_matter(self, model, rows):
        X, mask = rows
        expected = probabilities_of(model, X, mask)
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(len(X))
            found = probabilities_of(model, X[order], mask[order])
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)

    def test_origins_do_not_matter(self, model, rows):
        X, mask = rows
        found = probabilities_of(model, X + np.array([5.0, -3.0, 100.0, 0.0]), mask)
        np.testing.assert_allclose(found, probabilities_of(model, X, mask), rtol=0, atol=1e-9)

    def test_single_precision_is_close(self, model, rows):
        X, mask = rows
        single = clone(model).set_params(dtype="float32").fit(X, interventions=mask)
        assert single.edge_probabilities_.dtype == np.float64
        np.testing.assert_allclose(
            single.edge_probabilities_, probabilities_of(model, X, mask), rtol=0, atol=1e-3
        )

    def test_names_are_kept_and_align_the_mask(self, model, rows):
        X, mask = (pd.DataFrame(array, columns=list("abcd")) for array in rows)
        found = clone(model).fit(X, interventions=mask[["d", "b", "a", "c"]])
        assert found.feature_names_in_.tolist() == list("abcd")
        np.testing.assert_allclose(
            found.edge_probabilities_, probabilities_of(model, *rows), rtol=0, atol=1e-12
        )


class TestGraphs:
    @pytest.mark.parametrize("acyclic", [True, False])
    @pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
    def test_adjacency_has_the_probable_edges(self, model, rows, threshold, acyclic):
        X, mask = rows
        model.set_params(threshold=threshold, acyclic=acyclic).fit(X, interventions=mask)
        probable = model.edge_probabilities_ > threshold
        found = model.adjacency_.astype(bool)
        assert not (found & ~probable).any()
        if not acyclic:
            np.testing.assert_array_equal(found, probable)
            return
        assert is_dag(model.adjacency_)
        for i, j in np.argwhere(probable & ~found):
            more = model.adjacency_ * (model.edge_probabilities_ >= model.edge_probabilities_[i, j])
            more[i, j] = 1
            assert not is_dag(more)

    def test_draws_are_acyclic_if_asked_for(self, model, rows):
        X, mask = rows
        graphs = model.fit(X, interventions=mask).sample_graphs(60, random_state=0)
        assert graphs.shape == (60, D, D)
        assert graphs.dtype == np.int8
        assert all(is_dag(graph) for graph in graphs)
        assert len(np.unique(graphs, axis=0)) > 5

    def test_other_draws_have_edges_as_frequent_as_they_are_probable(self, model, rows):
        X, mask = rows
        model.set_params(acyclic=False).fit(X, interventions=mask)
        share = model.sample_graphs(4000, random_state=0).mean(axis=0)
        np.testing.assert_allclose(share, model.edge_probabilities_, rtol=0, atol=0.04)
        assert not share.diagonal().any()

    def test_draws_are_reproducible(self, model, rows):
        model.fit(rows[0], interventions=rows[1])
        first, same, other = (model.sample_graphs(20, random_state=s) for s in (0, 0, 1))
        np.testing.assert_array_equal(first, same)
        assert (first != other).any()
        assert model.sample_graphs().shape == (1, D, D)

    @pytest.mark.parametrize("n_graphs", [0, 1.5, None])
    def test_numbers_of_graphs(self, model, rows, n_graphs):
        model.fit(rows[0], interventions=rows[1])
        with pytest.raises(ValueError, match="n_graphs must be an integer of at least 1"):
            model.sample_graphs(n_graphs)

    def test_predictions_average_over_the_draws(self, model, rows):
        X, mask = rows
        model.fit(X, interventions=mask)
        assert len(model.scm_.members) == 4
        means = [scm.conditional_mean(X, mask) for scm in model.scm_.members]
        predicted = model.predict(X, interventions=mask)
        np.testing.assert_allclose(predicted, np.mean(means, axis=0), atol=1e-12)

    def test_cyclic_draws_predict_finite_values(self, model, rows):
        X, mask = rows
        model.set_params(acyclic=False, n_draws=20).fit(X, interventions=mask)
        assert any(not is_dag(scm.coef) for scm in model.scm_.members)
        query, targets = do({0: 3.0}, variables=D)
        assert np.isfinite(model.predict(query, interventions=targets)).all()
        assert np.isfinite(model.score(X, interventions=mask))


class TestEdgeDraws:
    PROBABILITIES = np.array([[0.0, 1.0, 0.2], [0.9, 0.0, 1.0], [0.8, 0.0, 0.0]])

    def test_less_probable_edges_of_cycles_are_left_out(self):
        rng = np.random.RandomState(0)
        graphs = EdgeDraws(self.PROBABILITIES, True).sample(200, rng)
        assert graphs[:, 0, 1].all()
        assert graphs[:, 1, 2].all()
        assert not graphs[:, 1, 0].any()
        assert not graphs[:, 2, 0].any()
        assert 0.1 < graphs[:, 0, 2].mean() < 0.3

    def test_graph_above_a_threshold(self):
        found = edges_above(self.PROBABILITIES, 0.5, acyclic=True)
        assert found.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
        found = edges_above(self.PROBABILITIES, 0.5, acyclic=False)
        assert found.tolist() == [[0, 1, 0], [1, 0, 1], [1, 0, 0]]


class TestSequences:
    """Networks for sequences of experiments take each do-value for an experiment of its own."""

    def test_given_regimes_and_values_agree(self, rows):
        X, mask = rows
        every_row = np.where(mask.any(axis=1), 1 + np.arange(len(X)), 0)
        model = tiny(pretrained="caasl")
        expected = model.fit(X, interventions=mask, regimes=every_row).edge_probabilities_
        np.testing.assert_allclose(probabilities_of(model, X, mask), expected, rtol=0, atol=1e-12)

    def test_equal_values_form_one_regime(self):
        X = np.array([[1.0, 2.0], [1.0, 3.0], [5.0, 3.0], [7.0, 8.0], [9.0, 8.0]])
        mask = np.array([[True, False]] * 3 + [[False, False]] * 2)
        regime = np.array([1, 1, 1, 0, 0])
        found = _separate_by_values(X, mask, regime)
        np.testing.assert_array_equal(found, [1, 1, 2, 0, 0])


class TestState:
    def test_fit_that_fails_leaves_no_model_behind(self, model, rows):
        X, mask = rows
        model.fit(X, interventions=mask)
        bad = np.where(np.arange(X.size).reshape(X.shape) == 3, np.nan, X)
        failures = [(bad, {}, "NaN"), (X, {"threshold": 2.0}, "threshold")]
        for data, change, message in failures:
            with pytest.raises(ValueError, match=message):
                model.set_params(**change).fit(data, interventions=mask)
            for call in (model.predict, model.score, model.sample):
                with pytest.raises(NotFittedError):
                    call(X, interventions=mask)
            with pytest.raises(NotFittedError):
                model.sample_graphs(1)
            model.set_params(threshold=0.5).fit(X, interventions=mask)

    def test_interrupted_training_leaves_no_model_behind(self, rows, monkeypatch):
        X, mask = rows
        model = tiny().fit(X, interventions=mask)

        def stop(*arguments, **keywords):
            raise KeyboardInterrupt

        name = "skcausal.structure._graph_pretraining.train_graph_network"
        with monkeypatch.context() as patch:
            patch.setattr(name, stop)
            with pytest.raises(KeyboardInterrupt):
                model.fit(X, interventions=mask)
        with pytest.raises(NotFittedError):
            model.predict(X, interventions=mask)

    def test_changes_of_parameters_after_fit_do_not_change_draws(self, model, rows):
        model.fit(rows[0], interventions=rows[1])
        draws = model.sample_graphs(50, random_state=0)
        model.set_params(acyclic=not model.acyclic)
        np.testing.assert_array_equal(model.sample_graphs(50, random_state=0), draws)

    def test_precision_is_checked_before_training(self, rows, monkeypatch):
        monkeypatch.setattr(AmortizedGraphPosterior, "_find_weights", None)
        with pytest.raises(ValueError, match="dtype"):
            tiny(dtype="float16").fit(rows[0], interventions=rows[1])

    def test_pickle(self, model, rows, tmp_path):
        X, mask = rows
        model.fit(X, interventions=mask)
        copied = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(
            copied.predict(X, interventions=mask), model.predict(X, interventions=mask)
        )
        np.testing.assert_array_equal(
            copied.sample_graphs(9, random_state=0), model.sample_graphs(9, random_state=0)
        )
        copied.save_pretrained(tmp_path / "copy")
        assert NETWORK_FILES.load(tmp_path / "copy", model.architecture)[1]["n_steps"] == 2

    def test_pickle_keeps_weights_that_were_trained(self, rows):
        X, mask = rows
        model = tiny().pretrain()
        copied = pickle.loads(pickle.dumps(model)).fit(X, interventions=mask)
        model.fit(X, interventions=mask)
        np.testing.assert_array_equal(copied.edge_probabilities_, model.edge_probabilities_)

    def test_changes_of_parameters_after_fit_do_not_change_predictions(self, model, rows):
        X, mask = rows
        model.fit(X, interventions=mask)
        predicted, adjacency = model.predict(X, interventions=mask), model.adjacency_.copy()
        score = model.score(X, interventions=mask)
        model.set_params(
            pretrained=None, threshold=0.1, acyclic=False, n_draws=1, dtype="float32", width=8
        )
        model.set_params(architecture="pairs", random_state=5, scale_free=True)
        np.testing.assert_array_equal(model.predict(X, interventions=mask), predicted)
        np.testing.assert_array_equal(model.adjacency_, adjacency)
        assert model.score(X, interventions=mask) == score

    @both
    def test_fit_neither_uses_nor_changes_the_global_random_states(self, architecture, rows):
        X, mask = rows
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        first = tiny(architecture).fit(X, interventions=mask)
        np.random.seed(2)  # noqa: NPY002
        torch.manual_seed(2)
        states = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
        second = tiny(architecture).fit(X, interventions=mask)
        np.testing.assert_array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
        assert torch.equal(torch.random.get_rng_state(), states[1])
        np.testing.assert_array_equal(first.edge_probabilities_, second.edge_probabilities_)
        np.testing.assert_array_equal(
            first.predict(X, interventions=mask), second.predict(X, interventions=mask)
        )

    @both
    def test_the_seed_determines_weights_and_draws(self, architecture, rows):
        X, mask = rows
        first, other = (tiny(architecture, random_state=seed) for seed in (0, 1))
        assert np.abs(probabilities_of(first, X, mask) - probabilities_of(other, X, mask)).max() > 0


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights(name):
    data = make_linear_scm(n_variables=4, n_samples=10, random_state=0)
    model = AmortizedGraphPosterior(name, random_state=0)
    model.fit(data.X, interventions=data.interventions)
    probabilities = model.edge_probabilities_
    assert np.isfinite(probabilities).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert not probabilities.diagonal().any()
