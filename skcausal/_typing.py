"""Aliases for the annotations of public signatures.

At run time they stand for arrays alone, so that importing them brings in neither pandas nor
networkx.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import networkx
    import pandas as pd

    MatrixLike: TypeAlias = ArrayLike | pd.DataFrame
    PerRow: TypeAlias = ArrayLike | pd.Series | pd.DataFrame | None
    GraphLike: TypeAlias = ArrayLike | pd.DataFrame | networkx.Graph
    Table: TypeAlias = np.ndarray | pd.DataFrame
else:
    # A table of numbers, of which the column names are used where there are any.
    MatrixLike = ArrayLike
    # One entry, or one row of a mask, for each row of X: what scikit-learn routes as metadata.
    PerRow = ArrayLike | None
    # The adjacency matrix of a graph, with or without names, or a graph of networkx.
    GraphLike = ArrayLike
    # What comes out with the names of the variables where they are known.
    Table = np.ndarray

# Where a file is, and what scikit-learn makes a generator of random numbers from.
PathLike: TypeAlias = str | os.PathLike[str]
RandomStateLike: TypeAlias = int | np.random.RandomState | None
