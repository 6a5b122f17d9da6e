"""ActiveDesigner: training of its policies, its parameters, and how it is kept."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skcausal.design import (
    ActiveDesigner,
    _distillation,
)
from skcausal.design._policy_weights import POLICY_FILES
from skcausal.simulators import LinearPrior
from skcausal.structure import GIES, ExactGraphPosterior
from tests.design.designer_helpers import (
    DISTILLED,
    PRIOR,
    QUICK,
    REDQ,
    TRAINED,
    D,
    every_algorithm,
    fit,
    make,
    rows,
    untrained,
)

pytestmark = pytest.mark.usefixtures("small_batches")


class TestTraining:
    @pytest.mark.parametrize(("name", "params"), [("distilled", DISTILLED), ("redq", REDQ)])
    def test_fit_trains_where_there_are_no_weights(self, name, params, tmp_path):
        X, mask = rows()
        designer = fit(untrained(name, params), X, mask)
        assert designer.loss_curve_
        assert all(np.isfinite(curve).all() for curve in designer.loss_curve_.values())
        expected = designer.propose()
        designer.save_pretrained(tmp_path / "w")
        loaded = ActiveDesigner(tmp_path / "w", algorithm=name, prior=PRIOR, **QUICK)
        fit(loaded, X, mask)
        assert not loaded.loss_curve_
        np.testing.assert_array_equal(loaded.propose(), expected)
        fit(loaded.set_params(pretrained=str(tmp_path / "w")), X, mask)
        np.testing.assert_array_equal(loaded.propose(), expected)

    @pytest.mark.parametrize(("name", "params"), [("distilled", DISTILLED), ("redq", REDQ)])
    def test_fit_after_pretrain_does_not_train_again(self, name, params):
        X, mask = rows()
        expected = fit(untrained(name, params), X, mask)
        designer = untrained(name, params).pretrain()
        curve = designer.loss_curve_
        assert curve
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ActiveDesigner, "_train", None)
            fit(designer, X, mask)
        np.testing.assert_array_equal(designer.propose(), expected.propose())
        assert designer.loss_curve_ is curve, "the training that this object ran"

    def test_pretrain_takes_prior_and_settings(self):
        other = LinearPrior.preset("caasl", n_variables=2, edges_per_variable=0.4)
        designer = untrained("distilled", DISTILLED).pretrain(other, n_epochs=2)
        card = designer._weights_of_fit[2]
        assert card["prior"] == repr(other)
        assert card["n_epochs"] == 2
        assert card["sizes"]["width"] == 4
        assert len(designer.loss_curve_["loss"]) == 4
        with pytest.raises(NotFittedError):
            designer.propose()

    def test_clones_start_from_the_parameters(self):
        designer = untrained("distilled", DISTILLED).pretrain()
        assert not hasattr(clone(designer), "_pretrained")

    def test_pickles_keep_the_training(self):
        designer = untrained("distilled", DISTILLED).pretrain()
        again = pickle.loads(pickle.dumps(designer))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ActiveDesigner, "_train", None)
            assert fit(again, *rows()).propose().shape == (1, D)

    @pytest.mark.parametrize("name", ["lookahead", "balanced_half", "auto"])
    def test_algorithms_that_have_nothing_to_train(self, name, tmp_path):
        for call in (lambda d: d.pretrain(PRIOR), lambda d: d.save_pretrained(tmp_path / "w")):
            for prior in (PRIOR, None, LinearPrior.preset("caasl")):
                with pytest.raises(ValueError, match="nothing to train"):
                    call(make(name, prior=prior))

    @pytest.mark.parametrize(
        ("name", "params", "error", "message"),
        [
            ("distilled", {"n_steps": 3}, ValueError, r"has \['n_steps'\]; it can have"),
            ("redq", {"n_batches": 3}, ValueError, r"has \['n_batches'\]; it can have"),
            ("distilled", {"seed": 3}, ValueError, r"has \['seed'\]"),
            ("redq", {"prior": 3}, ValueError, r"has \['prior'\]"),
            ("distilled", {"n_epochs": 0}, ValueError, "n_epochs"),
            ("distilled", {"n_batches": 0}, ValueError, "n_batches"),
            ("distilled", {"n_edge_steps": 0}, ValueError, "n_edge_steps"),
            ("distilled", {"n_candidates": 1}, ValueError, "n_candidates"),
            ("distilled", {"n_epochs": 1.5}, (TypeError, ValueError), "n_epochs"),
            ("distilled", {"width": 0}, ValueError, "width"),
            ("distilled", {"width": "wide"}, (TypeError, ValueError), "width"),
            ("distilled", {"n_hidden": 0}, ValueError, "n_hidden"),
            ("redq", {"n_iterations": 0}, ValueError, "n_iterations"),
            ("redq", {"n_envs": 0}, ValueError, "n_envs"),
        ],
    )
    def test_bad_settings(self, name, params, error, message):
        settings = (DISTILLED if name == "distilled" else REDQ) | params
        with pytest.raises(error, match=message):
            untrained(name, settings).pretrain()

    def test_settings_must_be_a_dict(self):
        with pytest.raises(TypeError, match="training_params must be a dict or None"):
            untrained("distilled", ["n_epochs"]).fit(rows()[0])

    @pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
    def test_checkpoint_needs_an_integer_seed(self, random_state, tmp_path):
        designer = untrained(
            "distilled", DISTILLED, random_state=random_state, checkpoint=tmp_path / "c"
        )
        with pytest.raises(ValueError, match="checkpoint needs an integer random_state"):
            designer.pretrain()

    def test_checkpoint_is_read(self, tmp_path):
        X, mask = rows()
        expected = fit(untrained("distilled", DISTILLED), X, mask).propose()
        designer = untrained("distilled", DISTILLED, checkpoint=tmp_path / "c")
        np.testing.assert_array_equal(fit(designer, X, mask).propose(), expected)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_distillation, "label_episodes", None)
            np.testing.assert_array_equal(fit(designer, X, mask).propose(), expected)

    @pytest.mark.parametrize(
        "changes",
        [
            {"random_state": 1},
            {"budget": 3},
            {"n_initial": 6},
            {"rows_per_design": 2},
            {"prior": LinearPrior.preset("caasl", n_variables=3, edges_per_variable=0.4)},
            {"training_params": DISTILLED | {"n_epochs": 2}},
            {"training_params": DISTILLED | {"n_candidates": 4}},
            {"posterior": ExactGraphPosterior(edge_probability=0.1)},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_checkpoint_of_another_training_is_refused(self, changes, tmp_path):
        untrained("distilled", DISTILLED, checkpoint=tmp_path).pretrain()
        other = untrained("distilled", DISTILLED, checkpoint=tmp_path).set_params(**changes)
        with pytest.raises(ValueError, match=r"belongs to (a|another) training"):
            other.pretrain()

    def test_files_of_the_other_algorithm_are_refused(self, weights):
        for name, other in (TRAINED, TRAINED[::-1]):
            designer = ActiveDesigner(weights / other, algorithm=name, **QUICK)
            with pytest.raises(ValueError, match="holds no weights of the variant"):
                designer.fit(rows()[0])

    def test_damaged_files_are_refused(self, weights, tmp_path):
        for name in TRAINED:
            content = bytearray((weights / name).read_bytes())
            content[-3] ^= 1
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ValueError, match="damaged"):
                ActiveDesigner(tmp_path / name, algorithm=name, **QUICK).fit(rows()[0])

    def test_files_are_read_back(self, weights):
        network, card = POLICY_FILES.load(weights / "distilled", "distilled")
        assert network.sizes["n_features"] == 30
        assert card["prior"] == repr(PRIOR)
        assert set(card["final"]) == {"loss", "scores", "edges", "validation"}


class TestParameters:
    @pytest.mark.parametrize(
        ("parameter", "value", "error"),
        [
            ("algorithm", "best", ValueError),
            ("algorithm", None, ValueError),
            ("utility", "entropy", ValueError),
            ("prior", "caasl", TypeError),
            ("prior", [PRIOR], TypeError),
            ("posterior", "exact", TypeError),
            ("posterior", GIES(), TypeError),
            ("feasible", [1], TypeError),
            ("budget", 0, ValueError),
            ("budget", 2.5, ValueError),
            ("n_initial", 1, ValueError),
            ("rows_per_design", 0, ValueError),
            ("n_candidates", 0, ValueError),
            ("n_draws", 1, ValueError),
            ("n_draws", 3, ValueError),
            ("n_outcomes", 0, ValueError),
            ("n_outcomes", 8, ValueError),
            ("n_replays", 0, ValueError),
            ("training_params", 3, TypeError),
            ("random_state", "seed", ValueError),
        ],
    )
    def test_refused(self, parameter, value, error):
        designer = make("lookahead").set_params(**{parameter: value})
        with pytest.raises(error, match="seed" if parameter == "random_state" else parameter):
            designer.fit(rows()[0])
        for call in (designer.propose, lambda: designer.predict(rows()[0])):
            with pytest.raises(NotFittedError):
                call()

    @pytest.mark.parametrize("name", TRAINED)
    @pytest.mark.parametrize(
        ("value", "error"),
        [(3, TypeError), (True, TypeError), ("nowhere", OSError), (["caasl"], TypeError)],
    )
    def test_weights_that_do_not_exist(self, name, value, error):
        with pytest.raises(error, match=r"pretrained"):
            ActiveDesigner(value, algorithm=name, **QUICK).fit(rows()[0])

    @pytest.mark.parametrize("name", ["abacus", 3.5])
    def test_devices(self, name):
        with pytest.raises((ValueError, TypeError), match="device"):
            untrained("redq", REDQ, device=name).pretrain()

    def test_a_small_dense_prior_is_told_from_the_published_one(self):
        """The published prior has three edges per variable, which three variables cannot have."""
        priors = [LinearPrior(2, edges_per_variable=0.5), LinearPrior(3), LinearPrior(5)]
        for prior in [*priors, LinearPrior(20, edges_per_variable=6.0)]:
            designer = make("balanced_half", prior=prior)
            assert fit(designer, *rows()).propose().shape == (1, D)


class TestState:
    def test_fit_that_fails_leaves_no_model_behind(self):
        X, mask = rows()
        designer = fit(make("lookahead"), X, mask)
        failures = [
            (np.where(np.arange(X.size).reshape(X.shape) == 3, np.nan, X), {}, "NaN"),
            (np.where(np.arange(X.size).reshape(X.shape) == 3, np.inf, X), {}, "infinity"),
            (X, {"budget": 0}, "budget"),
            (X, {"feasible": {"n_targets": 9}}, "n_targets"),
            (X[:1], {}, "minimum of 2"),
        ]
        for data, change, message in failures:
            with pytest.raises(ValueError, match=message):
                designer.set_params(**change).fit(data, interventions=mask[: len(data)])
            for call in (
                designer.propose,
                lambda: designer.predict(X, interventions=mask),
                lambda: designer.score(X, interventions=mask),
            ):
                with pytest.raises(NotFittedError):
                    call()
            fit(designer.set_params(budget=10, feasible=None), X, mask)

    @pytest.mark.parametrize("name", ["lookahead", "balanced_half", "uncertain_half"])
    @pytest.mark.filterwarnings("error::RuntimeWarning")
    def test_degenerate_rows_give_finite_designs(self, name):
        X = rows()[0]
        rng = np.random.default_rng(0)
        cases = {
            "few": X[:3],
            "constant": np.column_stack([X[:, :3], np.full(24, 3.7)]),
            "equal": np.column_stack([X[:, :3], X[:, 0]]),
            "all constant": np.tile([1.0, -2.0, 0.0, 1e6], (24, 1)),
            "integers": rng.integers(0, 3, (24, D)),
            "booleans": X > 0,
            "float32": X.astype(np.float32),
            "mixed": X * [1e-8, 1.0, 1e8, 1e3],
        }
        for key, data in cases.items():
            for mask in (None, rows()[1][-len(data) :]):
                designer = make(name).fit(data, interventions=mask)
                assert np.isfinite(designer.edge_probabilities_).all(), key
                n_targets = np.isfinite(designer.propose()).sum()
                # Where all ranges are a single value, as for knock-outs, any number will do.
                assert n_targets in ((1, 2, 3) if key == "all constant" else (2,)), key

    @pytest.mark.parametrize("name", ["lookahead", "balanced_half"])
    def test_numbers_that_are_too_large_are_refused(self, name):
        X = rows()[0].copy()
        X[3, 1] = 1e300
        with pytest.raises(ValueError, match="too large"):
            make(name).fit(X)

    @every_algorithm
    def test_pickle(self, name, weights):
        X, mask = rows()
        designer = fit(make(name, weights), X, mask)
        again = pickle.loads(pickle.dumps(designer))
        np.testing.assert_array_equal(again.propose(2), designer.propose(2))
        again.partial_fit(X[:1], interventions=mask[:1])
        designer.partial_fit(X[:1], interventions=mask[:1])
        np.testing.assert_array_equal(again.propose(), designer.propose())

    @every_algorithm
    def test_global_random_states_are_neither_used_nor_changed(self, name, weights):
        X, mask = rows()
        designs = []
        for seed in (1, 2):
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            states = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
            designs.append(fit(make(name, weights), X, mask).propose(2))
            np.testing.assert_array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
            assert torch.equal(torch.random.get_rng_state(), states[1])
        np.testing.assert_array_equal(*designs)

    @pytest.mark.parametrize("name", TRAINED)
    def test_a_training_leaves_global_random_states_alone(self, name):
        states = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
        untrained(name, DISTILLED if name == "distilled" else REDQ).pretrain()
        np.testing.assert_array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
        assert torch.equal(torch.random.get_rng_state(), states[1])

    def test_inputs_are_not_modified(self):
        X, mask = rows()
        X.flags.writeable = mask.flags.writeable = False
        designer = fit(make("lookahead"), X, mask)
        designer.predict(X, interventions=mask)
        designer.partial_fit(X, interventions=mask)

    def test_rows_are_copied(self):
        X, mask = rows()
        designer = fit(make("lookahead"), X, mask)
        expected = designer.propose()
        X += 100.0
        mask[:] = True
        np.testing.assert_array_equal(designer.propose(), expected)

    def test_a_posterior_that_is_a_parameter_stays_unfitted(self):
        posterior = ExactGraphPosterior(random_state=0)
        designer = fit(make("lookahead", posterior=posterior), *rows())
        assert designer.posterior is posterior
        assert not [name for name in vars(posterior) if name.endswith("_")]
        assert clone(designer).posterior is not posterior
        designer.set_params(posterior__edge_probability=0.2)
        assert posterior.edge_probability == 0.2

    def test_shipped_weights_are_not_trained_upon(self, weights):
        """`fit` reads weights and changes none."""
        X, mask = rows()
        designer = fit(make("distilled", weights), X, mask)
        before = {k: v.clone() for k, v in designer._weights_of_fit[1].state_dict().items()}
        designer.propose(2)
        after = designer._weights_of_fit[1].state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
