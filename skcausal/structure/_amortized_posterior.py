"""The amortized posterior over graphs: one pass through a network trained on simulated systems."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch

from skcausal._typing import PathLike, RandomStateLike
from skcausal.nn import resolve_device, resolve_dtype
from skcausal.nn._network_files import cast_network
from skcausal.nn._pretrained_mixin import PretrainedMixin
from skcausal.nn._regime_moments import RegimeMoments
from skcausal.structure._graph_posterior import EdgeDraws, GraphPosterior
from skcausal.structure._graph_pretraining import check_network_parameters, train_from_parameters
from skcausal.structure._graph_training import canonical_inputs
from skcausal.structure._graph_weights import NETWORK_FILES, SHIPPED, load_shipped

if TYPE_CHECKING:
    from skcausal.simulators import TaskPrior


class AmortizedGraphPosterior(PretrainedMixin, GraphPosterior):
    """Posterior probabilities of edges in one pass through a pretrained network.

    A network that was trained on many simulated systems reads the data once and gives the
    probability of every edge: `fit` takes milliseconds, for any number of variables, and rows may
    be observational or come from interventions on any sets of variables. It is amortized inference
    as in [1]_. Probabilities are those of the prior that the network was trained on.

    Parameters
    ----------
    pretrained : {"auto", "linear", "caasl", "gene-network"}, path or None, default="auto"
        Weights to use: the name of shipped ones, or a file written by :meth:`save_pretrained`.

        - "auto": the same as "linear"; `fit` trains first with ``architecture="rows"``, for which
          no weights are shipped;
        - "linear": linear systems of many kinds, with feedback and hidden confounders, too; the
          units of X do not matter;
        - "caasl": the dense linear systems of [2]_, ``LinearPrior.preset("caasl")``, and few rows
          under interventions; X has to be in the units of that prior;
        - "gene-network": simulated single-cell counts under knock-outs, after
          :func:`skcausal.simulators.log_cpm`;
        - None: `fit` trains first, on `prior`.
    architecture : {"pairs", "rows"}, default="pairs"
        - "pairs": a token for every ordered pair of variables, made from the moments of the
          regimes. The cost does not depend on the number of rows;
        - "rows": a token for every cell, with attention along rows and variables in turn, as
          published [1]_.
    threshold : float, default=0.5
        Edges of `adjacency_` are more probable than this.
    acyclic : bool, default=True
        Whether edges that would close a cycle are left out of `adjacency_` and of graphs that are
        drawn, those of lower probability first. When ``architecture="rows"`` is trained, cycles are
        penalised, too.
    n_draws : int, default=30
        Number of graphs that predictions average over.
    prior : TaskPrior or sequence of TaskPrior, default=None
        Systems to train on, such as :class:`skcausal.simulators.LinearPrior`; several are drawn
        from equally often. Default: those of :class:`MetaInterventionPredictor`'s shipped weights.
    experiments : {"mixed", "sequential", "regimes", "observational"}, default="mixed"
        Experiments to train on.

        - "sequential": observational rows, then up to 20 interventions with one to five rows each;
        - "regimes": two to 200 rows for each of many sets of targets;
        - "observational": 20 to 1,000 rows without intervention;
        - "mixed": all of them.
    scale_free : bool, default=True
        Whether a network that is trained shall ignore the units of the variables. False: it sees
        their standard deviations, which tell the causal order in many simulated systems. Only with
        ``architecture="pairs"``; that of rows always ignores them.
    n_steps : int, default=3000
        Number of batches of up to 48 systems to train on.
    learning_rate : float, default=2e-3
        Largest learning rate of the training.
    width, n_layers, n_heads : int, default=32, 6, 4
        Size of a network that is trained. Attention heads are those of ``architecture="rows"``.
    checkpoint : str or path-like, default=None
        File from which an interrupted training goes on, bit-identically. Needs an integer
        `random_state`.
    device : "auto", str or torch.device, default="auto"
        Where to compute. "auto": on the GPU, if there is one.
    dtype : {"float32", "float64"}, default="float64"
        Precision in which `fit` computes. Training uses float32.
    verbose : bool, default=False
        Show the progress of training.
    random_state : int, RandomState instance or None, default=None
        Determines the graphs that predictions average over, and initial weights and tasks of a
        training.

    Attributes
    ----------
    edge_probabilities_ : ndarray of shape (n_variables, n_variables)
        Entry (i, j): probability of the edge i -> j.
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        1 for probable edges, see `threshold`.
    loss_curve_ : dict of str to ndarray of shape (n_epochs,)
        Terms of the loss over the training that this object ran; empty if it ran none.
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
    ExactGraphPosterior : The exact posterior, for few variables.
    BootstrapEnsemble : Edge probabilities from a search on resampled rows.

    Notes
    -----
    The network is trained to minimise the cross-entropy of the edges of systems drawn from the
    prior, given simulated experiments: its minimum is the posterior probability of each edge. How
    edges depend on each other is not part of it; graphs are drawn edge by edge, and predictions
    average over linear-Gaussian models refitted on such draws.

    With weights that were trained on sequences of experiments, such as "caasl", rows whose targets
    were set to different values count as experiments of their own.

    The result depends neither on the order of the rows, nor on the signs of the variables, and
    permuting the variables permutes it.

    References
    ----------
    .. [1] Lorch, Sussex, Rothfuss, Krause & Schoelkopf (2022). Amortized inference for causal
       structure learning. NeurIPS.
    .. [2] Annadani, Tigas, Bauer & Foster (2024). Amortized active causal induction with deep
       reinforcement learning. NeurIPS, appendix C.1.

    Examples
    --------
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.structure import AmortizedGraphPosterior
    >>> data = make_linear_scm(n_variables=5, n_samples=50, random_state=0)
    >>> model = AmortizedGraphPosterior(random_state=0)
    >>> model = model.fit(data.X, interventions=data.interventions)
    >>> model.edge_probabilities_.shape, model.sample_graphs(3, random_state=0).shape
    ((5, 5), (3, 5, 5))
    """

    _network_files = NETWORK_FILES

    def __init__(
        self,
        pretrained: PathLike | None = "auto",
        *,
        architecture: Literal["pairs", "rows"] = "pairs",
        threshold: float = 0.5,
        acyclic: bool = True,
        n_draws: int = 30,
        prior: TaskPrior | Sequence[TaskPrior] | None = None,
        experiments: Literal["mixed", "sequential", "regimes", "observational"] = "mixed",
        scale_free: bool = True,
        n_steps: int = 3000,
        learning_rate: float = 2e-3,
        width: int = 32,
        n_layers: int = 6,
        n_heads: int = 4,
        checkpoint: PathLike | None = None,
        device: str | torch.device = "auto",
        dtype: Literal["float32", "float64"] = "float64",
        verbose: bool = False,
        random_state: RandomStateLike = None,
    ) -> None:
        self.pretrained = pretrained
        self.architecture = architecture
        self.threshold = threshold
        self.acyclic = acyclic
        self.n_draws = n_draws
        self.prior = prior
        self.experiments = experiments
        self.scale_free = scale_free
        self.n_steps = n_steps
        self.learning_rate = learning_rate
        self.width = width
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.checkpoint = checkpoint
        self.device = device
        self.dtype = dtype
        self.verbose = verbose
        self.random_state = random_state

    def pretrain(
        self, prior: TaskPrior | Sequence[TaskPrior] | None = None, n_steps: int | None = None
    ) -> Self:
        """Train on simulated systems; `fit` then uses these weights.

        They belong to this object: clones, such as those in a grid search, start from the parameter
        `pretrained`. To share them, write them with :meth:`save_pretrained` and pass the path.

        Parameters
        ----------
        prior : TaskPrior or sequence of TaskPrior, default=None
            Systems to train on. Default: the parameter `prior`.
        n_steps : int, default=None
            Number of batches. Default: the parameter `n_steps`.

        Returns
        -------
        self : object
            The estimator, with `loss_curve_`.

        Raises
        ------
        ValueError
            If an argument is out of range, or the checkpoint belongs to another training.
        """
        changes = {"prior": prior, "n_steps": n_steps}
        changes = {name: value for name, value in changes.items() if value is not None}
        parameters = self.get_params(deep=False) | changes
        check_network_parameters(parameters)
        trained, self.loss_curve_ = train_from_parameters(parameters)
        self._pretrained = self._weights_of_fit = (self.architecture, *trained)
        return self

    def _infer(self, X, mask, regime):
        device, dtype = resolve_device(self.device), resolve_dtype(self.dtype)
        self._weights_of_fit = self._find_weights()
        _, network, card = self._weights_of_fit
        network = cast_network(network, device, dtype)
        if card.get("experiments") == "sequential":
            regime = _separate_by_values(X, mask, regime)
        Z = (X - self.mean_) / self.scale_
        moments = RegimeMoments.from_rows(Z, mask, regime)
        inputs = canonical_inputs(
            network, moments, *(torch.from_numpy(array)[None] for array in (self.scale_, Z, mask))
        )
        with torch.no_grad():
            logits = network(*(_moved(x, device, dtype) for x in inputs))
        probabilities = torch.sigmoid(logits)[0].double().cpu().numpy()
        np.fill_diagonal(probabilities, 0.0)
        self._draws = EdgeDraws(probabilities, bool(self.acyclic))
        return probabilities

    def _sample_graphs(self, n_graphs, rng):
        return self._draws.sample(n_graphs, rng)

    def _find_weights(self):
        """Return architecture, network and card: trained here, shipped, or from a file."""
        parameters = self.get_params(deep=False)
        check_network_parameters(parameters)
        pretrained = getattr(self, "_pretrained", None)
        if pretrained is not None and pretrained[0] == self.architecture:
            return pretrained
        self.loss_curve_ = {}
        name = "linear" if self.pretrained == "auto" else self.pretrained
        if self.architecture == "pairs" and name in SHIPPED:
            return (self.architecture, *load_shipped(name))
        if self.pretrained not in (None, "auto"):
            if not os.path.exists(self.pretrained):
                raise FileNotFoundError(
                    f"pretrained={str(self.pretrained)!r} is no file, nor one of the shipped "
                    f"weights {SHIPPED}."
                )
            return (self.architecture, *NETWORK_FILES.load(self.pretrained, self.architecture))
        trained, self.loss_curve_ = train_from_parameters(parameters)
        return (self.architecture, *trained)


def _separate_by_values(X, mask, regime):
    """Split regimes (n_samples,) whose targets were set to different values.

    So do the experiments that networks for sequences of single interventions are trained on.
    """
    values = np.column_stack([regime, np.where(mask, X, 0.0)])
    return np.unique(values, axis=0, return_inverse=True)[1].reshape(-1)


def _moved(x, device, dtype):
    """Move an input to a device, and to a precision unless it is a mask."""
    is_mask = isinstance(x, torch.Tensor) and x.dtype == torch.bool
    return x.to(device) if is_mask else x.to(device, dtype)
