"""Meta-learned prediction of interventions that nobody has tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self, overload

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skcausal._typing import MatrixLike, PathLike, PerRow, RandomStateLike
from skcausal.base import InterventionPredictor, compute_rows, control_mean
from skcausal.graphs import to_networkx
from skcausal.nn import resolve_device, resolve_dtype
from skcausal.nn._network_files import cast_network
from skcausal.nn._pretrained_mixin import PretrainedMixin
from skcausal.nn._regime_moments import RegimeMoments
from skcausal.prediction._amortized_fit import fit_amortized
from skcausal.prediction._equation_errors import prediction_variances
from skcausal.prediction._meta_parameters import check_parameters
from skcausal.prediction._paper_fit import fit_paper
from skcausal.prediction._pretrained import NETWORK_FILES, load_shipped
from skcausal.prediction._pretraining import meta_train
from skcausal.structure._linear_scm_queries import LinearSCMQueries

if TYPE_CHECKING:
    import networkx
    import torch

    from skcausal.simulators import TaskPrior


def _has_equations(estimator):
    """Whether predictions come from a linear system; for `available_if`."""
    if getattr(estimator, "_fitted_variant", estimator.variant) == "paper":
        raise AttributeError(
            "MetaInterventionPredictor(variant='paper') has no structural equations: it predicts "
            "each variable from all others. Use variant='amortized'."
        )
    return True


class MetaInterventionPredictor(PretrainedMixin, LinearSCMQueries, InterventionPredictor):
    r"""Predict unseen interventions on a new system with a network trained on many others.

    A network that was meta-trained on simulated systems reads the data once and decides how each
    variable is to be regressed on the others: which weights to keep, how much to shrink them, and
    how much to trust variation that no intervention caused. The regressions are done in closed
    form; predictions solve the linear system that they make up. No graph is searched for. Systems
    may have feedback and hidden confounders.

    Parameters
    ----------
    variant : {"amortized", "paper"}, default="amortized"
        - "amortized": the above, for any number of variables, with pretrained weights;
        - "paper": the model of [1]_, which predicts each variable from all others by a perceptron
          of its own, conditioned on a summary of the data, and is fine-tuned on the data at hand.
          For replication: it is bound to the number of variables that it was trained on, and a
          ridge regression (:class:`ConditionalRidge`) is more accurate.
    pretrained : "auto", path or None, default="auto"
        Weights to start from: "auto" for the shipped ones, or a file written by
        :meth:`save_pretrained`. None: `fit` meta-trains first, on `prior`; so does "auto" with
        ``variant="paper"``, for which no weights are shipped.
    prior : TaskPrior or sequence of TaskPrior, default=None
        Systems to meta-train on, such as :class:`skcausal.simulators.LinearPrior`; several are
        drawn from equally often. Default: those of the shipped weights; for the paper's variant
        ``LinearPrior`` with as many variables as X has.
    objective : {"maml", "supervised"}, default="maml"
        Objective of meta-training of the paper's variant: the transfer loss after an adaptation
        step, differentiated through that step ([1]_, equation 3), or the loss on the training rows
        of each task alone, which the paper calls supervised learning ([1]_, section 4.3). The
        amortized variant is always trained through its inner loop.
    n_tasks : int, default=None
        Number of tasks to meta-train on. Default: 100,000, which takes minutes; 500 for the paper's
        variant.
    learning_rate : float, default=None
        Learning rate of meta-training. Default: 2e-3; 5e-5 for the paper's variant.
    n_finetune_steps : int, default=None
        Gradient steps on the data at hand. Default: 0; 10 for the paper's variant. The amortized
        variant takes them on the penalties of its regressions, and keeps them only if they lower
        the error in regimes that were left out.
    finetune_learning_rate : float, default=None
        Size of these steps. Default: 0.1; 0.3 for the paper's variant.
    correct_means : bool, default=True
        Correct predicted means by what the linear system leaves of the regimes' means, for the
        variables in which that is clearly more than noise: nonlinear effects of single targets are
        then carried over to their combinations.
    threshold : float, default=0.5
        Probability from which on an edge stands in `adjacency_`.
    width, n_layers : int, default=None
        Size of the network where it is trained from scratch. Default: 32 and 6; 16 and 8 for the
        paper's variant.
    checkpoint : str or path-like, default=None
        File from which an interrupted meta-training goes on, bit-identically. Needs an integer
        `random_state`.
    device : "auto", str or torch.device, default="auto"
        Where to compute. "auto": on the GPU, if there is one.
    dtype : {"float32", "float64"}, default="float64"
        Precision in which `fit` computes. Meta-training uses float32.
    verbose : bool, default=False
        Show the progress of meta-training.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights and tasks of meta-training. With pretrained weights nothing is
        random.

    Attributes
    ----------
    edge_probabilities_ : ndarray of shape (n_variables, n_variables)
        Entry (i, j): probability of a direct effect of variable i on j.
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        1 where that probability is at least `threshold`. It may have cycles.
    coef_ : ndarray of shape (n_variables, n_variables)
        Entry (i, j): weight of variable i in the equation of j, in their units.
    scm_ : LinearGaussianSCM
        The fitted system, which all predictions come from, but for the correction of means.
    finetuning_ : dict of str to float or None
        Mean squared error in regimes left out "before" and "after" the gradient steps; None if
        there were none.
    loss_curve_ : dict of str to ndarray of shape (n_epochs,)
        Terms of the loss over the meta-training that this object ran; empty if it ran none.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    See Also
    --------
    skcausal.structure.GIES : Search for a graph, and predict with it.
    InterventionRidge : Regression on what was intervened on.

    Notes
    -----
    With C the correlations of the others over the rows in which variable j is free, and c their
    covariances with j, the inner loop minimises

    .. math::
        u^\top C u - 2 u^\top c + \sum_i p_{ij} (u_i - \mu_{ij})^2 ,

    where the network gives penalties p and centres mu of all weights. C and c are moments between
    regimes plus a share of those within regimes, which the network chooses for each variable; with
    a share of 0 the regression is one on instruments. Under an intervention on the targets T, the
    means solve :math:`x_j = \sum_i w_{ij} x_i + b_j` for j outside of T, with the given values
    inside.

    The network sees sums over regimes only: its cost does not grow with the number of rows, and the
    result does not depend on their order, nor on the numbering of the variables.

    Interventions that shift a variable or change its noise are treated as if they had set it to
    the values that were observed; the shipped weights were trained on some of these, too.

    Uncertainty (`return_std`) is that of systems like those of meta-training: 1.645 standard
    deviations on either side are meant to hold the true mean in 90 % of cells.

    References
    ----------
    .. [1] Manta, Brouillard & Sridhar (2025). A meta-learning approach to causal inference.
       Algorithm 1, equations 3 to 5 and 7.
    .. [2] Finn, Abbeel & Levine (2017). Model-agnostic meta-learning for fast adaptation of deep
       networks. ICML.

    Examples
    --------
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.interventions import do
    >>> from skcausal.prediction import MetaInterventionPredictor
    >>> data = make_linear_scm(n_variables=5, n_samples=20, random_state=0)
    >>> model = MetaInterventionPredictor().fit(data.X, interventions=data.interventions)
    >>> X_query, interventions = do({"x0": 2.0, "x3": -1.0}, variables=data.X.columns)
    >>> mean, std = model.predict(X_query, interventions=interventions, return_std=True)
    >>> mean.shape, std.shape
    ((1, 5), (1, 5))
    """

    _network_files = NETWORK_FILES

    def __init__(
        self,
        variant: Literal["amortized", "paper"] = "amortized",
        *,
        pretrained: PathLike | None = "auto",
        prior: TaskPrior | Sequence[TaskPrior] | None = None,
        objective: Literal["maml", "supervised"] = "maml",
        n_tasks: int | None = None,
        learning_rate: float | None = None,
        n_finetune_steps: int | None = None,
        finetune_learning_rate: float | None = None,
        correct_means: bool = True,
        threshold: float = 0.5,
        width: int | None = None,
        n_layers: int | None = None,
        checkpoint: PathLike | None = None,
        device: str | torch.device = "auto",
        dtype: Literal["float32", "float64"] = "float64",
        verbose: bool = False,
        random_state: RandomStateLike = None,
    ) -> None:
        self.variant = variant
        self.pretrained = pretrained
        self.prior = prior
        self.objective = objective
        self.n_tasks = n_tasks
        self.learning_rate = learning_rate
        self.n_finetune_steps = n_finetune_steps
        self.finetune_learning_rate = finetune_learning_rate
        self.correct_means = correct_means
        self.threshold = threshold
        self.width = width
        self.n_layers = n_layers
        self.checkpoint = checkpoint
        self.device = device
        self.dtype = dtype
        self.verbose = verbose
        self.random_state = random_state

    def pretrain(
        self, prior: TaskPrior | Sequence[TaskPrior] | None = None, n_tasks: int | None = None
    ) -> Self:
        """Meta-train on simulated systems; `fit` then starts from these weights.

        They belong to this object: clones, such as those in a grid search, start from the parameter
        `pretrained`. To share them, write them with :meth:`save_pretrained` and pass the path.

        Parameters
        ----------
        prior : TaskPrior or sequence of TaskPrior, default=None
            Systems to train on. Default: the parameter `prior`.
        n_tasks : int, default=None
            Number of tasks. Default: the parameter `n_tasks`.

        Returns
        -------
        self : object
            The estimator, with `loss_curve_`.

        Raises
        ------
        ValueError
            If an argument is out of range, or the checkpoint belongs to another training.
        """
        changes = {"prior": prior, "n_tasks": n_tasks}
        changes = {name: value for name, value in changes.items() if value is not None}
        parameters = check_parameters(self.get_params(deep=False) | changes)
        trained, self.loss_curve_ = meta_train(parameters)
        self._pretrained = self._weights_of_fit = (self.variant, *trained)
        return self

    @overload
    def predict(
        self, X: MatrixLike, *, interventions: PerRow = ..., return_std: Literal[False] = ...
    ) -> np.ndarray: ...

    @overload
    def predict(
        self,
        X: MatrixLike,
        *,
        interventions: PerRow = ...,
        return_std: Literal[True, "mean", "row"],
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def predict(
        self,
        X: MatrixLike,
        *,
        interventions: PerRow = None,
        return_std: bool | Literal["mean", "row"] = False,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict every variable under the row's intervention, given all else that is known.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Known values; NaN means unknown. A full row asks for the leave-one-out conditional of
            each variable; a row in which only the intervened cells are filled (see
            :func:`skcausal.interventions.do`) asks for the interventional mean.
        interventions : array-like of bool of shape (n_samples, n_variables), default=None
            True where the mechanism of a variable is replaced. Required if `fit` had it.
        return_std : bool or {"mean", "row"}, default=False
            Whether to return standard deviations. True or "mean": of the error of the predicted
            mean, as far as the data leave it open. "row": of a new row around the prediction, noise
            included.

        Returns
        -------
        X_pred : ndarray of shape (n_samples, n_variables)
            Entry (i, j) is the expected value of variable j, in the units of X, given the row's
            intervention and all finite cells of row i except (i, j). An intervened cell returns its
            own value; if that is NaN, the mean that this target had under intervention in training.
        X_std : ndarray of shape (n_samples, n_variables)
            Standard deviations, in the units of X; 0 in intervened cells. Only with `return_std`.

        Raises
        ------
        ValueError
            If `interventions` is missing although `fit` had it, or an intervened cell is NaN and
            its variable was never a target in training.
        """
        if not isinstance(return_std, (bool, np.bool_)) and return_std not in ("mean", "row"):
            raise ValueError(
                f"return_std must be True, False, 'mean' or 'row', found {return_std!r}."
            )
        check_is_fitted(self)
        if return_std and self._fitted_variant == "paper":
            raise ValueError("return_std needs variant='amortized'; the paper's has no errors.")
        X_checked, mask = self._check_query(X, interventions, "predict", allow_nan=True)
        X_filled = self._fill_targets(X_checked, mask)
        X_pred = self._predict_checked(X_filled, mask)
        if not return_std:
            return X_pred

        def deviation(X, mask, X_pred):
            return self._standard_deviation(X, mask, X_pred, return_std == "row")

        return X_pred, compute_rows(deviation, X_filled, mask, X_pred, what="errors")

    @available_if(_has_equations)
    def to_networkx(self) -> networkx.DiGraph:
        """Return the graph of probable edges with named nodes.

        Returns
        -------
        graph : networkx.DiGraph
            Nodes carry the names of the variables (column indices if there are none).
        """
        check_is_fitted(self)
        return to_networkx(self.adjacency_, getattr(self, "feature_names_in_", None))

    predict_from_parents = available_if(_has_equations)(LinearSCMQueries.predict_from_parents)
    sample = available_if(_has_equations)(LinearSCMQueries.sample)
    score_samples = available_if(_has_equations)(LinearSCMQueries.score_samples)

    def _check_training_X(self, X):
        # A fit that fails or is interrupted leaves no mixture of two models behind.
        self._complete = False
        return super()._check_training_X(X)

    def __sklearn_is_fitted__(self):
        return getattr(self, "_complete", False)

    def _fit(self, X, mask, regime):
        parameters = check_parameters(self.get_params(deep=False))
        self._weights_of_fit = self._weights(parameters, X.shape[1])
        _, network, _ = self._weights_of_fit
        device, dtype = resolve_device(self.device), resolve_dtype(self.dtype)
        network = cast_network(network, device, dtype)
        fit = self._fit_paper if self.variant == "paper" else self._fit_amortized
        fit(X, mask, regime, network, parameters)
        self._fitted_variant = self.variant
        self._complete = True

    def _fit_amortized(self, X, mask, regime, network, parameters):
        """Condition a linear system on the data."""
        Z = (X - self.mean_) / self.scale_
        signs = RegimeMoments.from_rows(Z, mask, regime).canonical_signs()[0].numpy()
        self._unit = self.scale_ * signs
        fitted = fit_amortized(
            network,
            Z * signs,
            mask,
            regime,
            names=self._variable_name,
            correct_means=bool(self.correct_means),
            n_finetune_steps=parameters["n_finetune_steps"],
            finetune_learning_rate=parameters["finetune_learning_rate"],
        )
        self._standardised = fitted
        self.scm_ = fitted.scm.in_units(self.mean_, self._unit)
        self.coef_ = self.scm_.coef
        self.edge_probabilities_ = fitted.edge_probabilities
        self.adjacency_ = (fitted.edge_probabilities >= self.threshold).astype(np.int8)
        np.fill_diagonal(self.adjacency_, 0)
        self.finetuning_ = fitted.fine_tuning

    def _fit_paper(self, X, mask, regime, network, parameters):
        """Fine-tune the published network on the data."""
        if network.sizes["n_variables"] != X.shape[1]:
            raise ValueError(
                f"X has {X.shape[1]} variables, but the pretrained network of the paper's variant "
                f"is for {network.sizes['n_variables']}; pretrain one on systems of this size."
            )
        self._standardised = fit_paper(
            network,
            (X - self.mean_) / self.scale_,
            mask,
            (control_mean(X, mask) - self.mean_) / self.scale_,
            n_finetune_steps=parameters["n_finetune_steps"],
            finetune_learning_rate=parameters["finetune_learning_rate"],
        )

    def _predict(self, X, mask):
        if self._fitted_variant == "paper":
            Z = self._standardised.predict((X - self.mean_) / self.scale_, mask)
            return np.where(mask, X, Z * self.scale_ + self.mean_)
        return super()._predict(X, mask)

    def _standard_deviation(self, X, mask, X_pred, of_rows):
        """Return deviations (n_samples, n_variables) of predicted means, or of rows around them."""
        correction = self._mean_correction(X, mask)
        mean, row = prediction_variances(
            self._standardised.scm,
            self._standardised.errors,
            (X - correction - self.mean_) / self._unit,
            mask,
            (X_pred - correction - self.mean_) / self._unit,
        )
        return np.sqrt(mean + row if of_rows else mean) * self.scale_

    def _mean_correction(self, X, mask):
        corrector = self._standardised.corrector
        if corrector is None:
            return 0.0
        values = np.where(mask, (X - self.mean_) / self._unit, 0.0)
        return corrector.correction(mask, values) * self._unit

    def _find_weights(self):
        return self._weights(check_parameters(self.get_params(deep=False)))

    def _weights(self, parameters, n_variables=None):
        """Return variant, network and card to start from: trained here, shipped, or from a file."""
        pretrained = getattr(self, "_pretrained", None)
        if pretrained is not None and pretrained[0] == self.variant:
            return pretrained
        self.loss_curve_ = {}
        if self.pretrained == "auto" and self.variant == "amortized":
            return (self.variant, *load_shipped())
        if self.pretrained not in (None, "auto"):
            return (self.variant, *NETWORK_FILES.load(self.pretrained, self.variant))
        trained, self.loss_curve_ = meta_train(parameters, n_variables)
        return (self.variant, *trained)
