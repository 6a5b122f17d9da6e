"""Distributions over linear systems."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Literal, Self

import torch
from scipy.stats import invgamma

from skcausal.simulators._linear import LinearSystems
from skcausal.simulators._mechanisms import FourierFunctions
from skcausal.simulators._noise import NOISES
from skcausal.simulators._parameters import (
    bounds_of,
    check_bounded,
    check_choice,
    check_count,
    check_number,
    check_parameter,
    draw_parameter,
)
from skcausal.simulators._random import fold_in, random_order, uniform
from skcausal.simulators._random_graphs import (
    GRAPHS,
    add_rings,
    are_present,
    causal_order,
    check_graph_parameters,
    draw_graph,
    move_to_variables,
)
from skcausal.simulators._task_prior import TaskPrior

_PRESETS: dict[str, dict] = {
    "mip": {},
    "caasl": {
        "edges_per_variable": 3.0,
        "weight_scale": "in_degree",
        "weight_gap": 0.0,
        "noise_variance": invgamma(10.0),
    },
}


@dataclass(frozen=True)
class LinearPrior(TaskPrior[LinearSystems]):
    """A distribution over linear systems, acyclic or with stable feedback.

    The defaults are the synthetic systems of [1]_: Erdos-Renyi graphs with one edge per variable,
    standard normal weights conditioned on being larger than 0.5 in size, Gaussian noise of
    variance 0.1. :meth:`preset` has those of [2]_.

    Where a number is expected, a frozen distribution of :mod:`scipy.stats` may stand; it is drawn
    anew for each system, or for each variable where this is said.

    Parameters
    ----------
    n_variables : int or discrete distribution, default=10
        Number of variables. Narrower systems are padded to the widest possible.
    graph : {"erdos_renyi", "scale_free", "directed_erdos_renyi"}, default="erdos_renyi"
        - "erdos_renyi": a random order, and each pair joined along it with the same probability;
        - "scale_free": preferential attachment [3]_, older variables being the causes;
        - "directed_erdos_renyi": each ordered pair joined with the same probability, so that cycles
          arise.
    edges_per_variable : float or distribution, default=1.0
        Expected number of edges divided by the number of variables. For scale-free graphs, the
        number of parents of a variable that joins; the first ones find fewer.
    n_cycles : int or discrete distribution, default=0
        Number of rings that are added to the graph, each through `cycle_length` random variables;
        two of them may be the same.
    cycle_length : int, default=3
        Number of variables in such a ring.
    max_spectral_radius : float, default=0.8
        The weights of a system with a cycle are shrunk together until the spectral radius of their
        absolute values is at most this, below 1. Such a system is stable, and remains so when any
        variables are held fixed.
    weight_mean : float or distribution, default=0.0
        Mean of the weights.
    weight_scale : float, distribution or "in_degree", default=1.0
        Standard deviation of the weights. "in_degree": one over the square root of the number of
        parents, so that all parents together add about the mean of their variances.
    weight_gap : float or distribution, default=0.5
        Weights are conditioned on being larger than this in size.
    noise : {"gaussian", "gumbel"}, default="gaussian"
        Distribution of the noise; Gumbel noise is centred.
    noise_variance : float or distribution, default=0.1
        Variance of the noise; a distribution is drawn for each variable.
    noise_level : float or distribution, default=1.0
        Factor of all noise variances of a system.
    heteroskedastic : bool, default=False
        Whether noise e_j is multiplied by ``sqrt(log(1 + exp(g_j(x))))``, with g_j a draw from a
        Gaussian process over the parents (100 random Fourier features, squared-exponential kernel
        of length 10 and standard deviation 2), as in appendix B.1 of [2]_. Noise variances are
        then those before this factor.
    n_confounders : int or discrete distribution, default=0
        Number of hidden variables, each acting on `confounder_children` random variables. They are
        not part of the rows.
    confounder_children : int, default=3
        Number of variables that a hidden variable acts on.
    confounder_variance : float or distribution, default=0.5
        Variance of the hidden variables; their weights are drawn as those of edges are, with a
        standard deviation of 1 where `weight_scale` is "in_degree".
    standardize : {None, "observational", "internal"}, default=None
        Without it, variances grow along the causal order and give it away [4]_.

        - "observational": the units are changed so that every variable has variance 1 without
          intervention;
        - "internal": the same along the causal order, before a variable enters the equations of
          its children [5]_; it also removes the pattern in explained variances that the first
          leaves behind. For acyclic graphs.

    References
    ----------
    .. [1] Manta, Brouillard & Sridhar (2025). A meta-learning approach to causal inference, section
       4.1.
    .. [2] Annadani, Tigas, Bauer & Foster (2024). Amortized active causal induction with deep
       reinforcement learning. NeurIPS, appendices B.1 and C.1.
    .. [3] Barabasi & Albert (1999). Emergence of scaling in random networks. Science 286.
    .. [4] Reisach, Seiler & Weichwald (2021). Beware of the simulated DAG! NeurIPS.
    .. [5] Ormaniec, Sussex, Lorch, Schoelkopf & Krause (2025). Standardizing structural causal
       models. ICLR.

    Examples
    --------
    >>> from scipy.stats import randint
    >>> from skcausal.simulators import LinearPrior
    >>> prior = LinearPrior(randint(3, 7), n_confounders=1, standardize="observational")
    >>> systems = prior.sample(1000, random_state=0)
    >>> systems.adjacency.shape, systems.n_variables.unique().tolist()
    (torch.Size([1000, 6, 6]), [3, 4, 5, 6])
    >>> variances = systems.interventional_covariance().diagonal(dim1=-2, dim2=-1)
    >>> bool(((variances[:, 0] - 1).abs() < 1e-4)[systems.present].all())
    True
    """

    n_variables: object = 10
    _: KW_ONLY
    graph: str = "erdos_renyi"
    edges_per_variable: object = 1.0
    n_cycles: object = 0
    cycle_length: int = 3
    max_spectral_radius: float = 0.8
    weight_mean: object = 0.0
    weight_scale: object = 1.0
    weight_gap: object = 0.5
    noise: str = "gaussian"
    noise_variance: object = 0.1
    noise_level: object = 1.0
    heteroskedastic: bool = False
    n_confounders: object = 0
    confounder_children: int = 3
    confounder_variance: object = 0.5
    standardize: str | None = None

    def __post_init__(self):
        check_graph_parameters(self.n_variables, self.graph, self.edges_per_variable, tuple(GRAPHS))
        self._check_cycles()
        self._check_weights_and_noise()
        self._check_confounders()
        check_choice("standardize", self.standardize, (None, "observational", "internal"))
        if self.standardize and self.heteroskedastic:
            raise ValueError(
                "standardize needs the variances in closed form, which heteroskedastic systems do "
                "not have. Set standardize=None."
            )
        if self.standardize == "internal" and self._has_cycles():
            raise ValueError(
                'standardize="internal" follows the causal order, which graphs with cycles do not '
                'have. Use standardize="observational".'
            )

    def _check_cycles(self):
        """Validate what concerns cycles."""
        smallest = bounds_of("n_variables", self.n_variables, integer=True)[0]
        check_parameter("n_cycles", self.n_cycles, 0, integer=True)
        check_bounded("n_cycles", self.n_cycles)
        check_count("cycle_length", self.cycle_length, 2)
        if bounds_of("n_cycles", self.n_cycles)[1] and self.cycle_length > smallest:
            raise ValueError(
                f"cycle_length={self.cycle_length} is more than the {smallest:g} variables of the "
                "smallest system."
            )
        check_number("max_spectral_radius", self.max_spectral_radius, 0.0, above=True)
        if self.max_spectral_radius >= 1:
            raise ValueError(
                "max_spectral_radius must be below 1, otherwise cycles are unstable; found "
                f"{self.max_spectral_radius!r}."
            )
        if self.heteroskedastic and self._has_cycles():
            raise ValueError(
                "heteroskedastic noise depends on the parents' values and needs acyclic graphs. "
                "Set heteroskedastic=False, or use a graph without cycles."
            )

    def _has_cycles(self) -> bool:
        """Whether graphs may have cycles."""
        return self.graph == "directed_erdos_renyi" or bounds_of("n_cycles", self.n_cycles)[1] > 0

    def _check_weights_and_noise(self):
        """Validate weights and noise."""
        check_parameter("weight_mean", self.weight_mean)
        if self.weight_scale != "in_degree":
            check_parameter("weight_scale", self.weight_scale, 0.0, above=True)
        check_parameter("weight_gap", self.weight_gap, 0.0)
        check_choice("noise", self.noise, NOISES)
        check_parameter("noise_variance", self.noise_variance, 0.0)
        check_parameter("noise_level", self.noise_level, 0.0)

    def _check_confounders(self):
        """Validate what concerns hidden confounders."""
        smallest = bounds_of("n_variables", self.n_variables, integer=True)[0]
        check_parameter("n_confounders", self.n_confounders, 0, integer=True)
        check_bounded("n_confounders", self.n_confounders)
        check_count("confounder_children", self.confounder_children)
        check_parameter("confounder_variance", self.confounder_variance, 0.0)
        if bounds_of("n_confounders", self.n_confounders)[1] and (
            self.confounder_children > smallest
        ):
            raise ValueError(
                f"confounder_children={self.confounder_children} is more than the {smallest:g} "
                "variables of the smallest system."
            )

    @classmethod
    def preset(cls, name: Literal["mip", "caasl"], **changes: Any) -> Self:
        """Return a published prior.

        Parameters
        ----------
        name : {"mip", "caasl"}
            - "mip": the defaults, which are those of Manta et al. (2025), section 4.1;
            - "caasl": those of Annadani et al. (2024), appendix C.1: three edges per variable,
              weights N(0, 1 / in-degree), noise variances InverseGamma(10, 1), of which the paper
              gives the family and the published code the parameters.
        **changes : object
            Parameters that shall differ, for instance ``graph="scale_free"``,
            ``weight_mean=0.1``, ``noise="gumbel"`` or ``heteroskedastic=True, noise_variance=1.0``,
            the distribution shifts of Annadani et al. (2024).

        Returns
        -------
        prior : LinearPrior
            The prior.
        """
        check_choice("name", name, tuple(_PRESETS))
        return cls(**{**_PRESETS[name], **changes})

    def _draw(self, keys, dtype) -> LinearSystems:
        """Systems of the given keys; everything is drawn in float64 and rounded at the end."""
        n_variables, order, positions = draw_graph(
            keys, self.n_variables, self.graph, self.edges_per_variable
        )
        edges = move_to_variables(positions, order)
        if self._has_cycles():
            n_cycles = draw_parameter(self.n_cycles, fold_in(keys, "n_cycles"))
            ring_keys = fold_in(keys, "rings")
            edges = add_rings(ring_keys, edges, n_variables, n_cycles, self.cycle_length)
            order, acyclic = causal_order(edges)
        else:
            acyclic = torch.ones_like(n_variables, dtype=torch.bool)
        coef = torch.where(edges, self._draw_weights(keys, edges), 0.0)
        coef = _shrink_to_stability(coef, acyclic, self.max_spectral_radius)
        systems = LinearSystems(
            keys=keys,
            n_variables=n_variables,
            coef=coef,
            noise_scale=self._draw_noise_scale(keys, n_variables, edges.shape[-1]),
            loadings=self._draw_loadings(keys, n_variables, edges.shape[-1]),
            order=order,
            acyclic=acyclic,
            noise=self.noise,
            noise_functions=FourierFunctions.draw_noise_functions(keys, positions, dtype)
            if self.heteroskedastic
            else None,
        )
        systems = _standardize(systems, self.standardize)
        return replace(
            systems,
            coef=systems.coef.to(dtype),
            noise_scale=systems.noise_scale.to(dtype),
            loadings=systems.loadings.to(dtype),
        )

    def _draw_weights(self, keys, edges):
        """Weights (n_systems, size, size) for every ordered pair."""
        if self.weight_scale == "in_degree":
            scale = edges.sum(dim=1, keepdim=True).clamp(min=1).double().rsqrt()
        else:
            scale = draw_parameter(self.weight_scale, fold_in(keys, "weight_scale"))[:, None, None]
        size = edges.shape[-1]
        return self._truncated_normal(keys, fold_in(keys, "weights"), scale, size, size)

    def _truncated_normal(self, keys, draw_keys, scale, *sizes):
        """Draw normal numbers (n_systems, *sizes) outside of the gap, by inversion."""
        mean = draw_parameter(self.weight_mean, fold_in(keys, "weight_mean"))[:, None, None]
        gap = draw_parameter(self.weight_gap, fold_in(keys, "weight_gap"))[:, None, None]
        # By erfc, which keeps its relative precision far out; torch's ndtr does not.
        below = 0.5 * torch.special.erfc((gap + mean) / (scale * math.sqrt(2.0)))
        above = 0.5 * torch.special.erfc((gap - mean) / (scale * math.sqrt(2.0)))
        # A point of the two tails laid side by side; each is inverted from its own outer end.
        mass = uniform(draw_keys, *sizes) * (below + above)
        lower = mean + scale * torch.special.ndtri(mass)
        upper = mean - scale * torch.special.ndtri((below + above) - mass)
        numbers = torch.where(mass < below, lower, upper)
        if not numbers.isfinite().all():
            raise ValueError(
                "weight_gap is so many standard deviations away from the weights' mean that none "
                "can be drawn. Lower weight_gap or raise weight_scale."
            )
        return numbers

    def _draw_noise_scale(self, keys, n_variables, size):
        """Draw standard deviations (n_systems, size), 0 for variables that do not exist."""
        variance = draw_parameter(self.noise_variance, fold_in(keys, "noise_variance"), size)
        level = draw_parameter(self.noise_level, fold_in(keys, "noise_level"))[:, None]
        return torch.where(are_present(n_variables, size), (variance * level).sqrt(), 0.0)

    def _draw_loadings(self, keys, n_variables, size):
        """Draw loadings (n_systems, n_confounders, size) of hidden variables."""
        n_hidden = int(bounds_of("n_confounders", self.n_confounders)[1])
        drawn = draw_parameter(self.n_confounders, fold_in(keys, "n_confounders"))
        variance = draw_parameter(self.confounder_variance, fold_in(keys, "confounder_variance"))
        scale = torch.ones_like(variance)
        if self.weight_scale != "in_degree":
            scale = draw_parameter(self.weight_scale, fold_in(keys, "weight_scale"))
        loadings = self._truncated_normal(
            keys, fold_in(keys, "loadings"), scale[:, None, None], n_hidden, size
        )
        acts = torch.zeros_like(loadings, dtype=torch.bool)
        for k in range(n_hidden):
            children = random_order(fold_in(fold_in(keys, "children"), k), n_variables, size)
            acts[:, k].scatter_(1, children[:, : self.confounder_children], True)
            acts[:, k] &= (k < drawn)[:, None]
        return torch.where(acts, loadings * variance.sqrt()[:, None, None], 0.0)


def _shrink_to_stability(coef, acyclic, max_spectral_radius):
    """Scale the weights of cyclic systems so that |W| has at most the given spectral radius."""
    if acyclic.all():
        return coef
    radius = torch.linalg.eigvals(coef[~acyclic].abs()).abs().amax(dim=-1)
    coef = coef.clone()
    coef[~acyclic] *= (max_spectral_radius / radius).clamp(max=1.0)[:, None, None]
    return coef


def _standardize(systems: LinearSystems, how: str | None) -> LinearSystems:
    """Change the units of the variables, or their equations, to observational variance 1."""
    if how is None:
        return systems
    if how == "internal":
        scale_in, scale_out = torch.ones_like(systems.noise_scale), _internal_scales(systems)
    else:
        variances = systems.interventional_covariance()[:, 0].diagonal(dim1=-2, dim2=-1)
        scale_in = scale_out = torch.where(variances > 0, variances, 1.0).sqrt()
    return replace(
        systems,
        coef=systems.coef * scale_in[:, :, None] / scale_out[:, None, :],
        noise_scale=systems.noise_scale / scale_out,
        loadings=systems.loadings / scale_out[:, None, :],
    )


def _internal_scales(systems: LinearSystems) -> torch.Tensor:
    """Compute the scales (n_systems, size) of variables whose parents have been standardised.

    Every variable is followed as a combination of the exogenous ones, in causal order.
    """
    exogenous = torch.cat([torch.diag_embed(systems.noise_scale), systems.loadings], dim=1)
    combination = torch.zeros_like(exogenous)  # (n_systems, n_exogenous, size)
    scales = torch.ones_like(systems.noise_scale)
    for variable in systems.order.T[:, :, None, None]:
        rows = variable.expand(-1, exogenous.shape[1], 1)
        weights = systems.coef.gather(2, variable.expand(-1, systems.coef.shape[1], 1))
        own = exogenous.gather(2, rows) + combination @ weights
        scale = own.norm(dim=1, keepdim=True)
        scale = torch.where(scale > 0, scale, 1.0)
        combination.scatter_(2, rows, own / scale)
        scales.scatter_(1, variable[:, :, 0], scale[:, :, 0])
    return scales
