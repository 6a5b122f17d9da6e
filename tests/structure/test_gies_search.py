from collections import defaultdict
from itertools import combinations, product

import gies
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skcausal import graphs
from skcausal._equivalence import separated_pairs
from skcausal.structure._essential_graph import EssentialGraph, cliques, column_sets, members
from skcausal.structure._gaussian_score import GaussianScore
from skcausal.structure._gies_search import _Search, gies_search


def random_dag(rng, d, density):
    order = rng.permutation(d)
    return np.triu(rng.random((d, d)) < density, 1)[np.ix_(order, order)].astype(np.int8)


def target_matrix(family, d):
    targets = np.zeros((len(family), d), dtype=bool)
    for row, chosen in zip(targets, family):
        row[list(chosen)] = True
    return targets


def simulate(rng, dag, targets, rows):
    """Linear Gaussian data with targets set to 2 plus noise; X and the mask."""
    d = len(dag)
    weights = dag * rng.uniform(0.6, 1.5, size=(d, d)) * rng.choice([-1, 1], size=(d, d))
    mask = np.repeat(targets, rows, axis=0)
    data = np.zeros(mask.shape)
    for j in graphs.topological_order(dag):
        noise = rng.normal(size=len(data))
        data[:, j] = np.where(mask[:, j], 2 + noise, data @ weights[:, j] + noise)
    return data, mask


def all_dags(d):
    pairs = list(combinations(range(d), 2))
    for choice in product(range(3), repeat=len(pairs)):
        matrix = np.zeros((d, d), dtype=np.int8)
        for (i, j), c in zip(pairs, choice):
            matrix[i, j], matrix[j, i] = c == 1, c == 2
        if graphs.is_dag(matrix):
            yield matrix


def members_of_class(essential, targets):
    free = np.argwhere(np.triu(essential & essential.T))
    for flips in product([False, True], repeat=len(free)):
        dag = essential.copy()
        for (i, j), flip in zip(free, flips):
            dag[(i, j) if flip else (j, i)] = 0
        if graphs.is_dag(dag) and np.array_equal(graphs.dag_to_icpdag(dag, targets), essential):
            yield dag


def changed_dags(dag, phase):
    """All DAGs with one edge more, less or reversed."""
    for i, j in product(range(len(dag)), repeat=2):
        new = dag.copy()
        if phase == "forward" and i != j and not (dag[i, j] or dag[j, i]):
            new[i, j] = 1
        elif phase == "backward" and dag[i, j]:
            new[i, j] = 0
        elif phase == "turning" and dag[i, j]:
            new[i, j], new[j, i] = 0, 1
        else:
            continue
        if graphs.is_dag(new):
            yield new


def remembered_classes(targets):
    """Function from DAGs to the bytes of their essential graphs; the same DAG comes many times."""
    known = {}

    def class_of(dag):
        key = dag.astype(np.int8).tobytes()
        if key not in known:
            known[key] = graphs.dag_to_icpdag(dag, targets).tobytes()
        return known[key]

    return class_of


def assert_operators_reach_all_neighbours(essential, dags, targets, score, class_of):
    """Compare the operators of a class with one-edge changes of all its DAGs."""
    search = _Search(score, separated_pairs(targets), None)
    search.threshold = -np.inf
    search.graph = EssentialGraph(essential.astype(bool))
    before = score.total(dags[0])
    for phase, list_operators, apply in [
        ("forward", search.insertions, search.insert),
        ("backward", search.deletions, search.delete),
        ("turning", search.turns, search.turn),
    ]:
        expected = {class_of(new) for dag in dags for new in changed_dags(dag, phase)}
        expected -= {essential.tobytes()}
        reached = set()
        for negative_gain, y, x, clique in search.operators(phase, list_operators):
            dag = apply(y, x, clique)
            np.testing.assert_allclose(score.total(dag) - before, -negative_gain, atol=1e-6)
            reached.add(class_of(dag))
        assert reached == expected, phase


@pytest.mark.parametrize(
    ("d", "family"),
    [(3, [[]]), (3, [[], [0]]), (3, [[0], [1, 2]]), (4, [[]]), (4, [[], [0]])],
)
def test_operators_reach_exactly_the_neighbouring_classes(d, family):
    rng = np.random.default_rng(d)
    targets = target_matrix(family, d)
    data, mask = simulate(rng, random_dag(rng, d, 0.7), targets, 30)
    score = GaussianScore(data, mask)
    classes, class_of = defaultdict(list), remembered_classes(targets)
    for dag in all_dags(d):
        classes[class_of(dag)].append(dag)
    for key, dags in classes.items():
        essential = np.frombuffer(key, dtype=np.int8).reshape(d, d)
        assert_operators_reach_all_neighbours(essential, dags, targets, score, class_of)


def test_operators_within_larger_chain_components():
    # Turns of undirected edges with N partly in C need at least four neighbours.
    rng = np.random.default_rng(5)
    n_checked, targets = 0, target_matrix([[]], 5)
    class_of = remembered_classes(targets)
    while n_checked < 8:
        essential = graphs.dag_to_cpdag(random_dag(rng, 5, 0.7))
        if not 5 <= np.sum(essential & essential.T) // 2 <= 8:
            continue
        data, mask = simulate(rng, random_dag(rng, 5, 0.7), targets, 50)
        dags = list(members_of_class(essential, targets))
        score = GaussianScore(data, mask)
        assert_operators_reach_all_neighbours(essential, dags, targets, score, class_of)
        n_checked += 1


FAMILIES = {
    "observational": [[]],
    "one target": [[], [0]],
    "all singles": [[], [0], [1], [2], [3], [4], [5]],
    "pairs": [[], [0, 1], [2, 3], [1, 4]],
    "no observational": [[0], [1], [2, 3]],
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())
@pytest.mark.parametrize("rows", [20, 200])
def test_agrees_with_the_gies_package(family, rows):
    rng = np.random.default_rng(rows + len(family))
    targets = target_matrix(family, 6)
    for _ in range(3):
        data, mask = simulate(rng, random_dag(rng, 6, 0.5), targets, rows)
        found, total = gies.fit_bic(np.split(data, len(family)), family)
        score = GaussianScore(data, mask)
        mine = gies_search(score, targets)
        np.testing.assert_array_equal(mine, found)
        np.testing.assert_allclose(score.total(graphs.consistent_extension(mine)), total, rtol=1e-7)


@pytest.mark.parametrize("centering", ["regime", "pooled"])
@pytest.mark.parametrize("family", [[[]], [[], [1]], [[], [0, 1], [2]], [[], [0], [1], [2], [3]]])
def test_finds_the_best_graph_and_the_truth_with_much_data(family, centering):
    rng = np.random.default_rng(len(family))
    dags = list(all_dags(4))
    targets = target_matrix(family, 4)
    for _ in range(3):
        truth = random_dag(rng, 4, 0.5)
        data, mask = simulate(rng, truth, targets, 20000)
        score = GaussianScore(data, mask, centering=centering)
        found = gies_search(score, targets)
        best = max(score.total(dag) for dag in dags)
        total = score.total(graphs.consistent_extension(found))
        np.testing.assert_allclose(total, best, rtol=1e-9)
        np.testing.assert_array_equal(found, graphs.dag_to_icpdag(truth, targets))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(2, 8))
def test_order_of_the_variables_does_not_matter(seed, d):
    rng = np.random.default_rng(seed)
    targets = np.vstack([np.zeros(d, dtype=bool), rng.random((3, d)) < 0.3])
    data, mask = simulate(rng, random_dag(rng, d, 0.4), targets, 30)
    order = rng.permutation(d)
    score = GaussianScore(data, mask)
    permuted = GaussianScore(data[:, order], mask[:, order])
    found = gies_search(score, targets)
    again = gies_search(permuted, targets[:, order])
    np.testing.assert_allclose(
        permuted.total(graphs.consistent_extension(again)),
        score.total(graphs.consistent_extension(found)),
        rtol=1e-8,
    )
    np.testing.assert_array_equal(again, found[np.ix_(order, order)])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), centering=st.sampled_from(["regime", "pooled"]))
def test_no_single_change_improves_the_result(seed, centering):
    rng = np.random.default_rng(seed)
    targets = np.vstack([np.zeros(6, dtype=bool), rng.random((2, 6)) < 0.3])
    data, mask = simulate(rng, random_dag(rng, 6, 0.5), targets, 25)
    score = GaussianScore(data, mask, centering=centering)
    found = gies_search(score, targets)
    dag = graphs.consistent_extension(found)
    np.testing.assert_array_equal(graphs.dag_to_icpdag(dag, targets), found)
    total = score.total(dag)
    for phase in ("forward", "backward", "turning"):
        for other in changed_dags(dag, phase):
            assert score.total(other) <= total + 1e-6 * abs(total)


def degenerate_data(rng):
    noise = rng.normal(size=(60, 4))
    yield np.hstack([noise, noise, noise[:, :1]])
    yield np.hstack([noise, np.full((60, 2), 0.1)])
    yield noise @ rng.normal(size=(4, 8))
    yield rng.normal(size=(5, 8))
    yield rng.normal(size=(1, 3))
    yield np.zeros((10, 3))
    yield rng.normal(size=(10, 1))


@pytest.mark.parametrize("centering", ["regime", "pooled"])
@pytest.mark.parametrize("case", range(7))
def test_degenerate_data_end_in_an_essential_graph(case, centering):
    data = list(degenerate_data(np.random.default_rng(12)))[case]
    mask = np.zeros(data.shape, dtype=bool)
    mask[: len(data) // 3, 0] = True
    targets = np.unique(mask, axis=0)
    found = gies_search(GaussianScore(data, mask, centering=centering), targets)
    dag = graphs.consistent_extension(found)
    np.testing.assert_array_equal(graphs.dag_to_icpdag(dag, targets), found)


def test_variable_targeted_everywhere_has_no_parents():
    rng = np.random.default_rng(13)
    dag = np.triu(np.ones((4, 4), dtype=np.int8), 1)
    targets = target_matrix([[2], [2, 3]], 4)
    data, mask = simulate(rng, dag, targets, 500)
    found = gies_search(GaussianScore(data, mask), targets)
    assert not found[:, 2][found[2] == 0].any()
    assert found[2, 3] == 1


def test_max_parents_bounds_some_dag_of_the_class():
    rng = np.random.default_rng(14)
    data, mask = simulate(rng, random_dag(rng, 8, 0.9), target_matrix([[], [0]], 8), 400)
    targets = np.unique(mask, axis=0)
    score = GaussianScore(data, mask)
    in_degree = {
        bound: graphs.consistent_extension(gies_search(score, targets, max_parents=bound)).sum(0)
        for bound in (0, 2, None)
    }
    assert in_degree[0].max() == 0
    assert in_degree[2].max() == 2
    assert in_degree[None].max() > 2


def test_phases():
    rng = np.random.default_rng(15)
    targets = target_matrix([[], [0], [1]], 7)
    data, mask = simulate(rng, random_dag(rng, 7, 0.6), targets, 60)
    score = GaussianScore(data, mask)
    assert not gies_search(score, targets, phases=("backward", "turning")).any()
    totals = [
        score.total(graphs.consistent_extension(gies_search(score, targets, **options)))
        for options in (
            {"phases": ["forward"]},
            {"phases": ["forward", "backward"], "iterate": False},
            {"iterate": False},
            {},
        )
    ]
    assert totals == sorted(totals)


def test_sets_of_variables():
    matrix = np.random.default_rng(16).random((70, 70)) < 0.3
    sets = column_sets(matrix)
    for j in (0, 33, 69):
        assert members(sets[j]) == np.flatnonzero(matrix[:, j]).tolist()
    # A triangle 0 - 1 - 2 with a tail 2 - 3.
    adjacent = [0b0110, 0b0101, 0b1011, 0b0100]
    assert sorted(cliques(0b1111, adjacent, 4)) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 12]
    assert sorted(cliques(0b1111, adjacent, 1)) == [0, 1, 2, 4, 8]
    assert cliques(0b1111, adjacent, 0) == [0]


def test_refuses_unknown_phases_and_other_shapes():
    score = GaussianScore(np.eye(3), np.zeros((3, 3), dtype=bool))
    targets = np.zeros((1, 3), dtype=bool)
    for phases in ((), ("forward", "sideways")):
        with pytest.raises(ValueError, match="phases must name"):
            gies_search(score, targets, phases=phases)
    with pytest.raises(ValueError, match=r"targets must have shape \(n_regimes, 3\)"):
        gies_search(score, targets[:, :2])
