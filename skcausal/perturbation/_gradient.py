"""Maximum a posteriori estimate of graph, mechanisms and generator of targets by gradient ascent.

The recipe of Schneider et al. (2025): a relaxed graph, an acyclicity penalty that grows, sparsity
of targets that sets in along half a cosine, Adam. By default the sum over sets of targets, which
the paper takes by Monte Carlo, is exact.
"""

import hashlib
import math

import numpy as np
import torch

from skcausal.nn import train
from skcausal.perturbation._gradient_fit import extract_fit
from skcausal.perturbation._gradient_objective import (
    STEPS_PER_EPOCH,
    GradientObjective,
    like,
    seed_of,
)
from skcausal.perturbation._joint_model import INTERVENTIONS, N_HIDDEN, JointModel
from skcausal.perturbation._relaxed_mechanisms import MECHANISMS, ContextTensors


def fit_by_gradient(
    contexts,
    X=None,
    *,
    intervention="shift",
    mechanism="linear",
    generator="linear",
    n_steps=30_000,
    learning_rate=1e-3,
    n_draws=None,
    edge_probability=0.1,
    target_probability=0.1,
    random_state=0,
    device="cpu",
    dtype=torch.float32,
    checkpoint=None,
    fingerprint="",
    verbose=False,
):
    """Estimate graph, mechanisms and generator of targets jointly.

    Parameters
    ----------
    contexts : Contexts
        Statistics of standardised variables: the control has mean 0, and the deviation within
        contexts is 1.
    X : ndarray of shape (n_samples, n_variables), default=None
        Their rows. Only linear mechanisms under shifts do without.
    intervention : {"shift", "do", "scale"}, default="shift"
        What is done to targets: a shift is added; the mechanism is replaced by a value with noise
        of its own; the standard deviation of the noise is multiplied.
    mechanism : {"linear", "mlp"}, default="linear"
        Linear equations, or perceptrons with one hidden layer.
    generator : {"linear", "mlp"}, default="linear"
        Map from features to log odds and parameters of targets.
    n_steps : int, default=30000
        Number of optimizer steps.
    learning_rate : float, default=1e-3
        Learning rate of Adam.
    n_draws : int, default=None
        Number of sets of targets that each step draws for each context, relaxed; None sums over
        all sets.
    edge_probability, target_probability : float
        Prior probabilities of an edge and of a target.
    random_state : int, default=0
        Seed of the initial weights and of all draws.
    device : torch.device or str, default="cpu"
        Where to compute.
    dtype : torch.dtype, default=torch.float32
        Precision.
    checkpoint : str or path-like, default=None
        File for the state of the training, from which it goes on if it exists.
    fingerprint : str, default=""
        Identifies the training, besides the data and the arguments of this function.
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    fit : GradientFit
        The estimates.

    Raises
    ------
    ValueError
        If an argument is out of range, if X is missing or of the wrong shape, or if the checkpoint
        belongs to another training.
    FloatingPointError
        If training diverges.

    Notes
    -----
    The loss, per row, is minus the log likelihood of all contexts given a graph drawn from the
    Gumbel-sigmoid distribution, plus

    - for each edge its probability times its prior log odds and half the log of the number of rows;
    - for each context and variable the probability of a target, according to the generator, times
      its prior log odds, with a weight that rises from 0 to 1 along half a cosine;
    - the spectral radius of the edge probabilities, with a weight that rises quadratically.

    The likelihood has the determinant that makes it a density for cyclic graphs, too. The last 15 %
    of the steps hold the graph fixed, thresholded and acyclic. All draws of a step depend on the
    seed and the number of the step alone.

    References
    ----------
    .. [1] Schneider, N., Lorch, L., Kilbertus, N., Schoelkopf, B. & Krause, A. (2025). Generative
       intervention models for causal perturbation modeling. ICML. arXiv:2411.14003.
    .. [2] Ng, I., Ghassami, A. & Zhang, K. (2020). On the role of sparsity and DAG constraints for
       learning linear DAGs. NeurIPS. Equation (1), for the determinant.
    """
    pooled = mechanism == "linear" and intervention == "shift"
    settings = {
        "intervention": intervention,
        "mechanism": mechanism,
        "generator": generator,
        "n_steps": n_steps,
        "learning_rate": learning_rate,
        "n_draws": n_draws,
        "edge_probability": edge_probability,
        "target_probability": target_probability,
        "random_state": random_state,
    }
    _check_settings(settings)
    _check_rows(contexts, X, required=not pooled)
    data = ContextTensors.from_arrays(
        contexts, X, pooled=pooled, keep_rows=mechanism == "mlp", device=device, dtype=dtype
    )
    model = JointModel(
        torch.tensor(contexts.features, dtype=torch.float64),
        contexts.means.shape[1],
        intervention=intervention,
        mechanism=mechanism,
        generator=generator,
        target_probability=target_probability,
        random=torch.Generator().manual_seed(seed_of(random_state, 0)),
        dtype=dtype,
    ).to(device)
    features = like(model, contexts.features)
    objective = GradientObjective(
        data,
        features,
        n_steps=n_steps,
        n_draws=n_draws,
        edge_probability=edge_probability,
        target_probability=target_probability,
        seed=random_state,
    )
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    history = train(
        model,
        objective,
        objective.steps_of_epoch,
        optimizer=optimizer,
        n_epochs=math.ceil(n_steps / STEPS_PER_EPOCH),
        checkpoint=checkpoint,
        fingerprint=_fingerprint(contexts, X, f"{settings} {dtype} {fingerprint}"),
        verbose=verbose,
        description="graph and targets",
    )
    return extract_fit(model, objective, history["loss"].numpy())


def _fingerprint(contexts, X, settings):
    """Hash of all that determines the result of a training."""
    digest = hashlib.sha256(settings.encode())
    for array in (contexts.features, contexts.n_rows, contexts.means, contexts.scatter, X):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check_settings(settings):
    """Raise where an argument is out of range."""
    choices = {"intervention": INTERVENTIONS, "mechanism": MECHANISMS, "generator": N_HIDDEN}
    for name, allowed in choices.items():
        if settings[name] not in allowed:
            listed = ", ".join(map(repr, allowed))
            raise ValueError(f"{name} must be one of {listed}, found {settings[name]!r}.")
    for name in ("edge_probability", "target_probability"):
        if not 0.0 < settings[name] < 1.0:
            raise ValueError(f"{name} must lie between 0 and 1, found {settings[name]!r}.")
    for name in ("n_steps", "n_draws", "learning_rate"):
        if settings[name] is not None and not settings[name] > 0:
            raise ValueError(f"{name} must be positive, found {settings[name]!r}.")


def _check_rows(contexts, X, *, required):
    """Raise where rows are missing or do not belong to the contexts."""
    expected = (len(contexts.context_of_row), contexts.means.shape[1])
    if X is None and required:
        raise ValueError(
            "X is missing: only linear mechanisms under shifts are fitted to means and pooled "
            "scatter alone. Pass the rows that the contexts summarise."
        )
    if X is not None and X.shape != expected:
        raise ValueError(
            f"X must have the shape {expected} of the contexts' rows, found {X.shape}."
        )
