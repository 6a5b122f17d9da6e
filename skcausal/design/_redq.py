"""Training of design policies by randomized ensembled double Q-learning (REDQ)."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from skcausal.design._env import Episodes, cells_of, fixed_size
from skcausal.design._histories import Histories
from skcausal.design._judges import Judge
from skcausal.design._laboratory import Laboratory
from skcausal.design._policy_networks import POLICIES, BernoulliPolicy, DesignCritic, DesignPolicy
from skcausal.design._replay_buffer import ReplayBuffer, Transitions
from skcausal.design._rewards import REWARDS
from skcausal.nn._checkpoint import alike, check_writable, load_checkpoint, save_checkpoint
from skcausal.nn._training_state import Terms, _by_prefix
from skcausal.simulators._parameters import check_choice, check_count, check_number

# Checkpoints are at least so far apart, and so many times as long as writing the last one took.
_SECONDS_BETWEEN_CHECKPOINTS = 5.0
_TIMES_OF_WRITING = 20.0


def train_redq(
    prior,
    judge: Judge,
    *,
    seed: int,
    n_iterations: int,
    budget: int = 10,
    n_initial: int = 50,
    rows_per_design: int = 1,
    kind: str | None = None,
    reward: str = "edges",
    count_initial: bool = True,
    n_envs: int = 1000,
    n_warmup: int = 1,
    capacity: int = 1_000_000,
    n_updates: int = 64,
    n_critic_updates: int = 1,
    batch_size: int = 4096,
    n_critics: int = 5,
    n_subset: int = 2,
    discount: float = 0.9,
    tau: float = 0.01,
    policy_learning_rate: float = 1e-3,
    critic_learning_rate: float = 3e-5,
    initial_temperature: float = 1.0,
    target_entropy: float | None = None,
    entropy_decay: float = 1 / 14_000,
    target_distribution: str = "gaussian",
    width: int = 32,
    n_layers: int = 4,
    n_heads: int = 8,
    n_hidden: int = 128,
    dropout: float = 0.1,
    device: torch.device | str = "cpu",
    checkpoint: str | os.PathLike[str] | None = None,
    fingerprint: str = "",
    verbose: bool = False,
) -> tuple[DesignPolicy, dict[str, torch.Tensor]]:
    """Train a policy that designs experiments on systems of a prior.

    An iteration runs one episode in each of some new systems with the policy as it is, and then
    updates critics and policy on transitions of all recent episodes. Defaults are those of [1]_ for
    linear systems, as far as they are known; they take days.

    Parameters
    ----------
    prior : TaskPrior
        Distribution over systems, of one number of variables.
    judge : Judge
        The posterior whose score is to be raised, on `device`.
    seed : int
        Determines everything that is random.
    n_iterations : int
        Number of iterations.
    budget, n_initial, rows_per_design, kind, reward
        The episodes, as in :class:`InterventionDesignEnv`.
    count_initial : bool, default=True
        Whether the score before the first experiment is added to the first reward, as published. No
        design changes it; without it the critics have less to learn.
    n_envs : int, default=1000
        Number of systems, and episodes, of an iteration.
    n_warmup : int, default=1
        Number of iterations at the beginning with actions that are uniformly random.
    capacity : int, default=1_000_000
        Number of transitions that are kept, of the latest episodes.
    n_updates : int, default=64
        Number of updates of the policy in an iteration.
    n_critic_updates : int, default=1
        Number of updates of the critics before each of them: G.
    batch_size : int, default=4096
        Number of transitions of an update.
    n_critics : int, default=5
        Number of critics: N.
    n_subset : int, default=2
        Number of critics, drawn anew for each update, whose minimum is the target: M.
    discount : float, default=0.9
        Discount of later rewards.
    tau : float, default=0.01
        Share by which target critics approach the critics in every update.
    policy_learning_rate, critic_learning_rate : float, default=1e-3, 3e-5
        Learning rates of Adam; that of the temperature is the policy's.
    initial_temperature : float, default=1.0
        Weight of the policy's entropy, in units of the reward, at the beginning.
    target_entropy : float, default=None
        Entropy of the policy, in nats, at which the temperature settles. Default: -1 for each
        number that is chosen, or half of the largest for coin flips.
    entropy_decay : float, default=1/14_000
        By how much it falls in every iteration.
    target_distribution : {"gaussian", "bernoulli"}, default="gaussian"
        How the policy draws targets, see :class:`GaussianPolicy` and :class:`BernoulliPolicy`.
    width, n_layers, n_heads, n_hidden, dropout
        Sizes of the networks, and dropout of the policy, see :class:`DesignPolicy`.
    device : str or torch.device, default="cpu"
        Where to simulate and to train.
    checkpoint : str or path-like, default=None
        File for the state of the training. If it exists, training goes on from there,
        bit-identically on the same device. A finished one is returned as it is.
    fingerprint : str, default=""
        Identifies prior, judge and settings: a checkpoint with another one is refused.
    verbose : bool, default=False
        Show progress.

    Returns
    -------
    policy : DesignPolicy
        The trained policy.
    history : dict of str to tensor of shape (n_iterations,)
        "return": mean undiscounted return of the episodes of each iteration, before its updates;
        "critic_loss", the mean squared error of a critic; "value" of the policy's actions, its
        "entropy", and the "temperature", averaged over the updates.

    Raises
    ------
    FloatingPointError
        If training diverges.
    ValueError
        If an argument is out of range, or the checkpoint belongs to another training.
    OSError
        If the checkpoint cannot be written, before training begins, or read.

    References
    ----------
    .. [1] Annadani, Tigas, Bauer & Foster (2024). Amortized active causal induction with deep
       reinforcement learning. NeurIPS, section 3.2 and appendix D.
    .. [2] Chen, Wang, Zhou & Ross (2021). Randomized ensembled double Q-learning: learning fast
       without a model. ICLR, algorithm 1.
    .. [3] Haarnoja et al. (2018). Soft actor-critic algorithms and applications. Sections 4 and 5.
    """
    d = fixed_size(prior)
    counts = {"n_iterations": n_iterations, "budget": budget, "n_envs": n_envs}
    counts |= {"n_updates": n_updates, "n_critic_updates": n_critic_updates}
    counts |= {"batch_size": batch_size, "n_critics": n_critics, "n_subset": n_subset}
    check_number("initial_temperature", initial_temperature, 0.0, above=True)
    _check_settings(counts, reward, target_distribution, capacity, discount, tau)

    def laboratory_of(iteration):
        systems = prior.sample(n_envs, seed, start=iteration * n_envs, device=device)
        return Laboratory(systems, n_initial, rows_per_design, kind)

    n_choices = 2 if Laboratory(prior.sample(1, seed)).has_values else 1
    sizes = {"n_choices": n_choices, "width": width, "n_layers": n_layers, "n_heads": n_heads}
    sizes |= {"n_hidden": n_hidden}
    initial = torch.Generator().manual_seed(seed)
    policy = POLICIES[target_distribution](initial, **sizes, dropout=dropout).to(device)
    if target_entropy is None:
        target_entropy = default_target_entropy(policy, d)
    learner = REDQ(
        policy,
        [DesignCritic(initial, **sizes).to(device) for _ in range(n_critics)],
        discount=discount,
        tau=tau,
        policy_learning_rate=policy_learning_rate,
        critic_learning_rate=critic_learning_rate,
        initial_temperature=initial_temperature,
    )
    buffer = ReplayBuffer(
        capacity // budget, budget, n_initial, rows_per_design, d, n_choices * d, device
    )

    def run_iteration(iteration):
        # All randomness is a function of the seed and the iteration, so that none has to be kept.
        rng = np.random.default_rng([seed, iteration])
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
        laboratory = laboratory_of(iteration)
        episodes = Episodes.start(laboratory, judge, reward, count_initial=count_initial)
        actor = policy if iteration >= n_warmup else None
        histories, actions, rewards = run_episodes(episodes, actor, budget, generator)
        buffer.add(histories, actions, rewards)
        terms = learner.update(
            buffer,
            n_updates,
            n_critic_updates,
            batch_size=batch_size,
            n_subset=n_subset,
            target_entropy=target_entropy - entropy_decay * iteration,
            rng=rng,
            generator=generator,
        )
        return terms | {"return": rewards.sum(dim=1).mean().cpu().double()}

    history = _run_iterations(
        run_iteration, n_iterations, learner, buffer, checkpoint, fingerprint, verbose
    )
    return policy.eval(), history


class REDQ:
    """A policy, its critics, and their updates.

    Parameters
    ----------
    policy : DesignPolicy
        The policy.
    critics : sequence of DesignCritic
        The critics.
    discount : float
        Discount of later rewards.
    tau : float
        Share by which target critics approach the critics in every update.
    policy_learning_rate, critic_learning_rate : float
        Learning rates of Adam; that of the temperature is the policy's.
    initial_temperature : float, default=1.0
        Weight of the policy's entropy at the beginning.
    """

    def __init__(
        self,
        policy: DesignPolicy,
        critics: Sequence[DesignCritic],
        *,
        discount: float,
        tau: float,
        policy_learning_rate: float,
        critic_learning_rate: float,
        initial_temperature: float = 1.0,
    ):
        self.policy = policy
        self.critics = list(critics)
        self.targets = copy.deepcopy(self.critics)
        self.discount = discount
        self.tau = tau
        device = next(policy.parameters()).device
        self.log_temperature = torch.tensor(
            math.log(initial_temperature), device=device, requires_grad=True
        )
        self.policy_optimizer = torch.optim.Adam(policy.parameters(), lr=policy_learning_rate)
        self.critic_optimizer = torch.optim.Adam(
            nn.ModuleList(self.critics).parameters(), lr=critic_learning_rate
        )
        self.temperature_optimizer = torch.optim.Adam(
            [self.log_temperature], lr=policy_learning_rate
        )

    def update(
        self,
        buffer: ReplayBuffer,
        n_updates: int,
        n_critic_updates: int,
        *,
        batch_size: int,
        n_subset: int,
        target_entropy: float,
        rng: np.random.Generator,
        generator: torch.Generator,
    ) -> Terms:
        """Update the policy some times, and the critics before each (lines 5 to 12 of algorithm 1).

        Parameters
        ----------
        buffer : ReplayBuffer
            Episodes.
        n_updates, n_critic_updates, batch_size, n_subset
            As those of :func:`train_redq`.
        target_entropy : float
            As that of :meth:`update_policy`.
        rng : numpy.random.Generator
            Source of the subsets of critics.
        generator : torch.Generator
            Source of everything else.

        Returns
        -------
        means : dict of str to Tensor
            Terms of both kinds of update, averaged over those of the policy, in float64 on the CPU.
        """
        totals: Terms = {}
        for _ in range(n_updates):
            for _ in range(n_critic_updates):
                batch = buffer.sample(batch_size, generator)
                subset = rng.choice(len(self.critics), n_subset, replace=False).tolist()
                terms = self.update_critics(batch, subset, generator)
            terms |= self.update_policy(batch, target_entropy, generator)
            totals = {name: totals.get(name, 0.0) + value for name, value in terms.items()}
        return {name: (total / n_updates).cpu().double() for name, total in totals.items()}

    @torch.no_grad()
    def returns_of(
        self, batch: Transitions, subset: Sequence[int], generator: torch.Generator
    ) -> torch.Tensor:
        """Estimate the soft returns (n_transitions,) that critics should predict.

        Parameters
        ----------
        batch : Transitions
            The transitions.
        subset : sequence of int
            Critics whose minimum counts.
        generator : torch.Generator
            Source of the next actions.

        Returns
        -------
        returns : tensor of shape (n_transitions,)
            Line 8 of algorithm 1; nothing follows after the last experiment.
        """
        actions, log_density = self.policy.sample(
            batch.rows, batch.observed_next, generator=generator
        )
        values = [self.targets[k](batch.rows, actions, batch.observed_next) for k in subset]
        soft_value = torch.stack(values).amin(dim=0) - self.log_temperature.exp() * log_density
        return batch.rewards + self.discount * torch.where(batch.is_last, 0.0, soft_value)

    def update_critics(
        self, batch: Transitions, subset: Sequence[int], generator: torch.Generator
    ) -> Terms:
        """Move all critics towards the estimated returns, and the target critics towards them.

        Parameters
        ----------
        batch, subset, generator
            As those of :meth:`returns_of`.

        Returns
        -------
        terms : dict of str to Tensor
            "critic_loss" before the update.
        """
        returns = self.returns_of(batch, subset, generator)
        self.critic_optimizer.zero_grad(set_to_none=True)
        losses = []
        for critic in self.critics:
            values = critic(batch.rows, batch.actions, batch.observed)
            loss = (values - returns).square().mean()
            loss.backward()  # one by one: critics share no parameter, and memory holds one graph
            losses.append(loss.detach())
        self.critic_optimizer.step()
        with torch.no_grad():
            for target, critic in zip(self.targets, self.critics):
                for lagging, parameter in zip(target.parameters(), critic.parameters()):
                    lagging.lerp_(parameter, self.tau)
        return {"critic_loss": torch.stack(losses).mean()}

    def update_policy(
        self, batch: Transitions, target_entropy: float, generator: torch.Generator
    ) -> Terms:
        """Move the policy towards actions of high value, and the temperature.

        Parameters
        ----------
        batch : Transitions
            The histories.
        target_entropy : float
            The temperature rises while the entropy is lower than this.
        generator : torch.Generator
            Source of actions and dropout.

        Returns
        -------
        terms : dict of str to Tensor
            Mean "value" of the actions, "entropy" of the policy, and the "temperature".
        """
        actions, log_density = self.policy.sample(
            batch.rows, batch.observed, generator=generator, dropout=True
        )
        with torch.no_grad():  # what a critic makes of a history does not depend on the action
            encodings = [critic.encoder(batch.rows, batch.observed) for critic in self.critics]
        values = [critic.value(e, actions) for critic, e in zip(self.critics, encodings)]
        value = torch.stack(values).mean(dim=0)
        temperature = self.log_temperature.exp().detach()
        loss = (temperature * log_density - value).mean()
        self.policy_optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.policy.parameters()))
        self.policy_optimizer.step()

        entropy = -log_density.detach().mean()
        self.temperature_optimizer.zero_grad(set_to_none=True)
        (self.log_temperature * (entropy - target_entropy)).backward()
        self.temperature_optimizer.step()
        return {"value": value.detach().mean(), "entropy": entropy, "temperature": temperature}

    def tensors(self) -> Terms:
        """Return everything that updates change."""
        tensors = {
            f"{prefix}.{name}": tensor
            for prefix, module in self._modules().items()
            for name, tensor in module.state_dict().items()
        }
        tensors["temperature.log"] = self.log_temperature.detach()
        for prefix, optimizer in self._optimizers().items():
            for number, values in optimizer.state_dict()["state"].items():
                for name, value in values.items():
                    tensors[f"{prefix}.{number}.{name}"] = torch.as_tensor(value)
        return tensors

    def load(self, parts: Mapping[str, Terms]) -> None:
        """Continue from what :meth:`tensors` returned, by prefix."""
        for prefix, module in self._modules().items():
            module.load_state_dict(parts[prefix])
        with torch.no_grad():
            self.log_temperature.copy_(parts["temperature"]["log"])
        for prefix, optimizer in self._optimizers().items():
            state: dict[int, Terms] = {}
            for key, value in parts.get(prefix, {}).items():
                number, name = key.split(".", 1)
                state.setdefault(int(number), {})[name] = value
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})

    def fits(self, parts: Mapping[str, Terms]) -> bool:
        """Whether tensors belong to networks of these sizes."""
        return all(
            alike(parts.get(prefix, {}), module.state_dict())
            for prefix, module in self._modules().items()
        )

    def _modules(self) -> dict[str, nn.Module]:
        """Networks by the prefixes of their tensors."""
        critics, targets = nn.ModuleList(self.critics), nn.ModuleList(self.targets)
        return {"policy": self.policy, "critics": critics, "targets": targets}

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Optimizers by the prefixes of what they remember."""
        return {
            "policy_optimizer": self.policy_optimizer,
            "critic_optimizer": self.critic_optimizer,
            "temperature_optimizer": self.temperature_optimizer,
        }


def default_target_entropy(policy: DesignPolicy, n_variables: int) -> float:
    """Return -1 for each tanh-Gaussian number of a policy and half of log 2 for each coin flip.

    Parameters
    ----------
    policy : DesignPolicy
        The policy.
    n_variables : int
        Number of variables.

    Returns
    -------
    entropy : float
        In nats.
    """
    n_choices = policy.sizes["n_choices"]
    if isinstance(policy, BernoulliPolicy):
        return n_variables * (0.5 * math.log(2.0) - (n_choices - 1))
    return float(-n_choices * n_variables)


@torch.no_grad()
def run_episodes(
    episodes: Episodes, policy: DesignPolicy | None, budget: int, generator: torch.Generator
) -> tuple[Histories, torch.Tensor, torch.Tensor]:
    """Run episodes to their end.

    Parameters
    ----------
    episodes : Episodes
        Episodes before their first step.
    policy : DesignPolicy or None
        What draws the actions; None for uniformly random ones.
    budget : int
        Number of experiments.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    histories : Histories
        All rows.
    actions : tensor of shape (n_systems, budget, n_actions)
        What was done.
    rewards : tensor of shape (n_systems, budget)
        What it earned.
    """
    laboratory = episodes.laboratory
    n_actions = laboratory.n_variables * (2 if laboratory.has_values else 1)
    actions, rewards = [], []
    for _ in range(budget):
        cells = cells_of(episodes.histories)
        if policy is None:
            shape = (len(cells), n_actions)
            action = (
                2.0
                * torch.rand(shape, generator=generator, device=cells.device, dtype=torch.float32)
                - 1.0
            )
        else:
            action = policy.sample(cells, generator=generator)[0]
        episodes, reward = episodes.perform(action)
        actions.append(action)
        rewards.append(reward)
    return episodes.histories, torch.stack(actions, dim=1), torch.stack(rewards, dim=1)


def _run_iterations(
    run_iteration, n_iterations, learner, buffer, checkpoint, fingerprint, verbose
) -> Terms:
    """Run the iterations that remain, and return the terms of all of them."""
    from tqdm.auto import tqdm

    records: dict[str, list[torch.Tensor]] = {}
    done = 0
    if checkpoint is not None and os.path.exists(checkpoint):
        done, records = _load(checkpoint, learner, buffer, fingerprint)
    elif checkpoint is not None:
        check_writable(checkpoint)
    saved, pause = time.monotonic(), _SECONDS_BETWEEN_CHECKPOINTS
    with tqdm(total=n_iterations, initial=done, desc="REDQ", disable=not verbose) as progress:
        while done < n_iterations:
            means = run_iteration(done)
            _check_finite(means, done)
            for name, value in means.items():
                records.setdefault(name, []).append(value)
            done += 1
            progress.set_postfix({"return": f"{float(means['return']):.4g}"}, refresh=False)
            progress.update()
            due = time.monotonic() - saved >= pause or done == n_iterations
            if checkpoint is not None and due:
                started = time.monotonic()
                _save(checkpoint, learner, buffer, records, done, fingerprint)
                saved = time.monotonic()
                pause = max(_SECONDS_BETWEEN_CHECKPOINTS, _TIMES_OF_WRITING * (saved - started))
    return {name: torch.stack(values) for name, values in records.items()}


def _save(path, learner, buffer, records, n_iterations, fingerprint):
    """Write the state of a training."""
    tensors = learner.tensors()
    tensors |= {f"buffer.{name}": tensor for name, tensor in buffer.tensors().items()}
    tensors |= {f"history.{name}": torch.stack(values) for name, values in records.items()}
    header = {"fingerprint": fingerprint, "iteration": n_iterations, "n_episodes": buffer.n_added}
    save_checkpoint(path, tensors, header)


def _load(path, learner, buffer, fingerprint) -> tuple[int, dict[str, list[torch.Tensor]]]:
    """Read the state of a training; returns the number of iterations and their terms."""
    tensors, header = load_checkpoint(path)
    if not {"fingerprint", "iteration", "n_episodes"} <= header.keys():
        raise ValueError(f"{str(path)!r} is no checkpoint of a policy's training.")
    parts: dict[str, Any] = _by_prefix(tensors)
    stored, n_episodes = parts.get("buffer", {}), header["n_episodes"]
    fits = learner.fits(parts) and buffer.fits(stored, n_episodes)
    if header["fingerprint"] != fingerprint or not fits:
        raise ValueError(
            f"The checkpoint {str(path)!r} belongs to another training: the prior, the parameters "
            "or the random_state differ. Remove the file or name another one."
        )
    learner.load(parts)
    buffer.load(stored, n_episodes)
    return header["iteration"], {name: list(t) for name, t in parts["history"].items()}


def _check_finite(means, iteration):
    """Raise where training has diverged."""
    for name, value in means.items():
        if not torch.isfinite(value):
            raise FloatingPointError(
                f"The {name.replace('_', ' ')} is not finite in iteration {iteration + 1}. Lower "
                "the learning rates."
            )


def _check_settings(counts, reward, target_distribution, capacity, discount, tau):
    """Raise where a setting is out of range."""
    for name, value in counts.items():
        check_count(name, value)
    check_choice("reward", reward, REWARDS)
    check_choice("target_distribution", target_distribution, tuple(POLICIES))
    check_number("discount", discount, 0.0, 1.0)
    check_number("tau", tau, 0.0, 1.0, above=True)
    if counts["n_subset"] > counts["n_critics"]:
        raise ValueError(
            f"n_subset must be at most n_critics={counts['n_critics']}, found {counts['n_subset']}."
        )
    check_count("capacity", capacity, smallest=counts["n_envs"] * counts["budget"])
