import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from skcausal.interventions import from_anndata

LABELS = ["ctrl", "b", "b+a", "a+b", "ctrl+c", "ctrl"]
DOSES = [np.nan, 0.5, 2.0, 2.0, 10.0, 0.0]
VALUES = np.random.default_rng(0).poisson(1.0, size=(6, 4)).astype(np.float32)
CELLS = [f"cell{i}" for i in range(6)]
GENES = ["g3", "g1", "g2", "g0"]


def fake(**columns):
    """Return what the reader needs of an AnnData object."""
    obs = pd.DataFrame({"gene": LABELS, "um": DOSES, "line": list("xxyyxy"), **columns}, CELLS)
    layers = {"counts": scipy.sparse.csr_matrix(2 * VALUES)}
    return SimpleNamespace(X=VALUES, layers=layers, obs=obs, var_names=pd.Index(GENES))


def read(adata=None, **arguments):
    """Read with the arguments that fit the fake."""
    arguments = {"perturbation": "gene", "control": "ctrl", **arguments}
    return from_anndata(fake() if adata is None else adata, **arguments)


def real(values):
    """Return an AnnData object with the same content."""
    anndata = pytest.importorskip("anndata")
    table = fake()
    return anndata.AnnData(values, table.obs, pd.DataFrame(index=GENES), layers=table.layers)


class TestTables:
    def test_features(self):
        data = read()
        expected = [[0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]]
        pd.testing.assert_frame_equal(
            data.interventions, pd.DataFrame(expected, CELLS, list("abc"), dtype=float)
        )
        assert data.regimes.tolist() == ["control", "b", "a+b", "a+b", "c", "control"]
        assert data.regimes.name == "regime"
        assert data.regimes.index.tolist() == CELLS

    def test_doses(self):
        data = read(dose="um")
        expected = [[0, 0, 0], [0, 0.5, 0], [2, 2, 0], [2, 2, 0], [0, 0, 10], [0, 0, 0]]
        np.testing.assert_array_equal(data.interventions, expected)
        assert data.regimes.tolist() == [
            "control",
            "b@0.5",
            "a@2+b@2",
            "a@2+b@2",
            "c@10",
            "control",
        ]

    def test_one_dose_for_each_name(self):
        doses = ["", "0.5", "1+20", "20 + 1", "0+1e3", "nonsense"]
        data = read(fake(um=doses), dose="um")
        expected = [[0, 0, 0], [0, 0.5, 0], [20, 1, 0], [20, 1, 0], [0, 0, 1000], [0, 0, 0]]
        np.testing.assert_array_equal(data.interventions, expected)
        assert data.regimes.tolist()[2:5] == ["a@20+b@1", "a@20+b@1", "c@1000"]

    @pytest.mark.parametrize(
        ("dose", "label"),
        [(1e-6, "b@0.000001"), (1e6, "b@1000000"), (0.1 + 0.2, "b@0.30000000000000004")],
    )
    def test_different_doses_have_different_labels(self, dose, label):
        assert read(fake(um=[dose] * 6), dose="um").regimes["cell1"] == label

    def test_dose_columns_of_other_types(self):
        expected = read(dose="um")
        single = pd.Series(DOSES, CELLS, dtype="float32")
        for column in (single, pd.Categorical(DOSES), pd.array(DOSES, dtype="Float64")):
            data = read(fake(um=column), dose="um")
            pd.testing.assert_frame_equal(data.interventions, expected.interventions)
            pd.testing.assert_series_equal(data.regimes, expected.regimes)
        assert read(fake(um=0.1 + 0 * single.fillna(0)), dose="um").regimes["cell1"] == "b@0.1"

    def test_labels_of_other_types(self):
        expected = read().interventions
        for column in (pd.Categorical(LABELS), np.array(LABELS, dtype=object)):
            pd.testing.assert_frame_equal(read(fake(gene=column)).interventions, expected)
        data = read(fake(gene=[0, 1, 2, 1, 2, 0]), control=0)
        assert data.interventions.columns.tolist() == ["1", "2"]
        assert data.regimes.tolist() == ["control", "1", "2", "1", "2", "control"]

    def test_separator(self):
        labels = [label.replace("+", "|") for label in LABELS]
        data = read(fake(gene=labels), sep="|")
        assert data.interventions.columns.tolist() == ["a", "b", "c"]
        assert data.regimes["cell2"] == "a|b"

    def test_repeated_names(self):
        data = read(fake(gene=["ctrl", "b", "b+b", "b", "b", "b"]))
        assert data.regimes["cell2"] == "b"
        assert data.interventions["b"].max() == 1.0

    def test_values(self):
        data = read()
        pd.testing.assert_frame_equal(
            data.X, pd.DataFrame(VALUES.astype(float), CELLS, GENES), check_exact=True
        )
        some = read(layer="counts", variables=["g0", "g3"])
        np.testing.assert_array_equal(some.X, 2 * VALUES[:, [3, 0]])
        assert some.X.columns.tolist() == ["g0", "g3"]
        assert some.X.to_numpy().dtype == np.float64
        assert read(variables="g1").X.shape == (6, 1)

    def test_results_are_copies(self):
        adata = fake()
        adata.X = adata.X.astype(float)
        data = read(adata)
        data.X.iloc[0, 0] = data.obs.loc["cell0", "um"] = -5.0
        assert adata.X[0, 0] >= 0
        assert np.isnan(adata.obs.loc["cell0", "um"])
        assert data.obs.columns.tolist() == ["gene", "um", "line"]

    def test_rows_do_not_depend_on_each_other(self):
        adata, order = fake(), [3, 0, 5, 1, 4, 2]
        moved = SimpleNamespace(**vars(adata))
        moved.X, moved.obs = adata.X[order], adata.obs.iloc[order]
        straight, other = read(adata, dose="um"), read(moved, dose="um")
        for key in ("X", "interventions", "regimes", "obs"):
            assert other[key].equals(straight[key].iloc[order])


class TestAnnData:
    @pytest.mark.parametrize(
        "values", [VALUES, scipy.sparse.csr_matrix(VALUES), scipy.sparse.csc_array(VALUES)]
    )
    def test_same_as_the_fake(self, values):
        expected, data = read(dose="um"), read(real(values), dose="um")
        for key in ("X", "interventions"):
            pd.testing.assert_frame_equal(data[key], expected[key])
        pd.testing.assert_series_equal(data.regimes, expected.regimes)
        assert data.obs["line"].tolist() == list("xxyyxy")
        sparse = read(real(values), layer="counts", variables=["g2"])
        np.testing.assert_array_equal(sparse.X, 2 * VALUES[:, [2]])

    def test_views(self):
        adata = real(scipy.sparse.csr_matrix(VALUES))
        data = read(adata[adata.obs["line"] == "x", ["g0", "g1"]])
        assert data.regimes.tolist() == ["control", "b", "c"]
        np.testing.assert_array_equal(data.X, VALUES[[0, 1, 4]][:, [3, 1]])

    def test_backed_files(self, tmp_path):
        anndata = pytest.importorskip("anndata")
        adata = real(scipy.sparse.csr_matrix(VALUES))
        with anndata.settings.override(allow_write_nullable_strings=True):
            adata.write_h5ad(tmp_path / "cells.h5ad")
        backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
        data = read(backed, variables=["g0", "g3"])
        backed.file.close()
        np.testing.assert_array_equal(data.X, VALUES[:, [3, 0]])
        assert data.regimes.tolist() == read().regimes.tolist()


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                {"perturbation": "genes"},
                "perturbation='genes' is not among the columns of adata.obs: gene, um, line. Did "
                "you mean 'gene'?",
            ),
            ({"dose": "dose"}, "dose='dose' is not among the columns of adata.obs: gene, um"),
            ({"layer": "count"}, "is not among adata.layers: counts. Did you mean 'counts'?"),
            (
                {"control": "control"},
                "No cell has the label of the control, 'control': column 'gene' of adata.obs "
                "holds a+b, b, b+a, ctrl, ctrl+c. Pass one of them as control.",
            ),
            (
                {"variables": ["g0", "g9"]},
                "variables must be names out of adata.var_names, found 'g",
            ),
            ({"variables": ["g0", "g0"]}, "Several variables have the name 'g0'"),
        ],
    )
    def test_arguments(self, arguments, message):
        with pytest.raises(ValueError) as error:
            read(**arguments)
        assert message in str(error.value)

    @pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
    def test_missing_labels(self, missing):
        with pytest.raises(ValueError, match=r"'gene' of adata\.obs has no label in 1 of 6 cells"):
            read(fake(gene=[missing, *LABELS[1:]]))

    @pytest.mark.parametrize("label", ["", "a+", "a++b"])
    def test_empty_names(self, label):
        with pytest.raises(ValueError, match="has an empty name"):
            read(fake(gene=[label, *LABELS[1:]]))

    def test_only_controls(self):
        with pytest.raises(ValueError, match="Every cell has the label of the control, 'ctrl'"):
            read(fake(gene=["ctrl"] * 6))

    @pytest.mark.parametrize("dose", [0.0, -1.0, np.nan, np.inf, "", "high", "1+2+3", "1+0", None])
    def test_doses_of_perturbed_cells(self, dose):
        doses = [0.0, 1.0, dose, 1.0, 1.0, 0.0]
        with pytest.raises(ValueError, match=r"label 'b\+a' have the dose .* positive, finite"):
            read(fake(um=np.array(doses, dtype=object)), dose="um")

    def test_two_doses_of_one_name(self):
        adata = fake(gene=["ctrl"] + ["b+b"] * 5, um=["1+2"] * 6)
        with pytest.raises(ValueError, match="have two doses of one name"):
            read(adata, dose="um")

    def test_more_names_than_doses(self):
        adata = fake(gene=["ctrl"] + ["ctrl+ctrl+b"] * 5, um=["1+2"] * 6)
        with pytest.raises(ValueError, match="one for each name"):
            read(adata, dose="um")

    def test_repeated_variables(self):
        adata = fake()
        adata.var_names = ["g0", "g1", "g1", "g3"]
        with pytest.raises(ValueError, match=r"the name 'g1'; call adata.var_names_make_unique"):
            read(adata)
        assert read(adata, variables=["g3", "g0"]).X.shape == (6, 2)

    def test_no_values(self):
        adata = fake()
        adata.X = None
        with pytest.raises(ValueError, match=r"adata\.X is None; name the layer"):
            read(adata)
        assert read(adata, layer="counts").X.shape == (6, 4)


def test_anndata_is_not_imported():
    script = "import skcausal.interventions, sys; assert 'anndata' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
