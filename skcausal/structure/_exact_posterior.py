"""The exact posterior over graphs of few variables."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, Literal, Self, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skcausal._typing import RandomStateLike
from skcausal.nn import resolve_device, resolve_dtype
from skcausal.simulators import LinearPrior
from skcausal.simulators._parameters import check_number
from skcausal.structure._free_sums import FreeSums
from skcausal.structure._graph_posterior import GraphPosterior
from skcausal.structure._parent_set_scores import LinearGaussianModel, parent_set_scores
from skcausal.structure._subset_posterior import SubsetPosterior, subset_posterior, subset_tables

# Memory and time double with every variable.
_MOST_VARIABLES = 16


def exact_posterior(sums: FreeSums, model: LinearGaussianModel) -> SubsetPosterior:
    """Compute the posteriors of a batch of data sets.

    Parameters
    ----------
    sums : FreeSums
        Sums over the rows in which each variable is free, of any device and precision.
    model : LinearGaussianModel
        The prior.

    Returns
    -------
    posterior : SubsetPosterior
        The posteriors, in float64.
    """
    d = sums.n_rows.shape[-1]
    sizes = subset_tables(d, sums.n_rows.device).members.sum(dim=-1)
    return subset_posterior(parent_set_scores(sums, model) + sizes * model.log_odds())


class ExactGraphPosterior(GraphPosterior):
    r"""Exact Bayesian posterior over the graphs of up to 16 variables.

    Sums over all graphs and all their orders, for a linear-Gaussian model whose weights and noise
    variances are integrated out: probabilities of edges and of parent sets, and graphs drawn from
    the posterior, without approximation. Rows may be observational or come from interventions on
    any sets of variables. Time doubles with every variable: a moment for 10, a second or so for 15.

    Parameters
    ----------
    edge_probability : float, default=0.3
        Prior probability that a variable is a parent of one that comes after it in the order.
    weight_scale : float or "in_degree", default="in_degree"
        Prior standard deviation of the weights, which are normal with mean 0. "in_degree": one over
        the square root of the number of parents.
    noise_shape, noise_rate : float, default=1.0, 0.2
        Parameters of the inverse gamma prior of the noise variances; the density of variance s is
        proportional to ``s ** (-noise_shape - 1) * exp(-noise_rate / s)``.
    standardize : bool, default=True
        Whether the prior is about standardised variables with unknown intercepts, so that the units
        of X do not matter. False: it is about X as it is, with intercepts of 0.
    threshold : float, default=0.5
        Edges of `adjacency_` are more probable than this; those that would close a cycle are left
        out, the less probable ones first.
    n_draws : int, default=30
        Number of graphs that predictions average over.
    device : "auto", str or torch.device, default="auto"
        Where to compute. "auto": on the GPU, if there is one.
    dtype : {"float32", "float64"}, default="float64"
        Precision of the determinants; everything after them is computed in float64. "float32" is
        enough for some hundred rows.
    random_state : int, RandomState instance or None, default=None
        Determines the graphs that predictions average over.

    Attributes
    ----------
    edge_probabilities_ : ndarray of shape (n_variables, n_variables)
        Entry (i, j): posterior probability of the edge i -> j.
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        1 for probable edges, see `threshold`.
    log_evidence_ : float
        Log marginal likelihood of the free cells, in nats, up to a constant that depends on
        `edge_probability` and the number of variables only.
    scm_ : LinearGaussianEnsemble
        The models refitted on graphs drawn from the posterior; predictions average theirs.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    See Also
    --------
    AmortizedGraphPosterior : For any number of variables, by a pretrained network.
    BootstrapEnsemble : Edge probabilities from a search on resampled rows.

    Notes
    -----
    Given an order, the parents Pa of each variable j are independent of those of the others, with

    .. math::
        p(Pa_j = S \mid X) \propto \left(\frac{\pi}{1 - \pi}\right)^{|S|}
        \int p(x_j \mid x_S, w, s) \, p(w) \, p(s) \, dw \, ds ,

    over the rows in which j is free [2]_. The weights are integrated out in closed form, the noise
    variance by a quadrature that is exact to about 1e-4 nats. The sum over orders is the dynamic
    program of [1]_. Its prior is that of random orders: a graph counts once for each order that it
    is compatible with, and so does it in simulations that draw an order, then edges along it.

    References
    ----------
    .. [1] Koivisto & Sood (2004). Exact Bayesian structure discovery in Bayesian networks. JMLR 5,
       section 3.
    .. [2] Cooper & Yoo (1999). Causal discovery from a mixture of experimental and observational
       data. UAI.

    Examples
    --------
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.structure import ExactGraphPosterior
    >>> data = make_linear_scm(n_variables=4, n_samples=50, random_state=0)
    >>> model = ExactGraphPosterior(random_state=0)
    >>> model = model.fit(data.X, interventions=data.interventions)
    >>> bool((model.adjacency_ == data.adjacency.to_numpy()).all())
    True
    >>> parent_sets, probabilities = model.parent_set_probabilities("x0")
    >>> parent_sets.shape, float(probabilities.sum().round(6))
    ((8, 4), 1.0)
    """

    acyclic = True  # every graph of the posterior is

    def __init__(
        self,
        *,
        edge_probability: float = 0.3,
        weight_scale: float | str = "in_degree",
        noise_shape: float = 1.0,
        noise_rate: float = 0.2,
        standardize: bool = True,
        threshold: float = 0.5,
        n_draws: int = 30,
        device: str | torch.device = "auto",
        dtype: Literal["float32", "float64"] = "float64",
        random_state: RandomStateLike = None,
    ) -> None:
        self.edge_probability = edge_probability
        self.weight_scale = weight_scale
        self.noise_shape = noise_shape
        self.noise_rate = noise_rate
        self.standardize = standardize
        self.threshold = threshold
        self.n_draws = n_draws
        self.device = device
        self.dtype = dtype
        self.random_state = random_state

    @classmethod
    def from_prior(cls, prior: LinearPrior, **parameters: Any) -> Self:
        """Make the posterior that belongs to a prior of systems.

        Parameters
        ----------
        prior : LinearPrior
            Erdos-Renyi graphs of a fixed number of variables, normal weights of mean 0 without a
            gap, Gaussian noise with inverse-gamma variances, no cycles or confounders; for instance
            ``LinearPrior.preset("caasl")``.
        **parameters : object
            Other parameters of the constructor.

        Returns
        -------
        posterior : ExactGraphPosterior
            The estimator, for data in the units of the prior.

        Raises
        ------
        TypeError
            If it is no LinearPrior.
        ValueError
            If the prior has no exact posterior of this kind.

        Examples
        --------
        >>> from skcausal.simulators import LinearPrior
        >>> from skcausal.structure import ExactGraphPosterior
        >>> ExactGraphPosterior.from_prior(LinearPrior.preset("caasl"))
        ExactGraphPosterior(edge_probability=0.6666666666666666, noise_rate=1.0,
                            noise_shape=10.0, standardize=False)
        """
        return cls(**(_parameters_of(prior) | parameters))

    def parent_set_probabilities(self, variable: str | int) -> tuple[np.ndarray, np.ndarray]:
        """Return the posterior probability of every parent set of a variable.

        Parameters
        ----------
        variable : str or int
            Name or position of the variable.

        Returns
        -------
        parent_sets : ndarray of bool of shape (2 ** (n_variables - 1), n_variables)
            True for parents; the most probable set first.
        probabilities : ndarray of shape (2 ** (n_variables - 1),)
            Their probabilities.

        Raises
        ------
        ValueError
            If there is no such variable.
        """
        check_is_fitted(self)
        names = list(getattr(self, "feature_names_in_", ()))
        j = names.index(variable) if variable in names else variable
        if not isinstance(j, (int, np.integer)) or not 0 <= j < self.n_features_in_:
            raise ValueError(
                f"There is no variable {variable!r}; pass one of the names {names} or a position "
                f"from 0 to {self.n_features_in_ - 1}."
            )
        probabilities = self._posterior.log_parent_sets[0, j].exp().numpy()
        order = np.argsort(-probabilities, kind="stable")
        members = subset_tables(self.n_features_in_, torch.device("cpu")).members[j].numpy()
        return members[order], probabilities[order]

    def _infer(self, X, mask, regime):
        model = self._model()
        d = X.shape[1]
        if d > _MOST_VARIABLES:
            raise ValueError(
                f"X has {d} variables; the exact posterior takes at most {_MOST_VARIABLES}, since "
                "its cost doubles with each. Use AmortizedGraphPosterior."
            )
        device, dtype = resolve_device(self.device), resolve_dtype(self.dtype)
        rows = (X - self.mean_) / self.scale_ if self.standardize else X
        sums = FreeSums.from_rows(torch.from_numpy(rows)[None], torch.from_numpy(mask)[None])
        sums = FreeSums(*(t.to(device, dtype) for t in (sums.n_rows, sums.total, sums.products)))
        self._posterior = exact_posterior(sums, model).cpu()
        self.log_evidence_ = float(self._posterior.log_evidence)
        probabilities = self._posterior.edge_probabilities[0].numpy()
        if not (np.isfinite(probabilities).all() and np.isfinite(self.log_evidence_)):
            raise ValueError(
                "The posterior is not finite: X is too far away from the prior's units. Set "
                "standardize=True or rescale X."
            )
        return probabilities

    def _sample_graphs(self, n_graphs, rng):
        generator = torch.Generator().manual_seed(int(rng.randint(2**31 - 1)))
        return self._posterior.sample(n_graphs, generator)[0].to(torch.int8).numpy()

    def _model(self):
        """Validate the parameters of the prior."""
        check_number("edge_probability", self.edge_probability, 0.0, 1.0, above=True)
        if self.edge_probability >= 1:
            raise ValueError(f"edge_probability must be below 1, found {self.edge_probability!r}.")
        if self.weight_scale != "in_degree":
            if not isinstance(self.weight_scale, Real):
                raise ValueError(
                    f"weight_scale must be a number or 'in_degree', found {self.weight_scale!r}."
                )
            check_number("weight_scale", self.weight_scale, 0.0, above=True)
        check_number("noise_shape", self.noise_shape, 0.0, above=True)
        check_number("noise_rate", self.noise_rate, 0.0, above=True)
        if not isinstance(self.standardize, (bool, np.bool_)):
            raise TypeError(f"standardize must be True or False, found {self.standardize!r}.")
        return LinearGaussianModel(
            float(self.edge_probability),
            self.weight_scale,
            float(self.noise_shape),
            float(self.noise_rate),
            bool(self.standardize),
        )


# What a prior has to be for its posterior to be exact.
_CONDITIONS: dict[str, Callable[[Any], bool]] = {
    "n_variables": lambda value: not hasattr(value, "rvs") and value > 1,
    "edges_per_variable": lambda value: not hasattr(value, "rvs") and value > 0,
    "graph": lambda value: value == "erdos_renyi",
    "n_cycles": lambda value: value == 0,
    "n_confounders": lambda value: value == 0,
    "weight_mean": lambda value: value == 0,
    "weight_gap": lambda value: value == 0,
    "weight_scale": lambda value: value == "in_degree" or isinstance(value, Real),
    "noise": lambda value: value == "gaussian",
    "noise_variance": lambda value: getattr(getattr(value, "dist", None), "name", "") == "invgamma",
    "noise_level": lambda value: value == 1,
    "heteroskedastic": lambda value: not value,
    "standardize": lambda value: value is None,
}


def _invgamma_parameters(a, loc=0.0, scale=1.0):
    """Arguments of scipy's inverse gamma distribution."""
    return a, loc, scale


def _parameters_of(prior) -> dict:
    """Parameters of the posterior that belongs to a prior."""
    if not isinstance(prior, LinearPrior):
        raise TypeError(f"prior must be a LinearPrior, found {prior!r}.")
    for name, fits in _CONDITIONS.items():
        if not fits(getattr(prior, name)):
            raise ValueError(
                f"A prior with {name}={getattr(prior, name)!r} has no exact posterior of this "
                "kind; train an AmortizedGraphPosterior on it."
            )
    law: Any = prior.noise_variance
    shape, location, scale = _invgamma_parameters(*law.args, **law.kwds)
    if location != 0:
        raise ValueError(f"noise_variance must be an inverse gamma with loc=0, found {location!r}.")
    n_variables, density = cast(int, prior.n_variables), cast(float, prior.edges_per_variable)
    return {
        # Along the order each pair is joined with the same probability.
        "edge_probability": float(min(2.0 * density / (n_variables - 1), 1.0 - 1e-9)),
        "weight_scale": prior.weight_scale,
        "noise_shape": float(shape),
        "noise_rate": float(scale),
        "standardize": False,
    }
