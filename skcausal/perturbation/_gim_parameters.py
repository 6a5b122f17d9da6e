"""Parameters of the generative intervention model."""

from numbers import Integral, Real

import numpy as np

from skcausal.graphs import check_adjacency

_CHOICES = {
    "mechanism": ("linear", "mlp"),
    "intervention": ("shift", "do", "scale"),
    "generator": ("auto", "kernel", "linear", "mlp"),
    "solver": ("order", "gradient"),
}


def check_parameters(model):
    """Raise for a parameter that is out of range.

    Parameters
    ----------
    model : GenerativeInterventionModel
        Whose parameters are checked.

    Raises
    ------
    ValueError
        That names the parameter and says what it may be.
    """
    for name, choices in _CHOICES.items():
        if getattr(model, name) not in choices:
            listed = ", ".join(map(repr, choices))
            raise ValueError(f"{name} must be one of {listed}; found {getattr(model, name)!r}.")
    if model.solver == "order" and model.mechanism == "mlp" and model.intervention != "shift":
        raise ValueError(
            f"mechanism='mlp' with intervention={model.intervention!r} needs solver='gradient': "
            "the search over orders has perceptrons for intervention='shift' only."
        )
    for name in ("edge_probability", "target_probability"):
        value = getattr(model, name)
        if value is not None and not (isinstance(value, Real) and 0 < value < 1):
            raise ValueError(f"{name} must be None or a number between 0 and 1, found {value!r}.")
    if not (isinstance(model.n_restarts, Integral) and model.n_restarts >= 1):
        raise ValueError(
            f"n_restarts must be an integer of at least 1, found {model.n_restarts!r}."
        )


def check_gradient(model):
    """Raise for what the solver "gradient" cannot do."""
    if model.generator == "kernel":
        raise ValueError(
            "solver='gradient' trains a generator of its own: set generator to 'auto', 'linear' or "
            "'mlp', or solver='order'."
        )
    if model.adjacency is not None:
        raise ValueError("adjacency is learned by solver='gradient'; set solver='order'.")
    if model._fitted_with_mask:
        raise ValueError(
            "solver='gradient' infers targets from features; for a mask of known targets set "
            "solver='order'."
        )


def known_adjacency(model):
    """Check the graph that is given, if one is."""
    if model.adjacency is None:
        return None
    return check_adjacency(
        model.adjacency,
        n_variables=model.n_features_in_,
        variables=getattr(model, "feature_names_in_", None),
        acyclic=True,
    )


def edge_log_odds(probability, n_variables):
    """Prior log odds of an edge; by default those of two edges per variable."""
    if probability is None:
        probability = min(0.5, 2.0 / max(n_variables - 1, 1))
    return float(np.log(probability / (1.0 - probability)))


def log_odds_or_none(probability):
    """Log odds of a probability, None of None."""
    return None if probability is None else float(np.log(probability / (1.0 - probability)))
