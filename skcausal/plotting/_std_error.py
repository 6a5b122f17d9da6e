"""Standard errors of means."""

from __future__ import annotations

import numpy as np


def std_error(X: np.ndarray) -> np.ndarray:
    """Divide the standard deviations of the columns by √n; NaN for a single row."""
    if len(X) < 2:
        return np.full(X.shape[1], np.nan)
    return X.std(axis=0, ddof=1) / np.sqrt(len(X))
