"""Policies that are shipped: they load, and propose for systems of any size."""

import numpy as np
import pytest

from skcausal.design import ActiveDesigner
from skcausal.design._policy_weights import SHIPPED, load_shipped, shipped_file
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.weights import shipped_weights

PRIORS = {
    "caasl": LinearPrior.preset("caasl"),
    "gene-network": GeneNetworkPrior(4, edges_per_variable=1.0),
}
every_policy = pytest.mark.parametrize("name", SHIPPED)


def rows(d, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, d)) @ (np.eye(d) + np.triu(rng.normal(size=(d, d)), 1) / d**0.5)
    mask = np.zeros((30, d), dtype=bool)
    mask[25:] = rng.random((5, d)) < 0.5
    return np.where(mask, np.sign(X), X), mask


@every_policy
def test_weights_load(name):
    network, card = load_shipped(name)
    assert not network.training
    assert card
    assert network.sizes["n_features"] == (30 if name == "caasl" else 27)


@every_policy
def test_card_says_what_the_policy_cannot_do(name):
    path = shipped_weights(shipped_file(name))
    card = path.with_suffix(".md").read_text()
    assert "Limits" in card


@every_policy
@pytest.mark.parametrize("d", range(3, 13))
def test_proposals_for_systems_of_any_size(name, d):
    """Halves of the variables; knock-outs of any number of genes."""
    X, mask = rows(d)
    designer = ActiveDesigner(name, algorithm="distilled", prior=PRIORS[name], random_state=0)
    design = designer.fit(X, interventions=mask).propose()
    assert design.shape == (1, d)
    targets = np.isfinite(design)
    assert targets.any()
    assert name == "gene-network" or targets.sum() in (d // 2, d - d // 2)
    values = {-1.0, 1.0} if name == "caasl" else {0.0}
    assert set(design[targets]) <= values


@pytest.mark.parametrize(
    ("prior", "name"),
    [(PRIORS["caasl"], "caasl"), (PRIORS["gene-network"], "gene-network")],
    ids=SHIPPED,
)
def test_the_prior_chooses_the_weights(prior, name):
    X, mask = rows(4)
    algorithm = "auto" if name == "gene-network" else "distilled"
    designer = ActiveDesigner(algorithm=algorithm, prior=prior, random_state=0)
    designer.fit(X, interventions=mask)
    assert designer.algorithm_ == "distilled"
    assert designer._weights_of_fit[1] is load_shipped(name)[0]
    assert not designer.loss_curve_


@every_policy
def test_proposals_are_permuted_with_the_variables(name):
    X, mask = rows(5)
    order = [3, 0, 4, 2, 1]
    designer = ActiveDesigner(name, algorithm="distilled", prior=PRIORS[name], random_state=0)
    expected = designer.fit(X, interventions=mask).propose()
    found = designer.fit(X[:, order], interventions=mask[:, order]).propose()
    np.testing.assert_array_equal(found, expected[:, order])


@every_policy
def test_saved_weights_are_the_shipped_ones(name, tmp_path):
    designer = ActiveDesigner(name, algorithm="distilled", prior=PRIORS[name], random_state=0)
    designer.save_pretrained(tmp_path / "w")
    X, mask = rows(4)
    expected = designer.fit(X, interventions=mask).propose()
    designer.set_params(pretrained=tmp_path / "w").fit(X, interventions=mask)
    np.testing.assert_array_equal(designer.propose(), expected)
