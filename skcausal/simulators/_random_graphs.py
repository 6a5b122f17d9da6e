"""Random directed graphs, in batches.

Acyclic graphs are drawn in causal positions, so that edges run from lower to higher ones, and then
moved to the variables that hold these positions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from skcausal.simulators._parameters import (
    bounds_of,
    check_bounded,
    check_choice,
    check_parameter,
    draw_parameter,
)
from skcausal.simulators._random import fold_in, random_order, uniform


def erdos_renyi(keys, n_variables, edges_per_variable, size):
    """Join each pair of positions with equal probability.

    Parameters
    ----------
    keys : int64 tensor of shape (n_systems,)
        Keys of the systems.
    n_variables : int64 tensor of shape (n_systems,)
        Number of variables of each system.
    edges_per_variable : tensor of shape (n_systems,)
        Expected number of edges divided by the number of variables.
    size : int
        Number of positions of the padded graphs.

    Returns
    -------
    edges : bool tensor of shape (n_systems, size, size)
        Entry (s, i, j) is True for an edge from position i to a later position j.
    """
    probability = 2.0 * edges_per_variable / (n_variables - 1)
    drawn = uniform(keys, size, size) < probability[:, None, None]
    return drawn.triu(diagonal=1) & _pairs_present(n_variables, size)


def directed_erdos_renyi(keys, n_variables, edges_per_variable, size):
    """Draw each of the two edges of every pair on its own, so that cycles may arise.

    Arguments and result are those of :func:`erdos_renyi`; edges run in both directions.
    """
    probability = edges_per_variable / (n_variables - 1)
    drawn = uniform(keys, size, size) < probability[:, None, None]
    drawn &= ~torch.eye(size, dtype=torch.bool, device=keys.device)
    return drawn & _pairs_present(n_variables, size)


def scale_free(keys, n_variables, edges_per_variable, size):
    """Let every position choose its parents among the earlier ones, in proportion to their degree.

    This is the growth process of Barabasi & Albert (1999): a node that joins brings
    `edges_per_variable` edges (a fraction is the probability of one more), or as many as there are
    earlier nodes. The edges point to it, so hubs are causes. A node without edges counts as one
    with a single edge. Arguments and result are those of
    :func:`erdos_renyi`.
    """
    whole = edges_per_variable.floor()
    extra = uniform(fold_in(keys, "extra"), size) < (edges_per_variable - whole)[:, None]
    n_parents = whole[:, None] + extra
    # Successive draws without replacement are the largest of log-weights plus Gumbel noise.
    gumbel = -(-uniform(keys, size, size).log()).log()
    edges = torch.zeros(len(keys), size, size, dtype=torch.bool, device=keys.device)
    degree = torch.zeros(len(keys), size, dtype=torch.float64, device=keys.device)
    for node in range(1, size):
        preference = degree[:, :node].clamp(min=1).log() + gumbel[:, node, :node]
        rank = preference.argsort(dim=-1, descending=True).argsort(dim=-1)
        chosen = rank < n_parents[:, node, None]
        chosen &= (node < n_variables)[:, None]
        edges[:, :node, node] = chosen
        degree[:, :node] += chosen
        degree[:, node] = chosen.sum(-1)
    return edges


def move_to_variables(edges: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Rename positions: entry (order[i], order[j]) of the result is entry (i, j) of `edges`.

    Parameters
    ----------
    edges : tensor of shape (n_systems, size, size)
        Any matrix over positions.
    order : int64 tensor of shape (n_systems, size)
        The variable at each position.

    Returns
    -------
    matrix : tensor of shape (n_systems, size, size)
        The matrix over variables.
    """
    position = order.argsort(dim=-1)
    rows = position[:, :, None].expand_as(edges)
    columns = position[:, None, :].expand_as(edges)
    return edges.gather(1, rows).gather(2, columns)


def add_rings(keys, edges, n_variables, n_cycles, cycle_length):
    """Add directed rings through randomly chosen variables.

    Parameters
    ----------
    keys : int64 tensor of shape (n_systems,)
        Keys of the systems.
    edges : bool tensor of shape (n_systems, size, size)
        Graphs over variables.
    n_variables : int64 tensor of shape (n_systems,)
        Number of variables of each system.
    n_cycles : tensor of shape (n_systems,)
        Number of rings to add to each graph.
    cycle_length : int
        Number of variables in a ring, at most the smallest of `n_variables`.

    Returns
    -------
    edges : bool tensor of shape (n_systems, size, size)
        The graphs with the rings.
    """
    edges, systems = edges.clone(), torch.arange(len(edges), device=edges.device)
    for ring in range(int(n_cycles.max()) if len(edges) else 0):
        members = random_order(fold_in(keys, ring), n_variables, edges.shape[-1])[:, :cycle_length]
        present = ring < n_cycles
        for here, there in zip(members.T, members.roll(-1, dims=1).T):
            edges[systems, here, there] |= present
    return edges


def causal_order(edges: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Order variables so that causes come first, and say which graphs have such an order.

    Parameters
    ----------
    edges : bool tensor of shape (n_systems, size, size)
        Graphs over variables.

    Returns
    -------
    order : int64 tensor of shape (n_systems, size)
        Variables by the length of the longest path that ends in them; meaningless for a graph with
        a cycle.
    acyclic : bool tensor of shape (n_systems,)
        Whether the graph has no directed cycle.
    """
    depth = torch.zeros(edges.shape[:2], dtype=torch.int64, device=edges.device)
    for _ in range(edges.shape[-1]):
        depth = ((depth[:, :, None] + 1) * edges).amax(dim=1)
    final = ((depth[:, :, None] + 1) * edges).amax(dim=1)
    return depth.argsort(dim=-1, stable=True), (final == depth).all(dim=-1)


GRAPHS: dict[str, Callable] = {
    "erdos_renyi": erdos_renyi,
    "scale_free": scale_free,
    "directed_erdos_renyi": directed_erdos_renyi,
}
ACYCLIC = ("erdos_renyi", "scale_free")


def check_graph_parameters(n_variables, graph, edges_per_variable, graphs) -> None:
    """Validate the parameters of random graphs, of which the kinds `graphs` are allowed.

    Raises
    ------
    ValueError
        If one is out of range, or the smallest graph cannot hold the most edges asked for.
    """
    check_parameter("n_variables", n_variables, 2, integer=True)
    check_choice("graph", graph, graphs)
    check_parameter("edges_per_variable", edges_per_variable, 0.0)
    check_bounded("n_variables", n_variables)
    smallest = bounds_of("n_variables", n_variables)[0]
    most = (smallest - 1) / 2 if graph == "erdos_renyi" else smallest - 1
    edges = bounds_of("edges_per_variable", edges_per_variable)[1]
    if edges > most:
        raise ValueError(
            f"edges_per_variable={edges:g} is more than a graph {graph!r} of {smallest:g} "
            f"variables holds: at most {most:g}."
        )


def draw_graph(keys, n_variables, graph, edges_per_variable):
    """Draw numbers of variables, random orders and graphs in causal positions.

    Parameters
    ----------
    keys : int64 tensor of shape (n_systems,)
        Keys of the systems.
    n_variables, graph, edges_per_variable : object
        Parameters of :class:`LinearPrior`.

    Returns
    -------
    n_variables : int64 tensor of shape (n_systems,)
        Number of variables of each system.
    order : int64 tensor of shape (n_systems, size)
        The variable at each position.
    edges : bool tensor of shape (n_systems, size, size)
        Edges between positions.
    """
    size = int(bounds_of("n_variables", n_variables)[1])
    counts = draw_parameter(n_variables, fold_in(keys, "n_variables")).long()
    density = draw_parameter(edges_per_variable, fold_in(keys, "edges_per_variable"))
    order = random_order(fold_in(keys, "order"), counts, size)
    return counts, order, GRAPHS[graph](fold_in(keys, "edges"), counts, density, size)


def are_present(n_variables: torch.Tensor, size: int) -> torch.Tensor:
    """Mark the variables that exist: bool tensor (n_systems, size)."""
    return torch.arange(size, device=n_variables.device) < n_variables[:, None]


def _pairs_present(n_variables: torch.Tensor, size: int) -> torch.Tensor:
    """Bool tensor (n_systems, size, size): both ends of the pair are among the variables."""
    present = are_present(n_variables, size)
    return present[:, :, None] & present[:, None, :]
