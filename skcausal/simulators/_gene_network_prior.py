"""Distributions over gene regulatory networks."""

from __future__ import annotations

import functools
import math
from dataclasses import KW_ONLY, dataclass, replace

import torch
from scipy.stats import beta
from scipy.stats import uniform as uniform_distribution

from skcausal.simulators._gene_networks import NOISE_TYPES, GeneNetworks
from skcausal.simulators._parameters import (
    bounds_of,
    check_choice,
    check_count,
    check_number,
    check_parameter,
    draw_parameter,
)
from skcausal.simulators._random import fold_in, uniform
from skcausal.simulators._random_graphs import (
    ACYCLIC,
    are_present,
    check_graph_parameters,
    draw_graph,
    move_to_variables,
)
from skcausal.simulators._task_prior import TaskPrior
from skcausal.simulators._technical_noise import (
    PLATFORMS,
    TechnicalNoise,
    draw_outliers,
    dropout_midpoint,
    scale_libraries,
)

# Cells without intervention from which the dropout midpoint of a network is taken. Their
# trajectories take long steps, a tenth of the shortest relaxation time: the cells are then almost
# independent.
_N_PILOT_CELLS, _PILOT_STEP, _PILOT_STEPS_PER_CELL = 100, 0.1, 8

# Defaults are shared objects, so that two priors with the same parameters are equal.
_BASAL_RATE = uniform_distribution(1.0, 2.0)
_INTERACTION_STRENGTH = uniform_distribution(1.0, 4.0)
_ACTIVATION_PROBABILITY = beta(0.5, 0.5)


@dataclass(frozen=True)
class GeneNetworkPrior(TaskPrior[GeneNetworks]):
    """A distribution over gene regulatory networks, after SERGIO [1]_.

    The defaults are those of [2]_ (appendices B.2 and C.2). The equations are in
    :class:`GeneNetworks`. Half-responses are not drawn: [1]_ sets them to a regulator's simulated
    average over cell types, here they are its steady state without noise, which does not depend on
    the cells that are simulated; ``dataclasses.replace(networks, half_response=...)`` sets others.

    Where a number is expected, a frozen distribution of :mod:`scipy.stats`
    may stand; it is drawn anew for each system, or for each gene or edge where this is said.

    Parameters
    ----------
    n_variables : int or discrete distribution, default=10
        Number of genes. Smaller networks are padded to the largest possible.
    graph : {"erdos_renyi", "scale_free"}, default="erdos_renyi"
        See :class:`LinearPrior`.
    edges_per_variable : float or distribution, default=3.0
        See :class:`LinearPrior`.
    n_cell_types : int, default=5
        Number of cell types; they differ in the basal rates of master regulators.
    basal_rate : float or distribution, default=uniform(1, 2)
        Basal production rate of a master regulator, for each gene and cell type. As in scipy, the
        default is the uniform distribution on [1, 3].
    interaction_strength : float or distribution, default=uniform(1, 4)
        Size of K, for each edge; the default is uniform on [1, 5].
    activation_probability : float or distribution, default=beta(0.5, 0.5)
        Probability that an edge activates, for each regulator: most are mainly activators or
        mainly repressors.
    hill_coefficient : float or distribution, default=2.0
        Hill coefficient, for each regulator. The papers disagree: [1]_ uses 2, the published code
        of [2]_ 1, and its reward model was trained with values around 2.
    decay : float or distribution, default=0.8
        Decay rate, for each gene.
    noise_scale : float, default=1.0
        Strength q of the intrinsic noise.
    noise_type : {"dpd", "spd", "sp"}, default="dpd"
        - "dpd": independent noise of production and decay;
        - "spd": one noise for both, ``q (sqrt(P) + sqrt(lambda x)) dA``;
        - "sp": noise of production only, ``q sqrt(P) dA``.
    dt : float, default=0.01
        Step of the Euler-Maruyama scheme, in the unit of time of the rates.
    steps_per_cell : int, default=15
        Steps of a trajectory for each cell taken from it: the `sampling_state` of [1]_. Cells of a
        type come from one trajectory and are correlated; the correlation falls to 1/e over
        1 / (decay dt) = 125 steps.
    burn_in : int, default=250
        Steps before the first cell. A trajectory starts at the steady state without noise; after
        the default its variance has reached 98 % of the final value. The papers give no number.
    target_error : float, default=0.0
        Noisy interventions: in every row that has targets, each target is missed, and each other
        gene is hit, with this probability. :meth:`GeneNetworks.actual_targets` tells what was hit.
    technical_noise : None, "10x_chromium", "drop_seq" or TechnicalNoise, default=None
        Technical noise of the measurement; with it, rows are counts.

    References
    ----------
    .. [1] Dibaeinia & Sinha (2020). SERGIO: a single-cell expression simulator guided by gene
       regulatory networks. Cell Systems 11(3).
    .. [2] Annadani, Tigas, Bauer & Foster (2024). Amortized active causal induction with deep
       reinforcement learning. NeurIPS.

    Examples
    --------
    >>> from skcausal.simulators import GeneNetworkPrior
    >>> prior = GeneNetworkPrior(10, technical_noise="10x_chromium")
    >>> counts = prior.sample(3, random_state=0).sample(40, random_state=0)
    >>> counts.shape, bool((counts == counts.round()).all())
    (torch.Size([3, 40, 10]), True)
    """

    n_variables: object = 10
    _: KW_ONLY
    graph: str = "erdos_renyi"
    edges_per_variable: object = 3.0
    n_cell_types: int = 5
    basal_rate: object = _BASAL_RATE
    interaction_strength: object = _INTERACTION_STRENGTH
    activation_probability: object = _ACTIVATION_PROBABILITY
    hill_coefficient: object = 2.0
    decay: object = 0.8
    noise_scale: float = 1.0
    noise_type: str = "dpd"
    dt: float = 0.01
    steps_per_cell: int = 15
    burn_in: int = 250
    target_error: float = 0.0
    technical_noise: TechnicalNoise | str | None = None

    def __post_init__(self):
        check_graph_parameters(self.n_variables, self.graph, self.edges_per_variable, ACYCLIC)
        check_count("n_cell_types", self.n_cell_types)
        check_parameter("basal_rate", self.basal_rate, 0.0)
        check_parameter("interaction_strength", self.interaction_strength, 0.0)
        check_parameter("activation_probability", self.activation_probability, 0.0, 1.0)
        check_parameter("hill_coefficient", self.hill_coefficient, 0.0, above=True)
        check_parameter("decay", self.decay, 0.0, above=True)
        check_number("noise_scale", self.noise_scale, 0.0)
        check_choice("noise_type", self.noise_type, NOISE_TYPES)
        check_number("dt", self.dt, 0.0, above=True)
        fastest = bounds_of("decay", self.decay)[1]
        if fastest * self.dt >= 1:
            raise ValueError(
                f"dt={self.dt:g} is too long for a decay rate of up to {fastest:g}: their product "
                "must be below 1, or the scheme is unstable. Shorten dt."
            )
        check_count("steps_per_cell", self.steps_per_cell)
        check_count("burn_in", self.burn_in, smallest=0)
        check_number("target_error", self.target_error, 0.0, 1.0)
        self._technical_noise()

    def _technical_noise(self) -> TechnicalNoise | None:
        """Resolve the technical noise given by name."""
        if isinstance(self.technical_noise, TechnicalNoise):
            return self.technical_noise
        check_choice("technical_noise", self.technical_noise, (None, *PLATFORMS))
        if self.technical_noise is None:
            return None
        return TechnicalNoise.preset(self.technical_noise)

    def _draw(self, keys, dtype) -> GeneNetworks:
        """Networks of the given keys."""
        n_variables, order, positions = draw_graph(
            keys, self.n_variables, self.graph, self.edges_per_variable
        )
        edges = move_to_variables(positions, order)
        size = edges.shape[-1]
        present = are_present(n_variables, size)
        basal = draw_parameter(self.basal_rate, fold_in(keys, "basal"), self.n_cell_types, size)
        networks = GeneNetworks(
            keys=keys,
            n_variables=n_variables,
            interactions=self._draw_interactions(keys, edges).to(dtype),
            hill=draw_parameter(self.hill_coefficient, fold_in(keys, "hill"), size).to(dtype),
            half_response=torch.ones_like(present, dtype=dtype),
            basal=(basal * (present & ~edges.any(dim=1))[:, None]).to(dtype),
            decay=draw_parameter(self.decay, fold_in(keys, "decay"), size).to(dtype),
            outliers=torch.ones_like(present, dtype=dtype),
            dropout_midpoint=torch.zeros_like(keys, dtype=dtype),
            noise_scale=self.noise_scale,
            noise_type=self.noise_type,
            dt=self.dt,
            steps_per_cell=self.steps_per_cell,
            burn_in=self.burn_in,
            target_error=self.target_error,
            technical_noise=None,
        )
        networks = _settle_half_responses(networks)
        technical_noise = self._technical_noise()
        return self._prepare_measurement(networks, technical_noise) if technical_noise else networks

    def _prepare_measurement(self, networks: GeneNetworks, noise: TechnicalNoise) -> GeneNetworks:
        """Draw outlier genes and set the dropout midpoints, from pilot cells."""
        outliers = draw_outliers(noise, networks.keys, networks.hill.shape[-1], networks.dtype)
        stretch = max(1.0, _PILOT_STEP / (self.dt * bounds_of("decay", self.decay)[1]))
        pilot = replace(
            networks,
            keys=fold_in(networks.keys, "pilot"),
            dt=self.dt * stretch,
            burn_in=math.ceil(self.burn_in / stretch),
            steps_per_cell=_PILOT_STEPS_PER_CELL,
        )
        cells = pilot.sample(_N_PILOT_CELLS, random_state=0) * outliers[:, None]
        cells = scale_libraries(noise, cells[:, None], pilot.keys).squeeze(1)
        return replace(
            networks,
            outliers=outliers,
            dropout_midpoint=dropout_midpoint(noise, cells, networks.present),
            technical_noise=noise,
        )

    def _draw_interactions(self, keys, edges):
        """Signed strengths (n_systems, size, size) of the edges, 0 elsewhere."""
        size = edges.shape[-1]
        strength = draw_parameter(self.interaction_strength, fold_in(keys, "strength"), size, size)
        activates = uniform(fold_in(keys, "sign"), size, size) < draw_parameter(
            self.activation_probability, fold_in(keys, "activation"), size
        ).unsqueeze(-1)
        return torch.where(edges, torch.where(activates, strength, -strength), 0.0)


def _settle_half_responses(networks: GeneNetworks) -> GeneNetworks:
    """Set every half-response to the regulator's steady state, averaged over cell types.

    Along every path one iteration settles one more gene and then its half-response.
    """
    n_types, n_genes = networks.basal.shape[1:]
    expression = networks.basal / networks.decay[:, None]
    for _ in range(n_genes):
        # Added up by hand: the last bit of torch's mean depends on the size of the batch.
        total = functools.reduce(torch.add, expression.unbind(1))
        networks = replace(networks, half_response=total / n_types)
        expression = networks._production_rates(networks.basal)(expression)
        expression = expression / networks.decay[:, None]
    return networks
