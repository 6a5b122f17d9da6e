"""What every estimator does with bad input, damaged files, interruptions, threads and many rows.

The checks of tests/reliability at full size, over one small instance of every public estimator, and
two that take too long for tests: the memory of whole processes and the coverage of intervals. One
row per check, estimator and figure; rows for the library as a whole have no estimator.

- bad input: of the 17 tables of tests/reliability/test_bad_tables.py, those that `fit`, or
  `predict` and its like, refuses with a ValueError or TypeError, or answers with finite numbers,
  within 15 seconds;
- stored copies: answers (`predict`, `score`, `sample`, ...) of a fitted estimator that differ in
  any bit after pickle, copy, joblib, a memory map, and skops where it is installed;
- damaged files: of 400 copies of each file of weights, and of a checkpoint of a training, half of
  them truncated and half with one flipped bit, those that are refused with a sentence; and of 16
  files of other kinds;
- interrupted training: largest difference of weights and losses from an uninterrupted training;
- threads: of 80 fits in eight threads, those of which any answer differs from a serial fit;
- jobs and blocks: largest relative difference of answers about rows one block after the other;
- global state: generators, settings and filters of the process that fit and all answers change;
- side effects: files, connections and programs that import, fit and all answers open;
- memory: peak of `predict` on a million rows of eight variables, as a multiple of the sizes of
  input and output, of which a block of rows is a part (Linux only);
- intervals: coverage of nominal 90 % intervals, and calibration errors of edge probabilities.

The rows of a check are written as soon as it ends, in place of those of earlier runs.

    OMP_NUM_THREADS=1 python benchmarks/reproduce/reliability.py
    OMP_NUM_THREADS=1 python benchmarks/reproduce/reliability.py --checks "bad input" memory
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from _provenance import write_csv
from sklearn.base import clone

sys.path.append(str(Path(__file__).resolve().parents[2]))
from skcausal.datasets import make_linear_scm
from skcausal.design import ActiveDesigner
from skcausal.effects import CFRRegressor
from skcausal.perturbation import GenerativeInterventionModel
from skcausal.structure import AmortizedGraphPosterior, ExactGraphPosterior, KnownGraph
from skcausal.weights import shipped_weights
from tests.conftest import fit_on
from tests.reliability import test_bad_tables as tables
from tests.reliability import test_damaged_files as files
from tests.reliability import test_interruption as interruption
from tests.reliability import test_round_trips as trips
from tests.reliability import test_rows as rows_of
from tests.reliability import test_threads as threads
from tests.reliability.calibration_tasks import (
    caasl_prior,
    covered_effects,
    covered_means,
    edge_error,
)
from tests.reliability.conftest import FAMILIES, answers, assert_same_answers
from tests.reliability.process_state import changes_since, moved_on_state

LONGEST_CALL = 15  # seconds


def row(estimator, figure, value, unit="", goal=""):
    """One line of the table; the estimator may be its name, or None for the whole library."""
    name = "" if estimator is None else estimator
    name = name if isinstance(name, str) else type(name).__name__
    return {"estimator": name, "figure": figure, "value": value, "unit": unit, "goal": goal}


def small_data():
    """Five regimes of twelve rows each."""
    return make_linear_scm(4, n_samples=12, random_state=0)


@contextmanager
def time_limit(seconds):
    """Raise TimeoutError in a call that does not end."""

    def stop(*_):
        raise TimeoutError(f"no answer in {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def n_handled(estimator, method):
    """Number of bad tables that a method refuses, or answers with finite numbers."""
    model, n = clone(estimator), 0
    if isinstance(model, CFRRegressor):
        model.set_params(**tables.QUICK)
    model.fit(tables.GOOD, **tables.metadata_for(model, "fit", tables.GOOD))
    means_unknown = method == "predict" and hasattr(model, "target_mean_")
    means_a_design = method == "predict" and isinstance(model, ActiveDesigner)
    for name, X in tables.BAD_TABLES.items():
        asked = deepcopy(model)
        call = partial(getattr(asked, method), X, **tables.metadata_for(asked, method, X))
        may_pass = name in tables.MAY_PASS or (name == "NaN" and means_unknown)
        try:
            with time_limit(LONGEST_CALL):
                failure = tables.failure_of(call, may_pass, means_a_design)
        except TimeoutError as error:
            failure = str(error)
        if failure is None:
            n += 1
        else:
            print(f"{type(estimator).__name__}.{method}, {name}: {failure}", flush=True)
    return n


def bad_input(quick):
    """Rows of the check of this name."""
    total = len(tables.BAD_TABLES)
    for estimator in FAMILIES:
        for method in ("fit", "predict"):
            value = n_handled(estimator, method)
            yield row(estimator, f"{method}: refused or finite", value, f"of {total}", total)


def stored_copies(quick):
    """Rows of the check of this name."""
    data = small_data()
    has_skops = importlib.util.find_spec("skops") is not None
    for estimator in FAMILIES:
        fitted = fit_on(estimator, data)
        expected, different = answers(fitted, data), {"skops": set(), "others": set()}
        with tempfile.TemporaryDirectory() as folder:
            for way in trips.WAYS:
                kind = "skops" if way is trips.through_skops else "others"
                if kind == "skops" and not has_skops:
                    continue
                try:
                    assert_same_answers(answers(way(fitted, Path(folder)), data), expected)
                except Exception as error:
                    print(f"{type(estimator).__name__}, {way.__name__}: {error!r}"[:200])
                    different[kind].add(way.__name__)
        yield row(estimator, "ways that change answers", len(different["others"]), "of 5", 0)
        if has_skops:
            yield row(estimator, "skops changes answers", len(different["skops"]), "of 1", 0)


def n_refused(read, path, contents):
    """Number of contents of a file that are refused as they should be."""
    n = 0
    for content in contents:
        try:
            files.assert_refused(read, path, content)
            n += 1
        except (Exception, pytest.fail.Exception) as error:
            print(f"{path}: {error!r}"[:200], flush=True)
    return n


def damaged_files(quick):
    """Rows of the check of this name."""
    n_copies = 10 if quick else 200

    def judge(name, read, path, content):
        damaged = n_refused(read, path, files.damaged_copies(content, n_copies))
        figure = f"{name}: damaged copies refused"
        yield row(None, figure, damaged, f"of {2 * n_copies}", 2 * n_copies)
        kinds = files.files_of_other_kinds(content, path.with_name("executed"))
        others = n_refused(read, path, kinds.values())
        yield row(None, f"{name}: other files refused", others, f"of {len(kinds)}", len(kinds))
        executed = int(path.with_name("executed").exists())
        yield row(None, f"{name}: pickles executed", executed, "", 0)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "given.safetensors"
        for name, make in files.SHIPPED.items():

            def read(path, make=make):
                make(path).save_pretrained(path.with_name("copy"))

            yield from judge(name, read, path, shipped_weights(name).read_bytes())
        for name, fit in {"CFR": files.fit_cfr, "GIM": files.fit_gim}.items():
            path.unlink()
            fit(path)
            yield from judge(f"checkpoint of {name}", fit, path, path.read_bytes())


def interrupted_training(quick):
    """Rows of the check of this name."""
    steps = interruption.Steps()
    handle = interruption.register_optimizer_step_pre_hook(steps)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        interruption.shorten_epochs(patch)
        for number, name in enumerate(interruption.TRAININGS):
            path = Path(folder) / str(number)
            expected, found, n_runs = interruption.interrupt_and_resume(name, steps, path)
            largest = max(float(np.max(np.abs(found[k] - v))) for k, v in expected.items())
            yield row(None, f"{name}: largest difference after {n_runs} runs", largest, "", 0)
    handle.remove()


def in_threads(quick):
    """Rows of the check "threads"."""
    data, n_fits = small_data(), 16 if quick else 80
    for estimator in FAMILIES:
        estimator = threads.made_quick(estimator)
        seeded = [threads.with_seed(estimator, seed) for seed in (0, 1)]
        expected = [answers(fit_on(model, data), data) for model in seeded]

        def differs(number, seeded=seeded, expected=expected):
            said = answers(fit_on(seeded[number % 2], data), data)
            try:
                assert_same_answers(said, expected[number % 2])
            except AssertionError:
                return True
            return False

        with ThreadPoolExecutor(8) as pool:
            value = sum(pool.map(differs, range(n_fits)))
        yield row(estimator, "fits that differ", value, f"of {n_fits}", 0)


def jobs_and_blocks(quick):
    """Rows of the check of this name."""
    data = small_data()
    rng = np.random.default_rng(1)
    chosen = rng.integers(len(data.X), size=300)
    X = data.X.iloc[chosen].reset_index(drop=True) + 0.1 * rng.normal(size=(300, 4))
    mask = data.interventions.iloc[chosen].reset_index(drop=True)
    largest = {}
    for estimator, name in rows_of.CASES:
        parts, whole = rows_of.in_blocks_and_together(fit_on(estimator, data), name, X, mask)
        difference = float(np.max(np.abs(parts - whole) / (1e-3 + np.abs(whole))))
        key = type(estimator).__name__
        largest[key] = max(largest.get(key, 0.0), difference)
    for name, value in largest.items():
        yield row(name, "largest relative difference", value, "", "1e-4")


def state_of_process(quick):
    """Rows of the check "global state"."""
    data = small_data()
    for estimator in FAMILIES:
        answers(fit_on(estimator, data), data)  # what others change when they are imported
        before = moved_on_state()
        answers(fit_on(estimator, data), data)
        yield row(estimator, "changes", len(changes_since(before)), "", 0)


def side_effects(quick):
    """Rows of the check of this name."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        settings = {"HOME": folder, "TMPDIR": folder, "PYTHONPATH": sys.path[-1]}
        subprocess.run(
            [sys.executable, "-m", "tests.reliability.side_effects_program", str(report)],
            cwd=folder,
            env=os.environ | settings | {"PYTHONDONTWRITEBYTECODE": "1"},
            check=True,
        )
        found = json.loads(report.read_text())
    yield row(None, "import: settings that change", len(found["changed by import"]), "", 0)
    for name, noted in found["noted"].items():
        if name == "import":
            yield row(None, "import: files, connections and programs", len(noted), "", 0)
        elif name != "a file":
            yield row(name, "files, connections and programs", len(noted), "", 0)


def peak_growth(call):
    """Result of a call, and bytes by which the process grew at most; Linux only."""

    def status(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))

    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = status("VmRSS")
    result = call()
    return result, status("VmHWM") - before


def memory(quick):
    """Rows of the check of this name."""
    if not Path("/proc/self/clear_refs").exists():
        return
    n_rows, d = 50_000 if quick else 1_000_000, 8
    training = make_linear_scm(d, n_samples=12, random_state=0)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, d))
    mask = np.zeros(X.shape, dtype=bool)
    mask[np.arange(n_rows), rng.integers(d, size=n_rows)] = rng.random(n_rows) < 0.8
    for estimator in FAMILIES:
        estimator = clone(estimator)
        if isinstance(estimator, GenerativeInterventionModel):
            estimator.set_params(intervention="shift")
        if isinstance(estimator, KnownGraph):
            estimator.set_params(adjacency=np.eye(d, k=1))
        if isinstance(estimator, ActiveDesigner):
            continue  # a design follows from all rows together
        model = fit_on(estimator, training)
        is_effect = isinstance(model, CFRRegressor)
        given = {"treatment": mask.any(axis=1)} if is_effect else {"interventions": mask}
        model.predict(X[:1000], **{name: value[:1000] for name, value in given.items()})
        start = time.perf_counter()
        result, peak = peak_growth(lambda m=model, g=given: m.predict(X, **g))
        seconds = time.perf_counter() - start
        multiple = peak / (X.nbytes + result.nbytes)
        yield row(model, "peak over input and output", round(multiple, 2), "", "below 4")
        yield row(model, "time of a million rows", round(seconds * 1e6 / n_rows, 2), "s")


def intervals(quick):
    """Rows of the check of this name."""
    n_tasks, n_systems = (2, 20) if quick else (10, 200)
    for name, bend in {"straight": 0.0, "curved": 0.5}.items():
        tasks = [covered_effects(seed, n_rows=500, n_new=100, bend=bend) for seed in range(n_tasks)]
        figure = f"coverage, {name} effects, {n_tasks * 100} of them"
        yield row("CFRRegressor", figure, round(100 * np.mean(tasks), 1), "%", "88 to 92")
    means = covered_means(n_systems)
    figure = f"coverage, {len(means)} means"
    yield row("MetaInterventionPredictor", figure, round(100 * means.mean(), 1), "%", "88 to 92")
    posteriors = ExactGraphPosterior.from_prior(caasl_prior()), AmortizedGraphPosterior("caasl")
    for model in posteriors:
        error = edge_error(model, n_systems)
        figure = f"calibration error, {n_systems} systems"
        yield row(model, figure, round(error, 4), "", "below 0.03")


CHECKS = {
    "bad input": bad_input,
    "stored copies": stored_copies,
    "damaged files": damaged_files,
    "interrupted training": interrupted_training,
    "threads": in_threads,
    "jobs and blocks": jobs_and_blocks,
    "global state": state_of_process,
    "side effects": side_effects,
    "memory": memory,
    "intervals": intervals,
}


def main():
    """Parse the arguments, run, and write a CSV file next to this script."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checks", nargs="+", choices=CHECKS, default=list(CHECKS))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few copies, fits, rows and systems, in a file of its own",
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    path = args.out / ("reliability_quick.csv" if args.quick else "reliability.csv")
    args.out.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(path, comment="#", dtype={"goal": str}) if path.exists() else None
    for check in args.checks:
        start = time.process_time()
        found = pd.DataFrame(CHECKS[check](args.quick))
        found.insert(0, "check", check)
        if table is not None:
            found = pd.concat([table[table["check"] != check], found], ignore_index=True)
        order = found["check"].map(list(CHECKS).index)
        table = found.iloc[np.argsort(order, kind="stable")]
        written = table.assign(value=table["value"].astype(float).map("{:.6g}".format))
        write_csv(written, path, quick=args.quick, torch=version("torch"))
        seconds = time.process_time() - start
        print(f"{check}: {seconds:.0f} s, {Counter(table['check'])[check]} rows", flush=True)


if __name__ == "__main__":
    main()
