"""The layout that data sets for treatment effects share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import Bunch

from skcausal.datasets._regimes import check_count
from skcausal.datasets._shipped import read_description, shipped_file

if TYPE_CHECKING:
    import pandas as pd


def read_arrays(dataset: str, name: str) -> dict[str, np.ndarray]:
    """Arrays by name of an npz file that is installed with the package."""
    with shipped_file(dataset, name).open("rb") as file, np.load(file, allow_pickle=False) as npz:
        return {key: npz[key] for key in npz.files}


def check_choice(name: str, value, largest: int) -> None:
    """Raise a ValueError for a number that is not among 1 to `largest`."""
    check_count(name, value, 1)
    if value > largest:
        raise ValueError(f"{name} must be an integer from 1 to {largest}, found {value!r}.")


def numbered_frame(values: np.ndarray) -> pd.DataFrame:
    """Float covariates with the columns x1, x2, ..."""
    import pandas as pd

    names = [f"x{i}" for i in range(1, values.shape[1] + 1)]
    return pd.DataFrame(values.astype(np.float64), columns=names)


def effect_data(
    dataset: str,
    X: pd.DataFrame,
    treatment: np.ndarray,
    y: np.ndarray,
    outcomes: dict[str, np.ndarray] | None = None,
    **others,
) -> Bunch:
    """Bunch of one data set; `outcomes` are those without and with treatment, by name."""
    import pandas as pd

    data = Bunch(
        X=X,
        treatment=pd.Series(treatment.astype(np.int64), name="treatment"),
        y=pd.Series(y, name="y"),
    )
    if outcomes is not None:
        data.potential_outcomes = pd.DataFrame(outcomes)
        without, treated = outcomes.values()
        data.effect = pd.Series(treated - without, name="effect")
    data.update(others, feature_names=X.columns.tolist(), DESCR=read_description(dataset))
    return data
