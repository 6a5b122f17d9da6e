"""Generative intervention models: features of perturbations -> latent interventions -> outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples, check_is_fitted

from skcausal._typing import MatrixLike, PathLike, PerRow, RandomStateLike
from skcausal.base import compute_finite, compute_rows
from skcausal.graphs import topological_order
from skcausal.perturbation._base import PerturbationPredictor
from skcausal.perturbation._contexts import distinct_rows, summarise_contexts
from skcausal.perturbation._features import perturbation_groups
from skcausal.perturbation._gim_parameters import (
    check_gradient,
    check_parameters,
    edge_log_odds,
    known_adjacency,
    log_odds_or_none,
)
from skcausal.perturbation._latent import KnownTargets, LatentInterventions, SmoothGenerator
from skcausal.perturbation._linear_mechanisms import adjacency_of
from skcausal.perturbation._linear_model import best_linear_prediction, linear_model
from skcausal.perturbation._order_solver import solve_by_order
from skcausal.perturbation._spike_slab import sigmoid

if TYPE_CHECKING:
    import torch

# Cells of covariance matrices held at once.
_CELLS_AT_ONCE = 20_000_000
# Rounds of "posterior of targets, generator": the second profits from what contexts share.
_N_ROUNDS = 2


class GenerativeInterventionModel(PerturbationPredictor):
    """Infer what perturbations act on, and predict what perturbations of given features do.

    A causal model over the variables and a *generator* are learned together [1]_. The generator
    maps features of a perturbation, such as a drug and its dose, to latent atomic interventions in
    the causal model: which variables are targets, and by how much. Rows with the same features
    form a *context*; rows whose features are all 0 are controls.

    Parameters
    ----------
    mechanism : {"linear", "mlp"}, default="linear"
        Equations of the variables given their parents: linear, or perceptrons. The noise is normal
        and added.
    intervention : {"shift", "do", "scale"}, default="shift"
        What a perturbation does to its targets:

        - "shift": adds a constant to the equation;
        - "do": sets the variable, to a value of the context;
        - "scale": multiplies the standard deviation of the noise.
    generator : {"auto", "kernel", "linear", "mlp"}, default="auto"
        How targets and effects depend on the features.

        - "auto": "kernel", or "linear" with the solver "gradient";
        - "kernel": Gaussian processes, one of which predicts perturbations that are left out and
          one of which remembers what is particular to those seen;
        - "linear": ridge regression with one penalty for each variable, by marginal likelihood;
        - "mlp": a perceptron, trained on the exact marginal likelihood.
    solver : {"order", "gradient"}, default="order"
        - "order": search over orders of the variables, with exact marginal likelihoods;
        - "gradient": gradient descent on a relaxed graph, as published. Slow, and gets stuck.
    edge_probability : float, default=None
        Prior probability of an edge. None: two edges per variable are expected.
    target_probability : float, default=None
        Prior probability that a variable is a target of a context. None: learned.
    adjacency : array-like of shape (n_variables, n_variables), default=None
        The graph, where it is known: entry (i, j) nonzero means i -> j. None: learned.
    n_restarts : int, default=5
        Number of orders from which the search starts.
    n_steps : int, default=30000
        Number of optimizer steps of the solver "gradient".
    learning_rate : float, default=1e-3
        Its learning rate.
    n_draws : int, default=None
        Number of sets of targets that it draws for each context and step; 128 in [1]_. None: the
        sum over all sets, which is exact and faster.
    device : "auto", str or torch.device, default="auto"
        Where networks, and the solver "gradient", compute.
    dtype : {"float32", "float64"}, default="float32"
        Precision in which they do.
    checkpoint : str or path-like, default=None
        File for the state of their training, from which an interrupted fit goes on.
    random_state : int, RandomState instance or None, default=None
        Seed of the starting orders and of networks.
    verbose : bool, default=False
        Whether to show the progress of what takes long.

    Attributes
    ----------
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        The DAG; entry (i, j) = 1 means i -> j.
    edge_probabilities_ : ndarray of shape (n_variables, n_variables)
        Posterior probability of i -> j at (i, j) by the criterion of Bayes, given the order; for a
        graph that was given, how well the data support each of its edges.
    order_ : ndarray of int of shape (n_variables,)
        A causal order of the variables.
    coef_ : ndarray of shape (n_variables, n_variables)
        Weight of variable i in the equation of variable j at (i, j), in the units of X.
    intercept_ : ndarray of shape (n_variables,)
        Intercepts of the equations.
    noise_scale_ : ndarray of shape (n_variables,)
        Standard deviations of the noise.
    contexts_ : ndarray of shape (n_contexts, n_features)
        Distinct features, the control first.
    context_of_row_ : ndarray of int of shape (n_samples,)
        Context of each training row.
    intervention_targets_ : ndarray of shape (n_contexts, n_variables)
        Posterior probability that a variable is a target.
    intervention_shifts_ : ndarray of shape (n_contexts, n_variables)
        Expected effect on each variable if it is a target: a shift or a do-value in the units of X,
        or a factor of the noise.
    generator_ : object or None
        The fitted generator; None if all rows were controls.
    loss_curve_ : ndarray of shape (n_epochs,)
        Loss per row of networks; only if there are any.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable; the last
        one only if `interventions` were a mask.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.
    n_perturbation_features_in_ : int
        Number of features of a perturbation.
    perturbation_feature_names_in_ : ndarray of shape (n_features,)
        Their names, if `interventions` in `fit` had string column names.

    Notes
    -----
    Let T be the targets of a context and m its rows. As targets are independent given the features,
    ``p(m | features) = prod_j [(1 - p_j) p(m_j | parents) + p_j p(m_j | parents, hit)]``, each
    factor with the parameter of the intervention integrated out: no sum over sets of targets is
    left. Shift interventions keep the covariance inside contexts, which therefore determines the
    mechanisms along an order; the order is that under which the shifts are sparsest.

    Given rows in part, `predict` returns the best linear prediction under the distribution of the
    row's perturbation, latent interventions integrated over.

    A feature that was 0 in all of training tells nothing: a perturbation that has no other one is
    predicted to do nothing.

    References
    ----------
    .. [1] Schneider, N., Lorch, L., Kilbertus, N., Schoelkopf, B. & Krause, A. (2025). Generative
       intervention models for causal perturbation modeling. ICML. arXiv:2411.14003.

    Examples
    --------
    >>> from skcausal.datasets import make_dose_response
    >>> from skcausal.perturbation import GenerativeInterventionModel
    >>> from skcausal.simulators import DoseResponsePrior, LinearPrior
    >>> prior = DoseResponsePrior(LinearPrior(4), n_perturbations=8, n_heldout_perturbations=2)
    >>> data = make_dose_response(prior, random_state=0)
    >>> model = GenerativeInterventionModel(random_state=0)
    >>> model = model.fit(data.X, interventions=data.interventions)
    >>> bool((model.adjacency_ == data.adjacency.to_numpy()).all())
    True
    >>> probability, shift = model.predict_targets(data.interventions_partly_ood)
    >>> probability.shape, shift.shape
    ((1500, 4), (1500, 4))
    """

    def __init__(
        self,
        mechanism: Literal["linear", "mlp"] = "linear",
        *,
        intervention: Literal["shift", "do", "scale"] = "shift",
        generator: Literal["auto", "kernel", "linear", "mlp"] = "auto",
        solver: Literal["order", "gradient"] = "order",
        edge_probability: float | None = None,
        target_probability: float | None = None,
        adjacency: MatrixLike | None = None,
        n_restarts: int = 5,
        n_steps: int = 30_000,
        learning_rate: float = 1e-3,
        n_draws: int | None = None,
        device: str | torch.device = "auto",
        dtype: Literal["float32", "float64"] = "float32",
        checkpoint: PathLike | None = None,
        random_state: RandomStateLike = None,
        verbose: bool = False,
    ) -> None:
        self.mechanism = mechanism
        self.intervention = intervention
        self.generator = generator
        self.solver = solver
        self.edge_probability = edge_probability
        self.target_probability = target_probability
        self.adjacency = adjacency
        self.n_restarts = n_restarts
        self.n_steps = n_steps
        self.learning_rate = learning_rate
        self.n_draws = n_draws
        self.device = device
        self.dtype = dtype
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    def predict_targets(self, interventions: MatrixLike) -> tuple[np.ndarray, np.ndarray]:
        """Infer what perturbations of given features act on.

        Parameters
        ----------
        interventions : array-like of shape (n_samples, n_features)
            Features of perturbations.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_variables)
            Probability that a variable is a target; 0 for controls.
        shift : ndarray of shape (n_samples, n_variables)
            Expected effect on each variable if it is a target: a shift or a do-value in the units
            of X, or a factor of the noise.
        """
        features = self._check_only_features(interventions, "predict_targets")
        latent = self._latent(features)
        return latent.probability, self._in_units_of_X(latent.mean)

    def score_samples(self, X: MatrixLike, *, interventions: PerRow = None) -> np.ndarray:
        """Return each row's log-likelihood under its perturbation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Observed values. No NaN.
        interventions : array-like of shape (n_samples, n_features), default=None
            Features of the perturbation of each row. Required if `fit` had them.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Log density, in nats. Latent interventions are integrated over, for each row on its own;
            of variables that a mask marks as set ("do"), it is that of the others given them.
        """
        X, mask, features = self._check_rows(X, interventions, "score_samples", allow_nan=False)

        def log_density(X, mask, features):
            standardised = (X - self._centre) / self._unit
            set_by_mask = mask & (self._model.kind == "do")
            latent = self._latent_rows(standardised, set_by_mask, features)
            density = self._model.log_density(standardised, latent, skip=set_by_mask)
            return density - (np.log(self._unit) * ~set_by_mask).sum(axis=1)

        return compute_rows(log_density, X, mask, features, what="log-likelihoods")

    def sample(
        self,
        n_samples: int = 1,
        *,
        interventions: PerRow = None,
        X: MatrixLike | None = None,
        random_state: RandomStateLike = None,
    ) -> np.ndarray:
        """Draw rows under a perturbation.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        interventions : array-like of shape (n_samples, n_features) or (1, n_features), default=None
            Features of the perturbation of each row, or of all. None: controls.
        X : array-like of shape (n_samples, n_variables) or (1, n_variables), default=None
            Values of the variables that a mask marks as set; other cells are ignored.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        X_sampled : ndarray of shape (n_samples, n_variables)
            The draws, in the units of X. Each row draws its own latent interventions: where a
            perturbation touches most variables a little, they scatter more than real rows do.
        """
        mask, features, values = self._check_sample_query(n_samples, interventions, X)
        set_by_mask = mask & (self._model.kind == "do")
        latent = self._latent_rows((values - self._centre) / self._unit, set_by_mask, features)
        drawn = self._model.sample(latent, check_random_state(random_state))
        return compute_finite(lambda Z: Z * self._unit + self._centre, drawn, what="samples")

    def _fit(self, X, mask, features, regimes):
        # A fit that fails or is interrupted leaves no mixture of two models behind.
        self._complete = False
        self.__dict__.pop("loss_curve_", None)
        check_parameters(self)
        contexts = summarise_contexts(X, features, separately=self.intervention != "shift")
        groups = _groups_of_contexts(contexts, regimes)
        standardised, self._centre, self._unit = contexts.standardised()
        self.contexts_, self.context_of_row_ = contexts.features, contexts.context_of_row
        if self.solver == "gradient":
            self._fit_by_gradient(X, contexts, standardised)
        else:
            self._fit_by_order(X, contexts, standardised, groups)
        self._complete = True

    def __sklearn_is_fitted__(self):
        return getattr(self, "_complete", False)

    def _fit_by_order(self, X, contexts, standardised, groups):
        """Search for the graph, then learn the generator."""
        adjacency = known_adjacency(self)
        log_odds = edge_log_odds(self.edge_probability, X.shape[1])
        found = solve_by_order(
            standardised,
            self.intervention,
            edge_log_odds=log_odds,
            target_log_odds=log_odds_or_none(self.target_probability),
            known_targets=contexts.features != 0 if self._fitted_with_mask else None,
            adjacency=adjacency,
            n_restarts=self.n_restarts,
            rng=check_random_state(self.random_state),
        )
        if self.mechanism == "mlp":
            from skcausal.perturbation._mlp_solver import solve_with_networks

            solution = solve_with_networks(
                found,
                (X - self._centre) / self._unit,
                standardised,
                log_odds=log_odds,
                adjacency=adjacency,
                learn_odds=self.target_probability is None and not self._fitted_with_mask,
                model=self,
            )
            self._model = solution.model
            self._set_graph(solution.adjacency, solution.edge_probabilities, solution)
            measurement, q = solution.measurement, solution.target_probability
        else:
            self._model = linear_model(found, self.intervention)
            edge_probabilities = sigmoid(found.edge_log_odds)
            self._set_graph(adjacency_of(found.mechanisms), edge_probabilities, self._model)
            measurement = found.likelihood.measure(found.mechanisms).without_control()
            q = found.target_probability[1:]
        self._fit_generator(measurement, q, contexts, groups)

    def _fit_by_gradient(self, X, contexts, standardised):
        """Learn everything at once, by gradient descent."""
        from skcausal.perturbation._gradient_solver import solve_by_gradient

        check_gradient(self)
        found = solve_by_gradient(self, (X - self._centre) / self._unit, standardised)
        self._model, self.generator_ = found.model, found.generator
        self._set_graph(found.adjacency, found.edge_probabilities, found)
        self.loss_curve_ = found.loss_curve
        self.intervention_targets_ = found.target_probability
        latent = self.generator_.predict(contexts.features)
        self.intervention_shifts_ = self._in_units_of_X(latent.mean)

    def _set_graph(self, adjacency, edge_probabilities, equations):
        """Set the attributes that describe the causal model."""
        self.adjacency_ = adjacency
        self.edge_probabilities_ = edge_probabilities
        self.order_ = topological_order(adjacency)
        self.coef_ = equations.coef * self._unit / self._unit[:, None]
        expected = self._centre + self._unit * equations.intercept
        self.intercept_ = expected - self._centre @ self.coef_
        self.noise_scale_ = self._unit * np.sqrt(self._model.noise_variance)

    def _fit_generator(self, measurement, q, contexts, groups):
        """Alternate between the generator and the posterior of the targets."""
        shape = contexts.means.shape
        self.intervention_targets_, parameter = np.zeros(shape), np.zeros(shape)
        self.generator_ = None
        if len(contexts.features) > 1:
            self.generator_ = self._make_generator()
            features, n_rows = contexts.features[1:], contexts.n_rows[1:]
            for _ in range(_N_ROUNDS):
                self.generator_.fit(features, n_rows, groups, q, measurement)
                prior = self.generator_.left_out()
                q = prior.posterior(measurement)
            self.intervention_targets_[1:] = q
            parameter[1:] = prior.posterior_mean(measurement)
        self.intervention_shifts_ = self._in_units_of_X(parameter)

    def _make_generator(self):
        """Unfitted generator."""
        if self._fitted_with_mask:
            return KnownTargets()
        if self.generator == "mlp":
            from skcausal.perturbation._mlp_generator import MLPGenerator

            return MLPGenerator(check_random_state(self.random_state), self.verbose)
        family = "kernel" if self.generator == "auto" else self.generator
        return SmoothGenerator(family, sparse=self.intervention == "do" or None)

    def _predict(self, X, mask, features):
        standardised = (X - self._centre) / self._unit
        set_by_mask = mask & (self._model.kind == "do")
        if set_by_mask.any():
            # Values that are set differ from row to row.
            latent = self._latent_rows(standardised, set_by_mask, features)
            context = np.arange(len(X))
        else:
            distinct, context = distinct_rows(features)
            latent = self._latent(distinct)
        known = np.isfinite(standardised) & ~set_by_mask
        if not known.any():
            return self._model.mean(latent)[context] * self._unit + self._centre
        predicted = np.empty_like(standardised)
        for part in _pieces(context, X.shape[1]):
            mean, covariance = self._model.moments(latent.rows(part))
            rows = np.flatnonzero((context >= part.start) & (context < part.stop))
            predicted[rows] = best_linear_prediction(
                np.where(known, standardised, np.nan)[rows],
                mean,
                covariance,
                context[rows] - part.start,
            )
        return predicted * self._unit + self._centre

    def _latent(self, features):
        """Latent interventions of rows of features."""
        if self.generator_ is None:
            nothing = np.zeros((len(features), self.n_features_in_))
            return LatentInterventions(nothing, nothing, nothing)
        return self.generator_.predict(features)

    def _latent_rows(self, standardised, set_by_mask, features):
        """Latent interventions of each row, with the values that X sets."""
        distinct, context = distinct_rows(features)
        latent = self._latent(distinct).rows(context)
        return LatentInterventions(
            np.where(set_by_mask, 1.0, latent.probability),
            np.where(set_by_mask, standardised, latent.mean),
            # No more variance than that of the rows of a context about the value that was set.
            np.where(set_by_mask, -self._model.target_variance, latent.variance),
        )

    def _in_units_of_X(self, parameter):
        """Shifts or do-values of standardised variables in the units of X; factors of the noise."""
        if self._model.kind == "shift":
            return parameter * self.noise_scale_
        if self._model.kind == "do":
            return parameter * self._unit + self._centre
        return np.exp(parameter)

    def _check_only_features(self, interventions, method):
        """Features of a query that comes without rows of X."""
        check_is_fitted(self)
        self._check_presence(interventions, method)
        n_samples = 1 if interventions is None else _num_samples(interventions)
        X = np.full((n_samples, self.n_features_in_), np.nan)
        return self._split_interventions(interventions, X, X.shape)[1]

    def _check_sample_query(self, n_samples, interventions, X):
        """Mask, features and values of n_samples rows."""
        check_is_fitted(self)
        self._check_presence(interventions, "sample")
        n_given = 1 if interventions is None else _num_samples(interventions)
        if n_given not in (1, n_samples):
            raise ValueError(
                f"interventions must have {n_samples} rows, one per sample, or a single row that "
                f"holds for all, found {n_given}."
            )
        if X is None:
            values = np.full((n_given, self.n_features_in_), np.nan)
        else:
            values = self._check_X(X, "sample", allow_nan=True)
        if len(values) != n_given:
            raise ValueError(
                f"X must have one row for each of the {n_given} rows of interventions, found "
                f"{len(values)}."
            )
        mask, features = self._split_interventions(
            interventions, values if X is None else X, values.shape
        )
        values = self._fill_targets(values, mask)
        return tuple(np.broadcast_to(a, (n_samples, a.shape[1])) for a in (mask, features, values))


def _groups_of_contexts(contexts, regimes):
    """Perturbation (n_contexts - 1,) of each context but the control."""
    if regimes is None:
        return perturbation_groups(contexts.features[1:])
    _, label = np.unique(regimes, return_inverse=True)
    first = np.unique(contexts.context_of_row, return_index=True)[1]
    group = label[first]
    mixed = label != group[contexts.context_of_row]
    if mixed.any():
        raise ValueError(
            "Rows with the same features must have the same label in regimes, but those of label "
            f"{str(regimes[mixed.argmax()])!r} share features with others; correct regimes or "
            "interventions."
        )
    return group[1:]


def _pieces(context, n_variables):
    """Slices of contexts of which the covariances fit into memory together."""
    n_contexts = int(context.max()) + 1
    step = max(1, _CELLS_AT_ONCE // n_variables**2)
    for start in range(0, n_contexts, step):
        yield slice(start, min(start + step, n_contexts))
