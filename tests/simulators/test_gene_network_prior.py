import networkx as nx
import numpy as np
import pytest
import torch
from scipy import stats

from skcausal.simulators import GeneNetworkPrior, TechnicalNoise

F64 = {"dtype": torch.float64}


def test_parameters_follow_their_distributions():
    networks = GeneNetworkPrior(6, edges_per_variable=2.0).sample(1000, 0, **F64)
    edges = networks.adjacency
    K = networks.interactions[edges]
    assert stats.kstest(K.abs().numpy(), stats.uniform(1, 4).cdf).pvalue > 0.001
    masters = ~edges.any(dim=1)
    basal = networks.basal.transpose(1, 2)
    assert stats.kstest(basal[masters].flatten().numpy(), stats.uniform(1, 2).cdf).pvalue > 0.001
    assert (basal[~masters] == 0).all()
    assert (networks.decay == 0.8).all()
    assert (networks.hill == 2.0).all()


def test_signs_are_alike_within_a_regulator():
    networks = GeneNetworkPrior(6, edges_per_variable=2.5).sample(3000, 1, **F64)
    signs = networks.interactions.sign()
    positive, total = (signs > 0).sum(dim=-1), (signs != 0).sum(dim=-1)
    pairs = positive[total == 2].numpy()
    # Beta(1/2, 1/2) mixing: both of a pair activate with probability E[p^2] = 3/8.
    counts = np.bincount(pairs, minlength=3)
    assert stats.chisquare(counts, np.array([3, 2, 3]) / 8 * counts.sum()).pvalue > 0.001


def test_graphs_are_acyclic_with_the_stated_number_of_edges():
    networks = GeneNetworkPrior(stats.randint(4, 8), edges_per_variable=1.5).sample(400, 0)
    for adjacency in networks.adjacency[:50].numpy():
        assert nx.is_directed_acyclic_graph(nx.from_numpy_array(adjacency, create_using=nx.DiGraph))
    edges = networks.adjacency.sum(dim=(1, 2)).double() / networks.n_variables
    assert abs(edges.mean() - 1.5) < 4 * edges.std() / 20


def test_padded_genes_are_silent():
    networks = GeneNetworkPrior(
        stats.randint(3, 6), edges_per_variable=1.0, technical_noise="drop_seq"
    ).sample(20, 0)
    absent = ~networks.present
    assert absent.any()
    assert (networks.steady_state()[:, 0].transpose(1, 2)[absent] == 0).all()
    counts = networks.sample(10, random_state=0)
    assert (counts.transpose(1, 2)[absent] == 0).all()
    assert counts.isfinite().all()


@pytest.mark.parametrize(("platform", "percentile"), [("10x_chromium", 74.0), ("drop_seq", 85.0)])
def test_dropout_share_follows_the_percentile(platform, percentile):
    prior = GeneNetworkPrior(10, technical_noise=platform)
    networks = prior.sample(40, 0)
    counts = networks.sample(50, random_state=1)
    clean = GeneNetworkPrior(10).sample(40, 0).sample(50, random_state=1)
    lost = ((counts == 0) & (clean > 0)).double()
    assert abs(100 * lost.mean() - percentile) < 2


def test_technical_noise_may_be_given_as_an_object():
    noise = TechnicalNoise(dropout_percentile=0.0, dropout_shape=0.0)
    prior = GeneNetworkPrior(3, edges_per_variable=1.0, technical_noise=noise)
    assert prior.sample(2, 0).technical_noise == noise


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"basal_rate": -1.0}, "basal_rate must be at least 0, found -1"),
        ({"basal_rate": stats.norm()}, "basal_rate must be at least 0"),
        ({"interaction_strength": -1.0}, "interaction_strength must be at least 0"),
        ({"decay": 0.0}, "decay must be above 0"),
        ({"decay": -0.8}, "decay must be above 0"),
        ({"hill_coefficient": 0.0}, "hill_coefficient must be above 0"),
        ({"noise_scale": -1.0}, "noise_scale must be at least 0"),
        ({"activation_probability": 1.5}, "activation_probability must be at least 0 and at most"),
        ({"target_error": 2.0}, "target_error must be at least 0 and at most 1, found 2"),
        ({"dt": 0.0}, "dt must be above 0"),
        ({"dt": 2.0}, "dt=2 is too long for a decay rate of up to 0.8"),
        ({"n_cell_types": 0}, "n_cell_types must be an integer of at least 1"),
        ({"steps_per_cell": 0}, "steps_per_cell must be an integer of at least 1"),
        ({"burn_in": -1}, "burn_in must be an integer of at least 0"),
        ({"noise_type": "white"}, "noise_type must be one of 'dpd', 'spd', 'sp'"),
        ({"graph": "directed_erdos_renyi"}, "graph must be one of 'erdos_renyi', 'scale_free'"),
        ({"technical_noise": "smart_seq"}, "technical_noise must be one of None, '10x"),
        ({"edges_per_variable": 5.0}, "more than a graph 'erdos_renyi' of 10 variables holds"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        GeneNetworkPrior(**options)
