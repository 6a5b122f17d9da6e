"""The example server: answers, validation, and the log of environments."""

import importlib.util
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skcausal.effects import CFRRegressor

SERVER = Path(__file__).resolve().parents[1] / "examples" / "serving" / "serve_effects.py"
TINY = {"n_ensemble": 2, "representation_layers": (8,), "head_layers": (8,), "max_epochs": 2}

# Newer versions of starlette would like the client's package to be another one.
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx`")


@pytest.fixture(scope="module")
def server():
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("serve_effects", SERVER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table():
    """Covariates of a few units."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(60, 3)), columns=["age", "lactate", "weight"])


@pytest.fixture(scope="module")
def model(table):
    """A model of three levels."""
    treatment = np.array(["none", "low", "high"])[np.arange(len(table)) % 3]
    y = table["age"] + (treatment != "none")
    return CFRRegressor(random_state=0, **TINY).fit(table, y, treatment=treatment)


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    """The model's file."""
    return model.export(tmp_path_factory.mktemp("serving") / "effects.pt2")


@pytest.fixture
def client(server, path):
    """A client of the running server."""
    from fastapi.testclient import TestClient

    with TestClient(server.create_app(path)) as client:
        yield client


def post(client, covariates, environment="hospital-a"):
    return client.post("/effect", json={"covariates": covariates, "environment": environment})


def test_health(client, model):
    answer = client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ok"
    assert body["model"]["feature_names"] == ["age", "lactate", "weight"]
    assert body["model"]["treatments"] == model.treatments_.tolist() == ["high", "low", "none"]


def test_one_unit_in_any_order_of_names(client, model, table):
    unit = table.iloc[0].to_dict()
    answer = post(client, dict(reversed(unit.items())))
    assert answer.status_code == 200
    body = answer.json()
    expected = model.potential_outcomes(table[:1])
    assert body["treatments"] == ["high", "low", "none"]
    np.testing.assert_allclose(body["potential_outcomes"], expected, atol=1e-6)
    np.testing.assert_allclose(body["effect"], expected[:, 1:] - expected[:, :1], atol=1e-6)


def test_several_units(client, model, table):
    body = post(client, table[:5].to_dict("records")).json()
    effects = [model.effect(table[:5], T0="high", T1=level) for level in ("low", "none")]
    np.testing.assert_allclose(body["effect"], np.transpose(effects), atol=1e-6)


def test_whole_numbers_are_numbers(client):
    assert post(client, {"age": 1, "lactate": 2, "weight": 3}).status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("no JSON", "JSON"),
        ('{"environment": "a"}', "Field required"),
        ('{"covariates": {"age": 1, "lactate": 2, "weight": 3}}', "Field required"),
        ('{"covariates": [], "environment": "a"}', "at least 1 item"),
        ('{"covariates": {"age": 1, "lactate": 2}, "environment": "a"}', "missing ['weight']"),
        (
            '{"covariates": {"age": 1, "lactate": 2, "weight": 3, "dose": 4}, "environment": "a"}',
            "unknown ['dose']",
        ),
        (
            '{"covariates": {"age": "old", "lactate": 2, "weight": 3}, "environment": "a"}',
            "valid number",
        ),
        (
            '{"covariates": {"age": true, "lactate": 2, "weight": 3}, "environment": "a"}',
            "valid number",
        ),
        (
            '{"covariates": {"age": null, "lactate": 2, "weight": 3}, "environment": "a"}',
            "valid number",
        ),
        (
            '{"covariates": {"age": NaN, "lactate": 2, "weight": 3}, "environment": "a"}',
            "finite number",
        ),
        (
            '{"covariates": {"age": 1e999, "lactate": 2, "weight": 3}, "environment": "a"}',
            "finite number",
        ),
        (
            '{"covariates": {"age": 1, "lactate": 2, "weight": 3}, "environment": ""}',
            "at least 1 character",
        ),
        (
            '{"covariates": {"age": 1, "lactate": 2, "weight": 3}, "environment": "a", "T1": 1}',
            "not permitted",
        ),
    ],
)
def test_bad_requests(client, body, message):
    answer = client.post("/effect", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert message in str(answer.json()["detail"]).replace('"', "'")


def test_log_names_the_environment_and_no_covariates(client, table, caplog):
    with caplog.at_level(logging.INFO, logger="serve_effects"):
        post(client, table[:2].to_dict("records"), environment="hospital-b\n")
        post(client, {"age": 12345.5}, environment="hospital-c")
    records = [json.loads(record.message) for record in caplog.records]
    logged = [(record["environment"], record["n_units"], record["status"]) for record in records]
    assert logged == [("hospital-b\n", 2, 200), ("hospital-c", 1, 422)]
    assert all("\n" not in record.message for record in caplog.records)
    assert "12345" not in caplog.text
    assert "age" not in caplog.text


def test_file_of_the_environment_variable(server, path, monkeypatch):
    from fastapi.testclient import TestClient

    monkeypatch.setattr(server, "log_to_stderr", lambda: None)
    monkeypatch.delenv(server.MODEL_VARIABLE, raising=False)
    with pytest.raises(RuntimeError, match="Set SKCAUSAL_MODEL"), TestClient(server.app):
        pass
    monkeypatch.setenv(server.MODEL_VARIABLE, str(path))
    with TestClient(server.app) as client:
        assert client.get("/health").status_code == 200


def test_demo(server, monkeypatch, capsys):
    monkeypatch.setattr(server.torch, "set_num_threads", lambda n: None)
    latencies = server.demo(n_calls=20, **TINY)
    assert all(0 < median <= high for median, high in latencies.values())
    assert "One unit, request: p50" in capsys.readouterr().out
