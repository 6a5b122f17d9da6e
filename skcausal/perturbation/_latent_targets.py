"""The likelihood of contexts whose targets are latent: exact, and by Monte Carlo.

Given the graph the likelihood factorises over variables. With targets that are independent given
the features, so does the sum over all 2^d sets of targets.
"""

import math

import torch
import torch.nn.functional as F

from skcausal.perturbation._relaxed_graph import gumbel_sigmoid


def log_context_density(means, scatter, n_rows, noise_variance, shift_mean, shift_variance):
    """Log density of rows of a context whose shared, normally distributed shift is integrated out.

    Row i is ``shift + e_i``, with independent noise of variance s2, and the shift is the same in
    all n rows. Arguments broadcast.

    Parameters
    ----------
    means : Tensor
        Means of the rows.
    scatter : Tensor
        Sums of their squared deviations from these means.
    n_rows : Tensor
        Number of rows, n.
    noise_variance : Tensor
        Variance s2 of the noise.
    shift_mean, shift_variance : Tensor or float
        Mean and variance of the shift; 0 and 0 for none.

    Returns
    -------
    log_density : Tensor
        ``log N(x; mean 1, s2 I + variance 1 1^T)``, of the shape of the arguments together.
    """
    mean_variance = noise_variance / n_rows + shift_variance
    inside = (n_rows - 1) * torch.log(2 * math.pi * noise_variance) + scatter / noise_variance
    between = torch.log(2 * math.pi * n_rows * mean_variance)
    return -0.5 * (inside + between + (means - shift_mean) ** 2 / mean_variance)


def exact_log_marginal(log_without, log_with, logits):
    """Sum over all sets of targets.

    Parameters
    ----------
    log_without, log_with : Tensor of shape (..., n_contexts, n_variables)
        Log densities of the rows of a context, variable by variable, if it is no target and if it
        is one.
    logits : Tensor of shape (..., n_contexts, n_variables)
        Log odds of the targets.

    Returns
    -------
    log_marginal : Tensor of shape (..., n_contexts)
        Log densities of the contexts:
        ``sum_j log((1 - p_j) exp(log_without_j) + p_j exp(log_with_j))``.
    """
    spike = log_without + F.logsigmoid(-logits)
    return torch.logaddexp(spike, log_with + F.logsigmoid(logits)).sum(dim=-1)


def monte_carlo_log_marginal(
    log_without, log_with, logits, n_draws, generator, *, temperature=None
):
    """Average over random sets of targets.

    Parameters
    ----------
    log_without, log_with : Tensor of shape (n_contexts, n_variables)
        Log densities of the rows of a context, variable by variable, if it is no target and if it
        is one.
    logits : Tensor of shape (n_contexts, n_variables)
        Log odds of the targets.
    n_draws : int
        Number of sets that are drawn for each context.
    generator : torch.Generator
        Where randomness comes from, on the device of the log odds.
    temperature : float, default=None
        None draws sets of targets. Else the indicators of targets are relaxed: they lie between 0
        and 1, have gradients with respect to the log odds, and interpolate log densities. The
        average is then biased.

    Returns
    -------
    log_marginal : Tensor of shape (n_contexts,)
        Log of the mean, over draws I of sets, of
        ``prod_j exp(log_without_j)^(1 - I_j) exp(log_with_j)^I_j``. The mean is unbiased for sets,
        its logarithm too low by about half the relative variance of the mean.
    """
    drawn = gumbel_sigmoid(logits, n_draws, generator, 1.0 if temperature is None else temperature)
    if temperature is None:
        drawn = (drawn > 0.5).to(logits)
    gains = (drawn * (log_with - log_without)).sum(dim=-1)
    return log_without.sum(dim=-1) + torch.logsumexp(gains, dim=0) - math.log(n_draws)


def target_posterior(log_without, log_with, logits):
    """Probability of each target given the rows of its context (..., n_contexts, n_variables)."""
    return torch.sigmoid(logits + log_with - log_without)
