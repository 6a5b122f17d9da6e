"""The decision process in a batch, and the environment of gymnasium."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from scipy.stats import randint

from skcausal.design._design_space import DesignSpace
from skcausal.design._env import Episodes, InterventionDesignEnv, cells_of, designs_of, fixed_size
from skcausal.design._judges import ExactJudge
from skcausal.design._laboratory import Laboratory
from skcausal.design._rewards import REWARDS, SCORES
from skcausal.simulators import (
    DoseResponsePrior,
    GeneNetworkPrior,
    LeakyHumPrior,
    LinearPrior,
    NonlinearPrior,
)
from skcausal.structure._parent_set_scores import LinearGaussianModel

JUDGE = ExactJudge(LinearGaussianModel(0.3, 1.0, 1.0, 0.2, True))
# Short trajectories: what the cells look like does not matter here.
GENES = GeneNetworkPrior(
    3, edges_per_variable=1.0, n_cell_types=1, steps_per_cell=1, burn_in=2, dt=0.1
)


def make(prior=None, **arguments):
    settings = {"budget": 3, "n_initial": 5} | arguments
    return InterventionDesignEnv(LinearPrior(3) if prior is None else prior, JUDGE, **settings)


def run(env, actions, seed=0):
    """Observations and rewards of an episode."""
    observations, rewards = [env.reset(seed=seed)[0]], []
    for action in actions:
        observation, reward, *_ = env.step(action)
        observations.append(observation)
        rewards.append(reward)
    return observations, rewards


def some_actions(env, n=3, seed=0):
    shape = (n, *env.action_space.shape)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize(
    "prior", [LinearPrior(3), GENES, NonlinearPrior(3)], ids=["linear", "genes", "nonlinear"]
)
@pytest.mark.filterwarnings("ignore:.*Box observation space.*infinity")
def test_environment_keeps_the_contract_of_gymnasium(prior):
    env = make(prior, rows_per_design=2)
    check_env(env, skip_render_check=True)


def test_environment_can_be_wrapped_and_run():
    env = gymnasium.wrappers.FlattenObservation(make())
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    assert observation.shape == (8 * 3 * 2 + 8,)
    ends = [env.step(env.action_space.sample())[2] for _ in range(3)]
    assert ends == [False, False, True]


def test_actions_choose_values_unless_they_are_knock_outs():
    assert make(LinearPrior(3)).action_space.shape == (6,)
    assert make(GENES).action_space.shape == (3,)


@pytest.mark.parametrize("prior", [LinearPrior(3), GENES], ids=["linear", "genes"])
def test_a_seed_determines_the_episode(prior):
    env = make(prior)
    actions = some_actions(env)
    first, rewards = run(env, actions)
    again, same_rewards = run(make(prior), actions)
    other = run(env, actions, seed=1)[0]
    for one, two in zip(first, again):
        assert all(np.array_equal(one[name], two[name]) for name in one)
    assert rewards == same_rewards
    assert not np.array_equal(first[0]["rows"], other[0]["rows"])


def test_episodes_after_the_first_have_other_systems():
    env = make()
    first = env.reset(seed=0)[0]["rows"]
    second = env.reset()[0]["rows"]
    assert not np.array_equal(first, second)
    env.reset(seed=0)
    assert np.array_equal(env.reset()[0]["rows"], second)


def test_observations_hold_the_rows_so_far():
    env = make(rows_per_design=2)
    actions = some_actions(env)
    observations, _ = run(env, actions)
    for t, observation in enumerate(observations):
        n = 5 + 2 * t
        assert observation["observed"].tolist() == [1] * n + [0] * (11 - n)
        assert (observation["rows"][n:] == 0).all()
        assert (observation["rows"][:n, :, 0] != 0).any(axis=1).all()
        if t:
            assert np.array_equal(
                observation["rows"][: n - 2], observations[t - 1]["rows"][: n - 2]
            )
            targets = actions[t - 1][:3] > 0
            assert (observation["rows"][n - 2 : n, :, 1] == targets).all()
            values = np.broadcast_to(actions[t - 1][3:], (2, 3))
            set_to = observation["rows"][n - 2 : n, :, 0]
            np.testing.assert_allclose(set_to[:, targets], values[:, targets], rtol=1e-6)
    assert (observations[0]["rows"][..., 1] == 0).all()


@pytest.mark.parametrize("reward", REWARDS)
def test_rewards_add_up_to_the_final_score(reward):
    env = make(reward=reward)
    _, info = env.reset(seed=3)
    previous, total = 0.0, 0.0
    for action in some_actions(env):
        _, earned, _, _, info = env.step(action)
        total += earned
        assert total == pytest.approx(info["score"], abs=1e-5)
        assert earned == pytest.approx(info["score"] - previous, abs=1e-5)
        previous = info["score"]
    adjacency = env._episodes.laboratory.systems.adjacency
    probabilities = torch.from_numpy(info["edge_probabilities"])[None]
    assert total == pytest.approx(float(SCORES[reward](probabilities, adjacency)), abs=1e-5)


def test_a_batch_of_episodes_is_many_environments():
    systems = LinearPrior(3).sample(2, random_state=0)
    actions = torch.rand(2, 3, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    together = Episodes.start(Laboratory(systems, 5), JUDGE, "edges")
    alone = [Episodes.start(Laboratory(systems[k : k + 1], 5), JUDGE, "edges") for k in range(2)]
    for t in range(3):
        together, rewards = together.perform(actions[:, t])
        for k in range(2):
            alone[k], reward = alone[k].perform(actions[k : k + 1, t])
            torch.testing.assert_close(reward[0], rewards[k])
            torch.testing.assert_close(alone[k].histories.X[0], together.histories.X[k])
    assert together.step == 3


def test_the_initial_score_can_be_left_out():
    laboratory = Laboratory(LinearPrior(3).sample(4, random_state=0), 5)
    action = torch.ones(4, 6)
    start = Episodes.start(laboratory, JUDGE, "edges")
    _, published = start.perform(action)
    later, improvement = Episodes.start(laboratory, JUDGE, "edges", count_initial=False).perform(
        action
    )
    torch.testing.assert_close(published - improvement, start.score)
    assert later.perform(action)[1].abs().max() < 2.0


def test_actions_are_mapped_to_the_range_of_values():
    space = DesignSpace.unrestricted(3, 2.0, 6.0)
    designs = designs_of(torch.tensor([[0.5, -0.5, 0.1, -1.0, 0.0, 0.5]]), space)
    assert designs.targets.tolist() == [[True, False, True]]
    assert designs.values.tolist() == [[2.0, 0.0, 5.0]]
    knock_outs = designs_of(torch.tensor([[0.0, -0.5, 0.1]]), space)
    assert knock_outs.targets.tolist() == [[False, False, True]]
    assert not knock_outs.values.any()


def test_designers_read_values_and_targets():
    histories = Laboratory(LinearPrior(3).sample(2, random_state=0), 5).start()
    cells = cells_of(histories)
    assert cells.shape == (2, 5, 3, 2)
    assert torch.equal(cells[..., 0], histories.X)
    assert not cells[..., 1].any()


@pytest.mark.parametrize(
    "prior", [LinearPrior(randint(3, 5)), DoseResponsePrior(), LeakyHumPrior(), None]
)
def test_systems_of_several_sizes_are_refused(prior):
    with pytest.raises(ValueError, match="fixed number of variables"):
        fixed_size(prior)


@pytest.mark.parametrize(
    "arguments",
    [{"budget": 0}, {"n_initial": 0}, {"rows_per_design": 1.5}, {"reward": "accuracy"}],
)
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        make(**arguments)


@pytest.mark.parametrize("action", [np.zeros(5), np.full(6, 2.0), np.full(6, np.nan)])
def test_bad_actions_are_refused(action):
    env = make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="6 numbers from -1 to 1"):
        env.step(action)


def test_no_step_without_an_episode():
    env = make(budget=1)
    with pytest.raises(RuntimeError, match="Call reset"):
        env.step(np.zeros(6))
    env.reset(seed=0)
    env.step(np.zeros(6))
    with pytest.raises(RuntimeError, match="Call reset"):
        env.step(np.zeros(6))
