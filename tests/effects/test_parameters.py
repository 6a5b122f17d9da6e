"""Validation of the constructor's arguments, and what "auto" stands for."""

import re

import numpy as np
import pytest

from skcausal.effects import CFRRegressor
from skcausal.effects._parameters import check_parameters, resolve_auto


def parameters(**changes):
    return CFRRegressor().get_params(deep=False) | changes


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"alpha": 0, "weight_decay": 0.0},
        {"alpha": np.float32(0.5), "weight_decay": np.int64(2)},
        {"ipm": "sinkhorn", "env_ipm": "contrastive", "env_alpha": 3},
        {"dropout": 0.99, "validation_fraction": 1e-6, "tol": 0},
        {"batch_size": 2, "max_epochs": 1, "n_ensemble": 1, "n_iter_no_change": 1},
        {"batch_size": np.int64(64), "n_iter_no_change": None},
        {"representation_layers": [5], "head_layers": ()},
        {"representation_layers": np.array([5, 3]), "head_layers": np.array([], dtype=int)},
        {"normalize": False, "activation": "relu", "outcome": "binary"},
        {"checkpoint": "state.pt", "random_state": 0},
        {"checkpoint": "state.pt", "random_state": np.int64(3)},
    ],
    ids=lambda changes: "-".join(changes) or "default",
)
def test_values_in_range_are_accepted(changes):
    check_parameters(parameters(**changes))


CHOICES = {
    "ipm": "'linear_mmd', 'rbf_mmd', 'sinkhorn', 'contrastive'",
    "env_ipm": "'linear_mmd', 'rbf_mmd', 'sinkhorn', 'contrastive'",
    "activation": "'elu', 'relu', 'silu', 'tanh'",
    "outcome": "'continuous', 'binary'",
}


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("value", ["mmd", None, 1])
def test_unknown_choice_lists_the_known_ones(name, value):
    with pytest.raises(ValueError, match="must be one of") as caught:
        check_parameters(parameters(**{name: value}))
    assert str(caught.value) == f"{name} must be one of {CHOICES[name]}; found {value!r}."


RANGES = {
    "alpha": ("'auto' or a finite number at least 0", [-0.1, np.inf, np.nan]),
    "weight_decay": ("'auto' or a finite number at least 0", [-1, np.inf, np.nan]),
    "env_alpha": ("a finite number at least 0", [-0.1, np.inf, np.nan]),
    "dropout": ("a finite number at least 0 and below 1", [-0.1, 1.0, np.nan]),
    "learning_rate": ("a finite number above 0", [0.0, -1.0, np.inf, np.nan]),
    "validation_fraction": ("a finite number above 0 and below 1", [0.0, 1.0, np.nan]),
    "tol": ("a finite number at least 0", [-1e-9, np.inf, np.nan]),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, (_, values) in RANGES.items() for value in values]
)
def test_number_out_of_range_names_the_range(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be") as caught:
        check_parameters(parameters(**{name: value}))
    assert str(caught.value) == f"{name} must be {RANGES[name][0]}, found {value!r}."


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("value", ["0.1", None, True, [1.0]], ids=["str", "none", "bool", "list"])
def test_no_number(name, value):
    also = "'auto' or " if name in ("alpha", "weight_decay") else ""
    message = re.escape(f"{name} must be {also}a number, found {value!r}.")
    with pytest.raises(TypeError, match=f"^{message}$"):
        check_parameters(parameters(**{name: value}))


@pytest.mark.parametrize("name", ["env_alpha", "learning_rate", "n_ensemble", "tol", "dropout"])
def test_auto_where_nothing_is_automatic(name):
    with pytest.raises(TypeError, match=f"^{name} must be a.* found 'auto'"):
        check_parameters(parameters(**{name: "auto"}))


@pytest.mark.parametrize(
    ("name", "smallest"),
    [("n_ensemble", 1), ("n_iter_no_change", 1), ("batch_size", 2), ("max_epochs", 1)],
)
def test_counts(name, smallest):
    with pytest.raises(ValueError, match=f"^{name} must be at least {smallest}, found"):
        check_parameters(parameters(**{name: smallest - 1}))
    for value in (2.0, True, "many"):
        with pytest.raises(TypeError, match=f"^{name} must be an integer, found {value!r}"):
            check_parameters(parameters(**{name: value}))
    if name != "n_iter_no_change":
        with pytest.raises(TypeError, match=f"^{name} must be an integer, found None"):
            check_parameters(parameters(**{name: None}))


@pytest.mark.parametrize("name", ["representation_layers", "head_layers"])
def test_layers(name):
    for value in (100, None, "100", {100}):
        with pytest.raises(TypeError, match=f"^{name} must be a sequence of integers such as"):
            check_parameters(parameters(**{name: value}))
    with pytest.raises(TypeError, match=f"^every entry of {name} must be an integer, found 5.0"):
        check_parameters(parameters(**{name: (10, 5.0)}))
    with pytest.raises(ValueError, match=f"^every entry of {name} must be at least 1, found 0"):
        check_parameters(parameters(**{name: (10, 0)}))


def test_representation_needs_a_layer():
    with pytest.raises(ValueError, match=r"^representation_layers must have at least 1 layer"):
        check_parameters(parameters(representation_layers=()))


@pytest.mark.parametrize("value", ["yes", None, 1])
def test_normalize(value):
    with pytest.raises(
        TypeError, match=f"normalize must be 'auto', True or False, found {value!r}"
    ):
        check_parameters(parameters(normalize=value))


@pytest.mark.parametrize("value", [None, np.random.RandomState(0)], ids=["none", "random_state"])
def test_checkpoint_needs_a_seed(value):
    with pytest.raises(ValueError, match="set random_state to an integer"):
        check_parameters(parameters(checkpoint="state.pt", random_state=value))


# What "auto" stands for


@pytest.mark.parametrize(
    ("ipm", "alpha"), [("linear_mmd", 10), ("rbf_mmd", 1), ("sinkhorn", 1), ("contrastive", 0.1)]
)
@pytest.mark.parametrize("n", [100, 672, 40_000])
def test_penalties_fade_as_rows_are_added(ipm, alpha, n):
    resolved = resolve_auto(parameters(ipm=ipm), n)
    assert resolved["alpha"] * max(n, 672) == pytest.approx(672 * alpha)
    assert resolved["weight_decay"] * max(n, 672) == pytest.approx(672)


@pytest.mark.parametrize(("n", "batch_size"), [(999, 100), (4999, 100), (5000, 200)])
def test_batches_grow_with_the_data(n, batch_size):
    assert resolve_auto(parameters(), n)["batch_size"] == batch_size


def test_representations_have_length_one_unless_environments_are_aligned():
    assert resolve_auto(parameters(), 100)["normalize"] is True
    assert resolve_auto(parameters(env_alpha=1.0), 100)["normalize"] is False


def test_given_values_and_the_parameters_themselves_stay():
    given = {
        "alpha": 0.0,
        "weight_decay": 0.5,
        "batch_size": 7,
        "max_epochs": 3,
        "normalize": False,
    }
    before = parameters(**given)
    assert resolve_auto(before, 100) == before
    automatic = parameters()
    resolved = resolve_auto(automatic, 100)
    assert automatic["alpha"] == "auto"
    assert resolved.keys() == automatic.keys()
    assert "auto" not in [resolved[name] for name in given]
