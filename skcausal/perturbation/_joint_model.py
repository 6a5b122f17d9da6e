"""Graph, mechanisms and generator of targets in one module: the likelihood of all contexts."""

import math

import torch
from torch import nn

from skcausal.nn import MemberMLP
from skcausal.perturbation._latent_targets import (
    exact_log_marginal,
    log_context_density,
    monte_carlo_log_marginal,
    target_posterior,
)
from skcausal.perturbation._relaxed_graph import gumbel_sigmoid, spectral_radius
from skcausal.perturbation._relaxed_mechanisms import MECHANISMS

INTERVENTIONS = ("shift", "do", "scale")
N_HIDDEN = {"linear": (), "mlp": (64,)}
_NEVER = -1e4  # log odds of targets of the control; infinite ones have no gradients
_SMALLEST_VARIANCE = 1e-4  # of standardised variables
_SMALLEST_SHIFT_VARIANCE = 0.05
_N_VOLUME_ROWS = 64


class TargetGenerator(nn.Module):
    """Map features of perturbations to log odds of targets and to parameters of interventions.

    Parameters
    ----------
    features : Tensor of shape (n_contexts, n_features)
        Features of training; they are standardised inside.
    n_variables : int
        Number of variables.
    n_hidden : tuple of int
        Units of the hidden layers; none for a linear map.
    target_probability : float
        Probability of targets before training.
    generator : torch.Generator
        Where the initial weights come from, on the CPU.
    dtype : torch.dtype
        Precision.
    """

    def __init__(self, features, n_variables, n_hidden, target_probability, generator, dtype):
        super().__init__()
        sizes = (features.shape[1], *n_hidden, 2 * n_variables)
        self.network = MemberMLP(sizes, [generator], dtype=dtype)
        scale = features.std(dim=0, correction=0)
        # A feature that does not vary tells nothing, wherever it is found later.
        usable = scale > 1e-9 * (1.0 + features.abs().amax(dim=0))
        self.register_buffer("location", features.mean(dim=0).to(dtype))
        self.register_buffer("precision", torch.where(usable, 1.0 / scale, 0.0).to(dtype))
        with torch.no_grad():
            self.network.weights[-1] *= 0.1
            logit = math.log(target_probability / (1.0 - target_probability))
            self.network.biases[-1][..., :n_variables] = logit

    def forward(self, features):
        """Log odds and parameters, (n_contexts, n_variables) each."""
        standard = (features - self.location) * self.precision
        return self.network(standard[None])[0].chunk(2, dim=-1)


class JointModel(nn.Module):
    """Relaxed graph, mechanisms, noise, and generator of targets.

    Parameters
    ----------
    features : Tensor of shape (n_contexts, n_features)
        Features of the contexts of training, the control first.
    n_variables : int
        Number of variables.
    intervention : {"shift", "do", "scale"}
        What is done to targets: a shift is added, the mechanism is replaced by a value with noise
        of its own, or the standard deviation of the noise is multiplied.
    mechanism, generator : {"linear", "mlp"}
        Form of the equations, and of the map from features to targets.
    target_probability : float
        Probability of targets before training.
    random : torch.Generator
        Where the initial weights come from, on the CPU.
    dtype : torch.dtype
        Precision.
    """

    def __init__(
        self,
        features,
        n_variables,
        *,
        intervention,
        mechanism,
        generator,
        target_probability,
        random,
        dtype,
    ):
        super().__init__()
        self.intervention = intervention
        self.edge_logits = nn.Parameter(torch.zeros(n_variables, n_variables, dtype=dtype))
        self.mechanisms = MECHANISMS[mechanism](n_variables, random, dtype)
        self.generator = TargetGenerator(
            features[1:] if len(features) > 1 else features,
            n_variables,
            N_HIDDEN[generator],
            target_probability,
            random,
            dtype,
        )
        self.log_noise_variance = nn.Parameter(torch.zeros(n_variables, dtype=dtype))
        self.log_shift_variance = nn.Parameter(torch.zeros(n_variables, dtype=dtype))
        self.log_do_variance = nn.Parameter(torch.zeros(n_variables, dtype=dtype))
        self.log_do_variance.requires_grad_(intervention == "do")
        self.log_shift_variance.requires_grad_(intervention != "scale")
        # The vectors of the power iterations go on from step to step, and into checkpoints.
        self.register_buffer("left", torch.ones(n_variables, dtype=dtype))
        self.register_buffer("right", torch.ones(n_variables, dtype=dtype))
        # The graph of the last steps; NaN before.
        self.register_buffer("final_probabilities", torch.full_like(self.edge_logits, math.nan))

    @property
    def noise_variance(self):
        """Variance of the noise of every variable."""
        return _SMALLEST_VARIANCE + self.log_noise_variance.exp()

    @property
    def shift_variance(self):
        """Variance of a shift, or of a do-value, around what the generator says."""
        if self.intervention == "scale":
            return torch.zeros_like(self.log_shift_variance)
        return _SMALLEST_SHIFT_VARIANCE + self.log_shift_variance.exp()

    @property
    def do_variance(self):
        """Variance of the noise of targets whose mechanism is replaced."""
        return _SMALLEST_VARIANCE + self.log_do_variance.exp()

    def edge_probabilities(self, sharpness):
        """Probabilities (d, d) of the edges, the diagonal being 0."""
        probabilities = torch.sigmoid(sharpness * self.edge_logits)
        return probabilities * (1.0 - torch.eye(len(probabilities)).to(probabilities))

    def draw_graph(self, sharpness, random):
        """Draw a relaxed graph (d, d)."""
        graph = gumbel_sigmoid(sharpness * self.edge_logits, 1, random)[0]
        return graph * (1.0 - torch.eye(len(graph)).to(graph))

    def radius(self, probabilities):
        """Spectral radius of edge probabilities; the power iterations are remembered."""
        radius, left, right = spectral_radius(probabilities, self.left, self.right)
        self.left.copy_(left)
        self.right.copy_(right)
        return radius

    def target_logits(self, features):
        """Log odds of targets and parameters (n_contexts, d), the control being first."""
        logits, parameters = self.generator(features)
        return torch.cat([torch.full_like(logits[:1], _NEVER), logits[1:]]), parameters

    def log_densities(self, data, graph, parameters):
        """Log densities (n_contexts, d) of variables that are no targets, and that are targets."""
        means, scatter = self.mechanisms.residual_moments(data, graph)
        noise, n_rows = self.noise_variance, data.n_rows
        without = log_context_density(means, scatter, n_rows, noise, 0.0, 0.0)
        if self.intervention == "shift":
            variance = self.shift_variance
        elif self.intervention == "do":
            means, scatter = data.means, data.scatter.diagonal(dim1=-2, dim2=-1)
            noise, variance = self.do_variance, self.shift_variance
        else:
            # The parameter is the log of the factor of the standard deviation.
            noise, variance = noise * (2.0 * parameters).exp(), 0.0
            parameters = torch.zeros_like(parameters)
        return without, log_context_density(means, scatter, n_rows, noise, parameters, variance)

    def forward(self, data, features, graph, random, n_draws=None):
        """Log likelihood of all contexts, and the log odds of their targets.

        Parameters
        ----------
        data : ContextTensors
            The contexts.
        features : Tensor of shape (n_contexts, n_features)
            Their features.
        graph : Tensor of shape (d, d)
            The graph, perhaps a relaxed one.
        random : torch.Generator
            For draws of targets and of rows.
        n_draws : int, default=None
            Number of sets of targets that are drawn; None sums over all sets.

        Returns
        -------
        log_likelihood : Tensor of shape ()
            Sum over the contexts.
        logits : Tensor of shape (n_contexts, d)
            Log odds of the targets given the features.
        """
        logits, parameters = self.target_logits(features)
        without, with_target = self.log_densities(data, graph, parameters)
        if n_draws is None:
            marginal = exact_log_marginal(without, with_target, logits)
        else:
            marginal = monte_carlo_log_marginal(
                without, with_target, logits, n_draws, random, temperature=1.0
            )
        targets = target_posterior(without, with_target, logits).detach()
        volume = self._log_volume(data, graph, targets, random)
        return marginal.sum() + volume, logits

    def _log_volume(self, data, graph, targets, random):
        """Sum over rows of ``log |det(I - J)|`` with the derivatives J of the mechanisms.

        It turns the density of the noise into that of the variables, and is 0 for acyclic graphs.
        Without it, cycles would seem to explain the rows for nothing.
        """
        rows = data.rows
        if rows is not None:
            chosen = torch.randint(
                len(rows), (min(len(rows), _N_VOLUME_ROWS),), generator=random, device=rows.device
            )
            rows, targets = rows[chosen], targets[data.context_of_row[chosen]]
        derivatives = self.mechanisms.derivatives(rows, graph)
        if self.intervention == "do":
            derivatives = derivatives * (1.0 - targets[:, None, :])
        volumes = torch.linalg.slogdet(torch.eye(len(graph)).to(graph) - derivatives)[1]
        if len(volumes) == len(data.n_rows) and data.rows is None:
            return (volumes * data.n_rows[:, 0]).sum()
        return volumes.mean() * data.n_rows.sum()

    @torch.no_grad()
    def posterior(self, data, features, graph):
        """Probability of targets given the rows of the contexts (n_contexts, d)."""
        logits, parameters = self.target_logits(features)
        return target_posterior(*self.log_densities(data, graph, parameters), logits)
