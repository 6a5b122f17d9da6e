import itertools
import math
from collections import Counter

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from skcausal.simulators._parameters import draw_parameter
from skcausal.simulators._random import fold_in, random_order, task_keys
from skcausal.simulators._random_graphs import (
    ACYCLIC,
    add_rings,
    are_present,
    causal_order,
    check_graph_parameters,
    directed_erdos_renyi,
    draw_graph,
    erdos_renyi,
    move_to_variables,
    scale_free,
)

N = 20_000
GRAPHS = [erdos_renyi, directed_erdos_renyi, scale_free]


def draw(graph, size, edges_per_variable, n=N, seed=0):
    """Graphs of `size` variables each."""
    counts = torch.full((n,), size)
    density = torch.full((n,), float(edges_per_variable), dtype=torch.float64)
    return graph(task_keys(seed, n), counts, density, size)


def attachment_probabilities(size, edges_per_variable):
    """Probability of every graph of preferential attachment, by following all choices."""
    whole = math.floor(edges_per_variable)
    extra = edges_per_variable - whole

    def successive(weights, count):
        """Sets drawn without replacement, one by one, in proportion to their weights."""
        if count == 0 or not weights:
            return {frozenset(): 1.0}
        total, found = sum(weights.values()), Counter()
        for node, weight in weights.items():
            rest = {other: w for other, w in weights.items() if other != node}
            for chosen, probability in successive(rest, count - 1).items():
                found[chosen | {node}] += weight / total * probability
        return found

    graphs = {frozenset(): 1.0}
    for node in range(1, size):
        grown = Counter()
        for edges, probability in graphs.items():
            degree = Counter(end for edge in edges for end in edge)
            weights = {earlier: max(degree[earlier], 1) for earlier in range(node)}
            for count, share in ((whole, 1 - extra), (whole + 1, extra)):
                for parents, chance in successive(weights, count).items():
                    edges_now = edges | {(parent, node) for parent in parents}
                    grown[edges_now] += probability * share * chance
        graphs = grown
    return {edges: probability for edges, probability in graphs.items() if probability > 0}


def longest_paths(adjacency):
    """Length of the longest path that ends in each variable of an acyclic graph."""
    graph = nx.from_numpy_array(adjacency, create_using=nx.DiGraph)
    length = dict.fromkeys(graph, 0)
    for node in nx.topological_sort(graph):
        for child in graph.successors(node):
            length[child] = max(length[child], length[node] + 1)
    return length


@pytest.mark.parametrize(("size", "edges_per_variable"), [(5, 1.0), (4, 0.3), (5, 2.0), (2, 0.5)])
def test_erdos_renyi_joins_every_pair_equally_often(size, edges_per_variable):
    edges = draw(erdos_renyi, size, edges_per_variable)
    probability = 2 * edges_per_variable / (size - 1)
    above = np.triu_indices(size, 1)
    frequency = edges.double().mean(dim=0).numpy()
    error = math.sqrt(probability * (1 - probability) / N)
    assert (np.abs(frequency[above] - probability) <= 4.5 * error).all()
    assert (frequency[np.tril_indices(size)] == 0).all()
    total = edges.sum(dim=(1, 2)).double()
    error = math.sqrt(len(above[0])) * error
    assert abs(float(total.mean()) - edges_per_variable * size) <= 4 * error


def test_erdos_renyi_draws_pairs_independently():
    edges = draw(erdos_renyi, 4, 0.75)[:, *np.triu_indices(4, 1)]
    graphs, counts = edges.int().unique(dim=0, return_counts=True)
    assert len(graphs) == 2**6
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_directed_erdos_renyi_draws_both_directions_independently():
    edges = draw(directed_erdos_renyi, 3, 1.0)
    assert not edges.diagonal(dim1=1, dim2=2).any()
    pairs = edges[:, *np.nonzero(~np.eye(3, dtype=bool))]
    graphs, counts = pairs.int().unique(dim=0, return_counts=True)
    assert len(graphs) == 2**6
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("edges_per_variable", [0.5, 1.0, 3.0])
def test_directed_erdos_renyi_has_the_expected_number_of_edges(edges_per_variable):
    total = draw(directed_erdos_renyi, 5, edges_per_variable).sum(dim=(1, 2)).double()
    probability = edges_per_variable / 4
    error = math.sqrt(20 * probability * (1 - probability) / N)
    assert abs(float(total.mean()) - 5 * edges_per_variable) <= 4 * error


@pytest.mark.parametrize("size", [2, 3, 5, 9])
@pytest.mark.parametrize("m", [0, 1, 2, 3, 8])
def test_scale_free_graphs_have_an_exact_number_of_edges(size, m):
    edges = draw(scale_free, size, m, n=200)
    assert (edges.sum(dim=(1, 2)) == sum(min(m, node) for node in range(size))).all()
    assert (edges.sum(dim=1) == torch.tensor([min(m, node) for node in range(size)])).all()
    assert not edges.tril().any()


@pytest.mark.parametrize(
    ("size", "edges_per_variable"), [(4, 1), (5, 2), (4, 0.5), (4, 1.5), (5, 1)]
)
def test_scale_free_graphs_have_the_probabilities_of_preferential_attachment(
    size, edges_per_variable
):
    expected = attachment_probabilities(size, edges_per_variable)
    assert sum(expected.values()) == pytest.approx(1.0)
    found = Counter(
        frozenset(zip(*(ends.tolist() for ends in np.nonzero(graph))))
        for graph in draw(scale_free, size, edges_per_variable).numpy()
    )
    assert found.keys() <= expected.keys()
    counts = [found[edges] for edges in expected]
    assert min(expected.values()) * N > 5
    assert stats.chisquare(counts, N * np.array(list(expected.values()))).pvalue > 1e-3


@pytest.mark.parametrize("graph", GRAPHS)
def test_missing_variables_have_no_edges(graph):
    counts = torch.tensor([2, 3, 5]).repeat(100)
    density = torch.full((300,), 0.5, dtype=torch.float64)
    edges = graph(task_keys(0, 300), counts, density, 5)
    for n, adjacency in zip(counts.tolist(), edges):
        assert not adjacency[n:].any()
        assert not adjacency[:, n:].any()
    for n in (2, 3, 5):
        assert edges[counts == n][:, :n, :n].any(dim=0).sum() >= n * (n - 1) / 2


@pytest.mark.parametrize("graph", [erdos_renyi, directed_erdos_renyi])
def test_density_follows_each_systems_number_of_variables(graph):
    counts = torch.tensor([3, 5]).repeat(N // 2)
    density = torch.tensor([0.5, 1.0], dtype=torch.float64).repeat(N // 2)
    total = graph(task_keys(0, N), counts, density, 5).sum(dim=(1, 2)).double()
    for n, per_variable in ((3, 0.5), (5, 1.0)):
        found = total[counts == n]
        assert (
            abs(float(found.mean()) - n * per_variable) <= 4 * float(found.std()) / (N / 2) ** 0.5
        )


@pytest.mark.parametrize("graph", GRAPHS)
def test_graphs_depend_on_their_keys_alone(graph):
    whole = draw(graph, 5, 1.3, n=50)
    keys, counts = task_keys(0, 50)[[7, 3]], torch.tensor([5, 5])
    density = torch.full((2,), 1.3, dtype=torch.float64)
    assert torch.equal(graph(keys, counts, density, 5), whole[[7, 3]])


def test_positions_are_renamed_to_variables():
    edges = draw(erdos_renyi, 4, 1.0, n=30)
    order = random_order(task_keys(1, 30), torch.full((30,), 4), 4)
    moved = move_to_variables(edges, order)
    for s, i, j in itertools.product(range(30), range(4), range(4)):
        assert moved[s, order[s, i], order[s, j]] == edges[s, i, j]


@pytest.mark.parametrize("length", [2, 3, 4, 5])
def test_a_ring_is_one_cycle_through_variables_that_exist(length):
    n_variables = torch.tensor([5, 6]).repeat(50)
    empty = torch.zeros(100, 6, 6, dtype=torch.bool)
    rings = add_rings(task_keys(2, 100), empty, n_variables, torch.ones(100), length)
    assert not empty.any()
    for n, ring in zip(n_variables.tolist(), rings.numpy()):
        cycles = list(nx.simple_cycles(nx.from_numpy_array(ring, create_using=nx.DiGraph)))
        assert [len(cycle) for cycle in cycles] == [length]
        assert ring.sum() == length
        assert max(cycles[0]) < n


def test_rings_are_uniform_over_variables_and_directions():
    empty = torch.zeros(N, 4, 4, dtype=torch.bool)
    rings = add_rings(task_keys(2, N), empty, torch.full((N,), 4), torch.ones(N), 3)
    graphs, counts = rings.flatten(1).int().unique(dim=0, return_counts=True)
    assert len(graphs) == 8
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_rings_are_added_to_the_edges_as_often_as_asked():
    edges = draw(erdos_renyi, 6, 1.0, n=200)
    n_cycles = torch.tensor([0, 1, 2, 3]).repeat(50)
    counts = torch.full((200,), 6)
    ringed = add_rings(task_keys(2, 200), edges, counts, n_cycles, 3)
    assert (ringed | ~edges).all()
    assert torch.equal(ringed[n_cycles == 0], edges[n_cycles == 0])
    alone = add_rings(task_keys(2, 200), torch.zeros_like(edges), counts, n_cycles, 3)
    assert torch.equal(ringed, alone | edges)
    added = alone.sum(dim=(1, 2))
    assert torch.equal(added[n_cycles == 1], torch.full((50,), 3))
    for k in (2, 3):
        assert added[n_cycles == k].max() == 3 * k
        assert added[n_cycles == k].min() >= 3
        assert (added[n_cycles == k] == 3 * k).sum() > 15
    acyclic = causal_order(ringed)[1]
    assert torch.equal(acyclic, n_cycles == 0)


def test_later_rings_leave_the_earlier_ones_in_place():
    empty, counts = torch.zeros(50, 6, 6, dtype=torch.bool), torch.full((50,), 6)
    one = add_rings(task_keys(2, 50), empty, counts, torch.full((50,), 1), 3)
    two = add_rings(task_keys(2, 50), empty, counts, torch.full((50,), 2), 3)
    assert (two | ~one).all()


def test_systems_are_drawn_with_their_number_order_and_graph():
    keys = task_keys(3, 3000)
    counts, order, edges = draw_graph(keys, stats.randint(2, 6), "scale_free", 1)
    assert stats.chisquare(np.bincount(counts)[2:]).pvalue > 1e-3
    assert edges.shape == (3000, 5, 5)
    assert torch.equal(edges.sum(dim=(1, 2)), counts - 1)
    assert (order.sort(dim=1).values == torch.arange(5)).all()
    present = are_present(counts, 5)
    assert present.sum(dim=1).tolist() == counts.tolist()
    assert torch.equal(order < counts[:, None], present)
    densities = stats.uniform(0.0, 0.5)
    _, _, edges = draw_graph(keys, 5, "erdos_renyi", densities)
    density = draw_parameter(densities, fold_in(keys, "edges_per_variable"))
    total = edges.sum(dim=(1, 2)).double() - 5 * density
    assert abs(float(total.mean())) < 4 * float(total.std()) / math.sqrt(3000)
    assert np.corrcoef(edges.sum(dim=(1, 2)), density)[0, 1] > 0.3


@pytest.mark.parametrize("graph", ["erdos_renyi", "scale_free"])
@pytest.mark.parametrize("n_variables", [4, stats.randint(4, 20)])
def test_the_smallest_graph_must_hold_all_edges(graph, n_variables):
    most = 1.5 if graph == "erdos_renyi" else 3.0
    for density in (most, stats.uniform(0, most)):
        check_graph_parameters(n_variables, graph, density, ACYCLIC)
    message = f"is more than a graph '{graph}' of 4 variables holds: at most {most:g}"
    for density in (most + 0.01, stats.uniform(0, most + 0.01)):
        with pytest.raises(ValueError, match=message):
            check_graph_parameters(n_variables, graph, density, ACYCLIC)
    with pytest.raises(ValueError, match="graph must be one of 'erdos_renyi', 'scale_free', found"):
        check_graph_parameters(n_variables, "directed_erdos_renyi", 1.0, ACYCLIC)


graphs = st.integers(1, 6).flatmap(
    lambda d: st.lists(hnp.arrays(bool, (d, d)), min_size=1, max_size=4).map(np.stack)
)


@given(graphs, st.booleans())
def test_causal_order_agrees_with_networkx(edges, as_dag):
    if as_dag:
        edges = np.triu(edges, 1)[:, ::-1, ::-1].copy()
    order, acyclic = causal_order(torch.from_numpy(edges))
    for adjacency, variables, found in zip(edges, order.tolist(), acyclic.tolist()):
        graph = nx.from_numpy_array(adjacency, create_using=nx.DiGraph)
        assert found == nx.is_directed_acyclic_graph(graph)
        assert sorted(variables) == list(range(len(adjacency)))
        if found:
            position = {variable: place for place, variable in enumerate(variables)}
            assert all(position[cause] < position[effect] for cause, effect in graph.edges)
            length = longest_paths(adjacency)
            assert variables == sorted(length, key=lambda variable: (length[variable], variable))


@given(st.integers(0, 2**32), st.sampled_from(GRAPHS), st.integers(2, 6), st.floats(0.1, 0.5))
def test_only_directed_graphs_may_have_cycles(seed, graph, size, edges_per_variable):
    edges = draw(graph, size, edges_per_variable, n=20, seed=seed)
    order = random_order(task_keys(seed, 20), torch.full((20,), size), size)
    acyclic = causal_order(move_to_variables(edges, order))[1]
    if graph is not directed_erdos_renyi:
        assert acyclic.all()
    assert torch.equal(acyclic, causal_order(edges)[1])


def test_a_single_long_path_and_a_single_long_cycle_are_told_apart():
    path = torch.diag_embed(torch.ones(1, 49, dtype=torch.bool), offset=1)
    cycle = path.clone()
    cycle[0, 49, 0] = True
    order, acyclic = causal_order(torch.cat([path, cycle]))
    assert acyclic.tolist() == [True, False]
    assert order[0].tolist() == list(range(50))
