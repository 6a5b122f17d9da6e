"""REDQ: its targets and losses against a slow reference, going on after an interrupt, learning."""

import math

import pytest
import torch
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from skcausal.design import _redq
from skcausal.design._env import Episodes
from skcausal.design._histories import Histories
from skcausal.design._judges import ExactJudge
from skcausal.design._laboratory import Laboratory
from skcausal.design._policy_networks import POLICIES, DesignCritic
from skcausal.design._redq import REDQ, default_target_entropy, run_episodes, train_redq
from skcausal.design._replay_buffer import ReplayBuffer, Transitions
from skcausal.nn._checkpoint import load_checkpoint
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.structure._parent_set_scores import LinearGaussianModel

JUDGE = ExactJudge(LinearGaussianModel(0.3, 1.0, 1.0, 0.2, True))
SIZES = {"width": 4, "n_layers": 1, "n_heads": 1, "n_hidden": 8}
TINY = SIZES | {
    "seed": 0,
    "n_iterations": 3,
    "budget": 3,
    "n_initial": 4,
    "n_envs": 4,
    "capacity": 24,  # overwritten from the third iteration on
    "n_updates": 1,
    "n_critic_updates": 2,
    "batch_size": 8,
    "n_critics": 3,
}
kinds = pytest.mark.parametrize("kind", POLICIES)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def train(judge=JUDGE, prior=None, **arguments):
    return train_redq(LinearPrior(3) if prior is None else prior, judge, **(TINY | arguments))


def make_learner(kind="gaussian", n_critics=3, tau=0.1, dropout=0.0):
    policy = POLICIES[kind](seeded(), **SIZES, dropout=dropout).double()
    critics = [DesignCritic(seeded(k + 1), **SIZES).double() for k in range(n_critics)]
    learner = REDQ(
        policy,
        critics,
        discount=0.8,
        tau=tau,
        policy_learning_rate=1e-2,
        critic_learning_rate=1e-3,
        initial_temperature=0.5,
    )
    for k, target in enumerate(learner.targets):  # distinct from the critics
        target.load_state_dict(DesignCritic(seeded(k + 100), **SIZES).double().state_dict())
    return learner


def draw_transitions(n=5, n_initial=2, budget=3, d=3, seed=0):
    generator = seeded(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    n_rows = n_initial + budget
    values, mask = normal(n, n_rows, d), (normal(n, n_rows, d) > 0).double()
    step = torch.arange(n) % budget
    row = torch.arange(n_rows)
    return Transitions(
        torch.stack([values, mask], dim=-1),
        row < n_initial + step[:, None],
        row < n_initial + step[:, None] + 1,
        torch.tanh(normal(n, 2 * d)),
        normal(n),
        step == budget - 1,
    )


def gaussian_action(policy, rows, noise):
    """Action and log-density of a history, number by number, from torch's distributions."""
    outputs = policy(rows[None])[0]
    ratio = math.sqrt(1 / 3) / (1 - math.sqrt(1 / 3))
    d = rows.shape[1]
    action, total = [], 0.0
    for part in range(2):
        for j in range(d):
            mean, logit = outputs[j, 2 * part : 2 * part + 2]
            scale = torch.sigmoid(logit + math.log(ratio))
            law = TransformedDistribution(Normal(mean, scale), TanhTransform(cache_size=1))
            number = torch.tanh(mean + scale * noise[part, j])
            action.append(number)
            total = total + law.log_prob(number)
    return torch.stack(action), total


def draw_noise(n, d, seed):
    """The noise that a policy draws: for targets, then for values."""
    generator = seeded(seed)
    parts = [torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2)]
    return torch.stack(parts, dim=1)


@torch.no_grad()
def reference_returns(learner, batch, subset, seed):
    """Estimate as line 8 of algorithm 1 does, one transition and one critic after the other."""
    noise = draw_noise(*batch.rows.shape[:1], batch.rows.shape[2], seed)
    returns = []
    for k in range(len(batch.rows)):
        if batch.is_last[k]:
            returns.append(batch.rewards[k])
            continue
        rows = batch.rows[k][batch.observed_next[k]]  # what was seen after the step, no padding
        action, log_density = gaussian_action(learner.policy, rows, noise[k])
        smallest = min(float(learner.targets[m](rows[None], action[None])) for m in subset)
        temperature = float(learner.log_temperature.exp())
        returns.append(batch.rewards[k] + learner.discount * (smallest - temperature * log_density))
    return torch.stack(returns)


def test_estimated_returns_are_those_of_a_slow_reference():
    learner, batch = make_learner(), draw_transitions()
    for subset in ([0, 1], [2], [2, 0, 1]):
        returns = learner.returns_of(batch, subset, seeded(7))
        expected = reference_returns(learner, batch, subset, seed=7)
        torch.testing.assert_close(returns, expected, rtol=0, atol=1e-10)
    assert batch.is_last.any()


def test_critics_take_the_step_of_a_slow_reference():
    learner, batch = make_learner(), draw_transitions()
    reference = make_learner()
    returns = reference_returns(reference, batch, [1, 2], seed=7)
    losses = []
    for critic in reference.critics:
        optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3)
        loss = 0.0
        for k in range(5):
            value = critic(batch.rows[k][batch.observed[k]][None], batch.actions[k][None])
            loss = loss + (value[0] - returns[k]) ** 2 / 5
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    before = [[p.clone() for p in target.parameters()] for target in learner.targets]
    terms = learner.update_critics(batch, [1, 2], seeded(7))
    assert float(terms["critic_loss"]) == pytest.approx(sum(losses) / 3)
    for m in range(3):
        updated = list(learner.critics[m].parameters())
        for parameter, expected in zip(updated, reference.critics[m].parameters()):
            torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-7)
        for old, new, lagging in zip(before[m], updated, learner.targets[m].parameters()):
            torch.testing.assert_close(lagging, 0.9 * old + 0.1 * new)


def test_policy_and_temperature_take_the_step_of_a_slow_reference():
    learner, batch = make_learner(), draw_transitions()
    reference = make_learner()
    noise = draw_noise(5, 3, seed=7)
    loss, log_densities, values = 0.0, [], []
    for k in range(5):
        rows = batch.rows[k][batch.observed[k]]
        action, log_density = gaussian_action(reference.policy, rows, noise[k])
        value = sum(critic(rows[None], action[None])[0] for critic in reference.critics) / 3
        loss = loss + (0.5 * log_density - value) / 5
        log_densities.append(float(log_density.detach()))
        values.append(float(value.detach()))
    gradients = torch.autograd.grad(loss, list(reference.policy.parameters()))
    terms = learner.update_policy(batch, target_entropy=-6.0, generator=seeded(7))
    entropy = -sum(log_densities) / 5
    assert float(terms["value"]) == pytest.approx(sum(values) / 5)
    assert float(terms["entropy"]) == pytest.approx(entropy)
    assert float(terms["temperature"]) == pytest.approx(0.5)
    for parameter, expected in zip(learner.policy.parameters(), gradients):
        torch.testing.assert_close(parameter.grad, expected, rtol=0, atol=1e-10)
    # Adam's first step has the size of the learning rate: down, as the entropy is above -6.
    assert entropy > -6.0
    assert float(learner.log_temperature.detach()) == pytest.approx(math.log(0.5) - 1e-2, abs=1e-5)
    assert all(p.grad is None for critic in learner.critics for p in critic.parameters())


@kinds
def test_a_policy_update_lowers_its_loss(kind):
    learner, batch = make_learner(kind), draw_transitions(n=64)

    @torch.no_grad()
    def loss():
        actions, log_density = learner.policy.sample(
            batch.rows, batch.observed, generator=seeded(3)
        )
        values = [critic(batch.rows, actions, batch.observed) for critic in learner.critics]
        return float((0.5 * log_density - sum(values) / 3).mean())

    first = loss()
    for seed in range(10):
        learner.update_policy(batch, -6.0, seeded(seed))
    assert loss() < first


@kinds
def test_default_entropies(kind):
    both, targets_only = (POLICIES[kind](seeded(), n_choices=n, **SIZES) for n in (2, 1))
    expected = {"gaussian": (-10.0, -5.0), "bernoulli": (2.5 * math.log(2) - 5, 2.5 * math.log(2))}
    found = tuple(default_target_entropy(policy, 5) for policy in (both, targets_only))
    assert found == pytest.approx(expected[kind])


def fill(n_episodes=4, capacity=6, seed=0):
    """A buffer, and what was added."""
    buffer = ReplayBuffer(capacity, 3, 2, 2, 3, 6, "cpu")
    X = torch.randn(n_episodes, 8, 3, generator=seeded(seed))
    histories = Histories(X, X > 0, torch.zeros(8, dtype=torch.int64), 2)
    actions = torch.randn(n_episodes, 3, 6, generator=seeded(seed + 1))
    rewards = torch.randn(n_episodes, 3, generator=seeded(seed + 2))
    buffer.add(histories, actions, rewards)
    return buffer, histories, actions, rewards


def test_the_buffer_returns_steps_with_the_rows_before_and_after():
    buffer, histories, actions, rewards = fill()
    batch = buffer.sample(200, seeded())
    seen = set()
    for k in range(200):
        episode, step = torch.nonzero(rewards == batch.rewards[k])[0].tolist()
        seen.add((episode, step))
        assert torch.equal(batch.rows[k, ..., 0], histories.X[episode])
        assert torch.equal(batch.rows[k, ..., 1] > 0, histories.mask[episode])
        assert torch.equal(batch.actions[k], actions[episode, step])
        assert batch.observed[k].tolist() == [row < 2 + 2 * step for row in range(8)]
        assert batch.observed_next[k].tolist() == [row < 4 + 2 * step for row in range(8)]
        assert bool(batch.is_last[k]) == (step == 2)
    assert len(seen) == 12


def test_the_buffer_keeps_the_latest_episodes():
    buffer, *_, first = fill()
    _, histories, actions, second = fill(seed=10)
    buffer.add(histories, actions, second)
    assert len(buffer) == 6
    kept = set(buffer.tensors()["rewards"].flatten().tolist())
    assert kept == set(second.flatten().tolist()) | set(first[2:].flatten().tolist())


@kinds
def test_episodes_consist_of_the_actions_of_the_policy(kind):
    laboratory = Laboratory(LinearPrior(3).sample(4, random_state=0), 5)
    start = Episodes.start(laboratory, JUDGE, "edges")
    policy = POLICIES[kind](seeded(), **SIZES)
    histories, actions, rewards = run_episodes(start, policy, 3, seeded())
    assert histories.X.shape == (4, 8, 3)
    assert actions.shape == (4, 3, 6)
    assert torch.equal(histories.mask[:, 5:], actions[..., :3] > 0)
    episodes = start
    for t in range(3):
        episodes, reward = episodes.perform(actions[:, t])
        torch.testing.assert_close(reward, rewards[:, t])
    torch.testing.assert_close(rewards.sum(dim=1), episodes.score)
    uniform = run_episodes(start, None, 3, seeded())[1]
    assert uniform.abs().max() <= 1
    assert uniform.std() == pytest.approx(math.sqrt(1 / 3), rel=0.2)


@kinds
def test_training_is_reproducible(kind):
    state = torch.get_rng_state()
    policy, history = train(target_distribution=kind)
    again, same_history = train(target_distribution=kind)
    assert_same(policy.state_dict(), again.state_dict())
    assert_same(history, same_history)
    assert torch.equal(torch.get_rng_state(), state)
    assert set(history) == {"return", "critic_loss", "value", "entropy", "temperature"}
    assert all(values.shape == (3,) and values.isfinite().all() for values in history.values())
    assert (history["return"] > 0).all()
    assert (history["return"] < 9).all()


def test_gene_networks_are_trained_on():
    genes = GeneNetworkPrior(
        3, edges_per_variable=1.0, n_cell_types=1, steps_per_cell=1, burn_in=2, dt=0.1
    )
    policy, history = train(prior=genes, n_iterations=2, n_updates=1, rows_per_design=2)
    assert policy.sizes["n_choices"] == 1
    assert history["return"].isfinite().all()


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize(("kind", "stopped_after"), [("gaussian", 3), ("bernoulli", 1)])
def test_an_interrupted_training_goes_on_bit_by_bit(kind, stopped_after, tmp_path, monkeypatch):
    monkeypatch.setattr(_redq, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(_redq, "_TIMES_OF_WRITING", 0.0)
    settings = {"n_iterations": 4, "target_distribution": kind, "fingerprint": "x"}
    policy, history = train(**settings, checkpoint=tmp_path / "whole")

    class Killed(JUDGE.__class__):
        n_calls = 0

        def edge_probabilities(self, histories):
            Killed.n_calls += 1
            if Killed.n_calls > 3 * stopped_after + 1:
                raise KeyboardInterrupt
            return super().edge_probabilities(histories)

    with pytest.raises(KeyboardInterrupt):
        train(Killed(JUDGE.model), **settings, checkpoint=tmp_path / "resumed")
    assert load_checkpoint(tmp_path / "resumed")[1]["iteration"] == stopped_after
    resumed, same_history = train(**settings, checkpoint=tmp_path / "resumed")
    assert_same(resumed.state_dict(), policy.state_dict())
    assert_same(same_history, history)
    whole, header = load_checkpoint(tmp_path / "whole")
    again, same_header = load_checkpoint(tmp_path / "resumed")
    assert_same(again, whole)
    assert header == same_header
    groups = {name.split(".")[0] for name in whole}
    assert groups == {
        *("policy", "critics", "targets", "temperature", "buffer", "history"),
        *("policy_optimizer", "critic_optimizer", "temperature_optimizer"),
    }


def test_a_finished_training_is_returned_and_can_be_prolonged(tmp_path):
    path = tmp_path / "training"
    policy, history = train(checkpoint=path)
    again, same_history = train(judge=None, checkpoint=path)  # no episode is run
    assert_same(again.state_dict(), policy.state_dict())
    assert_same(same_history, history)
    longer, _ = train(checkpoint=path, n_iterations=4)
    assert_same(longer.state_dict(), train(n_iterations=4)[0].state_dict())


def test_checkpoints_of_other_trainings_are_refused(tmp_path):
    path = tmp_path / "training"
    train(checkpoint=path, n_iterations=1, fingerprint="a")
    for changes in ({"fingerprint": "b"}, {"width": 8}, {"n_critics": 2}, {"budget": 2}):
        with pytest.raises(ValueError, match="belongs to another training"):
            train(**({"checkpoint": path, "fingerprint": "a"} | changes))
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError):
        train(checkpoint=tmp_path / "file")


def test_a_training_that_diverges_is_stopped():
    with pytest.raises(FloatingPointError, match="Lower the learning rates"):
        train(policy_learning_rate=1e30, critic_learning_rate=1e30)


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_subset": 4},
        {"capacity": 11},
        {"budget": 0},
        {"n_iterations": 0},
        {"discount": 1.5},
        {"tau": 0.0},
        {"initial_temperature": 0.0},
        {"reward": "accuracy"},
        {"target_distribution": "uniform"},
    ],
)
def test_bad_settings_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        train(**arguments)


class WantsHighValues:
    """Sure of no edge from a variable if it was set to a value above 0.3, of all edges else."""

    def edge_probabilities(self, histories):
        good = (histories.mask & (histories.X > 0.3))[:, -1]
        return (~good[:, :, None] & ~torch.eye(histories.n_variables, dtype=torch.bool)).float()


@kinds
def test_what_pays_is_learnt(kind):
    # Without edges the score of two variables is 2, and 1 more for each that is set high.
    _, history = train(
        judge=WantsHighValues(),
        prior=LinearPrior(2, edges_per_variable=0.0),
        target_distribution=kind,
        n_iterations=6,
        budget=1,
        n_initial=2,
        n_envs=64,
        capacity=1000,
        n_updates=12,
        n_critic_updates=1,
        batch_size=64,
        n_critics=2,
        n_hidden=32,
        tau=0.05,
        dropout=0.0,
        policy_learning_rate=1e-2,
        critic_learning_rate=1e-2,
        initial_temperature=0.3,
    )
    returns = history["return"]
    assert float(returns[0]) == pytest.approx(2.35, abs=0.3)  # uniformly random actions
    assert float(returns[-2:].mean()) > float(returns[0]) + 0.7
