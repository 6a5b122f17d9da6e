"""Exported files reproduce the potential outcomes, in every format and without skcausal."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from skcausal.effects import CFRRegressor, _export
from skcausal.effects._export import covariate_names
from skcausal.effects._outcome_module import Int8Weights

N_FEATURES = 4
METADATA = "skcausal.json"
FORMATS = ["torch_export", "torchscript", "onnx"]


def make_rows(n_treatments=2, n_samples=80, random_state=0):
    """Covariates (one with two values), treatments and outcomes far from zero."""
    rng = np.random.default_rng(random_state)
    X = 10.0 + 3.0 * rng.normal(size=(n_samples, N_FEATURES))
    X[:, 1] = X[:, 1] > 10
    treatment = np.arange(n_samples) % n_treatments
    y = 50 + 2 * X[:, 0] + treatment * X[:, 2] + rng.normal(size=n_samples)
    return X, treatment, y


def fit_model(n_treatments=2, **parameters):
    """Fit a tiny model."""
    X, treatment, y = make_rows(n_treatments)
    if parameters.get("outcome") == "binary":
        y = y > np.median(y)
    defaults = {
        "n_ensemble": 2,
        "representation_layers": (8,),
        "head_layers": (8,),
        "max_epochs": 2,
        "random_state": 0,
    }
    return CFRRegressor(**(defaults | parameters)).fit(X, y, treatment=treatment)


@pytest.fixture(scope="module")
def model():
    return fit_model()


def new_rows(n):
    """Rows that were not trained on, the last of which is beyond the limits of the scaling."""
    X = make_rows(n_samples=n, random_state=1)[0]
    X[-1] = [1e4, 1, -1e4, 10]
    return X


def load(path, format):
    """Exported function of numpy arrays, and the metadata, as a user without skcausal has them."""
    if format == "onnx":
        import onnx
        from onnx.reference import ReferenceEvaluator

        proto = onnx.load(path)
        onnx.checker.check_model(proto, full_check=True)
        metadata = {prop.key: prop.value for prop in proto.metadata_props}
        evaluator = ReferenceEvaluator(proto)
        return lambda X: evaluator.run(None, {"covariates": X})[0], json.loads(metadata[METADATA])
    files = {METADATA: ""}
    with path.open("rb") as file:
        if format == "torch_export":
            module = torch.export.load(file, extra_files=files).module()
        else:
            module = torch.jit.load(file, _extra_files=files)
    return lambda X: module(torch.from_numpy(X)).numpy(), json.loads(files[METADATA])


def assert_same(function, model, tolerance=1e-6):
    for n in (1, 7):
        X = new_rows(n)
        outcomes = function(X)
        assert outcomes.dtype == np.float64
        expected = model.potential_outcomes(X)
        assert outcomes.shape == expected.shape
        np.testing.assert_allclose(outcomes, expected, rtol=0, atol=tolerance * model._y_scale)


@pytest.mark.parametrize("n_treatments", [2, 3])
@pytest.mark.parametrize("effect_head", [False, True])
@pytest.mark.parametrize("outcome", ["continuous", "binary"])
@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_files_reproduce_potential_outcomes(tmp_path, outcome, effect_head, n_treatments):
    model = fit_model(n_treatments, outcome=outcome, effect_head=effect_head)
    # ONNX takes seconds: two models, which differ in everything.
    with_onnx = (outcome, effect_head, n_treatments) in [
        ("continuous", False, 2),
        ("binary", True, 3),
    ]
    formats = FORMATS if with_onnx else FORMATS[:2]
    for format in formats:
        path = model.export(tmp_path / f"model.{format}", format=format)
        function, metadata = load(path, format)
        assert_same(function, model)
        assert metadata["treatments"] == list(range(n_treatments))
        assert metadata["outcome"] == outcome


@pytest.mark.parametrize(
    ("activation", "normalize"),
    [("elu", False), ("relu", True), ("silu", False), ("tanh", True)],
)
def test_networks_of_float64(tmp_path, activation, normalize):
    model = fit_model(activation=activation, normalize=normalize, dtype="float64", n_ensemble=1)
    function, _ = load(model.export(tmp_path / "model.pt2"), "torch_export")
    assert_same(function, model, tolerance=1e-12)


def test_without_treatment(tmp_path):
    X, _, y = make_rows()
    model = CFRRegressor(
        n_ensemble=2, representation_layers=(8,), head_layers=(), max_epochs=2, random_state=0
    ).fit(X, y)
    function, metadata = load(model.export(tmp_path / "model.pt2"), "torch_export")
    assert_same(function, model)
    assert metadata["treatments"] == [0]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_int8(tmp_path, format):
    """Weights of 8 bits make a smaller file, and effects that are nearly the same."""
    model = fit_model(representation_layers=(100, 100), head_layers=(40,), max_epochs=5)
    full = model.export(tmp_path / "full", format="torchscript")  # the quickest to write
    small = model.export(tmp_path / "small", format=format, quantize="int8")
    assert small.stat().st_size < 0.75 * full.stat().st_size
    function, metadata = load(small, format)
    assert metadata["quantize"] == "int8"
    X = make_rows(n_samples=200, random_state=2)[0]
    outcomes = function(X)
    effect = outcomes[:, 1] - outcomes[:, 0]
    expected = model.effect(X)
    assert not np.array_equal(effect, expected)
    assert np.abs(effect - expected).max() < 0.05 * expected.std()
    # The model itself keeps its weights.
    assert all(p.dtype == torch.float32 for p in model.network_.parameters())
    np.testing.assert_array_equal(model.effect(X), expected)


def test_int8_weights_are_rounded_per_unit():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    weight *= torch.tensor([1e-3, 1.0, 1e3])
    weight[0, :, 1] = 0.0
    stored = Int8Weights([weight, weight[:, :2]])
    assert len(stored) == 2
    assert [b.dtype for name, b in stored.named_buffers() if "integer" in name] == [torch.int8] * 2
    for original, number in zip([weight, weight[:, :2]], stored):
        # Half a step, the step being the largest weight of the unit divided by 127.
        largest = original.abs().amax(dim=1, keepdim=True)
        assert ((number - original).abs() <= largest / 254 * (1 + 1e-9)).all()
        torch.testing.assert_close(number.abs().amax(dim=1, keepdim=True), largest)


def test_files_need_no_skcausal(tmp_path, model):
    paths = [str(model.export(tmp_path / format, format=format)) for format in FORMATS[:2]]
    X = new_rows(3)
    script = """
import sys, json
sys.modules["skcausal"] = None  # any import of it fails from here on
import torch
exported, traced, rows = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
X = torch.tensor(rows, dtype=torch.float64)
with open(exported, "rb") as file:
    module = torch.export.load(file).module()
print(json.dumps([module(X).tolist(), torch.jit.load(traced)(X).tolist()]))
"""
    command = [sys.executable, "-W", "ignore", "-c", script, *paths, json.dumps(X.tolist())]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    expected = model.potential_outcomes(X)
    for outcomes in json.loads(result.stdout):
        np.testing.assert_allclose(outcomes, expected, rtol=0, atol=1e-6 * model._y_scale)


def test_columns_of_treatment_and_environment_are_left_out(tmp_path):
    X, treatment, y = make_rows()
    table = pd.DataFrame(X, columns=["age", "sex", "dose", "weight"])
    table.insert(1, "arm", np.where(treatment, "drug", "none"))
    table.insert(3, "site", np.arange(len(table)) % 3)
    model = CFRRegressor(
        n_ensemble=2,
        representation_layers=(8,),
        head_layers=(8,),
        max_epochs=2,
        random_state=0,
        treatment_column="arm",
        environment_column="site",
    ).fit(table, y)
    function, metadata = load(model.export(tmp_path / "model.pt2"), "torch_export")
    assert metadata["feature_names"] == ["age", "sex", "dose", "weight"]
    assert metadata["treatments"] == ["drug", "none"]
    np.testing.assert_allclose(
        function(table[metadata["feature_names"]].to_numpy(copy=True)),
        model.potential_outcomes(table),
        rtol=0,
        atol=1e-6 * model._y_scale,
    )


def test_names_of_unnamed_covariates(model):
    assert covariate_names(model) == ["x0", "x1", "x2", "x3"]
    X, treatment, y = make_rows()
    with_arm = CFRRegressor(
        n_ensemble=1, representation_layers=(4,), max_epochs=1, random_state=0, treatment_column=1
    ).fit(np.insert(X, 1, treatment, axis=1), y)
    assert covariate_names(with_arm) == ["x0", "x2", "x3", "x4"]


def test_path_is_returned_and_an_existing_file_replaced(tmp_path, model):
    path = tmp_path / "new" / "model.pt2"
    path.parent.mkdir()
    path.write_bytes(b"old")
    assert model.export(str(path)) == path
    assert list(path.parent.iterdir()) == [path]
    assert_same(load(path, "torch_export")[0], model)


def test_folders_are_made(tmp_path, model):
    path = model.export(tmp_path / "a" / "b" / "model.pt", format="torchscript")
    assert path.is_file()


@pytest.mark.parametrize("format", FORMATS[:2])
def test_nothing_is_shown(tmp_path, model, format, recwarn, capfd):
    model.export(tmp_path / "model", format=format)
    assert not [str(warning.message) for warning in recwarn]
    assert capfd.readouterr() == ("", "")


def test_training_rows_do_not_leak(tmp_path, model):
    """The example rows that some formats hold are not rows of the training data."""
    with model.export(tmp_path / "model.pt2").open("rb") as file:
        (example,), _ = torch.export.load(file).example_inputs
    X = make_rows()[0]
    assert not np.isclose(example.numpy()[:, None], X[None]).all(axis=2).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "pickle"}, "format must be one of 'torch_export', 'torchscript', 'onnx'"),
        ({"format": None}, "format must be one of"),
        ({"quantize": "int4"}, "quantize must be one of None, 'int8'; found 'int4'"),
        ({"quantize": True}, "quantize must be one of"),
    ],
)
def test_unknown_arguments(tmp_path, model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.export(tmp_path / "model", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file(tmp_path, model):
    with pytest.raises(ValueError, match="is a folder"):
        model.export(tmp_path)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_missing_package(tmp_path, model, monkeypatch, missing):
    monkeypatch.setattr(_export, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(ImportError, match=rf"needs {missing}, .*interventions\[onnx\]"):
        model.export(tmp_path / "model.onnx", format="onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [np.nan, 1e-3])
def test_a_file_that_differs_is_not_kept(tmp_path, model, monkeypatch, wrong):
    path = tmp_path / "model.pt2"
    path.write_bytes(b"old")
    write, load = _export._FORMATS["torchscript"]

    def load_another(file):
        outcomes = load(file)
        return lambda rows: outcomes(rows) + wrong * model._y_scale

    monkeypatch.setitem(_export._FORMATS, "torchscript", (write, load_another))
    with pytest.raises(ValueError, match=r"does not reproduce potential_outcomes"):
        model.export(path, format="torchscript")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_an_interruption_leaves_no_file(tmp_path, model, monkeypatch):
    def interrupt(module, rows, metadata, file):
        file.write(b"half")
        raise KeyboardInterrupt

    load = _export._FORMATS["torchscript"][1]
    monkeypatch.setitem(_export._FORMATS, "torchscript", (interrupt, load))
    with pytest.raises(KeyboardInterrupt):
        model.export(tmp_path / "model.pt", format="torchscript")
    assert not list(tmp_path.iterdir())
