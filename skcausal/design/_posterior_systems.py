"""Linear systems drawn from the posterior that experiments leave."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from skcausal.design._histories import Designs
from skcausal.structure._free_sums import FreeSums
from skcausal.structure._parent_set_scores import LinearGaussianModel


@dataclass(frozen=True, eq=False)
class PosteriorSystems:
    """Linear-Gaussian systems ``x = x W + b + e`` that could be behind the data.

    Parameters
    ----------
    adjacency : bool tensor of shape (n_systems, n_draws, n_variables, n_variables)
        Their graphs, without cycles; True for i -> j.
    coef : tensor of the same shape
        Entry (i, j) is the weight of variable i in the equation of variable j.
    intercept : tensor of shape (n_systems, n_draws, n_variables)
        Intercepts b.
    noise_scale : tensor of shape (n_systems, n_draws, n_variables)
        Standard deviations of the noise e.
    """

    adjacency: torch.Tensor
    coef: torch.Tensor
    intercept: torch.Tensor
    noise_scale: torch.Tensor

    def __getitem__(self, systems) -> PosteriorSystems:
        return PosteriorSystems(
            self.adjacency[systems],
            self.coef[systems],
            self.intercept[systems],
            self.noise_scale[systems],
        )

    def in_units(self, centre: torch.Tensor, scale: torch.Tensor) -> PosteriorSystems:
        """Take systems of standardised variables back to their means and standard deviations.

        Parameters
        ----------
        centre, scale : tensor of shape (n_systems, n_variables)
            What was subtracted, and then divided by.

        Returns
        -------
        systems : PosteriorSystems
            The systems in the units before.
        """
        centre, scale = centre[:, None].to(self.coef), scale[:, None].to(self.coef)
        coef = self.coef * scale[..., None, :] / scale[..., :, None]
        explained = (centre[..., None, :] @ coef)[..., 0, :]
        return PosteriorSystems(
            self.adjacency,
            coef,
            centre + scale * self.intercept - explained,
            self.noise_scale * scale,
        )

    def simulate(self, designs: Designs, noise: torch.Tensor) -> torch.Tensor:
        """Simulate what designs would bring about.

        Parameters
        ----------
        designs : Designs
            Designs (n_systems, n_candidates, n_variables).
        noise : tensor of shape (n_systems, n_draws, n_rows, n_variables)
            Standard normal noise, which all candidates have in common.

        Returns
        -------
        X : tensor of shape (n_systems, n_draws, n_candidates, n_rows, n_variables)
            Rows.
        """
        free = (~designs.targets).to(self.coef)[:, None, :, None]
        values = designs.values.to(self.coef)[:, None, :, None]
        own = (
            self.intercept[:, :, None, None]
            + self.noise_scale[:, :, None, None] * noise[:, :, None]
        )
        own = values + free * own
        X = own
        for _ in range(own.shape[-1] - 1):  # a sweep for every edge of the longest path
            X = own + free * (X.flatten(2, 3) @ self.coef).view_as(own)
        return X


def draw_systems(
    sums: FreeSums, graphs: torch.Tensor, model: LinearGaussianModel, generator: torch.Generator
) -> PosteriorSystems:
    """Draw weights and noise variances given graphs.

    Parameters
    ----------
    sums : FreeSums
        Sums over the rows in which each variable is free.
    graphs : bool tensor of shape (n_systems, n_draws, n_variables, n_variables)
        The graphs.
    model : LinearGaussianModel
        The prior.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    systems : PosteriorSystems
        The systems, in float32.

    Notes
    -----
    With the ridge r = s / v, where v is the prior variance of the weights, the noise variance s of
    a variable with N free rows is InverseGamma(a + N / 2, b + R / 2), R being the residual of the
    ridge regression on its parents, and the weights are normal. In r, s is that of the regression
    on all other variables: the draws are exact only as far as the data outweigh the prior.
    """
    centred = sums.centred() if model.intercept else sums.products
    n_rows = (sums.n_rows - 1.0).clamp(min=0.0) if model.intercept else sums.n_rows
    ridge, own, moment = _ridge_of_all(centred, n_rows, model, graphs)
    parents = graphs.mT.float()  # (n_systems, n_draws, j, i)
    products = centred.float()[:, None] * parents[..., :, None] * parents[..., None, :]
    diagonal = ridge[..., None] * parents + (1.0 - parents)
    factor = torch.linalg.cholesky_ex(products + torch.diag_embed(diagonal))[0]
    moment = moment.float()[:, None] * parents
    mean = torch.cholesky_solve(moment[..., None], factor)[..., 0]
    residual = (own.float()[:, None] - (moment * mean).sum(dim=-1)).clamp(min=0.0)
    residual = residual.maximum(1e-6 * own.float()[:, None])
    shape = (model.noise_shape + 0.5 * n_rows.float())[:, None].expand_as(residual).contiguous()
    gamma = torch._standard_gamma(shape, generator=generator)
    variance = (model.noise_rate + 0.5 * residual) / gamma.clamp(min=1e-6)
    normal = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=torch.float32)[
        ..., None
    ]
    deviation = torch.linalg.solve_triangular(factor.mT, normal, upper=True)[..., 0]
    coef = ((mean + variance.sqrt()[..., None] * deviation) * parents).mT
    intercept = torch.zeros_like(variance)
    if model.intercept:
        means = (sums.total / sums.n_rows.clamp(min=1.0)[..., None]).float()  # (s, j, i)
        own_mean = means.diagonal(dim1=-2, dim2=-1)[:, None]
        intercept = own_mean - torch.einsum("skij,sji->skj", coef, means)
        error = (variance / sums.n_rows.clamp(min=1.0)[:, None].float()).sqrt()
        normal = torch.randn(
            error.shape, generator=generator, device=error.device, dtype=torch.float32
        )
        intercept = intercept + error * normal
    return PosteriorSystems(graphs, coef, intercept, variance.sqrt())


def _ridge_of_all(centred, n_rows, model, graphs):
    """Ridge (n_systems, n_draws, j), sums of squares (n_systems, j), and moments (n_systems, j, i).

    The noise variance in the ridge is the expected one, given the residual of the regression on all
    others.
    """
    d = centred.shape[-1]
    own = torch.einsum("sjjj->sj", centred)
    moment = torch.einsum("sjij->sji", centred)
    identity = torch.eye(d, dtype=centred.dtype, device=centred.device)
    everyone = moment * (1.0 - identity)
    others = centred * (1.0 - identity)[None, :, :, None] * (1.0 - identity)[None, :, None, :]
    slack = 0.1 + 1e-6 * others.diagonal(dim1=-2, dim2=-1).amax(dim=-1)
    system = others + slack[..., None, None] * identity
    explained = (everyone * torch.linalg.solve(system, everyone[..., None])[..., 0]).sum(dim=-1)
    residual = (own - explained).clamp(min=0.0)
    expected = (model.noise_rate + 0.5 * residual) / (model.noise_shape + 0.5 * n_rows)
    log_v = model.log_weight_variance(graphs.sum(dim=-2).double()).float()
    return expected.float()[:, None] * torch.exp(-log_v), own, moment


def draw_acyclic_graphs(
    probabilities: torch.Tensor, n_graphs: int, generator: torch.Generator
) -> torch.Tensor:
    """Draw graphs without cycles from the probabilities of their edges.

    A provisional orientation of every pair is drawn; its votes, with some noise, put the variables
    in order. Edges along the order are then drawn with their probability divided by how often the
    draws have this order, so that over the draws they are as frequent as they should be, as far as
    this is possible.

    Parameters
    ----------
    probabilities : tensor of shape (n_systems, n_variables, n_variables)
        Probability of an edge i -> j in entry (i, j).
    n_graphs : int
        Number of graphs for each system.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    graphs : bool tensor of shape (n_systems, n_graphs, n_variables, n_variables)
        True for i -> j.
    """
    n_systems, d, _ = probabilities.shape
    shape = (n_systems, n_graphs, d, d)
    uniform = torch.rand(
        shape, generator=generator, device=probabilities.device, dtype=torch.float32
    )
    forward = probabilities[:, None].triu(1)
    backward = probabilities.mT[:, None].triu(1)
    total = (forward + backward).clamp(min=1.0)
    votes = (uniform < forward / total).float() - (uniform > 1.0 - backward / total).float()
    votes = votes.triu(1)  # 1 for i -> j, -1 for j -> i, of i < j
    score = votes.sum(dim=-1) - votes.sum(dim=-2)
    noise = torch.randn(score.shape, generator=generator, device=score.device, dtype=torch.float32)
    position = (-score + 0.3 * noise).argsort(dim=-1).argsort(dim=-1)
    along = position[..., :, None] < position[..., None, :]
    share = along.to(probabilities).mean(dim=1)
    given_order = probabilities / share.clamp(min=1.0 / n_graphs)
    edge = torch.rand(shape, generator=generator, device=probabilities.device, dtype=torch.float32)
    return (edge < given_order[:, None]) & along
