"""Where and in which precision to compute."""

from __future__ import annotations

import numpy as np
import torch

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def resolve_device(device: str | torch.device) -> torch.device:
    """Device of an estimator's argument `device`; "auto" is the GPU where there is one.

    Parameters
    ----------
    device : "auto", str or torch.device
        What the user asked for.

    Returns
    -------
    device : torch.device
        Where to compute.

    Raises
    ------
    ValueError
        If there is no such device here.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(
            "device must be 'auto' or a device of torch such as 'cpu' or 'cuda:0', found "
            f"{device!r}."
        ) from None
    try:
        # torch knows the names of devices that this machine lacks.
        usable = torch.zeros(1, device=resolved).cpu().device.type == "cpu"
    except (RuntimeError, AssertionError, ValueError):
        usable = False
    if not usable:
        raise ValueError(f"device={device!r} is not available here. Use device='cpu' or 'auto'.")
    return resolved


def resolve_dtype(dtype: str | torch.dtype | np.dtype) -> torch.dtype:
    """Precision of an estimator's argument `dtype`.

    Parameters
    ----------
    dtype : "float32", "float64", torch.dtype or numpy dtype
        What the user asked for.

    Returns
    -------
    dtype : torch.dtype
        One of torch.float32 and torch.float64.

    Raises
    ------
    ValueError
        If it is another one.
    """
    name = str(getattr(dtype, "__name__", dtype)).removeprefix("torch.")
    if name not in _DTYPES:
        raise ValueError(f"dtype must be 'float32' or 'float64', found {dtype!r}.")
    return _DTYPES[name]
