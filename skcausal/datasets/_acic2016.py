"""Simulated treatment problems on real covariates, of the ACIC 2016 competition."""

from __future__ import annotations

from sklearn.utils import Bunch

from skcausal.datasets._effect_data import check_choice, effect_data, read_arrays
from skcausal.datasets._shipped import read_table

_CATEGORICAL = ["x_2", "x_21", "x_24"]


def load_acic2016(realization: int = 1) -> Bunch:
    """Load a simulated treatment problem of the ACIC 2016 competition.

    Covariates of 4,802 births with simulated treatments and outcomes; both mean outcomes of every
    unit are known.

    Parameters
    ----------
    realization : int, default=1
        Which of the five simulations, 1 to 5. The covariates are the same in all of them.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes.

        X : DataFrame of shape (4802, 58)
            Covariates x_1 to x_58; x_2, x_21 and x_24 are categorical with text levels.
        treatment : Series of int of shape (4802,)
            Treatment, 0 or 1.
        y : Series of shape (4802,)
            Outcome.
        potential_outcomes : DataFrame of shape (4802, 2)
            Columns mu0 and mu1: the mean outcomes without and with treatment.
        effect : Series of shape (4802,)
            mu1 - mu0.
        feature_names : list of str
            Names of the covariates.
        DESCR : str
            Description, source, licence and cautions.

    Raises
    ------
    ValueError
        If `realization` is not an integer from 1 to 5.

    References
    ----------
    V. Dorie, J. Hill, U. Shalit, M. Scott and D. Cervone (2019). Automated versus do-it-yourself
    methods for causal inference: lessons learned from a data analysis competition. Statistical
    Science, 34(1), 43-68.

    Examples
    --------
    >>> from skcausal.datasets import load_acic2016
    >>> births = load_acic2016(realization=4)
    >>> births.X.shape
    (4802, 58)
    >>> births.X.select_dtypes("category").columns.tolist()
    ['x_2', 'x_21', 'x_24']
    >>> print(f"{births.effect.mean():.2f} {births.effect.std():.2f}")
    4.80 5.02
    """
    check_choice("realization", realization, 5)
    X = read_table("acic2016", "x.csv.gz").astype(dict.fromkeys(_CATEGORICAL, "category"))
    simulated = read_arrays("acic2016", "simulations.npz")
    outcomes = {key: simulated[key][:, realization - 1].copy() for key in ("mu0", "mu1")}
    treatment, y = (simulated[key][:, realization - 1].copy() for key in ("treatment", "y"))
    return effect_data("acic2016", X, treatment, y, outcomes)
