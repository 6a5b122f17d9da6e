"""Linear systems: directed acyclic or with stable feedback, with or without hidden confounders."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch

from skcausal.simulators._interventions import Design, Intervened, intervene
from skcausal.simulators._mechanisms import FourierFunctions
from skcausal.simulators._noise import standard_noise
from skcausal.simulators._parameters import check_choice, is_distribution
from skcausal.simulators._random import fold_in, normal
from skcausal.simulators._random_graphs import causal_order
from skcausal.simulators._systems import Systems

if TYPE_CHECKING:
    from scipy.stats.distributions import rv_frozen


@dataclass(frozen=True, eq=False)
class LinearSystems(Systems):
    """A batch of linear structural causal models.

    Row vectors follow ``x = x W + u L + e``, with weights W, hidden confounders u ~ N(0, I) with
    loadings L, and independent noise e of mean 0. Systems with feedback are at their equilibrium.
    Interventions change the equations of their targets:

    - ``"hard"``: ``x_j = v``;
    - ``"shift"``: ``x_j = (x W + u L)_j + e_j + v``;
    - ``"scale"``: ``x_j = v ((x W + u L)_j + e_j)``;
    - ``"noise"``: ``x_j = (x W + u L)_j + v e_j``.

    Made by :meth:`LinearPrior.sample`, or from given weights by :meth:`from_coef`.

    Parameters
    ----------
    keys : int64 tensor of shape (n_systems,)
        Keys of the systems' random numbers.
    n_variables : int64 tensor of shape (n_systems,)
        Number of variables of each system.
    coef : tensor of shape (n_systems, n_variables, n_variables)
        Entry (s, i, j) is the weight of variable i in the equation of variable j.
    noise_scale : tensor of shape (n_systems, n_variables)
        Standard deviations of the noise.
    loadings : tensor of shape (n_systems, n_confounders, n_variables)
        Weights of the hidden confounders.
    order : int64 tensor of shape (n_systems, n_variables)
        Variables in causal order; without meaning where there is a cycle.
    acyclic : bool tensor of shape (n_systems,)
        Which systems have no directed cycle.
    noise : {"gaussian", "gumbel"}
        Distribution of the noise.
    noise_functions : FourierFunctions or None
        Where given, noise e_j is multiplied by ``sqrt(log(1 + exp(g_j(x))))``, with g_j a random
        function of the parents of j.

    References
    ----------
    .. [1] Pearl, J. (2009). Causality, 2nd ed., sections 1.4 and 3.2.
    .. [2] Bollen, K. (1989). Structural Equations with Latent Variables, chapter 4 (equilibrium of
       models with feedback).

    Examples
    --------
    >>> from skcausal.simulators import LinearPrior
    >>> systems = LinearPrior(4).sample(100, random_state=0)
    >>> X = systems.sample(5, interventions=[True, False, False, False], values=2.0, random_state=0)
    >>> X.shape
    torch.Size([100, 5, 4])
    >>> bool((X[:, :, 0] == 2.0).all())
    True
    """

    keys: torch.Tensor
    n_variables: torch.Tensor
    coef: torch.Tensor
    noise_scale: torch.Tensor
    loadings: torch.Tensor
    order: torch.Tensor
    acyclic: torch.Tensor
    noise: str = "gaussian"
    noise_functions: FourierFunctions | None = None

    @classmethod
    def from_coef(
        cls,
        coef: np.ndarray | torch.Tensor,
        noise_variance: float | np.ndarray | torch.Tensor = 1.0,
        *,
        loadings: np.ndarray | torch.Tensor | None = None,
        noise: Literal["gaussian", "gumbel"] = "gaussian",
    ) -> Self:
        """Make a batch of systems with given weights.

        Parameters
        ----------
        coef : array or tensor of shape (n_systems, n_variables, n_variables)
            Entry (s, i, j) is the weight of variable i in the equation of variable j.
        noise_variance : float, or array of shape (n_variables,) or (n_systems, n_variables)
            Variances of the noise.
        loadings : array of shape (n_systems, n_confounders, n_variables), default=None
            Weights of hidden confounders; None for no confounders.
        noise : {"gaussian", "gumbel"}, default="gaussian"
            Distribution of the noise.

        Returns
        -------
        systems : LinearSystems
            The systems, in the precision of `coef`.

        Raises
        ------
        ValueError
            If a number is not finite, a variance is negative, shapes do not fit, or a system with a
            cycle is not stable: the spectral radius of the absolute weights must be below 1.
        """
        check_choice("noise", noise, ("gaussian", "gumbel"))
        coef = torch.as_tensor(coef)
        square = coef.ndim == 3 and coef.shape[1] == coef.shape[2]
        if not square or coef.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                "coef must be an array of floats of shape (n_systems, n_variables, n_variables), "
                f"float32 or float64, found {coef.dtype} of shape {tuple(coef.shape)}."
            )
        if not coef.isfinite().all():
            raise ValueError("coef must be finite, found NaN or infinity.")
        n_systems, n_variables, _ = coef.shape
        variance = torch.as_tensor(noise_variance, dtype=coef.dtype, device=coef.device)
        if tuple(variance.shape) not in ((), (n_variables,), (n_systems, n_variables)):
            raise ValueError(
                f"noise_variance must be a number or of shape ({n_variables},) or ({n_systems}, "
                f"{n_variables}), found {tuple(variance.shape)}."
            )
        if not ((variance >= 0) & variance.isfinite()).all():
            raise ValueError("noise_variance must be finite and not negative.")
        if loadings is None:
            loadings = coef.new_zeros(n_systems, 0, n_variables)
        loadings = torch.as_tensor(loadings, dtype=coef.dtype, device=coef.device)
        if loadings.ndim != 3 or loadings.shape[::2] != (n_systems, n_variables):
            raise ValueError(
                f"loadings must be of shape ({n_systems}, n_confounders, {n_variables}), found "
                f"{tuple(loadings.shape)}."
            )
        if not loadings.isfinite().all():
            raise ValueError("loadings must be finite, found NaN or infinity.")
        order, acyclic = causal_order(coef != 0)
        check_stable(coef[~acyclic])
        return cls(
            keys=torch.arange(n_systems, device=coef.device),
            n_variables=torch.full((n_systems,), n_variables, device=coef.device),
            coef=coef,
            noise_scale=variance.sqrt().expand(n_systems, n_variables),
            loadings=loadings,
            order=order,
            acyclic=acyclic,
            noise=noise,
        )

    @property
    def adjacency(self) -> torch.Tensor:
        """The graphs: bool tensor (n_systems, n_variables, n_variables), True for i -> j."""
        return self.coef != 0

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters and rows."""
        return self.coef.dtype

    @property
    def _size(self) -> int:
        """Number of variables of the padded systems."""
        return self.coef.shape[-1]

    def interventional_covariance(
        self,
        interventions: np.ndarray | torch.Tensor | None = None,
        values: float | np.ndarray | torch.Tensor | rv_frozen | None = None,
        *,
        kind: Literal["hard", "shift", "scale", "noise"] | None = None,
    ) -> torch.Tensor:
        """Return the covariance of the variables under interventions, in closed form.

        Parameters
        ----------
        interventions : bool array or tensor, default=None
            The targets, of a shape that :meth:`sample` takes; each of its rows is one intervention.
        values : float, array, tensor or frozen scipy distribution, default=None
            The targets' values. Values that are drawn add to the covariance.
        kind : {"hard", "shift", "scale", "noise"}, default=None
            What is done to the targets; None for "hard".

        Returns
        -------
        covariance : tensor of shape (n_systems, n_rows, n_variables, n_variables)
            One covariance for each row of `interventions`; with an axis of regimes before the rows
            if the mask has four dimensions.

        Raises
        ------
        ValueError
            If there is no closed form, because the noise is heteroskedastic, or a scale is drawn in
            a system with feedback; or if values are drawn from a distribution without a variance.
        """
        if self.noise_functions is not None:
            raise ValueError(
                "Heteroskedastic systems have no covariance in closed form; estimate it from rows "
                "of sample."
            )
        design, done = self._design(interventions, values, kind), self._kind(kind)
        equations, variance = self._expected_equations(design, done)
        if not variance.isfinite().all():
            raise ValueError(f"values must have a finite variance, found {design.values!r}.")
        own_variance = (equations.noise * self.noise_scale[:, None, None]) ** 2
        if done == "noise":  # Var(v e) = E[v^2] Var(e)
            own_variance = own_variance + variance * self.noise_scale[:, None, None] ** 2
        elif done == "scale":
            own_variance = own_variance + self._variance_of_scales(equations, variance)
        else:
            own_variance = own_variance + variance
        hidden = self.loadings[:, None, None] * equations.mechanism[..., None, :]
        covariance = torch.diag_embed(own_variance) + hidden.mT @ hidden
        system = self._system(equations)
        half = torch.linalg.solve(system, covariance, left=False)
        covariance = torch.linalg.solve(system.mT, half)
        return covariance if design.has_regimes else covariance.squeeze(1)

    def _mean(self, design, kind, keys, n_samples):
        """Mean of the shape of the mask in closed form, and its standard error of 0."""
        equations, _ = self._expected_equations(design, kind)
        mean = self._equilibrium(equations, equations.offset)
        return mean, torch.zeros_like(mean)

    def _expected_equations(self, design: Design, kind) -> tuple[Intervened, torch.Tensor]:
        """Equations at the means of the values, and the variances of the values on target."""
        if not is_distribution(design.values):
            equations = self._intervene(design.mask, design.values, kind)
            return equations, torch.zeros_like(equations.offset)
        mean, variance = (float(moment) for moment in design.values.stats("mv"))
        if not np.isfinite(mean):
            raise ValueError(f"values must have a finite mean, found {design.values!r}.")
        means, variances = (
            torch.full_like(design.mask, moment, dtype=self.dtype).where(design.mask, 0.0)
            for moment in (mean, variance)
        )
        return intervene(design.mask, means, kind), variances

    def _variance_of_scales(self, equations, variance) -> torch.Tensor:
        """Variance that scales drawn with this variance add to their targets' equations.

        A target is v p, with p its unscaled equation; v - E[v] times p has mean 0 and is
        uncorrelated with all but its effects, so it acts as a noise of variance Var(v) E[p^2]. The
        sum over paths that E[p^2] needs is finite without feedback only.
        """
        if not variance.any():
            return variance
        if not self.acyclic.all():
            raise ValueError(
                "Systems with feedback have no covariance in closed form where a scale is drawn; "
                "estimate it from rows of sample."
            )
        weights, scale = self.coef[:, None, None], equations.mechanism[..., None]
        pull = torch.linalg.solve(self._system(equations), weights)  # how p depends on the inputs
        identity = torch.eye(weights.shape[-1], dtype=self.dtype, device=weights.device)
        from_noise = self.noise_scale[:, None, None, :, None] * (scale * pull + identity)
        hidden = self.loadings[:, None, None]
        from_hidden = (hidden * equations.mechanism[..., None, :]) @ pull + hidden
        fixed = (from_noise**2).sum(dim=-2) + (from_hidden**2).sum(dim=-2)
        paths = identity - pull**2 * variance[..., None, :]
        return torch.linalg.solve(paths, (variance * fixed)[..., None, :], left=False).squeeze(-2)

    def _intervene(self, mask, values, kind) -> Intervened:
        """Equations under interventions; a scale must leave feedback stable."""
        equations = intervene(mask, values, kind)
        if kind == "scale" and not self.acyclic.all():
            check_stable(self.coef[~self.acyclic], equations.mechanism[~self.acyclic])
        return equations

    def _simulate(self, n_rows, design, kind, keys, first_row=0):
        """Rows (n_systems, n_regimes, n_rows, n_variables) from row `first_row` on."""
        values = design.draw_values(keys, n_rows, self.dtype, first_row)
        equations = self._intervene(design.mask, values, kind)
        sizes = (design.mask.shape[1], n_rows, self.coef.shape[-1])
        noise = standard_noise(keys, sizes, self.noise, self.dtype, first_row)
        noise = equations.noise * self.noise_scale[:, None, None] * noise
        inputs = equations.offset
        if self.loadings.shape[1]:
            sizes = (design.mask.shape[1], n_rows, self.loadings.shape[1])
            hidden = normal(
                fold_in(keys, "confounders"), *sizes, dtype=self.dtype, first_row=first_row
            )
            for u, loading in zip(hidden.split(1, dim=-1), self.loadings.unbind(1)):
                inputs = inputs + equations.mechanism * (u * loading[:, None, None])
        # A system is filled in the same way whatever others are in its batch.
        X, inputs = torch.empty_like(noise), inputs.expand_as(noise)
        ways = ((self.acyclic, LinearSystems._propagate), (~self.acyclic, LinearSystems._settle))
        for chosen, fill_in in ways:
            if chosen.all():
                return fill_in(self, equations, inputs, noise)
            own = Intervened(*(getattr(equations, f.name)[chosen] for f in fields(equations)))
            X[chosen] = fill_in(self[chosen], own, inputs[chosen], noise[chosen])
        return X

    def _propagate(self, equations, inputs, noise):
        """Fill in the variables in causal order; the sum over parents is laid out rows last."""
        by_order = self.order[:, None, None].expand(*noise.shape)
        mechanism, inputs, noise = (
            tensor.expand_as(noise).gather(-1, by_order).movedim(-1, 0).contiguous()
            for tensor in (equations.mechanism, inputs, noise)
        )
        rows = self.order[:, :, None].expand_as(self.coef)
        columns = self.order[:, None, :].expand_as(self.coef)
        coef = self.coef.gather(1, rows).gather(2, columns).permute(1, 2, 0)[..., None, None]
        X, pull = torch.empty_like(noise), torch.zeros_like(noise)
        for t in range(len(X)):
            innovation = noise[t]
            if self.noise_functions is not None:
                innovation = innovation * self.noise_functions.noise_factor(t, X)
            X[t] = mechanism[t] * pull[t] + inputs[t] + innovation
            # Pushed on to the effects one cause at a time: the last bit of torch's sum over causes
            # depends on the size of the batch.
            pull[t + 1 :] += coef[t, t + 1 :] * X[t]
        return torch.empty_like(by_order, dtype=X.dtype).scatter_(-1, by_order, X.movedim(0, -1))

    def _settle(self, equations, inputs, noise):
        """Put systems with feedback at their equilibrium."""
        return self._equilibrium(equations, inputs + noise)

    def _equilibrium(self, equations, inputs):
        """Solve x (I - W A) = inputs, with A the diagonal of the mechanisms' factors."""
        system = self._system(equations)
        if system.shape[2] == 1:
            X = torch.linalg.solve(system[:, :, 0], inputs, left=False)
        else:
            inputs = inputs.expand(system.shape[:-1])
            X = torch.linalg.solve(system, inputs[..., None, :], left=False).squeeze(-2)
        # What has no mechanism left keeps its input to the last digit.
        return torch.where(equations.mechanism == 0, inputs, X)

    def _system(self, equations) -> torch.Tensor:
        """Matrices I - W A (n_systems, n_regimes, n_rows or 1, n_variables, n_variables)."""
        identity = torch.eye(self.coef.shape[-1], dtype=self.dtype, device=self.coef.device)
        return identity - self.coef[:, None, None] * equations.mechanism[..., None, :]


def check_stable(coef: torch.Tensor, mechanism: torch.Tensor | None = None) -> None:
    """Raise a ValueError unless feedback dies out.

    Parameters
    ----------
    coef : tensor of shape (n_systems, n_variables, n_variables)
        Weights. A spectral radius below 1 of their absolute values suffices for stability, and
        goes on to do so when any set of variables is held fixed.
    mechanism : tensor of shape (n_systems, n_regimes, n_rows, n_variables), default=None
        Factors by which interventions multiply the variables' equations.
    """
    if not len(coef):
        return
    matrix = coef if mechanism is None else coef[:, None, None] * mechanism[..., None, :]
    radius = torch.linalg.eigvals(matrix.abs()).abs().amax(dim=-1)
    if not (radius < 1).all():
        raise ValueError(
            "A cycle is unstable: the spectral radius of the absolute weights is "
            f"{float(radius.max()):.3g} and must be below 1. Lower the weights"
            + (" along the cycle." if mechanism is None else " or the scales of the intervention.")
        )
