"""Single-cell data of a simulated gene regulatory network with knock-outs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sklearn.utils import Bunch

from skcausal._typing import RandomStateLike
from skcausal.datasets._regimes import check_count, frame
from skcausal.datasets._scm import draw_scm


def make_gene_network(
    n_genes: int = 10,
    *,
    n_samples: int = 100,
    regimes: str | Iterable[Any] = "singles",
    kind: str = "knock_out",
    edges_per_gene: float | None = None,
    n_cell_types: int = 5,
    technical_noise: str | None = "10x_chromium",
    target_error: float = 0.0,
    n_heldout_pairs: int = 0,
    random_state: RandomStateLike = None,
) -> Bunch:
    """Generate single-cell data of a random gene regulatory network with knock-outs.

    The network is drawn from :class:`~skcausal.simulators.GeneNetworkPrior`, which has more
    parameters; ``make_scm(GeneNetworkPrior(...), values=None)`` gives data of any of them.

    Parameters
    ----------
    n_genes : int, default=10
        Number of genes, at least 2. They are named g0, g1, ...

    n_samples : int, default=100
        Number of cells per regime, spread evenly over the cell types.

    regimes : {"observational", "singles", "pairs"} or collection, default="singles"
        Which sets of genes are knocked out; see :func:`make_linear_scm`.

    kind : {"knock_out", "knock_down"}, default="knock_out"
        Whether the production of a target falls to 0 or to one half.

    edges_per_gene : float, default=None
        Expected number of regulations divided by the number of genes, at most
        ``(n_genes - 1) / 2``. None is 1.5, or that limit.

    n_cell_types : int, default=5
        Number of cell types.

    technical_noise : {"10x_chromium", "drop_seq"} or None, default="10x_chromium"
        The platform that turns expression into counts; None leaves the expression as it is.

    target_error : float, default=0.0
        Probability, in every treated cell, that a target is missed, and that another gene is hit.

    n_heldout_pairs : int, default=0
        Number of randomly chosen pairs among the regimes whose rows are returned as a test set
        and not in X.

    random_state : int, RandomState instance or None, default=None
        Determines the network, the held-out pairs and the cells. Pass an int for reproducible
        output across multiple function calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        The attributes that :func:`make_scm` gives, and:

        interactions : DataFrame of shape (n_genes, n_genes)
            Strength with which gene i activates (positive) or represses gene j.
        cell_types, cell_types_test : Series of int
            Cell type of every row of `X` and of `X_test`.
        hits, hits_test : DataFrame of bool
            The genes that were hit in every row; differs from the mask with `target_error` only.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    .. [1] Dibaeinia & Sinha (2020). SERGIO: a single-cell expression simulator guided by gene
       regulatory networks. Cell Systems 11(3).

    Examples
    --------
    >>> from skcausal.datasets import make_gene_network
    >>> data = make_gene_network(4, n_samples=50, random_state=0)
    >>> data.X.shape, data.regimes.unique().tolist()
    ((250, 4), ['control', 'g0', 'g1', 'g2', 'g3'])
    """
    import pandas as pd

    from skcausal.simulators import GeneNetworkPrior

    check_count("n_genes", n_genes, 2)
    limit = (n_genes - 1) / 2
    edges_per_gene = min(1.5, limit) if edges_per_gene is None else edges_per_gene
    if not 0 <= edges_per_gene <= limit:
        raise ValueError(
            f"edges_per_gene must lie between 0 and (n_genes - 1) / 2 = {limit:g}, found "
            f"{edges_per_gene!r}."
        )
    prior = GeneNetworkPrior(
        n_genes,
        edges_per_variable=edges_per_gene,
        n_cell_types=n_cell_types,
        technical_noise=technical_noise,
        target_error=target_error,
    )
    data = draw_scm(
        prior,
        "g",
        n_samples=n_samples,
        regimes=regimes,
        kind=kind,
        values=None,
        n_heldout_pairs=n_heldout_pairs,
        random_state=random_state,
        description="gene_network",
        record=_cells,
    )
    names = data.feature_names
    for suffix in ("", "_test"):
        data[f"cell_types{suffix}"] = pd.Series(data[f"cell_types{suffix}"], name="cell_type")
        data[f"hits{suffix}"] = frame(data[f"hits{suffix}"], names)
    interactions = frame(data.system.interactions[0].numpy(), names)
    data.interactions = interactions.set_axis(names, axis=0)
    return data


def _cells(networks, n_rows, mask, seed):
    """Cell types and actual targets of the rows of a network."""
    return {
        "cell_types": networks.cell_types(n_rows, mask, random_state=seed),
        "hits": networks.actual_targets(n_rows, mask, random_state=seed),
    }
