"""The amortized network: from statistics of a data set to a shrunken linear system."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import softplus

from skcausal.nn._linear import linear
from skcausal.nn._pair_encoder import PairEncoder
from skcausal.nn._pair_statistics import N_FEATURES, PairStatistics
from skcausal.prediction._shrunk_refit import LinearFit, Shrinkage, refit

_N_PAIR_OUTPUTS = 3
_N_NODE_OUTPUTS = 2


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """What a network expects of the errors of the equations that were fitted.

    Parameters
    ----------
    inflation : tensor of shape (n_tasks, n_variables)
        Factor of the covariance of the errors of the weights of variable j's equation.
    edge : tensor of shape (n_tasks, n_variables, n_variables)
        Entry (j, i): variance of the error of weight i -> j that the penalty hides.
    intercept : tensor of shape (n_tasks, n_variables)
        Factor of the variance of the error of the mean of variable j.
    """

    inflation: torch.Tensor
    edge: torch.Tensor
    intercept: torch.Tensor


class InterventionNetwork(nn.Module):
    """Decide from the statistics of a data set how to regress every variable on the others.

    A pair encoder reads the statistics of all ordered pairs. Each pair's token yields the logit of
    an edge, the penalty and the centre of its weight; each variable's the shares of the variation
    that its regression disregards. The regression is then done in closed form, and so are
    predictions: the network never sees rows, and never writes a prediction.

    Parameters
    ----------
    generator : torch.Generator
        Source of the initial weights.
    width : int, default=32
        Size of the tokens.
    n_layers : int, default=6
        Number of layers of the pair encoder.
    """

    def __init__(self, generator: torch.Generator, *, width: int = 32, n_layers: int = 6):
        super().__init__()
        self.sizes: dict[str, int] = {"width": width, "n_layers": n_layers}
        self.encoder = PairEncoder(N_FEATURES, generator, width=width, n_layers=n_layers)
        self.pair_head = linear(width, _N_PAIR_OUTPUTS, generator, gain=0.3)
        self.node_head = linear(width, _N_NODE_OUTPUTS, generator, gain=0.3)
        self.pair_error_in = linear(width, width, generator)
        self.pair_error_out = linear(width, 1, generator, gain=0.3)
        self.node_error_in = linear(width, width, generator)
        self.node_error_out = linear(width, 2, generator, gain=0.3)
        with torch.no_grad():
            self.pair_head.bias[0] = 2.0
            self.node_head.bias.fill_(-1.0)
            self.pair_error_out.bias.fill_(-6.0)
            self.node_error_out.bias.fill_(0.5)

    def forward(self, statistics: PairStatistics):
        """Shrink the regressions of every data set of a batch.

        Parameters
        ----------
        statistics : PairStatistics
            Statistics of standardised data.

        Returns
        -------
        edge_logit : tensor of shape (n_tasks, n_variables, n_variables)
            Entry (j, i): logit of the probability of an edge i -> j.
        shrinkage : Shrinkage
            How to regress.
        errors : ErrorModel
            The expected errors; its gradients end at the tokens.
        """
        tokens = self.encoder(statistics.features)
        output, centre, edge_logit = self.pair_head(tokens).unbind(dim=-1)
        nodes = tokens.diagonal(dim1=1, dim2=2).mT
        drop = 0.98 * torch.sigmoid(self.node_head(nodes))
        shrinkage = Shrinkage(2.0 * output - 1.5 * edge_logit, centre, *drop.unbind(dim=-1))
        return edge_logit, shrinkage, self._errors(tokens.detach(), nodes.detach())

    def _errors(self, tokens, nodes) -> ErrorModel:
        """Estimate the errors of the equations."""
        pair = self.pair_error_out(torch.relu(self.pair_error_in(tokens)))[..., 0]
        node = self.node_error_out(torch.relu(self.node_error_in(nodes)))
        d = pair.shape[-1]
        off = 1.0 - torch.eye(d, dtype=pair.dtype, device=pair.device)
        inflation, intercept = softplus(node).unbind(dim=-1)
        return ErrorModel(inflation, softplus(pair) * off, intercept)

    def fit(self, statistics: PairStatistics) -> tuple[torch.Tensor, LinearFit, ErrorModel]:
        """Fit the linear system of every data set; see :meth:`forward`.

        Parameters
        ----------
        statistics : PairStatistics
            Statistics of standardised data.

        Returns
        -------
        edge_logit : tensor of shape (n_tasks, n_variables, n_variables)
            Entry (j, i): logit of the probability of an edge i -> j.
        fit : LinearFit
            The equations.
        errors : ErrorModel
            Their expected errors.
        """
        edge_logit, shrinkage, errors = self(statistics)
        return edge_logit, refit(statistics.free, shrinkage), errors


def mean_error_variance(
    statistics: PairStatistics,
    fit: LinearFit,
    errors: ErrorModel,
    targets: torch.Tensor,
    mean: torch.Tensor,
    response: torch.Tensor,
) -> torch.Tensor:
    """Variance of the error of the predicted means, by propagating errors of the equations.

    An error dW_j of the weights of variable j and one of its mean add ``dW_j (x - m_j) + db_j`` to
    its equation, with m_j the means over the rows in which j is free; the response carries it on.

    Parameters
    ----------
    statistics : PairStatistics
        Statistics of the data.
    fit : LinearFit
        The equations.
    errors : ErrorModel
        Their expected errors.
    targets, mean : tensor of shape (n_tasks, n_queries, n_variables)
        Targets of the queries, and the predicted means.
    response : tensor of shape (n_tasks, n_queries, n_variables, n_variables)
        Responses to what is added to an equation.

    Returns
    -------
    variance : tensor of shape (n_tasks, n_queries, n_variables)
        The variances; 0 for targets.
    """
    away = mean[..., None, :] - statistics.free.mean[:, None]  # (task, query, j, i)
    by_fit = torch.einsum("bqji,bjik,bqjk->bqj", away, fit.spread, away)
    by_edges = (errors.edge[:, None] * away**2).sum(dim=-1)
    by_mean = errors.intercept * fit.noise_variance / statistics.free.n_rows.clamp(min=1.0)
    own = errors.inflation[:, None] * by_fit + by_edges + by_mean[:, None]
    own = own * (1.0 - targets)
    return (response**2 @ own[..., None])[..., 0] * (1.0 - targets)
