"""What one library may change under the feet of another; imports nothing of skcausal."""

import os
import random
import sys
import warnings

import matplotlib as mpl
import numpy as np
import sklearn
import torch


def global_state():
    """State of the process by name, as values that can be compared."""
    numpy_state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return {
        "Python's generator": random.getstate(),
        "NumPy's generator": (numpy_state["key"].tobytes(), numpy_state["pos"]),
        "torch's generator": torch.random.get_rng_state().numpy().tobytes(),
        "threads of torch": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "determinism": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
        ),
        "precision": (
            torch.get_float32_matmul_precision(),
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cudnn.allow_tf32,
        ),
        "attention": (
            torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.math_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(),
        ),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "anomalies": torch.is_anomaly_enabled(),
        "errors of NumPy": (np.geterr(), np.geterrcall()),
        "printing": np.get_printoptions(),
        "warnings": list(warnings.filters),
        "matplotlib": dict(mpl.rcParams),
        "scikit-learn": sklearn.get_config(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "search path": list(sys.path),
        "recursion": sys.getrecursionlimit(),
        "handler of errors": sys.excepthook,
    }


def moved_on_state():
    """State after a draw from each generator: setting a seed again shows as a change."""
    random.random()
    np.random.random()  # noqa: NPY002
    torch.rand(1)
    return global_state()


def changes_since(before):
    """Names of what is no longer as it was."""
    after = global_state()
    return [name for name in before if before[name] != after[name]]
