"""The designer of experiments: it proposes the next intervention."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from skcausal._typing import MatrixLike, PathLike, PerRow, RandomStateLike, Table
from skcausal.base import ArrayStorageMixin, InterventionMixin, refuse_nan
from skcausal.design._design_space import DesignSpace
from skcausal.design._designer_parameters import (
    as_labels,
    check_designer,
    default_ranges,
    design_space,
    is_published_prior,
)
from skcausal.design._experiments import Experiment
from skcausal.design._histories import Designs
from skcausal.design._judges import judge_of
from skcausal.design._policy_weights import POLICY_FILES, SHIPPED, load_shipped
from skcausal.design._pool_replay import Pool, replay
from skcausal.design._rules import RULES
from skcausal.design._strategies import (
    BootstrapStrategy,
    DistilledStrategy,
    LookaheadStrategy,
    PolicyStrategy,
    RuleStrategy,
    Strategy,
    UncertaintyStrategy,
)
from skcausal.design._training import train_distilled, train_policy
from skcausal.interventions import check_interventions, check_regimes
from skcausal.nn._pretrained_mixin import PretrainedMixin
from skcausal.simulators import GeneNetworkPrior, TaskPrior
from skcausal.simulators._parameters import check_count

_UNCERTAIN = ("uncertain_single", "uncertain_half")
_BOOTSTRAP = ("diffcbed", "ss_finite")
ALGORITHMS = ("auto", "lookahead", "distilled", "redq", *RULES, *_UNCERTAIN, *_BOOTSTRAP)


class ActiveDesigner(PretrainedMixin, ArrayStorageMixin, InterventionMixin, BaseEstimator):
    """Propose the next intervention, to learn the causal graph from few experiments.

    Given the rows observed so far, it says which variables to intervene on next, and what to set
    them to, so that the posterior over graphs becomes as certain as possible. With
    ``algorithm="distilled"`` or ``"redq"`` a policy that was trained on simulated systems proposes
    by one pass over the data, with no inference in between, as in [1]_; ``"lookahead"`` draws
    systems from the posterior and needs no training; the rules look at past targets at most.

    Parameters
    ----------
    pretrained : {"auto", "caasl", "gene-network"}, path or None, default="auto"
        Policy of ``algorithm="distilled"`` or ``"redq"``: the name of a shipped one, or a file
        written by :meth:`save_pretrained`.

        - "auto": the shipped one that fits `prior`; `fit` trains first if there is none;
        - "caasl": dense linear systems in the units of ``LinearPrior.preset("caasl")``;
        - "gene-network": knock-outs of genes, for single-cell counts after
          :func:`skcausal.simulators.log_cpm`;
        - None: `fit` trains first, on `prior`.
    algorithm : str, default="auto"
        - "auto": "distilled" for gene networks, "lookahead" otherwise;
        - "lookahead": the best of `n_candidates` designs, by simulated outcomes of systems drawn
          from the posterior [2]_;
        - "distilled": the same, by the scores of a network that learned them;
        - "redq": a policy trained by reinforcement learning, as published [1]_;
        - "balanced_half": a random half of the variables, those first that were targets least
          often, set to ends of their ranges. Hard to beat without a posterior;
        - "random_extreme", "random": each variable with probability 1/2, set to an end of its
          range, or to a clipped normal value;
        - "single_cycle": one variable at a time, the one that waited longest;
        - "uncertain_single", "uncertain_half": where the posterior is least certain;
        - "diffcbed" [3]_, "ss_finite" [4]_: by expected information, over graphs of a bootstrapped
          greedy search;
        - "observational": no intervention, whatever `feasible` says.
    prior : LinearPrior, GeneNetworkPrior or None, default=None
        Distribution of the systems that the data may come from. None: linear ones, in any units.
    posterior : estimator of a posterior or None, default=None
        Posterior over graphs that "lookahead" and the uncertain rules use, and that :meth:`score`
        judges by: an ExactGraphPosterior, an AmortizedGraphPosterior or a BootstrapEnsemble of
        GIES, which need not be fitted. Default: the exact one up to 12 variables, if `prior` has
        one or is None; a shipped network otherwise.
    utility : {"edges", "information"}, default="edges"
        What "lookahead" maximises: the expected number of correct entries of the adjacency matrix
        after the experiment, or the expected information gain about the system.
    feasible : dict or None, default=None
        Restrictions of the designs:

        - "targets": list of variables (names or positions) that may be intervened on;
        - "n_targets": number of targets of a design, or a pair of the fewest and the most;
        - "values": what targets can be set to: a range ``(low, high)``, one number, or a dict of
          variables with one of these each. Default: -1 to 1 for ``LinearPrior.preset("caasl")``, 0
          for gene networks, and otherwise two standard deviations to both sides of the mean over
          the rows where a variable was not set.
    budget : int, default=10
        Number of experiments of an episode in training, and in :meth:`score`.
    n_initial : int, default=50
        Number of observational rows before them.
    rows_per_design : int, default=1
        Number of rows that an experiment yields.
    n_candidates : int, default=24
        Number of designs to choose from; a network scores ten times as many.
    n_draws, n_outcomes : int, default=128, 32
        Numbers of systems drawn from the posterior, and of those that outcomes are simulated from.
    n_replays : int, default=1
        Number of episodes that :meth:`score` averages over.
    training_params : dict or None, default=None
        Settings of a training, such as ``{"n_edge_steps": 500, "n_batches": 10, "n_epochs": 10}``
        for "distilled" or ``{"n_iterations": 100, "n_envs": 200}`` for "redq"; see the user guide.
    checkpoint : str or path-like, default=None
        Folder to which a training is written as it goes. If it was interrupted it goes on from
        there, bit-identically. Needs an integer `random_state`.
    n_jobs : int or None, default=None
        Number of processes that label states in a training of "distilled".
    device : "auto", str or torch.device, default="auto"
        Where to train "redq".
    verbose : bool, default=False
        Show the progress of training.
    random_state : int, RandomState instance or None, default=None
        Determines candidates and simulated outcomes, and the training.

    Attributes
    ----------
    algorithm_ : str
        The algorithm in use.
    edge_probabilities_ : ndarray of shape (n_variables, n_variables)
        Entry (i, j): posterior probability of the edge i -> j, given the experiment so far.
    loss_curve_ : dict of str to ndarray of shape (n_epochs,)
        Terms of the loss over the training that this object ran; empty if it ran none.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    Notes
    -----
    Permuting the variables permutes the designs (unless two of them hold the same numbers), and
    permuting the rows changes nothing.

    Most of what [1]_ gains over random designs is gained by rules that learn nothing: values at the
    ends of their range, and balanced targets. See the user guide, and :func:`evaluate`.

    References
    ----------
    .. [1] Annadani, Tigas, Bauer & Foster (2024). Amortized active causal induction with deep
       reinforcement learning. NeurIPS.
    .. [2] Lindley (1956). On a measure of the information provided by an experiment. Annals of
       Mathematical Statistics 27.
    .. [3] Tigas, Annadani, Ivanova, Jesson, Gal, Foster & Bauer (2023). Differentiable multi-target
       causal Bayesian experimental design. ICML.
    .. [4] Sussex, Uhler & Krause (2021). Near-optimal multi-perturbation experimental design for
       causal structure learning. NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.design import ActiveDesigner
    >>> data = make_linear_scm(n_variables=4, n_samples=30, random_state=0)
    >>> designer = ActiveDesigner(feasible={"n_targets": 1}, random_state=0)
    >>> designer = designer.fit(data.X, interventions=data.interventions)
    >>> design = designer.propose()
    >>> int(np.isfinite(design.to_numpy()).sum())
    1
    """

    __metadata_request__fit = {"interventions": True, "regimes": True}
    __metadata_request__partial_fit = {"interventions": True, "regimes": True}
    __metadata_request__predict = {"interventions": True, "regimes": True}

    _network_files = POLICY_FILES

    def __init__(
        self,
        pretrained: PathLike | None = "auto",
        *,
        algorithm: str = "auto",
        prior: TaskPrior | None = None,
        posterior: BaseEstimator | None = None,
        utility: Literal["edges", "information"] = "edges",
        feasible: dict[Any, Any] | None = None,
        budget: int = 10,
        n_initial: int = 50,
        rows_per_design: int = 1,
        n_candidates: int = 24,
        n_draws: int = 128,
        n_outcomes: int = 32,
        n_replays: int = 1,
        training_params: dict[str, Any] | None = None,
        checkpoint: PathLike | None = None,
        n_jobs: int | None = None,
        device: str | torch.device = "auto",
        verbose: bool = False,
        random_state: RandomStateLike = None,
    ) -> None:
        self.pretrained = pretrained
        self.algorithm = algorithm
        self.prior = prior
        self.posterior = posterior
        self.utility = utility
        self.feasible = feasible
        self.budget = budget
        self.n_initial = n_initial
        self.rows_per_design = rows_per_design
        self.n_candidates = n_candidates
        self.n_draws = n_draws
        self.n_outcomes = n_outcomes
        self.n_replays = n_replays
        self.training_params = training_params
        self.checkpoint = checkpoint
        self.n_jobs = n_jobs
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def fit(
        self, X: MatrixLike, y: None = None, *, interventions: PerRow = None, regimes: PerRow = None
    ) -> Self:
        """Take in the experiment so far; trains a policy first if one is needed and missing.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Rows observed so far; values that were set included. No NaN.
        y : None
            Ignored.
        interventions : array-like of bool of shape (n_samples, n_variables), default=None
            True where an intervention set a value. None: all rows are observational.
        regimes : array-like of shape (n_samples,), default=None
            Label of the experiment that a row belongs to. Default: rows with the same targets
            belong together, as far as they were set to the same values where this matters.

        Returns
        -------
        self : object
            The designer.
        """
        self._complete = False
        X_checked = validate_data(
            self, X, dtype=np.float64, ensure_min_samples=2, ensure_all_finite="allow-nan"
        )
        refuse_nan(X_checked, "ActiveDesigner.fit")
        mask = check_interventions(interventions, X, variables=self._names())
        self._fitted_with_interventions = interventions is not None
        self._prepare()
        self._take(X_checked, mask, as_labels(regimes, mask))
        return self

    def partial_fit(
        self, X: MatrixLike, y: None = None, *, interventions: PerRow = None, regimes: PerRow = None
    ) -> Self:
        """Add rows to the experiment so far.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            New rows.
        y : None
            Ignored.
        interventions : array-like of bool of shape (n_samples, n_variables), default=None
            True where an intervention set a value. None: the new rows are observational.
        regimes : array-like of shape (n_samples,), default=None
            Label of the experiment that a row belongs to; to be given always or never.

        Returns
        -------
        self : object
            The designer.
        """
        if not getattr(self, "_complete", False):
            return self.fit(X, interventions=interventions, regimes=regimes)
        X_new = validate_data(self, X, dtype=np.float64, reset=False, ensure_all_finite="allow-nan")
        refuse_nan(X_new, "ActiveDesigner.partial_fit")
        mask_new = check_interventions(interventions, X, variables=self._names())
        labels_new = as_labels(regimes, mask_new)
        X_old, mask_old, labels_old = self._rows
        given = [labels is not None for labels in (labels_old, labels_new)]
        if given[0] != given[1] and mask_new.any() and mask_old.any():
            raise ValueError(
                "regimes must be given for all rows or for none; the rows before had "
                f"{'some' if given[0] else 'none'}."
            )
        labels = None
        if any(given):
            pairs = ((X_old, labels_old), (X_new, labels_new))
            labels = np.concatenate(
                [np.full(len(rows), "") if names is None else names for rows, names in pairs]
            )
        self._take(np.vstack([X_old, X_new]), np.vstack([mask_old, mask_new]), labels)
        self._fitted_with_interventions |= interventions is not None
        return self

    def predict(
        self, X: MatrixLike, *, interventions: PerRow = None, regimes: PerRow = None
    ) -> Table:
        """Propose the next design after an experiment.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Rows observed so far, of the variables that `fit` saw. All of them together are one
            experiment.
        interventions : array-like of bool of shape (n_samples, n_variables), default=None
            True where an intervention set a value. Required if `fit` had it.
        regimes : array-like of shape (n_samples,), default=None
            As in :meth:`fit`.

        Returns
        -------
        design : ndarray or DataFrame of shape (1, n_variables)
            What to set the targets to; NaN for other variables. A DataFrame if `fit` had one.
        """
        check_is_fitted(self)
        X_checked = validate_data(
            self, X, dtype=float, reset=False, ensure_all_finite="allow-nan", ensure_min_samples=2
        )
        refuse_nan(X_checked, "ActiveDesigner.predict")
        mask = self._check_query_mask(interventions, X, method="predict")
        return self._propose(X_checked, mask, as_labels(regimes, mask), 1)

    def propose(self, n_designs: int = 1) -> Table:
        """Propose what to do next, after the experiment that `fit` and `partial_fit` took in.

        Parameters
        ----------
        n_designs : int, default=1
            Number of designs that will be carried out before their outcomes are known. Each is
            chosen as if those before it had brought about what a system drawn from the posterior
            would.

        Returns
        -------
        designs : ndarray or DataFrame of shape (n_designs, n_variables)
            One design a row: what to set the targets to; NaN for other variables.
        """
        check_is_fitted(self)
        check_count("n_designs", n_designs)
        return self._propose(*self._rows, n_designs)

    def score(
        self,
        X: MatrixLike,
        y: None = None,
        sample_weight: PerRow = None,
        *,
        interventions: PerRow = None,
    ) -> float:
        """Let the designer choose from a pool of experiments, and compare with the whole pool.

        An episode starts from up to `n_initial` observational rows of the pool; then the designer
        chooses `budget` times among the sets of targets of which rows are left, and gets up to
        `rows_per_design` of them. No true graph is needed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Rows of the pool.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Rows are taken with probabilities in proportion to it.
        interventions : array-like of bool of shape (n_samples, n_variables), default=None
            True where an intervention set a value. Required if `fit` had it.

        Returns
        -------
        score : float
            Minus the cross-entropy of the edges between the posterior of the whole pool and that at
            the end of the episode, in nats per ordered pair; higher is better.

        Raises
        ------
        ValueError
            If the pool has no interventions, or too few observational rows.
        """
        check_is_fitted(self)
        X_checked = validate_data(self, X, dtype=float, reset=False, ensure_all_finite="allow-nan")
        refuse_nan(X_checked, "ActiveDesigner.score")
        mask = self._check_query_mask(interventions, X, method="score")
        weight = _check_sample_weight(sample_weight, X_checked, ensure_non_negative=True)
        pool = Pool(X_checked, mask, weight)
        scores = [
            replay(
                pool,
                self._strategy,
                self._judge,
                self._space,
                standardize=self._standardizes(),
                budget=self._settings["budget"],
                n_initial=self._settings["n_initial"],
                rows_per_design=self._settings["rows_per_design"],
                seed=self._seed + k,
            )
            for k in range(self._settings["n_replays"])
        ]
        return float(np.mean(scores))

    def pretrain(self, prior: TaskPrior | None = None, **training_params: Any) -> Self:
        """Train a policy on simulated systems; `fit` then uses it.

        It belongs to this object: clones start from the parameter `pretrained`. To share it, write
        it with :meth:`save_pretrained` and pass the path.

        Parameters
        ----------
        prior : LinearPrior or GeneNetworkPrior, default=None
            Distribution of the systems. Default: the parameter `prior`.
        **training_params : object
            Settings of the training, beyond those of the parameter `training_params`.

        Returns
        -------
        self : object
            The designer, with `loss_curve_`.

        Raises
        ------
        ValueError
            If the algorithm has nothing to train, or an argument is out of range.
        """
        parameters = self.get_params(deep=False)
        if prior is not None:
            parameters["prior"] = prior
        check_designer(parameters, ALGORITHMS)
        parameters["training_params"] = dict(self.training_params or {}) | training_params
        self._pretrained = self._weights_of_fit = self._train(parameters)
        return self

    def __sklearn_is_fitted__(self):
        return getattr(self, "_complete", False)

    def _names(self):
        return getattr(self, "feature_names_in_", None)

    def _prepare(self):
        """Validate the parameters and find what chooses designs."""
        parameters = self.get_params(deep=False)
        check_designer(parameters, ALGORITHMS)
        self._settings = {
            name: parameters[name]
            for name in ("budget", "n_initial", "rows_per_design", "n_replays", "feasible", "prior")
        }
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.algorithm_ = self._algorithm()
        if not hasattr(self, "_pretrained"):
            self.loss_curve_ = {}
        self._judge = judge_of(self.posterior, self.prior, self.n_features_in_)
        self._strategy = self._strategy_for(self.n_features_in_)

    def _algorithm(self):
        """Return the algorithm to use."""
        if self.algorithm != "auto":
            return self.algorithm
        return "distilled" if isinstance(self.prior, GeneNetworkPrior) else "lookahead"

    def _strategy_for(self, n_variables) -> Strategy:
        """Return what chooses designs for systems of so many variables."""
        check_designer(self.get_params(deep=False), ALGORITHMS)
        name = self._algorithm()
        if name in RULES:
            return RuleStrategy(name)
        if name in _BOOTSTRAP:
            return BootstrapStrategy(name)
        if name in ("distilled", "redq"):
            self._weights_of_fit = self._find_weights()
            network = self._weights_of_fit[1]
            if name == "redq":
                return PolicyStrategy(network)
            return DistilledStrategy(network, 10 * self.n_candidates)
        judge = judge_of(self.posterior, self.prior, n_variables)
        if name == "lookahead":
            return LookaheadStrategy(
                judge, self.utility, self.n_candidates, self.n_draws, self.n_outcomes
            )
        return UncertaintyStrategy(judge, single=name == "uncertain_single")

    def _take(self, X, mask, labels):
        """Remember the rows, and what the posterior says about them."""
        experiment = self._experiment(X, mask, labels)
        self._space(X, mask)  # raises where `feasible` makes no sense
        probabilities = self._judge.edge_probabilities(experiment.histories)[0]
        self.edge_probabilities_ = experiment.from_matrix(probabilities)
        self._rows: tuple[Any, Any, Any] = (X.copy(), mask.copy(), labels)
        self._complete = True

    def _experiment(self, X, mask, labels) -> Experiment:
        """Return rows in canonical order."""
        return Experiment.from_rows(
            X,
            mask,
            None if labels is None else check_regimes(labels, mask),
            rows_per_design=self._settings["rows_per_design"],
            separates_values=self._judge.separates_values,
            standardize=self._standardizes(),
        )

    def _standardizes(self) -> bool:
        """Whether units mean nothing to the judge and what chooses designs."""
        return self.algorithm_ not in ("distilled", "redq") and self._judge.ignores_units

    def _space(self, X, mask) -> DesignSpace:
        """Return the feasible designs."""
        names = [] if self._names() is None else list(self._names())
        ranges = default_ranges(self._settings["prior"], X, mask)
        return design_space(self._settings["feasible"], names, *ranges)

    def _propose(self, X, mask, labels, n_designs):
        """Return designs as users see them."""
        experiment = self._experiment(X, mask, labels)
        feasible = self._space(X, mask)
        space = experiment.convert_space(feasible)
        generator = torch.Generator().manual_seed(self._seed + len(X))
        histories, designs = experiment.histories, []
        for k in range(n_designs):
            designs.append(self._strategy.propose(histories, space, generator))
            if k < n_designs - 1:
                histories = self._imagine(histories, designs[-1], generator)
        joined = Designs(
            torch.cat([design.targets for design in designs]),
            torch.cat([design.values for design in designs]),
        )
        rows = experiment.to_rows(joined, feasible)
        if self._names() is None:
            return rows
        import pandas as pd

        return pd.DataFrame(rows, columns=self._names())

    def _imagine(self, histories, designs, generator):
        """Add an outcome of a system drawn from the posterior to the histories."""
        systems = self._judge.draw(histories, 2, generator)
        n_rows = histories.rows_per_design
        shape = (1, systems.coef.shape[1], n_rows, histories.n_variables)
        noise = torch.randn(shape, generator=generator, dtype=torch.float32)
        outcome = systems.simulate(designs[:, None], noise)[:, 0, 0].to(histories.X)
        return histories.add(outcome, designs.targets[:, None].expand(outcome.shape))

    def _find_weights(self):
        """Return variant, network and card: trained here, shipped, or from a file."""
        self._check_trainable()
        variants = ("gaussian", "bernoulli") if self._algorithm() == "redq" else ("distilled",)
        pretrained = getattr(self, "_pretrained", None)
        if pretrained is not None and pretrained[0] in variants:
            return pretrained
        self.loss_curve_ = {}
        name = self.pretrained
        if name == "auto" and "distilled" in variants:
            name = self._shipped_name()
        if "distilled" in variants and name in SHIPPED:
            return ("distilled", *load_shipped(name))
        if name not in (None, "auto"):
            return self._load(name, variants)
        return self._train(self.get_params(deep=False))

    def _load(self, path, variants):
        """Read a policy of one of several variants from a file."""
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(
                f"pretrained must be 'auto', one of {SHIPPED}, the path of a file or None; found "
                f"{path!r}."
            )
        if not os.path.exists(path):
            raise FileNotFoundError(
                f"pretrained={str(path)!r} is no file, nor one of the shipped policies {SHIPPED}."
            )
        for variant in variants[:-1]:
            with suppress(ValueError):
                return (variant, *POLICY_FILES.load(path, variant))
        return (variants[-1], *POLICY_FILES.load(path, variants[-1]))

    def _shipped_name(self):
        """Name of the shipped policy that fits the prior, or None."""
        if isinstance(self.prior, GeneNetworkPrior):
            return "gene-network"
        return "caasl" if is_published_prior(self.prior) else None

    def _train(self, parameters):
        """Train a policy; return its variant, network and card."""
        self._check_trainable()
        train = train_policy if self._algorithm() == "redq" else train_distilled
        *trained, self.loss_curve_ = train(parameters)
        return tuple(trained)

    def _check_trainable(self):
        """Raise if the algorithm has no policy."""
        if self._algorithm() not in ("distilled", "redq"):
            raise ValueError(
                f"algorithm={self._algorithm()!r} has nothing to train; set 'distilled' or 'redq'."
            )
