import numpy as np
import pandas as pd
import pytest

from skcausal.datasets import make_gene_network


def test_layout_of_counts():
    data = make_gene_network(4, n_samples=10, regimes="pairs", n_heldout_pairs=1, random_state=0)
    assert data.X.shape == (10 * 10, 4)
    assert data.X.columns.tolist() == data.feature_names == ["g0", "g1", "g2", "g3"]
    assert (data.X.to_numpy() == np.round(data.X)).all(axis=None)
    assert (data.X.to_numpy()[data.interventions] == 0).all()
    assert data.cell_types.index.equals(data.X.index)
    assert data.cell_types.value_counts().eq(20).all()
    assert (data.hits == data.interventions).all(axis=None)
    assert ((data.interactions != 0) == data.adjacency).all(axis=None)
    assert data.X_test.shape == data.means_test.shape == data.hits_test.shape == (10, 4)
    assert (data.standard_errors_test.to_numpy()[~data.interventions_test] >= 0).all()
    assert "Synthetic gene regulatory network" in data.DESCR


def test_intended_and_actual_targets():
    data = make_gene_network(
        4, n_samples=50, technical_noise=None, target_error=0.2, random_state=1
    )
    treated = data.interventions.any(axis=1)
    assert not data.hits[~treated].any(axis=None)
    wrong = (data.hits != data.interventions)[treated].to_numpy().mean()
    assert abs(wrong - 0.2) < 4 * np.sqrt(0.16 / (4 * treated.sum()))
    assert (data.X.to_numpy()[data.hits] == 0).all()


def test_knock_down_is_milder_and_seeds_reproduce():
    options = {"n_samples": 40, "technical_noise": None, "random_state": 2}
    out, down = (make_gene_network(4, kind=kind, **options) for kind in ("knock_out", "knock_down"))
    masked = out.interventions.to_numpy()
    assert (down.X.to_numpy()[masked] > 0).mean() > 0.8
    control = out.regimes == "control"
    pd.testing.assert_frame_equal(out.X[control], down.X[control])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_genes": 1}, "n_genes must be an integer of at least 2"),
        ({"edges_per_gene": 7.0}, "edges_per_gene must lie between 0 and .* = 4.5, found 7"),
        ({"technical_noise": "smart_seq"}, "technical_noise must be one of None"),
        ({"kind": "hard"}, "kind must be one of 'knock_out', 'knock_down'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        make_gene_network(**options)
