"""Relaxed graphs: random ones of given log odds, and a penalty of their cycles."""

import torch


def gumbel_sigmoid(logits, n_draws, generator, temperature=1.0):
    """Draw relaxed Bernoulli variables, which have gradients with respect to their log odds.

    Parameters
    ----------
    logits : Tensor of shape (...)
        Log odds.
    n_draws : int
        Number of draws.
    generator : torch.Generator
        Where randomness comes from, on the device of the log odds.
    temperature : float, default=1.0
        Distance from Bernoulli variables, which is what the draws become as it goes to 0.

    Returns
    -------
    draws : Tensor of shape (n_draws, ...)
        Numbers between 0 and 1. They exceed 0.5 with the probability ``sigmoid(logits)``.

    References
    ----------
    .. [1] Maddison, C. J., Mnih, A. & Teh, Y. W. (2017). The concrete distribution: a continuous
       relaxation of discrete random variables. ICLR. Equation (17).
    """
    uniform = torch.rand(
        (n_draws, *logits.shape), generator=generator, dtype=logits.dtype, device=logits.device
    )
    # rand can return 0, of which the logit is infinite.
    noise = torch.logit(uniform, eps=torch.finfo(logits.dtype).eps)
    return torch.sigmoid((logits + noise) / temperature)


def spectral_radius(weights, left, right, n_iter=5):
    """Estimate the largest eigenvalue of a nonnegative matrix, which is 0 for acyclic graphs.

    Parameters
    ----------
    weights : Tensor of shape (n_variables, n_variables)
        Nonnegative weights of the edges.
    left, right : Tensor of shape (n_variables,)
        Positive starting vectors of the two power iterations: ones, or what the last call returned
        for slightly different weights.
    n_iter : int, default=5
        Number of iterations. As many as there are variables give exactly 0 for acyclic graphs.

    Returns
    -------
    radius : Tensor of shape ()
        ``left @ weights @ right / (left @ right)``, with gradients for the weights alone.
    left, right : Tensor of shape (n_variables,)
        The new vectors, of length 1 and without gradients; ones where there are no more cycles.

    Notes
    -----
    This is the penalty of NO-BEARS [1]_. With the eigenvectors held fixed, its gradient is that of
    the eigenvalue: ``outer(left, right) / (left @ right)``. A last step averages two iterates, for
    if all cycles are of length two, they alternate for ever.

    References
    ----------
    .. [1] Lee, H.-C., Danieletto, M., Miotto, R., Cherng, S. T. & Dudley, J. T. (2019). Scaling
       structural learning with NO-BEARS to infer causal transcriptome networks. Pacific Symposium
       on Biocomputing. Algorithm 1.
    """
    fixed = weights.detach()
    left, right = (_iterate(matrix, x, n_iter) for matrix, x in ((fixed.T, left), (fixed, right)))
    overlap = left @ right
    if not overlap > torch.finfo(weights.dtype).tiny:  # some power of the matrix is 0
        ones = torch.ones_like(left)
        return 0.0 * weights.sum(), ones, ones
    return left @ weights @ right / overlap, left, right


def _iterate(matrix, x, n_iter):
    """Power iteration: a vector (n_variables,) of length 1, or 0 if it vanishes on the way."""
    for _ in range(n_iter):
        x = _unit(matrix @ x)
    once = matrix @ x
    rate = (matrix @ once).norm().sqrt()
    # In the plane of the eigenvalues r and -r the part of the latter cancels.
    return _unit(rate * x + once)


def _unit(x):
    """Vector of length 1 in the direction of x, or 0."""
    length = x.norm()
    return x / length if length > torch.finfo(x.dtype).tiny else torch.zeros_like(x)
