"""Counterfactual regression."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skcausal._array_storage import ArrayStorageMixin
from skcausal._typing import MatrixLike, PathLike, PerRow, RandomStateLike
from skcausal.effects._drift import MOST_ROWS, EnvironmentDrift, closest_environment
from skcausal.effects._effect_queries import EffectQueries
from skcausal.effects._export import export_outcomes
from skcausal.effects._fitting import (
    Rows,
    best_epochs,
    extend_curves,
    make_network,
    make_optimizer,
    train_network,
)
from skcausal.effects._metadata import check_groups
from skcausal.effects._network import evaluate, represent
from skcausal.effects._parameters import check_parameters, check_same_structure, resolve_auto
from skcausal.effects._propensity import fit_propensity
from skcausal.effects._resampling import seed_of_call
from skcausal.effects._scaling import fit_scaling, outcome_scaling
from skcausal.effects._summary import Summary, effect_variance, mean_correction, reference_rows
from skcausal.effects._treatment_mixin import TreatmentMixin
from skcausal.nn import local_device, resolve_device, resolve_dtype


class CFRRegressor(
    ArrayStorageMixin,
    EffectQueries,
    TreatmentMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
    BaseEstimator,
):
    r"""Counterfactual regression: effects of a treatment on single units.

    A network learns a representation of the covariates, and on it one head per treatment level
    predicts the outcome under that level. Penalties keep the representation's distribution alike in
    all treatment arms, and in all environments. ``alpha=0`` is TARNet. An ensemble of networks,
    each fitted to a bootstrap sample, gives intervals.

    Parameters
    ----------
    alpha : "auto" or float, default="auto"
        Weight of the discrepancy between treatment arms. "auto" is 10 for `ipm` "linear_mmd", 1 for
        "rbf_mmd" and "sinkhorn", 0.1 for "contrastive", times ``min(1, 672 / n_samples)``.
    ipm : {"linear_mmd", "rbf_mmd", "sinkhorn", "contrastive"}, default="linear_mmd"
        The discrepancy between treatment arms.

        - "linear_mmd": squared distance of the arms' mean representations;
        - "rbf_mmd": unbiased squared maximum mean discrepancy of a Gaussian kernel, its bandwidth
          the median squared distance between arms;
        - "sinkhorn": cost of the entropic transport plan between arms;
        - "contrastive": InfoNCE loss of units matched across arms by their covariates.
    env_alpha : float, default=0.0
        Weight of the discrepancy between environments. Useful values are about 1 to 30.
    env_ipm : {"linear_mmd", "rbf_mmd", "sinkhorn", "contrastive"}, default="rbf_mmd"
        The discrepancy between environments. "contrastive" matches units of the same arm by their
        outcome.
    representation_layers : sequence of int, default=(100, 100, 100, 100)
        Number of units of each layer of the representation.
    head_layers : sequence of int, default=(50, 50)
        Number of units of each hidden layer of a head.
    activation : {"elu", "relu", "silu", "tanh"}, default="elu"
        Nonlinearity.
    normalize : "auto" or bool, default="auto"
        Whether representations have length one. "auto": unless environments are aligned.
    effect_head : bool, default=False
        Let the heads of all levels but the first predict the difference from the first, which the
        weight decay then draws towards zero. Better where effects are constant or simple.
    outcome : {"continuous", "binary"}, default="continuous"
        With "binary", outcomes are 0 or 1, all predictions are probabilities, and effects are
        differences of these.
    reweight : bool, default=False
        Let all arms count the same in the loss, however many units they have.
    dropout : float, default=0.0
        Share of activations that are set to zero in training.
    weight_decay : "auto" or float, default="auto"
        Decoupled weight decay of the weight matrices. "auto" is
        ``min(1, 672 / n_samples)``.
    learning_rate : float, default=0.01
        Largest learning rate of AdamW. It grows over 20 steps and then falls to zero along a
        cosine.
    batch_size : "auto" or int, default="auto"
        Number of rows in a batch, each of which has the composition of the data by arm (and
        environment, where these are aligned). "auto" is 100, and 200 from 5,000 rows on.
    max_epochs : int, default=60
        Number of passes over the data.
    early_stopping : bool, default=True
        Return to the epoch at which the factual loss was lowest on rows that were not learned from:
        those out of a member's bootstrap sample, or with one member a share set aside.
    validation_fraction : float, default=0.3
        That share; used with ``n_ensemble=1`` alone.
    n_iter_no_change : int or None, default=None
        Stop after so many epochs without an improvement. Default: never, the learning rate's
        schedule is run to its end.
    tol : float, default=0.0
        Smaller improvements of the validation loss do not count.
    n_ensemble : int, default=5
        Number of networks, trained together as one batched computation. With more than one, each
        learns from a bootstrap sample of every arm.
    propensity : classifier, default=None
        Model of the treatment given the covariates, with `predict_proba`, for :meth:`ate`. It sees
        scaled covariates and is cross-fitted. Default: logistic regression with ``C=0.3``.
    treatment_column : str or int, default=None
        Column of X that holds the treatment, for use without metadata. It is no covariate.
    environment_column : str or int, default=None
        Column of X that holds the environment. It is no covariate.
    warm_start : bool, default=False
        Start from the networks and the scaling of the previous call of `fit`.
    checkpoint : str or path-like, default=None
        File to which the state of the training is written, at most every five seconds, and from
        which an interrupted `fit` goes on, bit-identically. Needs an integer `random_state`.
    device : "auto", str or torch.device, default="auto"
        Where to compute. "auto": on the GPU, if there is one.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the computation. Predictions are float64.
    verbose : bool, default=False
        Show a progress bar.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, bootstrap samples, batches and dropout. Under ``torchrun`` pass
        an integer.

    Attributes
    ----------
    treatments_ : ndarray of shape (n_treatments,)
        Levels of the treatment, sorted. ``[0]`` if `fit` was given no treatment.
    environments_ : ndarray of shape (n_environments,) or None
        Labels of the training environments, sorted; None if there were none.
    network_ : torch.nn.Module
        The networks. Their parameters have the member as leading axis.
    alpha_ : float
        Weight of the discrepancy between arms that was used.
    weight_decay_ : float
        Weight decay that was used.
    loss_curve_ : dict of str to ndarray of shape (n_epochs,)
        Mean over batches and members of "loss" and its terms "factual",
        "treatment_discrepancy" and "environment_discrepancy", and the "validation" loss, that
        of :meth:`fit` alone, of the scaled outcome.
    n_epochs_ : int
        Number of epochs that were run.
    best_epoch_ : ndarray of int of shape (n_ensemble,) or None
        Epoch of each member's lowest validation loss, from 1 on; None without early stopping.
    propensity_ : classifier or None
        The fitted propensity model; None if `fit` was given no treatment.
    n_samples_seen_ : int
        Number of rows in `fit`, or in all calls of `partial_fit`.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_columns,)
        Names of the columns, if X in `fit` had string names.

    See Also
    --------
    skcausal.metrics.pehe : Error of unit effects, where they are known.
    skcausal.metrics.r_score_scorer : Score of effects where they are not.
    skcausal.model_selection.LeaveOneEnvironmentOut : Cross-validation over environments.

    Notes
    -----
    The objective is that of [1]_, equation 3, after [3]_, with a second penalty:

    .. math::
        \frac{1}{n} \sum_i w_i \, \ell\big(y_i, h_{t_i}(\phi(x_i))\big)
        + \alpha \, D\big(\phi \mid \text{arms}\big)
        + \alpha_{env} \, D\big(\phi \mid \text{environments}\big) ,

    where the discrepancy :math:`D` is averaged over all pairs of arms or environments. Covariates
    are standardized inside, those with two values are centred only; continuous outcomes are
    standardized.

    On IHDP the linear penalty between arms works as one more smoother. Alignment of *environments*
    helps where a covariate is spurious, in a way that differs between environments. The factual
    error within the training environments rises with `env_alpha`, so that a score computed there
    chooses zero; the error in a held-out environment is a better guide, and no sure one.

    Effects are identified only if all confounders are covariates and every unit could have received
    every level [2]_.

    References
    ----------
    .. [1] U. Shalit, F. D. Johansson and D. Sontag (2017). Estimating individual treatment effect:
       generalization bounds and algorithms. ICML. arXiv:1606.03976.
    .. [2] J. L. Hill (2011). Bayesian nonparametric modeling for causal inference. Journal of
       Computational and Graphical Statistics, 20(1), 217-240.
    .. [3] F. D. Johansson, U. Shalit and D. Sontag (2016). Learning representations for
       counterfactual inference. ICML. arXiv:1605.03661.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.effects import CFRRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 3))
    >>> treatment = rng.binomial(1, 1 / (1 + np.exp(-X[:, 0])))
    >>> y = X[:, 0] + treatment * (2 + X[:, 1]) + 0.5 * rng.normal(size=500)
    >>> model = CFRRegressor(random_state=0).fit(X, y, treatment=treatment)
    >>> model.effect([[0, -1, 0], [0, 1, 0]]).round()
    array([1., 3.])
    """

    def __init__(
        self,
        alpha: float | Literal["auto"] = "auto",
        ipm: Literal["linear_mmd", "rbf_mmd", "sinkhorn", "contrastive"] = "linear_mmd",
        env_alpha: float = 0.0,
        env_ipm: Literal["linear_mmd", "rbf_mmd", "sinkhorn", "contrastive"] = "rbf_mmd",
        *,
        representation_layers: Sequence[int] = (100, 100, 100, 100),
        head_layers: Sequence[int] = (50, 50),
        activation: Literal["elu", "relu", "silu", "tanh"] = "elu",
        normalize: bool | Literal["auto"] = "auto",
        effect_head: bool = False,
        outcome: Literal["continuous", "binary"] = "continuous",
        reweight: bool = False,
        dropout: float = 0.0,
        weight_decay: float | Literal["auto"] = "auto",
        learning_rate: float = 0.01,
        batch_size: int | Literal["auto"] = "auto",
        max_epochs: int = 60,
        early_stopping: bool = True,
        validation_fraction: float = 0.3,
        n_iter_no_change: int | None = None,
        tol: float = 0.0,
        n_ensemble: int = 5,
        propensity: BaseEstimator | None = None,
        treatment_column: str | int | None = None,
        environment_column: str | int | None = None,
        warm_start: bool = False,
        checkpoint: PathLike | None = None,
        device: str | torch.device = "auto",
        dtype: Literal["float32", "float64"] = "float32",
        verbose: bool = False,
        random_state: RandomStateLike = None,
    ) -> None:
        self.alpha = alpha
        self.ipm = ipm
        self.env_alpha = env_alpha
        self.env_ipm = env_ipm
        self.representation_layers = representation_layers
        self.head_layers = head_layers
        self.activation = activation
        self.normalize = normalize
        self.effect_head = effect_head
        self.outcome = outcome
        self.reweight = reweight
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.n_ensemble = n_ensemble
        self.propensity = propensity
        self.treatment_column = treatment_column
        self.environment_column = environment_column
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.device = device
        self.dtype = dtype
        self.verbose = verbose
        self.random_state = random_state

    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        *,
        treatment: PerRow = None,
        environment: PerRow = None,
        sample_weight: PerRow = None,
    ) -> Self:
        """Learn from units of which each received one treatment level.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Covariates, measured before the treatment.
        y : array-like of shape (n_samples,)
            Outcomes.
        treatment : array-like of shape (n_samples,), default=None
            Treatment level of each unit: numbers or strings, at least two levels and two units of
            each. None: no treatment is known and a plain regression is fitted, without effects.
        environment : array-like of shape (n_samples,), default=None
            Environment that each unit was observed in. None: all in one.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the units in the loss.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If an argument is of a wrong type or out of range.
        FloatingPointError
            If training diverges.
        """
        check_parameters(self.get_params(deep=False))
        fresh = not (self.warm_start and hasattr(self, "network_"))
        if fresh:
            self.__dict__.pop("network_", None)  # not fitted, should something fail
        data = self._read(X, y, treatment, environment, sample_weight, reset=fresh)
        groups = data.arm, data.environment, self.treatments_
        check_groups(*groups, env_alpha=self.env_alpha, weight=data.weight)
        settings = self._resolve(len(data.y))
        network = self._start(data, settings) if fresh else self._go_on(settings)
        self.n_samples_seen_, self.loss_curve_ = len(data.y), dict[str, list[float]]()
        self._optimizer_state, self._n_calls = None, 0
        optimizer = make_optimizer(network, settings)
        self._learn(network, optimizer, data, self._seeds, settings)
        return self

    def partial_fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        *,
        treatment: PerRow = None,
        environment: PerRow = None,
        sample_weight: PerRow = None,
        treatments: ArrayLike | None = None,
    ) -> Self:
        """Learn from more units, in one pass at the full learning rate.

        The first call fixes the scaling of covariates and outcomes. There is no early stopping.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Covariates.
        y : array-like of shape (n_samples,)
            Outcomes.
        treatment : array-like of shape (n_samples,), default=None
            Treatment level of each unit. Levels may be missing in a call.
        environment : array-like of shape (n_samples,), default=None
            Environment of each unit. Those of one call are aligned with each other.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the units in the loss.
        treatments : array-like of shape (n_treatments,), default=None
            All levels of the treatment, for the first call. Default: those of its units.

        Returns
        -------
        self : object
            The fitted estimator. :meth:`effect_interval` and :meth:`environment_drift` know of the
            rows of the last call; :meth:`ate` of the last in which every level had two rows.

        Raises
        ------
        TypeError, ValueError
            If an argument is of a wrong type or out of range.
        FloatingPointError
            If training diverges.
        """
        check_parameters(self.get_params(deep=False))
        first = not hasattr(self, "network_")
        data = self._read(
            X, y, treatment, environment, sample_weight, reset=first, levels=treatments
        )
        if first:
            self.n_samples_seen_, self.loss_curve_ = 0, {}
            self._optimizer_state, self._n_calls = None, 0
        settings = self._resolve(self.n_samples_seen_ + len(data.y))
        network = self._start(data, settings) if first else self._go_on(settings)
        self.n_samples_seen_ += len(data.y)
        self._n_calls += 1
        optimizer = make_optimizer(network, settings, self._optimizer_state)
        seeds = [seed_of_call(seed, self._n_calls) for seed in self._seeds]
        self._learn(network, optimizer, data, seeds, settings, passes=1)
        self._optimizer_state = optimizer.state_dict()["state"]
        return self

    def predict(self, X: MatrixLike, *, treatment: PerRow | float | str = None) -> np.ndarray:
        """Predict the outcome of each unit under a given treatment.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Covariates.
        treatment : array-like of shape (n_samples,) or scalar, default=None
            Treatment level of each unit, or one for all. Required if `fit` had it, unless
            `treatment_column` names a column of X.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Expected outcomes; probabilities of 1 where the outcome is binary.

        Raises
        ------
        ValueError
            If `treatment` is missing although `fit` had it, or has a level that `fit` has not seen.
        """
        covariates, treatment, _ = self._split_columns(X, treatment, None, reset=False)
        if not self._with_treatment and treatment is not None:
            raise ValueError(
                "treatment was given to predict, but was not in fit: pass it to both, or neither."
            )
        outcomes = self._outcomes(covariates).mean(axis=0)
        return outcomes[np.arange(len(outcomes)), self._arms(treatment, covariates, "predict")]

    def transform(self, X: MatrixLike) -> np.ndarray:
        """Representation of each unit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Covariates.

        Returns
        -------
        representation : ndarray of shape (n_samples, n_units)
            Representations of all members side by side, divided by the square root of their number,
            so that a squared distance is an average over the members.
        """
        return self._represent(self._scaling.apply(self._covariates(X)))

    def environment_drift(
        self, X: MatrixLike, *, n_permutations: int = 500, random_state: RandomStateLike = 0
    ) -> EnvironmentDrift:
        """Test whether rows look like a training environment.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Covariates of a batch, for instance of a day of deployment. Two rows at least; of more
            than 500 a random 500 are used.
        n_permutations : int, default=500
            Number of random divisions in each permutation test.
        random_state : int, RandomState instance or None, default=0
            Determines them.

        Returns
        -------
        drift : EnvironmentDrift
            Named tuple of `statistic`, `p_value`, `closest` and `p_values`. Flag a batch whose
            `p_value` is below the rate of false alarms that you accept.

        Raises
        ------
        ValueError
            If X has one row only.

        Notes
        -----
        The statistic is the unbiased MMD^2, with a Gaussian kernel, between the representations of
        the batch and of up to 500 training rows; p-values come from permutations. The largest one
        over the environments and their mixture counts: a batch from one of them is flagged at level
        q with a chance of q at most, up to the network's knowledge of its own training rows.
        """
        if n_permutations < 1:
            raise ValueError(f"n_permutations must be at least 1, found {n_permutations!r}.")
        covariates = self._covariates(X)
        if len(covariates) < 2:
            raise ValueError("environment_drift needs a batch of at least 2 rows, found 1.")
        rng = check_random_state(random_state)
        x = self._scaling.apply(covariates)
        if len(x) > MOST_ROWS:
            x = x[rng.choice(len(x), MOST_ROWS, replace=False)]
        references = [(label, self._represent(rows)) for label, rows in self._summary.reference]
        seed = rng.randint(2**31 - 1)
        return closest_environment(self._represent(x), references, n_permutations, seed)

    def export(
        self, path: PathLike, *, format: str = "torch_export", quantize: str | None = None
    ) -> Path:
        """Write a file that maps covariates to potential outcomes without skcausal.

        Parameters
        ----------
        path : str or path-like
            The file; an existing one is replaced once the new one has been checked.
        format : {"torch_export", "torchscript", "onnx"}, default="torch_export"
            Format of the file. "onnx" needs the packages `onnx` and `onnxscript`.
        quantize : {"int8", None}, default=None
            Store the weights as 8-bit integers with one scale per unit. They are turned back into
            numbers in each evaluation: the file is smaller, not faster.

        Returns
        -------
        path : pathlib.Path
            The file.

        Raises
        ------
        ValueError
            If an argument is unknown, or the file does not reproduce :meth:`potential_outcomes`.
        ImportError
            If a package is missing.

        Notes
        -----
        The exported function takes a float64 table of the covariates, in the order of X without
        the columns of treatment and environment, to one of shape (n_samples, n_treatments). A JSON
        entry "skcausal.json" names both. onnxruntime has no "elu" in float64, only in float32.
        """
        check_is_fitted(self)
        return export_outcomes(self, path, format=format, quantize=quantize)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "network_")

    @property
    def _n_features_out(self):
        """Number of columns of the representation, for get_feature_names_out."""
        return self.network_.encoder.biases[-1].shape[-1] * len(self._seeds)

    def _resolve(self, n_samples):
        """Parameters with numbers for "auto"; stores the two that depend on the rows."""
        settings = resolve_auto(self.get_params(deep=False), n_samples)
        self.alpha_, self.weight_decay_ = settings["alpha"], settings["weight_decay"]
        return settings

    def _go_on(self, settings):
        """Copy of the networks, to be trained further."""
        check_same_structure(self._structure, settings)
        return deepcopy(self.network_).to(local_device(resolve_device(self.device)))

    def _start(self, data, settings):
        """Scaling and seeds; returns untrained networks."""
        self._structure, self._summary, self.propensity_ = settings, None, None
        self._scaling = fit_scaling(data.X)
        self._is_binary = self.outcome == "binary"
        self._y_center, self._y_scale = (0.0, 1.0) if self._is_binary else outcome_scaling(data.y)
        rng = check_random_state(self.random_state)
        self._seeds = [int(rng.randint(2**31 - 1)) for _ in range(self.n_ensemble)]
        device, dtype = local_device(resolve_device(self.device)), resolve_dtype(self.dtype)
        n_features, n_arms = data.X.shape[1], len(self.treatments_)
        return make_network(n_features, n_arms, self._seeds, settings, device, dtype)

    def _learn(self, network, optimizer, data, seeds, settings, passes=None):
        """Train the networks, then store them, the curves and a summary of the rows."""
        x = self._scaling.apply(data.X)
        y = (data.y - self._y_center) / self._y_scale
        rows = Rows(x, y, data.arm, data.environment, data.weight)
        history, members = train_network(network, optimizer, rows, seeds, settings, passes=passes)
        self.network_ = network
        self.best_epoch_ = best_epochs(history, settings)
        extend_curves(self.loss_curve_, history)
        self.n_epochs_ = len(self.loss_curve_["loss"])
        self._summarize(x, data, members.validation)

    def _summarize(self, x, data, held_out):
        """Remember of the training rows what averages, intervals and drift need."""
        seed = self._seeds[0]
        outcomes = self._outcomes(data.X)
        correction = (None, None) if self._summary is None else self._summary[1:3]
        counts = np.bincount(data.arm, minlength=len(self.treatments_))
        if self._with_treatment and counts.min() >= 2:
            self.propensity_, propensity = fit_propensity(
                self.propensity, x, data.arm, data.weight, seed
            )
            correction = mean_correction(
                data.y, data.arm, data.weight, outcomes, held_out, propensity
            )
        reference = reference_rows(x, data.environment, self.environments_, seed)
        self._summary = Summary(effect_variance(outcomes), *correction, list(reference.items()))

    def _outcomes(self, covariates):
        """Outcomes (n_members, n, n_arms) in the units of y."""
        x = self._tensor(self._scaling.apply(covariates))
        outcomes = evaluate(self.network_, x, binary=self._is_binary)
        return outcomes.cpu().double().numpy() * self._y_scale + self._y_center

    def _represent(self, x):
        """Representations (n, n_members * n_units) of scaled covariates."""
        z = represent(self.network_, self._tensor(x))  # (n_members, n, n_units)
        return z.transpose(0, 1).flatten(1).cpu().double().numpy() / np.sqrt(len(z))

    def _tensor(self, x):
        """Scaled covariates where the networks are."""
        like = next(self.network_.parameters())
        return torch.tensor(x, dtype=like.dtype, device=like.device)  # x may be read-only
