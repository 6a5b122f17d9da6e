"""Policies that read a history and choose a design, and critics that value it."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import logsigmoid, softplus

from skcausal.nn._alternating_attention import AlternatingAttention
from skcausal.nn._linear import linear

# Hidden units of the perceptrons between attention layers, per unit of width.
_POLICY_EXPANSION, _CRITIC_EXPANSION = 4, 2

# Standard deviations of actions before the tanh: at the beginning, and the smallest logarithm.
_INITIAL_SCALE = math.sqrt(1 / 3)
_SMALLEST_LOG_SCALE = -20.0

# The first policy hardly depends on the history.
_OUTPUT_GAIN = 0.1

# Smoothness of the relaxed targets whose gradient stands for that of the sampled ones.
_TEMPERATURE = 1.0


class HistoryEncoder(nn.Module):
    """One vector for each variable of a history.

    Layers of attention along variables and rows in turn, then the maximum over rows [1]_: permuting
    the variables permutes the vectors, permuting the rows changes nothing.

    Parameters
    ----------
    generator : torch.Generator
        Source of the initial weights.
    width : int
        Size of the vectors, a multiple of `n_heads`.
    n_layers : int
        Number of layers.
    n_heads : int
        Number of attention heads.
    n_feed_forward : int
        Number of hidden units of the perceptrons between them.
    dropout : float, default=0.0
        Share of what is added to a token that is set to zero in training.
    standardize : bool, default=False
        Whether values are brought to mean 0 and variance 1 over all cells of a history, where their
        unit has no meaning.

    References
    ----------
    .. [1] Annadani, Tigas, Bauer & Foster (2024). Amortized active causal induction with deep
       reinforcement learning. NeurIPS, section 3.2 and appendix D.1.
    """

    def __init__(
        self,
        generator: torch.Generator,
        *,
        width: int,
        n_layers: int,
        n_heads: int,
        n_feed_forward: int,
        dropout: float = 0.0,
        standardize: bool = False,
    ):
        super().__init__()
        self.standardize = standardize
        self.embed = linear(2, width, generator)
        self.attention = AlternatingAttention(
            generator,
            width=width,
            n_layers=n_layers,
            n_heads=n_heads,
            n_hidden=n_feed_forward,
            dropout=dropout,
        )

    def forward(
        self,
        rows: torch.Tensor,
        observed: torch.Tensor | None = None,
        dropout: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Read a batch of histories.

        Parameters
        ----------
        rows : tensor of shape (n_histories, n_rows, n_variables, 2)
            Value of each cell, and 1 where it was set, 0 elsewhere.
        observed : bool tensor of shape (n_histories, n_rows), default=None
            Rows that have been observed, at least one in each history; the others may hold any
            numbers. Default: all.
        dropout : torch.Generator, default=None
            Source of dropout, on the device of the rows. None: no dropout.

        Returns
        -------
        encoding : tensor of shape (n_histories, n_variables, width)
            The vectors.
        """
        if observed is not None:
            rows = rows.masked_fill(~observed[..., None, None], 0.0)
        if self.standardize:
            rows = _standardized(rows, observed)
        tokens = self.attention(self.embed(rows), observed, generator=dropout)
        if observed is not None:
            tokens = tokens.masked_fill(~observed[..., None, None], -torch.inf)
        return tokens.amax(dim=1)


class DesignPolicy(nn.Module):
    """A distribution over actions given a history.

    A subclass says how targets are drawn. Values are drawn from a normal distribution and brought
    to (-1, 1) by a tanh.

    Parameters
    ----------
    generator : torch.Generator
        Source of the initial weights.
    n_choices : {1, 2}, default=2
        Numbers that are chosen for each variable: 2, whether it is a target and its value; 1,
        whether it is a target, where designs do not choose values. Then the unit of the rows has no
        meaning, either, and is removed.
    width, n_layers, n_heads : int, default=32, 4, 8
        Size of the encoder; the defaults are those of [1]_.
    n_hidden : int, default=128
        Number of hidden units of both layers of the perceptron behind it.
    dropout : float, default=0.1
        Dropout of the encoder in training.

    Notes
    -----
    Permuting the variables of the history permutes the actions alike, and the order of rows does
    not matter. A layer has one perceptron after its two attentions; [1]_ has one after each.

    References
    ----------
    .. [1] Annadani, Tigas, Bauer & Foster (2024). Amortized active causal induction with deep
       reinforcement learning. NeurIPS, section 3.2 and appendix D.1.
    """

    # Outputs of the network that describe the distribution of a target.
    n_target_outputs: int

    def __init__(
        self,
        generator: torch.Generator,
        *,
        n_choices: int = 2,
        width: int = 32,
        n_layers: int = 4,
        n_heads: int = 8,
        n_hidden: int = 128,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.sizes: dict[str, int] = {
            "n_choices": n_choices,
            "width": width,
            "n_layers": n_layers,
            "n_heads": n_heads,
            "n_hidden": n_hidden,
        }
        self.encoder = HistoryEncoder(
            generator,
            width=width,
            n_layers=n_layers,
            n_heads=n_heads,
            n_feed_forward=_POLICY_EXPANSION * width,
            dropout=dropout,
            standardize=n_choices == 1,
        )
        n_outputs = self.n_target_outputs + 2 * (n_choices - 1)
        self.head = _perceptron(width, n_hidden, n_outputs, generator, gain=_OUTPUT_GAIN)

    def forward(
        self,
        rows: torch.Tensor,
        observed: torch.Tensor | None = None,
        dropout: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Return the parameters (n_histories, n_variables, n_outputs) of the distribution."""
        return self.head(self.encoder(rows, observed, dropout))

    def sample(
        self,
        rows: torch.Tensor,
        observed: torch.Tensor | None = None,
        *,
        generator: torch.Generator,
        dropout: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw an action for each history; it can be differentiated.

        Parameters
        ----------
        rows, observed
            Histories, as :class:`HistoryEncoder` reads them.
        generator : torch.Generator
            Source of randomness, on the device of the rows.
        dropout : bool, default=False
            Whether the network is in training.

        Returns
        -------
        actions : tensor of shape (n_histories, n_choices * n_variables)
            Numbers from -1 to 1, first those of targets, then those of values.
        log_density : tensor of shape (n_histories,)
            Log-density of the actions; for discrete targets the expectation of their part.
        """
        outputs = self(rows, observed, generator if dropout else None)
        k = self.n_target_outputs
        actions, log_density = self._sample_targets(outputs[..., :k], generator)
        if outputs.shape[-1] > k:
            values, log_density_of_values = sample_tanh_gaussian(outputs[..., k:], generator)
            actions = torch.cat([actions, values], dim=-1)
            log_density = log_density + log_density_of_values
        return actions, log_density.sum(dim=-1)

    def most_likely(self, rows: torch.Tensor, observed: torch.Tensor | None = None) -> torch.Tensor:
        """Return the actions (n_histories, n_choices * n_variables) at the modes before the tanh.

        Parameters
        ----------
        rows, observed
            Histories, as :class:`HistoryEncoder` reads them.

        Returns
        -------
        actions : tensor of shape (n_histories, n_choices * n_variables)
            First those of targets, then those of values.
        """
        outputs = self(rows, observed)
        k = self.n_target_outputs
        actions = self._most_likely_targets(outputs[..., :k])
        if outputs.shape[-1] > k:
            actions = torch.cat([actions, torch.tanh(outputs[..., k])], dim=-1)
        return actions

    def _sample_targets(self, outputs, generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Actions of the targets and their log-densities, each (n_histories, n_variables)."""
        raise NotImplementedError

    def _most_likely_targets(self, outputs) -> torch.Tensor:
        """Actions (n_histories, n_variables) of the targets at the mode."""
        raise NotImplementedError


class GaussianPolicy(DesignPolicy):
    """A policy whose targets are the signs of tanh-Gaussian numbers, as published.

    Parameters
    ----------
    generator, n_choices, width, n_layers, n_heads, n_hidden, dropout
        As those of :class:`DesignPolicy`.
    """

    n_target_outputs = 2

    def _sample_targets(self, outputs, generator):
        return sample_tanh_gaussian(outputs, generator)

    def _most_likely_targets(self, outputs):
        return torch.tanh(outputs[..., 0])


class BernoulliPolicy(DesignPolicy):
    """A policy whose targets are coin flips: -1 or 1, with nothing in between.

    The gradient of an action is that of a relaxed coin flip [1]_, straight through. The entropy of
    the flips, unlike a sampled log-density, is known and has the right gradient; it takes the
    place of the latter as in [2]_.

    Parameters
    ----------
    generator, n_choices, width, n_layers, n_heads, n_hidden, dropout
        As those of :class:`DesignPolicy`.

    References
    ----------
    .. [1] Jang, Gu & Poole (2017). Categorical reparameterization with Gumbel-softmax. ICLR,
       section 2.2.
    .. [2] Christodoulou (2019). Soft actor-critic for discrete action settings. Section 4.
    """

    n_target_outputs = 1

    def _sample_targets(self, outputs, generator):
        return sample_straight_through(outputs[..., 0], generator)

    def _most_likely_targets(self, outputs):
        return torch.where(outputs[..., 0] > 0, 1.0, -1.0).to(outputs)


POLICIES: dict[str, type[DesignPolicy]] = {
    "gaussian": GaussianPolicy,
    "bernoulli": BernoulliPolicy,
}


class DesignCritic(nn.Module):
    """Estimate of the return after a history and an action.

    Each variable's vector of the encoder and the numbers that were chosen for it pass through a
    perceptron; its outputs are added up. The value does not depend on the order of variables.

    Parameters
    ----------
    generator : torch.Generator
        Source of the initial weights.
    n_choices : {1, 2}, default=2
        Numbers that are chosen for each variable, see :class:`DesignPolicy`.
    width, n_layers, n_heads, n_hidden : int, default=32, 4, 8, 128
        Sizes, as those of :class:`DesignPolicy`.
    """

    def __init__(
        self,
        generator: torch.Generator,
        *,
        n_choices: int = 2,
        width: int = 32,
        n_layers: int = 4,
        n_heads: int = 8,
        n_hidden: int = 128,
    ):
        super().__init__()
        self.n_choices = n_choices
        self.encoder = HistoryEncoder(
            generator,
            width=width,
            n_layers=n_layers,
            n_heads=n_heads,
            n_feed_forward=_CRITIC_EXPANSION * width,
            standardize=n_choices == 1,
        )
        self.head = _perceptron(width + n_choices, n_hidden, 1, generator)

    def forward(
        self, rows: torch.Tensor, actions: torch.Tensor, observed: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Value actions.

        Parameters
        ----------
        rows : tensor of shape (n_histories, n_rows, n_variables, 2)
            Histories, as :class:`HistoryEncoder` reads them.
        actions : tensor of shape (n_histories, n_choices * n_variables)
            One action each.
        observed : bool tensor of shape (n_histories, n_rows), default=None
            Rows that have been observed. Default: all.

        Returns
        -------
        values : tensor of shape (n_histories,)
            The estimates.
        """
        return self.value(self.encoder(rows, observed), actions)

    def value(self, encoding: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Value actions (n_histories, n_choices * n_variables) given encoded histories."""
        choices = actions.unflatten(-1, (self.n_choices, -1)).mT
        return self.head(torch.cat([encoding, choices], dim=-1))[..., 0].sum(dim=-1)


def sample_tanh_gaussian(
    outputs: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw numbers whose inverse tanh is normal (Haarnoja et al. 2018, appendix C).

    Parameters
    ----------
    outputs : tensor of shape (..., 2)
        Means, and logits of standard deviations, which are below 1; logits of 0 stand for the
        initial standard deviation.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    actions : tensor of shape (...)
        Numbers from -1 to 1.
    log_density : tensor of shape (...)
        Their log-densities.
    """
    mean, log_scale = outputs[..., 0], _log_scale(outputs[..., 1])
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    u = mean + log_scale.exp() * noise
    log_normal = -0.5 * noise.square() - log_scale - 0.5 * math.log(2 * math.pi)
    # log(1 - tanh(u)^2), in a form that does not round to log 0.
    log_slope = 2.0 * (math.log(2.0) - u - softplus(-2.0 * u))
    return torch.tanh(u), log_normal - log_slope


def sample_straight_through(
    logits: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flip coins that have the gradient of relaxed ones.

    Parameters
    ----------
    logits : tensor of shape (...)
        Logits of the probability of 1.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    actions : tensor of shape (...)
        -1 or 1.
    negative_entropy : tensor of shape (...)
        Expectation of the log-probability of a flip.
    """
    uniform = torch.rand(
        logits.shape, generator=generator, device=logits.device, dtype=logits.dtype
    )
    noise = torch.logit(uniform, eps=torch.finfo(logits.dtype).eps)  # logistic
    # sigmoid(x) is above 1/2 where x is above 0, and 2 sigmoid(x) - 1 = tanh(x / 2).
    relaxed = torch.tanh((logits + noise) / (2.0 * _TEMPERATURE))
    hard = torch.where(relaxed > 0, 1.0, -1.0).to(relaxed)
    p = torch.sigmoid(logits)
    negative_entropy = p * logsigmoid(logits) + (1.0 - p) * logsigmoid(-logits)
    return hard + (relaxed - relaxed.detach()), negative_entropy


def _log_scale(logits):
    """Logarithms of standard deviations between exp(-20) and 1."""
    initial = math.log(_INITIAL_SCALE / (1.0 - _INITIAL_SCALE))
    return logsigmoid(logits + initial).clamp(min=_SMALLEST_LOG_SCALE)


def _perceptron(n_in, n_hidden, n_out, generator, *, gain=1.0):
    """Two hidden layers."""
    return nn.Sequential(
        linear(n_in, n_hidden, generator, gain=math.sqrt(2.0)),
        nn.ReLU(),
        linear(n_hidden, n_hidden, generator, gain=math.sqrt(2.0)),
        nn.ReLU(),
        linear(n_hidden, n_out, generator, gain=gain),
    )


def _standardized(rows, observed):
    """Bring the values of each history to mean 0 and variance 1 over all of its cells."""
    values, is_target = rows.unbind(-1)
    weight = torch.ones_like(values)
    if observed is not None:
        weight = weight * observed[..., None]
    weight = weight / weight.sum(dim=(-2, -1), keepdim=True)
    deviation = values - (weight * values).sum(dim=(-2, -1), keepdim=True)
    variance = (weight * deviation.square()).sum(dim=(-2, -1), keepdim=True)
    deviation = deviation / torch.where(variance > 1e-12, variance, 1.0).sqrt()
    return torch.stack([deviation, is_target], dim=-1)
