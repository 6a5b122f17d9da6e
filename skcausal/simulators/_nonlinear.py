"""Nonlinear systems with additive noise, and distributions over them."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import torch

from skcausal.simulators._interventions import intervene
from skcausal.simulators._mechanisms import FourierFunctions, PerceptronFunctions
from skcausal.simulators._noise import NOISES, standard_noise
from skcausal.simulators._parameters import (
    check_choice,
    check_count,
    check_number,
    check_parameter,
    draw_parameter,
)
from skcausal.simulators._random import fold_in
from skcausal.simulators._random_graphs import (
    ACYCLIC,
    are_present,
    check_graph_parameters,
    draw_graph,
    move_to_variables,
)
from skcausal.simulators._systems import Systems
from skcausal.simulators._task_prior import TaskPrior

MECHANISMS: dict[str, Any] = {"fourier": FourierFunctions, "mlp": PerceptronFunctions}

# Rows from which the moments of internally standardised systems are estimated.
_N_PILOT_ROWS = 256

# Systems whose pilot rows are simulated at a time on a CPU, so that their features fit its cache.
_SYSTEMS_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class NonlinearSystems(Systems):
    """A batch of acyclic structural causal models with nonlinear mechanisms and additive noise.

    ``x_j = f_j(x) + e_j``, with f_j a random function of the parents of j and independent noise of
    mean 0. Interventions are those of :class:`LinearSystems`, with f_j in place of the linear
    combination. Made by :meth:`NonlinearPrior.sample`.

    Parameters
    ----------
    keys : int64 tensor of shape (n_systems,)
        Keys of the systems' random numbers.
    n_variables : int64 tensor of shape (n_systems,)
        Number of variables of each system.
    order : int64 tensor of shape (n_systems, n_variables)
        The variables in causal order.
    edges : bool tensor of shape (n_systems, n_variables, n_variables)
        Edges between positions of the causal order.
    functions : FourierFunctions or PerceptronFunctions
        Mechanisms in causal order.
    gain : tensor of shape (n_systems, n_variables)
        Factors of the functions, in causal order.
    intercept : tensor of shape (n_systems, n_variables)
        Constants added to them, in causal order.
    noise_scale : tensor of shape (n_systems, n_variables)
        Standard deviations of the noise, in causal order; before the factor of `noise_functions`.
    noise : {"gaussian", "gumbel"}
        Distribution of the noise.
    noise_functions : FourierFunctions or None
        Where given, noise e_j is multiplied by ``sqrt(log(1 + exp(g_j(x))))``.

    Examples
    --------
    >>> from skcausal.simulators import NonlinearPrior
    >>> systems = NonlinearPrior(4).sample(3, random_state=0)
    >>> mask = systems.present & False
    >>> mask[:, 0] = True
    >>> mean, error = systems.interventional_mean(
    ...     mask[:, None], 1.5, n_samples=1000, return_standard_error=True
    ... )
    >>> mean.shape, bool((mean[:, 0, 0] == 1.5).all())
    (torch.Size([3, 1, 4]), True)
    """

    keys: torch.Tensor
    n_variables: torch.Tensor
    order: torch.Tensor
    edges: torch.Tensor
    functions: FourierFunctions | PerceptronFunctions
    gain: torch.Tensor
    intercept: torch.Tensor
    noise_scale: torch.Tensor
    noise: str = "gaussian"
    noise_functions: FourierFunctions | None = None

    @property
    def adjacency(self) -> torch.Tensor:
        """The graphs: bool tensor (n_systems, n_variables, n_variables), True for i -> j."""
        return move_to_variables(self.edges, self.order)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters and rows."""
        return self.gain.dtype

    @property
    def _size(self) -> int:
        """Number of variables of the padded systems."""
        return self.gain.shape[-1]

    def _simulate(self, n_rows, design, kind, keys, first_row=0):
        """Rows (n_systems, n_regimes, n_rows, n_variables) from row `first_row` on."""
        equations = intervene(
            design.mask, design.draw_values(keys, n_rows, self.dtype, first_row), kind
        )
        sizes = (design.mask.shape[1], n_rows, self.gain.shape[-1])
        noise = standard_noise(keys, sizes, self.noise, self.dtype, first_row)
        by_order = self.order[:, None, None].expand(*noise.shape)
        noise, *factors = (
            tensor.expand(noise.shape).gather(-1, by_order).movedim(-1, 0).contiguous()
            for tensor in (noise, equations.mechanism, equations.noise, equations.offset)
        )
        X = torch.empty_like(noise)
        for t in range(len(X)):
            mechanism, innovation = self._step(t, X, noise[t])
            a, s, c = (factor[t] for factor in factors)
            X[t] = a * mechanism + s * innovation + c
        return torch.empty_like(by_order, dtype=X.dtype).scatter_(-1, by_order, X.movedim(0, -1))

    def _step(self, t, X, noise):
        """Mechanism and scaled noise (n_systems, n_regimes, n_rows) of the t-th variable."""
        gain, intercept, scale = (
            parameter[:, t, None, None]
            for parameter in (self.gain, self.intercept, self.noise_scale)
        )
        if self.noise_functions is not None:
            noise = noise * self.noise_functions.noise_factor(t, X)
        return gain * self.functions(t, X) + intercept, scale * noise


@dataclass(frozen=True)
class NonlinearPrior(TaskPrior[NonlinearSystems]):
    """A distribution over acyclic systems with nonlinear mechanisms and additive noise.

    Where a number is expected, a frozen distribution of :mod:`scipy.stats` may stand; it is drawn
    anew for each system, or for each variable where this is said.

    Parameters
    ----------
    n_variables : int or discrete distribution, default=10
        Number of variables. Narrower systems are padded to the widest possible.
    mechanism : {"fourier", "mlp"}, default="fourier"
        - "fourier": draws from a Gaussian process with a squared-exponential kernel, by random
          Fourier features [1]_;
        - "mlp": multilayer perceptrons with one hidden layer of tanh units and random weights.
    graph : {"erdos_renyi", "scale_free"}, default="erdos_renyi"
        See :class:`LinearPrior`.
    edges_per_variable : float or distribution, default=1.0
        See :class:`LinearPrior`.
    length_scale : float, default=1.0
        Length scale of the functions: the inputs over which they change.
    output_scale : float, default=1.0
        Size of the functions: for "fourier" the standard deviation of a value over functions, for
        "mlp" that of a sum of hidden units that are all at 1 or -1, which values come to about two
        thirds of.
    n_features : int, default=None
        Number of Fourier features (None: 100) or hidden units (None: 10).
    noise : {"gaussian", "gumbel"}, default="gaussian"
        Distribution of the noise; Gumbel noise is centred.
    noise_variance : float or distribution, default=0.1
        Variance of the noise; a distribution is drawn for each variable.
    heteroskedastic : bool, default=False
        See :class:`LinearPrior`.
    standardize : {None, "internal"}, default="internal"
        "internal": every variable is brought to mean 0 and variance 1 before it enters the
        equations of its children [2]_, by its moments over 256 rows (which leaves a standard error
        of 4 % in the scale). The functions then see inputs
        of the same scale all along the causal order, and variances do not give the order away.

    References
    ----------
    .. [1] Rahimi & Recht (2007). Random features for large-scale kernel machines. NeurIPS.
    .. [2] Ormaniec, Sussex, Lorch, Schoelkopf & Krause (2025). Standardizing structural causal
       models. ICLR.

    Examples
    --------
    >>> from skcausal.simulators import NonlinearPrior
    >>> systems = NonlinearPrior(6, mechanism="mlp").sample(20, random_state=0)
    >>> systems.sample(100, random_state=0).shape
    torch.Size([20, 100, 6])
    """

    n_variables: object = 10
    _: KW_ONLY
    mechanism: str = "fourier"
    graph: str = "erdos_renyi"
    edges_per_variable: object = 1.0
    length_scale: float = 1.0
    output_scale: float = 1.0
    n_features: int | None = None
    noise: str = "gaussian"
    noise_variance: object = 0.1
    heteroskedastic: bool = False
    standardize: str | None = "internal"

    def __post_init__(self):
        check_graph_parameters(self.n_variables, self.graph, self.edges_per_variable, ACYCLIC)
        check_choice("mechanism", self.mechanism, tuple(MECHANISMS))
        check_number("length_scale", self.length_scale, 0.0, above=True)
        check_number("output_scale", self.output_scale, 0.0)
        if self.n_features is not None:
            check_count("n_features", self.n_features)
        check_choice("noise", self.noise, NOISES)
        check_parameter("noise_variance", self.noise_variance, 0.0)
        check_choice("standardize", self.standardize, (None, "internal"))

    def _draw(self, keys, dtype) -> NonlinearSystems:
        """Systems of the given keys."""
        n_variables, order, edges = draw_graph(
            keys, self.n_variables, self.graph, self.edges_per_variable
        )
        size = edges.shape[-1]
        present = are_present(n_variables, size)
        variance = draw_parameter(self.noise_variance, fold_in(keys, "noise_variance"), size)
        n_features = self.n_features or {"fourier": 100, "mlp": 10}[self.mechanism]
        systems = NonlinearSystems(
            keys=keys,
            n_variables=n_variables,
            order=order,
            edges=edges,
            functions=MECHANISMS[self.mechanism].draw(
                fold_in(keys, "functions"),
                edges,
                dtype,
                length_scale=self.length_scale,
                output_scale=self.output_scale,
                n_features=n_features,
            ),
            # A variable without parents is noise alone.
            gain=edges.any(dim=1).to(dtype),
            intercept=torch.zeros_like(variance, dtype=dtype),
            noise_scale=torch.where(present, variance.sqrt(), 0.0).to(dtype),
            noise=self.noise,
            noise_functions=FourierFunctions.draw_noise_functions(keys, edges, dtype)
            if self.heteroskedastic
            else None,
        )
        return _standardize(systems) if self.standardize else systems


def _standardize(systems: NonlinearSystems) -> NonlinearSystems:
    """Rescale every equation in causal order, by its moments over pilot rows."""
    at_once = _SYSTEMS_AT_ONCE if systems.keys.device.type == "cpu" else len(systems)
    starts = range(0, len(systems), at_once)
    moments = [_pilot_moments(systems[k : k + at_once]) for k in starts]
    centre, scale = (torch.cat(parts) for parts in zip(*moments))
    return replace(
        systems,
        gain=systems.gain / scale,
        intercept=(systems.intercept - centre) / scale,
        noise_scale=systems.noise_scale / scale,
    )


def _pilot_moments(systems: NonlinearSystems) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation (n_systems, n_variables) of every equation given standardised parents."""
    sizes = (1, _N_PILOT_ROWS, systems.gain.shape[-1])
    noise = standard_noise(fold_in(systems.keys, "pilot"), sizes, systems.noise, systems.dtype)
    noise = noise.movedim(-1, 0)  # any labelling of independent noise will do
    X = torch.empty_like(noise)
    centre, scale = torch.zeros_like(systems.gain), torch.ones_like(systems.gain)
    for t in range(len(X)):
        mechanism, innovation = systems._step(t, X, noise[t])
        X[t] = mechanism + innovation
        centre[:, t] = _mean_over_rows(X[t])
        X[t] -= centre[:, t, None, None]
        deviation = _mean_over_rows(X[t] ** 2).sqrt()
        scale[:, t] = torch.where(deviation > 0, deviation, 1.0)
        X[t] /= scale[:, t, None, None]
    return centre, scale


def _mean_over_rows(X: torch.Tensor) -> torch.Tensor:
    """Mean (n_systems,) of rows (n_systems, 1, n_rows), their number a power of two.

    Halves are added up: the last bit of torch's mean depends on the size of the batch.
    """
    n_rows = X.shape[-1]
    while X.shape[-1] > 1:
        first, second = X.chunk(2, dim=-1)
        X = first + second
    return X[:, 0, 0] / n_rows
