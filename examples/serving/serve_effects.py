"""Serve the effects of an exported model over HTTP.

The server needs torch and FastAPI, not skcausal; its only input is a file that was written by
``CFRRegressor.export(path)`` in the format "torch_export"::

    pip install "skcausal-interventions[serve]"
    SKCAUSAL_MODEL=effects.pt2 OMP_NUM_THREADS=1 uvicorn serve_effects:app --workers 4

A request holds the covariates of one unit, or of several, by name::

    curl -X POST localhost:8000/effect -H "Content-Type: application/json" \\
        -d '{"covariates": {"age": 71, "lactate": 3.1}, "environment": "hospital-a"}'

The answer holds, for every unit, the outcome under each level of the treatment, and the effect of
each level but the first against the first. What is asked is logged as one JSON object per request,
with the environment but without covariates: count the environments, and give a day's covariates to
``CFRRegressor.environment_drift`` to see whether the model still fits.

``python serve_effects.py --demo`` fits a small model, serves it within the process and measures how
long a request takes.
"""

import argparse
import asyncio
import json
import logging
import os
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import torch
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

MODEL_VARIABLE = "SKCAUSAL_MODEL"
MOST_ROWS = 10_000

logger = logging.getLogger("serve_effects")

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Unit = dict[str, Number]


class EffectRequest(BaseModel):
    """Covariates of one unit or several, and where they were measured."""

    model_config = ConfigDict(extra="forbid")

    covariates: Unit | Annotated[list[Unit], Field(min_length=1, max_length=MOST_ROWS)]
    environment: Annotated[str, Field(min_length=1, max_length=200)]


class EffectResponse(BaseModel):
    """Outcomes and effects, one row per unit."""

    treatments: list[str | int | float | bool]
    potential_outcomes: list[list[float]]
    effect: list[list[float]]


class OutcomeModel:
    """An exported model and what its file says about it.

    Parameters
    ----------
    path : str or path-like
        The file.
    """

    def __init__(self, path):
        extra_files = {"skcausal.json": ""}
        with open(path, "rb") as file:
            program = torch.export.load(file, extra_files=extra_files)
        self.module = program.module()
        self.about = json.loads(extra_files["skcausal.json"])
        self.names = self.about["feature_names"]

    def table(self, units):
        """Covariates (n_units, n_covariates) in the order of the model."""
        known = set(self.names)
        for position, unit in enumerate(units):
            missing, unknown = sorted(known - unit.keys()), sorted(unit.keys() - known)
            if missing or unknown:
                raise ValueError(
                    f"The covariates of unit {position} are not those of the model: missing "
                    f"{missing}, unknown {unknown}."
                )
        rows = [[unit[name] for name in self.names] for unit in units]
        return torch.tensor(rows, dtype=torch.float64)

    def outcomes(self, units):
        """Outcomes (n_units, n_treatments)."""
        with torch.inference_mode():
            outcomes = self.module(self.table(units))
        if not outcomes.isfinite().all():
            raise ValueError("A covariate is so large that an outcome cannot be computed.")
        return outcomes


def create_app(path=None):
    """Application that serves one model.

    Parameters
    ----------
    path : str or path-like, default=None
        The exported file, which is read when the application starts. Default: the environment
        variable SKCAUSAL_MODEL, and the log is written to stderr.
    """

    @asynccontextmanager
    async def lifespan(app):
        file = path if path is not None else os.environ.get(MODEL_VARIABLE)
        if file is None:
            raise RuntimeError(f"Set {MODEL_VARIABLE} to a file that CFRRegressor.export wrote.")
        if path is None:
            log_to_stderr()
        app.state.model = OutcomeModel(file)
        yield

    app = FastAPI(title="Effects of a treatment", lifespan=lifespan)

    @app.get("/health")
    def health(request: Request) -> dict:
        """What is being served."""
        return {"status": "ok", "model": request.app.state.model.about}

    # Not `async`: the network keeps a thread of the pool busy, and the event loop free.
    @app.post("/effect")
    def effect(body: EffectRequest, request: Request) -> EffectResponse:
        """Potential outcomes and effects."""
        start = time.perf_counter()
        model = request.app.state.model
        units = body.covariates if isinstance(body.covariates, list) else [body.covariates]
        try:
            outcomes = model.outcomes(units)
        except ValueError as error:
            log_request(body.environment, len(units), 422, start)
            raise HTTPException(422, str(error)) from None
        log_request(body.environment, len(units), 200, start)
        return EffectResponse(
            treatments=model.about["treatments"],
            potential_outcomes=outcomes.tolist(),
            effect=(outcomes[:, 1:] - outcomes[:, :1]).tolist(),
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError):
        """Say what is wrong without repeating the input, which may be private, or no JSON (NaN)."""
        log_request(None, 0, 422, time.perf_counter())
        details = [{key: one[key] for key in ("type", "loc", "msg")} for one in error.errors()]
        return JSONResponse({"detail": details}, status_code=422)

    return app


def log_request(environment, n_units, status, start):
    """Log a request as one JSON object."""
    record = {
        "event": "effect",
        "time": time.time(),
        "environment": environment,
        "n_units": n_units,
        "status": status,
        "milliseconds": round(1000 * (time.perf_counter() - start), 3),
    }
    logger.info(json.dumps(record))


def log_to_stderr():
    """Let the log of requests appear, which nobody has configured under uvicorn."""
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def fit_and_export(folder, **parameters):
    """Path of an exported model of 25 covariates, fitted to simulated units."""
    import numpy as np

    from skcausal.effects import CFRRegressor

    rng = np.random.default_rng(0)
    X = rng.normal(size=(700, 25))
    treatment = rng.binomial(1, 1 / (1 + np.exp(-X[:, 0])))
    y = X[:, 0] + treatment * (2 + X[:, 1]) + rng.normal(size=700)
    model = CFRRegressor(random_state=0, **parameters).fit(X, y, treatment=treatment)
    return model.export(Path(folder) / "effects.pt2")


async def percentiles(call, n_calls):
    """Median and 95th percentile of the milliseconds that a coroutine function takes."""
    for _ in range(n_calls // 10):  # warm up
        await call()
    durations = []
    for _ in range(n_calls):
        start = time.perf_counter()
        await call()
        durations.append(1000 * (time.perf_counter() - start))
    durations.sort()
    return durations[n_calls // 2], durations[int(0.95 * n_calls)]


async def measure(app, n_calls):
    """Latencies of the served module and of requests, for one unit, without a network between.

    Returns
    -------
    latencies : dict of str to (float, float)
        Median and 95th percentile in milliseconds of the "module" alone and of a "request".
    """
    from httpx import ASGITransport, AsyncClient

    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://demo") as client,
    ):
        model = app.state.model
        unit = dict.fromkeys(model.names, 0.5)

        async def evaluate():
            model.module(model.table([unit]))

        async def request():
            body = {"covariates": unit, "environment": "demo"}
            (await client.post("/effect", json=body)).raise_for_status()

        return {
            "module": await percentiles(evaluate, n_calls),
            "request": await percentiles(request, n_calls),
        }


def demo(n_calls=1000, **parameters):
    """Fit a model with the given parameters, serve it, and print and return its latencies."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        latencies = asyncio.run(measure(create_app(fit_and_export(folder, **parameters)), n_calls))
    for name, (median, high) in latencies.items():
        print(f"One unit, {name:>7}: p50 {median:.2f} ms, p95 {high:.2f} ms")
    return latencies


app = create_app()

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the effects of an exported model.")
    parser.add_argument("--demo", action="store_true", help="measure latencies of a small model")
    if not parser.parse_args().demo:
        parser.exit(2, f"To serve: {MODEL_VARIABLE}=effects.pt2 uvicorn serve_effects:app\n")
    demo()
