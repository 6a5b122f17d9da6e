"""Files that map covariates to potential outcomes, each checked before it is put in place."""

from __future__ import annotations

import json
import logging
import os
import secrets
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from copy import copy, deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

import skcausal
from skcausal._labels import split_columns
from skcausal.effects._outcome_module import OutcomeModule, quantize_weights

_METADATA = "skcausal.json"
_N_CHECKED = 64
# Largest difference between the file's outcomes and the model's, as a share of the outcome's
# standard deviation, or of the largest outcome in these units: sums are taken in another order.
_TOLERANCE = 1e-6


def export_outcomes(model, path, *, format: str, quantize: str | None) -> Path:
    """Write the potential outcomes of a fitted model as a file that does not need skcausal.

    Parameters
    ----------
    model : CFRRegressor
        The fitted model.
    path : str or path-like
        The file; an existing one is replaced once the new one has been checked.
    format : {"torch_export", "torchscript", "onnx"}
        Format of the file.
    quantize : {"int8", None}
        Whether weights are stored as 8-bit integers.

    Returns
    -------
    path : pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If an argument is unknown, the path is a folder, or the file does not reproduce the model.
    ImportError
        If a package is missing.
    """
    _check_choice("format", format, tuple(_FORMATS))
    _check_choice("quantize", quantize, (None, "int8"))
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"path must name a file; {str(path)!r} is a folder.")
    if format == "onnx":
        _check_onnx()
    write, load = _FORMATS[format]
    model = copy(model)
    model.network_ = deepcopy(model.network_).cpu()  # so that both sides compute on the CPU
    module = OutcomeModule(
        model.network_,
        model._scaling,
        model._y_center,
        model._y_scale,
        binary=model.outcome == "binary",
    )
    rows = _random_rows(model._scaling)
    expected = model._outcomes(rows).mean(axis=0)
    if quantize is not None:
        quantize_weights(module.network)
        expected = module(torch.from_numpy(rows)).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because a file cannot be renamed across file systems. A file of `tempfile`
    # could be read by its owner alone.
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    try:
        with temporary.open("xb") as file, _silence():
            write(module, rows[:2], _metadata(model, quantize), file)
            file.flush()
            os.fsync(file.fileno())
        with temporary.open("rb") as file, _silence():
            outcomes = load(file)
            # In two pieces, so that a number of rows that was fixed by mistake does not go unseen.
            found = np.concatenate([outcomes(rows[:1]), outcomes(rows[1:])])
        _check_outcomes(found, expected, model, format)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def covariate_names(model) -> list[str]:
    """Names of a fitted model's covariates in their order; x0, x1, ... where X had no names."""
    import pandas as pd

    names = getattr(model, "feature_names_in_", [f"x{j}" for j in range(model.n_features_in_)])
    columns = {name: getattr(model, name) for name in ("treatment_column", "environment_column")}
    _, covariates = split_columns(pd.DataFrame(columns=names), columns)
    return [str(name) for name in covariates.columns]


def _metadata(model, quantize: str | None) -> str:
    """Describe what the user of a file has to know, as JSON."""
    known = {
        "feature_names": covariate_names(model),
        "treatments": model.treatments_.tolist(),
        "outcome": model.outcome,
        "quantize": quantize,
        "skcausal_version": skcausal.__version__,
    }
    return json.dumps(known, default=str)


def _random_rows(scaling) -> np.ndarray:
    """Covariates (n, n_features) within the limits of the scaling and beyond.

    No training rows: the first two are stored in some of the formats, as an example.
    """
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(_N_CHECKED, len(scaling.center)))
    return scaling.center + 3.0 * scaling.scale * normal


def _check_choice(name: str, value, choices: tuple) -> None:
    """Raise unless a value is one of the choices."""
    if value not in choices:
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {listed}; found {value!r}.")


def _check_onnx() -> None:
    """Raise where a package that the format needs is missing."""
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"format='onnx' needs {' and '.join(missing)}, which cannot be imported: install "
            "the extra with pip install 'skcausal-interventions[onnx]'."
        )


def _check_outcomes(found: np.ndarray, expected: np.ndarray, model, format: str) -> None:
    """Raise unless the outcomes of a file are those that are expected."""
    unit = max(model._y_scale, np.abs(expected - model._y_center).max())
    error = np.abs(found - expected).max() / unit
    if not error <= _TOLERANCE:
        raise ValueError(
            f"The file in format={format!r} does not reproduce potential_outcomes: they differ by "
            f"{error:.1g} standard deviations of the outcome, and {_TOLERANCE:g} is allowed. "
            "Nothing was written; try another format."
        )


@contextmanager
def _silence():
    """Keep warnings away that torch addresses to its developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def _trace(module: OutcomeModule, rows: np.ndarray) -> torch.export.ExportedProgram:
    """Graph of the module for any number of rows."""
    shapes = {"covariates": {0: torch.export.Dim("n_samples", min=1)}}
    program = torch.export.export(
        module, (torch.from_numpy(rows),), dynamic_shapes=shapes, strict=False
    )
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it would show the folders of this machine
    return program


def _write_torch_export(module, rows: np.ndarray, metadata: str, file: IO[bytes]) -> None:
    torch.export.save(_trace(module, rows), file, extra_files={_METADATA: metadata})


def _load_torch_export(file: IO[bytes]) -> Callable:
    module = torch.export.load(file).module()
    return lambda rows: module(torch.from_numpy(rows)).numpy()


def _write_torchscript(module, rows: np.ndarray, metadata: str, file: IO[bytes]) -> None:
    # Traced, for scripts know no modules with `__iter__`; nothing branches on the rows.
    traced = torch.jit.trace(module, torch.from_numpy(rows), check_trace=False)
    torch.jit.save(traced, file, _extra_files={_METADATA: metadata})


def _load_torchscript(file: IO[bytes]) -> Callable:
    module = torch.jit.load(file)
    return lambda rows: module(torch.from_numpy(rows)).numpy()


def _write_onnx(module, rows: np.ndarray, metadata: str, file: IO[bytes]) -> None:
    # Not optimized: that would turn the 8-bit weights into numbers already here.
    program = torch.onnx.export(
        _trace(module, rows), output_names=["outcomes"], dynamo=True, optimize=False, verbose=False
    )
    assert program is not None  # it is where dynamo=True
    proto = program.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]  # how torch came to it; most of a small file
    proto.metadata_props.add(key=_METADATA, value=metadata)
    file.write(proto.SerializeToString())


def _load_onnx(file: IO[bytes]) -> Callable:
    import onnx
    from onnx.reference import ReferenceEvaluator

    evaluator: Any = ReferenceEvaluator(onnx.load(file))
    return lambda rows: evaluator.run(None, {"covariates": rows})[0]


# How a format is written and loaded again.
_FORMATS: dict[str, tuple[Callable, Callable]] = {
    "torch_export": (_write_torch_export, _load_torch_export),
    "torchscript": (_write_torchscript, _load_torchscript),
    "onnx": (_write_onnx, _load_onnx),
}
