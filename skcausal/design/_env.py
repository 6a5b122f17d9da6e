"""Design of experiments as a decision process: in a batch, and as a gymnasium environment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Designs, Histories
from skcausal.design._judges import Judge, judge_of
from skcausal.design._laboratory import Laboratory
from skcausal.design._rewards import REWARDS, SCORES
from skcausal.simulators._parameters import check_choice, check_count

if TYPE_CHECKING:
    from skcausal.simulators import TaskPrior


@dataclass(frozen=True, eq=False)
class Episodes:
    """Episodes, one in each hidden system of a batch, that are all at the same step.

    Parameters
    ----------
    laboratory : Laboratory
        The systems.
    judge : Judge
        The posterior whose score is to be raised.
    reward : str
        A key of :data:`SCORES`.
    histories : Histories
        What has been observed.
    step : int, default=0
        Number of experiments that have been done.
    count_initial : bool, default=True
        Whether the score of the rows that episodes begin with is added to the first reward, as in
        [1]_. It does not depend on the designs; with it the sum of all rewards is the final score.

    References
    ----------
    .. [1] Annadani, Tigas, Bauer & Foster (2024). Amortized active causal induction with deep
       reinforcement learning. NeurIPS, section 3.1.
    """

    laboratory: Laboratory
    judge: Judge
    reward: str
    histories: Histories
    step: int = 0
    count_initial: bool = True

    @classmethod
    def start(
        cls, laboratory: Laboratory, judge: Judge, reward: str, *, count_initial: bool = True
    ) -> Episodes:
        """Observe the rows that the episodes begin with.

        Parameters
        ----------
        laboratory, judge, reward, count_initial
            As those of the class.

        Returns
        -------
        episodes : Episodes
            Episodes before their first step.
        """
        return cls(laboratory, judge, reward, laboratory.start(), 0, count_initial)

    def perform(self, actions: torch.Tensor) -> tuple[Episodes, torch.Tensor]:
        """Do one experiment in every system.

        Parameters
        ----------
        actions : tensor of shape (n_systems, n_actions)
            Actions, see :func:`designs_of`.

        Returns
        -------
        episodes : Episodes
            Episodes one step later.
        rewards : tensor of shape (n_systems,)
            By how much the score has risen (eq. 3).
        """
        designs = designs_of(actions, self.laboratory.space())
        histories = self.laboratory.perform(self.histories, designs, self.step)
        later = replace(self, histories=histories, step=self.step + 1)
        if self.step == 0 and self.count_initial:
            return later, later.score
        return later, later.score - self.score

    @cached_property
    def edge_probabilities(self) -> torch.Tensor:
        """Probabilities (n_systems, n_variables, n_variables) of edges i -> j."""
        return self.judge.edge_probabilities(self.histories).to(self.histories.X.device)

    @cached_property
    def score(self) -> torch.Tensor:
        """Score (n_systems,) of the posterior given what has been observed."""
        adjacency = self.laboratory.systems.adjacency
        return SCORES[self.reward](self.edge_probabilities, adjacency).to(self.histories.X)


def designs_of(actions: torch.Tensor, space: DesignSpace) -> Designs:
    """Read actions as designs (section 3.2 of Annadani et al.).

    Parameters
    ----------
    actions : tensor of shape (..., n_variables) or (..., 2 * n_variables)
        Numbers from -1 to 1: variables with a positive one are targets; the second half, if there
        is one, are the values, from the lower to the upper end of the space's range.
    space : DesignSpace
        The space.

    Returns
    -------
    designs : Designs
        The designs.
    """
    space = space.to(actions)
    d = len(space.low)
    targets = actions[..., :d] > 0
    if actions.shape[-1] == d:
        return Designs(targets, torch.zeros_like(actions))
    values = space.low + 0.5 * (space.high - space.low) * (actions[..., d:] + 1.0)
    return Designs(targets, torch.where(targets, values, 0.0))


def cells_of(histories: Histories) -> torch.Tensor:
    """Return what designers read of the rows.

    Parameters
    ----------
    histories : Histories
        Experiments so far.

    Returns
    -------
    rows : tensor of shape (n_systems, n_rows, n_variables, 2)
        Value of each cell, and 1 where an intervention set it, 0 elsewhere.
    """
    return torch.stack([histories.X, histories.mask.to(histories.X)], dim=-1)


def fixed_size(prior) -> int:
    """Return the number of variables of the systems of a prior.

    Parameters
    ----------
    prior : TaskPrior
        The prior.

    Returns
    -------
    n_variables : int
        Their number of variables.

    Raises
    ------
    ValueError
        If it is not the same for all of them.
    """
    n_variables = getattr(prior, "n_variables", None)
    if not isinstance(n_variables, Integral):
        raise ValueError(
            "prior must be a distribution over systems with a fixed number of variables, such as "
            f"LinearPrior(10); found n_variables={n_variables!r}."
        )
    return int(n_variables)


class InterventionDesignEnv(gymnasium.Env):
    """Design of a sequence of experiments on a hidden system, for any reinforcement learner.

    An episode draws a system from the prior and observes rows without intervention. Each step sets
    some variables to values, observes rows under this intervention and pays by how much a posterior
    over graphs has come closer to the true graph [1]_.

    Parameters
    ----------
    prior : TaskPrior
        Distribution over systems, of one number of variables.
    posterior : estimator of a posterior or None, default=None
        An ExactGraphPosterior, an AmortizedGraphPosterior or a BootstrapEnsemble of GIES, which
        need not be fitted. Default: the exact posterior of the prior, if there is one and there are
        no more than 12 variables; a shipped network otherwise.
    budget : int, default=10
        Number of experiments in an episode.
    n_initial : int, default=50
        Number of rows without intervention that an episode begins with.
    rows_per_design : int, default=1
        Number of rows of each experiment.
    reward : {"edges", "log_score", "auprc", "shd"}, default="edges"
        Score of the posterior. The reward of a step is its improvement; the initial score is added
        to the first reward, so that the undiscounted return is the final score.

        - "edges": expected number of correct entries of the adjacency matrix, the diagonal
          included;
        - "log_score": mean log-probability of what holds for each ordered pair;
        - "auprc": average precision of the edges;
        - "shd": minus the expected structural Hamming distance; a reversed edge counts once.
    kind : str, default=None
        What is done to targets, as in :meth:`Systems.sample`. Default: knock-outs of genes, hard
        interventions in other systems.

    Attributes
    ----------
    action_space : gymnasium.spaces.Box
        Numbers from -1 to 1, of shape (2 * n_variables,): variables with a positive number among
        the first n_variables are targets, the others are the values that they are set to. Of shape
        (n_variables,) for gene networks, where designs choose targets only.
    observation_space : gymnasium.spaces.Dict
        "rows", of shape (n_rows, n_variables, 2): value of each cell, and 1 where it was set; 0 for
        rows that have not been observed yet. "observed", of shape (n_rows,): 1 for rows that have.

    References
    ----------
    .. [1] Annadani, Tigas, Bauer & Foster (2024). Amortized active causal induction with deep
       reinforcement learning. NeurIPS, section 3.1.

    Examples
    --------
    >>> from skcausal.design import InterventionDesignEnv
    >>> from skcausal.simulators import LinearPrior
    >>> prior = LinearPrior.preset("caasl", n_variables=4, edges_per_variable=1.0)
    >>> env = InterventionDesignEnv(prior, budget=5)
    >>> observation, info = env.reset(seed=0)
    >>> observation["rows"].shape, int(observation["observed"].sum())
    ((55, 4, 2), 50)
    >>> observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    >>> int(observation["observed"].sum()), terminated
    (51, False)
    """

    metadata = {"render_modes": []}

    def __init__(
        self,
        prior: TaskPrior,
        posterior: BaseEstimator | None = None,
        *,
        budget: int = 10,
        n_initial: int = 50,
        rows_per_design: int = 1,
        reward: str = "edges",
        kind: str | None = None,
    ) -> None:
        d = fixed_size(prior)
        check_count("budget", budget)
        check_count("n_initial", n_initial)
        check_count("rows_per_design", rows_per_design)
        check_choice("reward", reward, REWARDS)
        self.prior = prior
        self.posterior = posterior
        self._judge = judge_of(posterior, prior, d)
        self.budget = budget
        self.n_initial = n_initial
        self.rows_per_design = rows_per_design
        self.reward = reward
        self.kind = kind
        n_rows = n_initial + budget * rows_per_design
        n_actions = 2 * d if self._laboratory(seed=0).has_values else d
        self.action_space = spaces.Box(-1.0, 1.0, (n_actions,), np.float32)
        self.observation_space = spaces.Dict(
            {
                "rows": spaces.Box(-np.inf, np.inf, (n_rows, d, 2), np.float32),
                "observed": spaces.MultiBinary(n_rows),
            }
        )
        self._episodes: Episodes | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin an episode with another system.

        Parameters
        ----------
        seed : int, default=None
            Determines this episode and those after it.
        options : dict, default=None
            Not used.

        Returns
        -------
        observation : dict of str to ndarray
            See `observation_space`.
        info : dict
            "score" of the posterior and its "edge_probabilities".
        """
        super().reset(seed=seed)
        laboratory = self._laboratory(int(self.np_random.integers(2**31 - 1)))
        self._episodes = Episodes.start(laboratory, self._judge, self.reward)
        return self._observation(), self._info()

    def step(
        self, action: ArrayLike
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Do an experiment.

        Parameters
        ----------
        action : array-like of shape (n_actions,)
            See `action_space`.

        Returns
        -------
        observation : dict of str to ndarray
            See `observation_space`.
        reward : float
            Improvement of the score.
        terminated : bool
            Whether the budget is spent.
        truncated : bool
            False.
        info : dict
            "score" of the posterior and its "edge_probabilities".

        Raises
        ------
        RuntimeError
            If there is no episode, or it has ended.
        ValueError
            If the action is not in the action space.
        """
        if self._episodes is None or self._episodes.step == self.budget:
            raise RuntimeError("The episode has ended, or none has begun. Call reset first.")
        action = np.asarray(action, dtype=np.float32)
        shape: Any = self.action_space.shape
        if action.shape != shape or not (np.abs(action) <= 1.0).all():
            raise ValueError(f"action must be {shape[0]} numbers from -1 to 1, found {action!r}.")
        self._episodes, rewards = self._episodes.perform(torch.from_numpy(action)[None])
        terminated = self._episodes.step == self.budget
        return self._observation(), float(rewards[0]), terminated, False, self._info()

    def _laboratory(self, seed):
        """Draw a system."""
        systems = self.prior.sample(1, random_state=seed)
        return Laboratory(systems, self.n_initial, self.rows_per_design, self.kind)

    def _observation(self):
        """All rows, with those to come, and which have been observed."""
        cells = cells_of(self._episodes.histories)[0].numpy()
        rows = np.zeros(self.observation_space["rows"].shape, dtype=np.float32)
        rows[: len(cells)] = cells
        observed = (np.arange(len(rows)) < len(cells)).astype(np.int8)
        return {"rows": rows, "observed": observed}

    def _info(self):
        """Score and edge probabilities."""
        return {
            "score": float(self._episodes.score[0]),
            "edge_probabilities": self._episodes.edge_probabilities[0].double().numpy(),
        }
