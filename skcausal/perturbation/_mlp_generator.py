"""A perceptron from features of perturbations to latent interventions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from skcausal.nn import MemberMLP, train
from skcausal.perturbation._latent import LatentInterventions
from skcausal.perturbation._spike_slab import sigmoid

_N_HIDDEN = 64
_N_EPOCHS = 1000
_N_ITER_NO_CHANGE = 100
_LEARNING_RATE = 5e-3
_WEIGHT_DECAY = 1e-2
# One context in so many validates the training.
_N_FOLDS = 5


class MLPGenerator:
    """Targets and effects by one perceptron, trained on the exact marginal likelihood.

    Its outputs are the log odds of a target and the expected parameter of every variable. Training
    stops when the likelihood of a fifth of the contexts, which it does not see, no longer rises:
    perturbations that were seen are predicted at other doses, and little is to be expected of
    others.

    Parameters
    ----------
    random_state : RandomState
        Source of the initial weights and of the contexts that validate.
    verbose : bool, default=False
        Whether to show progress.

    Attributes
    ----------
    loss_curve_ : ndarray of shape (n_epochs,)
        Minus the log marginal likelihood of a training context.
    """

    def __init__(self, random_state, verbose=False):
        self.verbose = verbose
        self._seed = int(random_state.randint(2**31 - 1))

    def fit(self, features, n_rows, groups, q, measurement):
        """Learn; see :class:`SmoothGenerator`."""
        self._scale = np.sqrt((features**2).mean(axis=0))
        self._scale[self._scale < 1e-12] = 1.0
        self._parameter_scale = np.sqrt(
            (q * measurement.values**2).sum(axis=0) / (q.sum(axis=0) + 1e-9)
        )
        self._parameter_scale[self._parameter_scale < 1e-6] = 1.0
        self._training = features
        generator = torch.Generator().manual_seed(self._seed)
        self._network = _Network(features.shape[1], q, generator)
        data = self._tensors(features, measurement)
        held_out = torch.tensor(_held_out(len(features), self._seed))
        parts = [_select(data, ~held_out), _select(data, held_out)]
        options: dict[str, Any] = {}
        if held_out.any():
            options["validation_loss"] = lambda network: network.loss(parts[1])
            options["n_iter_no_change"] = _N_ITER_NO_CHANGE
        history = train(
            self._network,
            lambda network, batch: {"loss": network(batch)},
            lambda epoch, rank, world_size: [parts[0]],
            optimizer=torch.optim.AdamW(
                self._network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
            ),
            n_epochs=_N_EPOCHS,
            verbose=self.verbose,
            description="generator",
            **options,
        )
        self.loss_curve_ = history["loss"].numpy()
        return self

    def left_out(self):
        """Latent interventions of the training contexts, which the network has seen."""
        return self.predict(self._training)

    def predict(self, features):
        """Latent interventions of contexts of given features (n_contexts, n_features)."""
        with torch.no_grad():
            log_odds, mean, log_variance = self._network.latent(
                torch.tensor(features / self._scale)
            )
        scale = self._parameter_scale
        control = ~features.any(axis=1, keepdims=True)
        probability = np.where(control, 0.0, sigmoid(log_odds.numpy()))
        variance = log_variance.exp().detach().numpy() * scale**2
        variance = np.broadcast_to(variance, probability.shape)
        return LatentInterventions(probability, mean.numpy() * scale, variance)

    def _tensors(self, features, measurement):
        """Features and measurements, scaled."""
        scale = self._parameter_scale
        arrays = (
            features / self._scale,
            measurement.values / scale,
            measurement.noise / scale**2,
            # Densities per unit of the scaled parameter.
            measurement.log_ratio - np.log(scale),
        )
        return [torch.tensor(np.ascontiguousarray(a)) for a in arrays]


class _Network(nn.Module):
    """Perceptron with the log odds and the parameter of every variable for outputs."""

    def __init__(self, n_features, q, generator):
        super().__init__()
        n_variables = q.shape[1]
        self.body = MemberMLP(
            (n_features, _N_HIDDEN, 2 * n_variables),
            [generator],
            activation="tanh",
            dtype=torch.float64,
        )
        self.log_variance = nn.Parameter(torch.full((n_variables,), -1.0, dtype=torch.float64))
        share = float(np.clip(q.mean(), 1e-3, 0.5))
        with torch.no_grad():
            self.body.biases[-1][..., :n_variables] = math.log(share / (1.0 - share))

    def latent(self, F):
        """Log odds and parameters (n_contexts, n_variables), and log variances (n_variables,)."""
        log_odds, mean = self.body(F[None])[0].chunk(2, dim=1)
        return log_odds, mean, self.log_variance

    def forward(self, data):
        """Minus the log marginal likelihood of a context, relative to that without targets."""
        return self.loss(data)

    def loss(self, data):
        """See :meth:`forward`."""
        F, values, noise, log_ratio = data
        log_odds, mean, log_variance = self.latent(F)
        spread = log_variance.exp() + noise
        hit = log_ratio - 0.5 * ((values - mean) ** 2 / spread + (2.0 * math.pi * spread).log())
        log_p, log_not = nn.functional.logsigmoid(log_odds), nn.functional.logsigmoid(-log_odds)
        return -torch.logaddexp(log_not, hit + log_p).sum(dim=1).mean()


def _held_out(n_contexts, seed):
    """Which contexts (n_contexts,) validate; none if there are few."""
    held_out = np.zeros(n_contexts, dtype=bool)
    if n_contexts >= 2 * _N_FOLDS:
        order = np.random.RandomState(seed).permutation(n_contexts)
        held_out[order[: n_contexts // _N_FOLDS]] = True
    return held_out


def _select(data, rows):
    """Rows of each tensor."""
    return [tensor[rows] for tensor in data]
