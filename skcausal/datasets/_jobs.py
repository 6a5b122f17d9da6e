"""Job training: a randomised experiment and its observational comparison group."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

from skcausal.datasets._effect_data import (
    check_choice,
    effect_data,
    numbered_frame,
    read_arrays,
)


def load_jobs(split: int = 1) -> Bunch:
    """Load job training and later employment of men in the US (real).

    Units of a randomised job training programme and an observational comparison group. Nobody's
    second outcome is known; the randomised units tell how good a policy is.

    Parameters
    ----------
    split : int, default=1
        Which of the ten published test splits, 1 to 10. It changes `train_index` and `test_index`
        only.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes.

        X : DataFrame of shape (2867, 17)
            Standardised covariates, x1 to x17.
        treatment : Series of int of shape (2867,)
            1 = took part in the training.
        y : Series of int of shape (2867,)
            1 = employed afterwards.
        experimental : Series of bool of shape (2867,)
            Whether the unit belongs to the randomised experiment.
        unit_id : Series of int of shape (2867,)
            Number of the unit among the 3,212 of the published data.
        train_index, test_index : ndarray of int of shape (2225,) and (642,)
            Row positions of the split.
        att : float
            Effect on the treated that the published file states: the difference of means between
            the arms of the full experiment.
        feature_names : list of str
            Names of the covariates.
        DESCR : str
            Description, source, licence and cautions.

    Raises
    ------
    ValueError
        If `split` is not an integer from 1 to 10.

    References
    ----------
    R. J. LaLonde (1986). Evaluating the econometric evaluations of training programs with
    experimental data. American Economic Review, 76(4), 604-620.

    R. H. Dehejia and S. Wahba (2002). Propensity score-matching methods for nonexperimental causal
    studies. Review of Economics and Statistics, 84(1), 151-161.

    U. Shalit, F. D. Johansson and D. Sontag (2017). Estimating individual treatment effect:
    generalization bounds and algorithms. ICML.

    Examples
    --------
    >>> from skcausal.datasets import load_jobs
    >>> jobs = load_jobs()
    >>> jobs.X.shape
    (2867, 17)
    >>> employed = jobs.y[jobs.experimental].groupby(jobs.treatment).mean()
    >>> print(f"{employed[1] - employed[0]:.3f}")
    0.070
    """
    check_choice("split", split, 10)
    import pandas as pd

    arrays = read_arrays("jobs", "jobs.npz")
    test_index = arrays["test_index"][:, split - 1].astype(np.int64)
    return effect_data(
        "jobs",
        numbered_frame(arrays["x"]),
        arrays["treatment"],
        arrays["y"].astype(np.int64),
        experimental=pd.Series(arrays["experimental"], name="experimental"),
        unit_id=pd.Series(arrays["unit_id"].astype(np.int64), name="unit_id"),
        train_index=np.setdiff1d(np.arange(len(arrays["x"])), test_index),
        test_index=test_index,
        att=float(arrays["att"]),
    )
