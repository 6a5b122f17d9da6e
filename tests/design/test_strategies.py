"""Strategies: a design for each of a batch of histories, or one of given candidates."""

import functools

import pytest
import torch

from skcausal.design import _strategies
from skcausal.design._bootstrap_judge import BootstrapJudge
from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Designs
from skcausal.design._judges import judge_of_prior
from skcausal.design._lookahead import expected_utility
from skcausal.design._policy_weights import POLICY_FILES
from skcausal.design._rules import RULES, draw_candidates, entropy_of_edges
from skcausal.design._scorer_inputs import ScorerInputs
from skcausal.design._strategies import (
    BootstrapStrategy,
    DistilledStrategy,
    LookaheadStrategy,
    PolicyStrategy,
    RuleStrategy,
    UncertaintyStrategy,
)
from tests.design.test_design_space import assert_in_space
from tests.design.test_judges import CAASL
from tests.design.test_judges import histories as episodes
from tests.design.test_posterior_systems import generator
from tests.design.test_scorer_network import scorer

D = 4
JUDGE = judge_of_prior(CAASL, D)
SIZES = {"n_choices": 2, "width": 8, "n_layers": 1, "n_heads": 2, "n_hidden": 8}


def policy(variant, **changes):
    return POLICY_FILES.make(variant, SIZES | changes, seed=0)


STRATEGIES = {
    **{name: RuleStrategy(name) for name in RULES},
    "uncertain_single": UncertaintyStrategy(JUDGE, single=True),
    "uncertain_half": UncertaintyStrategy(JUDGE, single=False),
    "lookahead": LookaheadStrategy(JUDGE, "edges", 5, 8, 3),
    "information": LookaheadStrategy(JUDGE, "information", 5, 8, 3),
    "distilled": DistilledStrategy(scorer().float(), 6),
    "diffcbed": BootstrapStrategy("diffcbed", BootstrapJudge(n_bootstraps=3)),
    "ss_finite": BootstrapStrategy("ss_finite", BootstrapJudge(n_bootstraps=3)),
    "gaussian": PolicyStrategy(policy("gaussian")),
    "bernoulli": PolicyStrategy(policy("bernoulli")),
    "greedy policy": PolicyStrategy(policy("bernoulli"), sample=False),
}
SPACES = {
    "all": DesignSpace.unrestricted(D, -1.0, 1.0),
    "restricted": DesignSpace(
        torch.tensor([True, True, False, True]),
        torch.tensor([-1.0, 0.0, 2.0, 3.0]),
        torch.tensor([1.0, 2.0, 2.0, 5.0]),
        1,
        2,
    ),
}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)
HISTORIES = episodes(2, 3)
TARGETS = torch.tensor(
    [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]]
).bool()
CANDIDATES = Designs(TARGETS.expand(2, 5, 4), TARGETS.expand(2, 5, 4).double())


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    quick = functools.partial(_strategies.diffcbed_designs, n_steps=5)
    monkeypatch.setattr(_strategies, "diffcbed_designs", quick)


@every_strategy
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_proposals_are_in_the_space(name, space):
    if name == "observational":
        space = SPACES["all"]
    designs = STRATEGIES[name].propose(HISTORIES, space, generator())
    assert designs.targets.shape == designs.values.shape == (2, D)
    assert designs.targets.dtype == torch.bool
    assert_in_space(designs, space)
    assert torch.isfinite(designs.values).all()


@every_strategy
def test_one_of_the_candidates_is_chosen(name):
    found = STRATEGIES[name].choose(HISTORIES, CANDIDATES, SPACES["all"], generator())
    assert found.shape == (2,)
    assert found.dtype == torch.int64
    assert ((found >= 0) & (found < 5)).all()


@every_strategy
def test_seed_determines_proposal_and_choice(name):
    strategy, space = STRATEGIES[name], SPACES["all"]
    torch.manual_seed(0)
    first = strategy.propose(HISTORIES, space, generator(3))
    chosen = strategy.choose(HISTORIES, CANDIDATES, space, generator(3))
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    again = strategy.propose(HISTORIES, space, generator(3))
    assert torch.equal(first.targets, again.targets)
    assert torch.equal(first.values, again.values)
    found = strategy.choose(HISTORIES, CANDIDATES, space, generator(3))
    assert torch.equal(found, chosen)
    assert torch.equal(torch.random.get_rng_state(), state)


class TestRules:
    @pytest.mark.parametrize("name", ["balanced_half", "single_cycle"])
    def test_rules_that_balance_choose_targets_that_waited(self, name):
        count = HISTORIES.n_targeted()
        n_targets = TARGETS.sum(dim=1)
        waited = (TARGETS * count[:, None]).sum(dim=-1) / n_targets
        for seed in range(10):
            found = RuleStrategy(name).choose(HISTORIES, CANDIDATES, SPACES["all"], generator(seed))
            for s in range(2):
                assert waited[s, found[s]] <= waited[s].min() + 0.5

    @pytest.mark.parametrize("name", ["random", "random_extreme", "observational"])
    def test_others_choose_at_random(self, name):
        found = [
            RuleStrategy(name).choose(HISTORIES, CANDIDATES, SPACES["all"], generator(seed))
            for seed in range(60)
        ]
        assert set(torch.cat(found).tolist()) == set(range(5))


class TestUncertainty:
    def test_candidates_by_the_mean_entropy_of_their_targets(self):
        entropy = entropy_of_edges(JUDGE.edge_probabilities(HISTORIES))
        mean = torch.stack([torch.stack([entropy[s][t].mean() for t in TARGETS]) for s in range(2)])
        strategy = STRATEGIES["uncertain_half"]
        found = strategy.choose(HISTORIES, CANDIDATES, SPACES["all"], generator())
        assert torch.equal(found, mean.argmax(dim=1))


class TestLookahead:
    @pytest.mark.parametrize("utility", ["edges", "information"])
    def test_the_best_by_expected_utility(self, utility):
        strategy = LookaheadStrategy(JUDGE, utility, 5, 16, 5)
        source = generator(4)
        expected = expected_utility(
            JUDGE.draw(HISTORIES, 16, source),
            CANDIDATES,
            n_outcomes=5,
            rows_per_design=1,
            utility=utility,
            generator=source,
        )
        found = strategy.choose(HISTORIES, CANDIDATES, SPACES["all"], generator(4))
        assert torch.equal(found, expected.argmax(dim=1))

    def test_proposal_is_the_chosen_candidate(self):
        strategy, source = STRATEGIES["lookahead"], generator(4)
        candidates = draw_candidates(HISTORIES.n_targeted(), 5, SPACES["all"], source)
        choice = strategy.choose(HISTORIES, candidates, SPACES["all"], source)
        found = strategy.propose(HISTORIES, SPACES["all"], generator(4))
        assert torch.equal(found.values, candidates.take(choice).values)

    def test_many_histories_are_done_in_parts(self, monkeypatch):
        many = episodes(5, 1)
        monkeypatch.setattr(_strategies, "_HISTORIES_AT_ONCE", 2)
        found = STRATEGIES["lookahead"].propose(many, SPACES["all"], generator())
        assert found.targets.shape == (5, D)

    def test_histories_of_single_precision(self):
        found = STRATEGIES["lookahead"].propose(
            HISTORIES.to(torch.float32), SPACES["all"], generator()
        )
        assert found.values.dtype == torch.float32


class TestDistilled:
    def test_the_highest_score(self):
        strategy = STRATEGIES["distilled"]
        inputs = ScorerInputs.from_histories(HISTORIES)
        position = CANDIDATES.values.float() * inputs.signs[:, None]
        with torch.no_grad():
            function = strategy.scorer(inputs)
            expected = strategy.scorer.score(function, CANDIDATES.targets, position)
        found = strategy.choose(HISTORIES, CANDIDATES, SPACES["all"], generator())
        assert torch.equal(found, expected.argmax(dim=1))
        assert not found.requires_grad

    def test_the_mirror_image_of_the_data_has_the_mirror_image_of_the_choice(self):
        strategy = STRATEGIES["distilled"]
        signs = torch.tensor([1.0, -1.0, 1.0, -1.0]).double()
        flipped = type(HISTORIES)(HISTORIES.X * signs, HISTORIES.mask, HISTORIES.regime)
        values = torch.randn((2, 9, D), generator=generator(5)).double().clamp(-1, 1)
        targets = torch.ones((2, 9, D), dtype=torch.bool)
        found = strategy.choose(
            flipped, Designs(targets, values * signs), SPACES["all"], generator()
        )
        expected = strategy.choose(HISTORIES, Designs(targets, values), SPACES["all"], generator())
        assert torch.equal(found, expected)


class TestPolicies:
    def test_targets_and_values_fall_into_their_ranges(self):
        space = SPACES["restricted"]
        for seed in range(20):
            for name in ("gaussian", "bernoulli"):
                designs = STRATEGIES[name].propose(HISTORIES, space, generator(seed))
                assert_in_space(designs, space)

    def test_most_likely_actions_need_no_seed(self):
        first, other = (
            STRATEGIES["greedy policy"].propose(HISTORIES, SPACES["all"], generator(seed))
            for seed in (0, 1)
        )
        assert torch.equal(first.values, other.values)

    def test_candidate_closest_to_the_action(self):
        strategy, source = STRATEGIES["greedy policy"], generator()
        wanted = strategy.propose(HISTORIES, SPACES["all"], source).targets
        found = strategy.choose(HISTORIES, CANDIDATES, SPACES["all"], generator())
        distance = (wanted[:, None] != TARGETS).sum(dim=-1)
        assert (distance.gather(1, found[:, None])[:, 0] == distance.min(dim=1)[0]).all()
