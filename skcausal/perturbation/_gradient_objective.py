"""The loss of each step of the gradient ascent: what is drawn, what is penalised, and when."""

import math

import numpy as np
import torch

from skcausal._adjacency import threshold_to_dag

STEPS_PER_EPOCH = 50
_RELAXED_SHARE = 0.85  # of the steps; the others refine the parameters for the final graph
_SHARPNESS = (1.0, 5.0)  # of the graph: log odds are multiplied by it, from the first step to last
_ACYCLICITY = 50.0  # weight of the spectral radius at the end, per row; it grows quadratically
_WEIGHT_DECAY = 1e-3


class GradientObjective:
    """The loss of each step of a training.

    Parameters
    ----------
    data : ContextTensors
        The contexts.
    features : Tensor of shape (n_contexts, n_features)
        Their features.
    n_steps : int
        Number of steps of the whole training.
    n_draws : int or None
        Number of sets of targets drawn.
    edge_probability, target_probability : float
        Priors.
    seed : int
        Seed of the draws.
    """

    def __init__(
        self, data, features, *, n_steps, n_draws, edge_probability, target_probability, seed
    ):
        self.data = data
        self.features = features
        self.n_steps = n_steps
        self.n_draws = n_draws
        self.n_samples = float(data.n_rows.sum())
        self.edge_cost = 0.5 * math.log(self.n_samples) - _logit(edge_probability)
        self.target_cost = -_logit(target_probability)
        self.seed = seed
        self.dag = None

    def steps_of_epoch(self, epoch, rank, world_size):
        """Numbers of the steps of an epoch; every process takes all of them."""
        first = epoch * STEPS_PER_EPOCH
        return range(first, min(first + STEPS_PER_EPOCH, self.n_steps))

    def __call__(self, model, step):
        """Terms of the loss, per row."""
        time = step / self.n_steps
        random = torch.Generator(self.features.device).manual_seed(seed_of(self.seed, step + 1))
        refined = time >= _RELAXED_SHARE
        if refined:
            graph, penalty = self.final_graph(model), 0.0 * model.edge_logits.sum()
        else:
            relaxed_time = time / _RELAXED_SHARE
            sharpness = _SHARPNESS[0] + relaxed_time * (_SHARPNESS[1] - _SHARPNESS[0])
            graph = model.draw_graph(sharpness, random)
            penalty = self._graph_penalty(model, sharpness, relaxed_time)
        log_likelihood, logits = model(self.data, self.features, graph, random, self.n_draws)
        sparsity = 0.5 - 0.5 * math.cos(math.pi * min(1.0, time / _RELAXED_SHARE))
        n_targets = torch.sigmoid(logits).sum()
        weights = sum((weight**2).sum() for weight in model.generator.network.weights)
        prior = sparsity * self.target_cost * n_targets + _WEIGHT_DECAY * weights
        return {"loss": (prior - log_likelihood) / self.n_samples + penalty}

    def _graph_penalty(self, model, sharpness, time):
        """Prior of the edges and acyclicity."""
        probabilities = model.edge_probabilities(sharpness)
        edges = self.edge_cost / self.n_samples * probabilities.sum()
        return edges + _ACYCLICITY * time**2 * model.radius(probabilities)

    def final_graph(self, model):
        """Acyclic graph of the last steps; the first of them fixes it, also for checkpoints."""
        if self.dag is None:
            if torch.isnan(model.final_probabilities).any():
                model.final_probabilities.copy_(model.edge_probabilities(_SHARPNESS[1]).detach())
            self.dag = like(model, threshold_to_dag(to_numpy(model.final_probabilities)))
        return self.dag


def like(model, array):
    """Array as a tensor of the precision and on the device of a model."""
    return torch.as_tensor(np.asarray(array)).to(model.edge_logits)


def to_numpy(tensor):
    """Tensor as an array of float64."""
    return tensor.detach().cpu().double().numpy()


def _logit(probability):
    """Log odds."""
    return math.log(probability / (1.0 - probability))


def seed_of(random_state, number):
    """Seed of a generator: 0 is for the initial weights, the others are for the steps."""
    return int(np.random.SeedSequence([random_state, number]).generate_state(1, np.uint64)[0] >> 1)
