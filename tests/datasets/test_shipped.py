import subprocess
import sys
from importlib import resources

import numpy as np
import pandas as pd
import pytest

import skcausal.datasets
from skcausal.datasets import (
    load_acic2016,
    load_hepg2_phospho,
    load_jobs,
    load_l1000_a375,
    load_norman_perturbseq,
    load_papalexi,
    load_sachs,
    load_twins,
)
from skcausal.datasets._shipped import read_description, shipped_file

MASKED = [(load_sachs, {}), (load_sachs, {"benchmark": True}), (load_papalexi, {})]
EXTERNAL = [
    (load_papalexi, {"targets": "all"}),
    (load_norman_perturbseq, {}),
    (load_norman_perturbseq, {"subset": "mcfaline23"}),
    (load_hepg2_phospho, {}),
    (load_l1000_a375, {}),
]
EFFECTS = [load_jobs, load_twins, load_acic2016]
SHIPPED = {
    "sachs": ["sachs.csv.gz", "edges.csv"],
    "papalexi": ["papalexi_subset.npz"],
    "norman_perturbseq": ["norman19_k562_subset.npz", "mcfaline23_glioma_subset.npz"],
    "hepg2_phospho": ["hepatocyte_phospho.csv.gz"],
    "l1000_a375": ["l1000_a375_ljp005.csv.gz"],
    "jobs": ["jobs.npz"],
    "twins": ["twins.npz"],
    "acic2016": ["x.csv.gz", "simulations.npz"],
}


@pytest.mark.parametrize(("load", "options"), MASKED + EXTERNAL)
def test_rows_are_aligned_and_complete(load, options):
    data = load(**options)
    assert (data.X.dtypes == np.float64).all()
    assert np.isfinite(data.X.to_numpy()).all()
    assert data.X.index.equals(pd.RangeIndex(len(data.X)))
    for key in ("interventions", "regimes", "environments", "kinds", "doses", "guide", "time"):
        if key in data:
            assert data[key].index.equals(data.X.index), key
    assert data.regimes.map(type).eq(str).all()


@pytest.mark.parametrize(("load", "options"), MASKED)
def test_masks_have_the_columns_of_x(load, options):
    data = load(**options)
    assert data.interventions.columns.equals(data.X.columns)
    assert (data.interventions.dtypes == np.bool_).all()
    assert (data.interventions.sum(axis=1) <= 1).all()


@pytest.mark.parametrize(("load", "options"), EXTERNAL)
def test_zero_rows_are_exactly_the_controls(load, options):
    data = load(**options)
    assert (data.interventions.dtypes == np.float64).all()
    assert ((data.interventions == 0).all(axis=1) == (data.regimes == "control")).all()
    assert (data.interventions != 0).any().all()


@pytest.mark.parametrize(("load", "options"), EXTERNAL)
def test_a_regime_is_a_distinct_row_of_features(load, options):
    data = load(**options)
    distinct = data.interventions.drop_duplicates()
    assert len(distinct) == data.regimes.nunique()
    assert len(distinct) == len(data.interventions.assign(r=data.regimes).drop_duplicates())


@pytest.mark.parametrize("load", EFFECTS)
def test_units_of_treatment_problems_are_aligned_and_complete(load):
    data = load()
    assert data.X.index.equals(pd.RangeIndex(len(data.X)))
    assert data.feature_names == data.X.columns.tolist()
    assert data.X.notna().all(axis=None)
    aligned = ("treatment", "y", "effect", "propensity", "experimental", "unit_id")
    for key in (key for key in aligned if key in data):
        assert data[key].index.equals(data.X.index), key
        assert data[key].name == key
        assert data[key].notna().all(), key
    assert data.treatment.dtype == np.int64
    assert set(data.treatment) == {0, 1}
    if "effect" in data:
        without, treated = data.potential_outcomes.columns
        difference = data.potential_outcomes[treated] - data.potential_outcomes[without]
        np.testing.assert_array_equal(data.effect, difference)
    if "train_index" in data:
        rows = np.concatenate([data.train_index, data.test_index])
        np.testing.assert_array_equal(np.sort(rows), np.arange(len(data.X)))


@pytest.mark.parametrize("dataset", SHIPPED)
def test_files_lie_in_the_package_with_their_licence(dataset):
    for name in [*SHIPPED[dataset], "LICENSE.txt", "DESCR.rst"]:
        assert shipped_file(dataset, name).is_file(), name
    description = read_description(dataset)
    for part in ("**Cautions**", "**Source and licence**", "**Reference"):
        assert part in description


def test_shipped_data_stay_small():
    folder = resources.files("skcausal.datasets") / "data"
    sizes = [len(file.read_bytes()) for sub in folder.iterdir() for file in sub.iterdir()]
    assert len(sizes) > 10
    assert sum(sizes) < 4.5e6


def test_all_public_names_exist():
    for name in skcausal.datasets.__all__:
        assert callable(getattr(skcausal.datasets, name))


def test_import_does_not_load_heavy_packages():
    code = (
        "import sys, skcausal.datasets;"
        "heavy = {'torch', 'causallearn', 'matplotlib', 'networkx'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
