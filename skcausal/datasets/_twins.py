"""Mortality of twins: both outcomes are observed, the treatment is simulated."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

from skcausal.datasets._effect_data import effect_data, numbered_frame, read_arrays


def load_twins() -> Bunch:
    """Load first-year mortality of twins, with a simulated choice of the observed twin.

    A unit is a pair of twins; the treatment is to be the heavier one. The records of both twins
    are known, so both outcomes of a pair are; which of them is shown was simulated.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes.

        X : DataFrame of shape (11984, 75)
            Covariates of the pair, x1 to x75. Rows of the published training part come first.
        treatment : Series of int of shape (11984,)
            1 = the heavier twin is observed.
        y : Series of int of shape (11984,)
            1 = the observed twin died within a year.
        potential_outcomes : DataFrame of int of shape (11984, 2)
            Columns y0 and y1: the outcomes of the lighter and of the heavier twin. These are
            observed outcomes, not means.
        effect : Series of int of shape (11984,)
            y1 - y0, one of -1, 0 and 1.
        propensity : Series of shape (11984,)
            Probability with which the heavier twin was chosen.
        train_index, test_index : ndarray of int of shape (9587,) and (2397,)
            Row positions of the published split.
        feature_names : list of str
            Names of the covariates.
        DESCR : str
            Description, source, licence and cautions.

    References
    ----------
    D. Almond, K. Y. Chay and D. S. Lee (2005). The costs of low birth weight. Quarterly Journal of
    Economics, 120(3), 1031-1083.

    C. Louizos, U. Shalit, J. M. Mooij, D. Sontag, R. Zemel and M. Welling (2017). Causal effect
    inference with deep latent-variable models. NeurIPS.

    Examples
    --------
    >>> from skcausal.datasets import load_twins
    >>> twins = load_twins()
    >>> twins.X.shape
    (11984, 75)
    >>> print(f"{twins.effect.mean():.3f}")
    -0.025
    >>> means = twins.y.groupby(twins.treatment).mean()
    >>> print(f"{means[1] - means[0]:.3f}")
    -0.112
    """
    import pandas as pd

    arrays = read_arrays("twins", "twins.npz")
    treatment, y0, y1 = (arrays[key].astype(np.int64) for key in ("treatment", "y0", "y1"))
    train_index, test_index = np.split(np.arange(len(y0)), [int(arrays["n_train"])])
    return effect_data(
        "twins",
        numbered_frame(arrays["x"]),
        treatment,
        np.where(treatment == 1, y1, y0),
        {"y0": y0, "y1": y1},
        propensity=pd.Series(arrays["propensity"].astype(np.float64), name="propensity"),
        train_index=train_index,
        test_index=test_index,
    )
