"""What a designer learns from: lookahead, and outcomes of the system itself."""

import pytest
import torch
from scipy.stats import spearmanr

from skcausal.design._histories import Designs
from skcausal.design._judges import ExactJudge, NetworkJudge, judge_of_prior
from skcausal.design._laboratory import Laboratory
from skcausal.design._lookahead import expected_utility
from skcausal.design._rewards import expected_correct_edges
from skcausal.design._rules import balanced_half
from skcausal.design._teachers import LookaheadTeacher, SimulationTeacher
from skcausal.design._training import teacher_of
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.structure import ExactGraphPosterior
from tests.design.test_posterior_systems import generator

PRIOR = LinearPrior.preset("caasl", n_variables=3, edges_per_variable=0.5)
JUDGE = judge_of_prior(PRIOR, 3)
LAB = Laboratory(PRIOR.sample(3, random_state=0), n_initial=8, rows_per_design=2, seed=1)


def candidates(n=4):
    return balanced_half(torch.zeros(3, n, 3), LAB.space(), generator(1))


class TestLookahead:
    def test_utilities_are_those_of_draws_from_the_judge(self):
        teacher = LookaheadTeacher(JUDGE, n_draws=16, n_outcomes=5)
        found, edges = teacher(LAB, LAB.start(), candidates(), 0, generator())
        source = generator()
        probabilities, systems = JUDGE.judge_and_draw(LAB.start(), 16, source)
        expected = expected_utility(
            systems,
            candidates(),
            n_outcomes=5,
            rows_per_design=2,
            utility="edges",
            generator=source,
        )
        assert torch.equal(found, expected)
        assert torch.equal(edges, probabilities)


class TestSimulation:
    def test_utilities_are_those_of_a_loop(self):
        teacher = SimulationTeacher(JUDGE, n_outcomes=3)
        histories, designs, step = LAB.start(), candidates(), 2
        found, edges = teacher(LAB, histories, designs, step, generator())
        assert found.shape == (3, 4)
        torch.testing.assert_close(edges, JUDGE.edge_probabilities(histories))
        for c in range(4):
            total = 0.0
            for k in range(3):
                after = LAB.perform(histories, designs[:, c], 1024 + 3 * step + k)
                total = total + expected_correct_edges(JUDGE.edge_probabilities(after))
            torch.testing.assert_close(found[:, c], total / 3, atol=1e-6, rtol=1e-5)

    def test_no_outcome_is_that_of_a_step(self):
        """The label must not know the noise that the episode will meet."""
        designs = candidates()
        ahead = [LAB.outcomes(designs, 1024 + k) for k in range(40)]
        for step in range(20):
            performed = LAB.outcomes(designs, step)
            assert not any(torch.equal(performed, x) for x in ahead)

    def test_no_target_is_worth_less_than_a_half(self):
        targets = torch.zeros((3, 2, 3), dtype=torch.bool)
        targets[:, 1, :2] = True
        designs = Designs(targets, 1.0 * targets)
        utility, _ = SimulationTeacher(JUDGE, 30)(LAB, LAB.start(), designs, 0, generator())
        assert utility[:, 1].mean() > utility[:, 0].mean()


def test_both_teachers_agree_on_average():
    """One draw from the posterior is the system itself; means over systems are the same."""
    lab = Laboratory(PRIOR.sample(60, random_state=3), n_initial=8, rows_per_design=3, seed=1)
    options = [[1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]]
    targets = torch.tensor(options, dtype=torch.bool).expand(60, 4, 3)
    designs = Designs(targets, 1.0 * targets)
    ahead, _ = LookaheadTeacher(JUDGE, 64, 32)(lab, lab.start(), designs, 0, generator())
    done, _ = SimulationTeacher(JUDGE, 4)(lab, lab.start(), designs, 0, generator())
    ahead, done = ahead.mean(dim=0), done.mean(dim=0)
    assert spearmanr(ahead, done).statistic > 0.7
    torch.testing.assert_close(
        (ahead - ahead[3]).double(), (done - done[3]).double(), atol=0.15, rtol=0
    )


class TestChoice:
    def test_linear_systems_have_lookahead(self):
        teacher = teacher_of(PRIOR, 3)
        assert isinstance(teacher, LookaheadTeacher)
        assert isinstance(teacher.judge, ExactJudge)
        assert teacher.judge.dtype == torch.float32

    def test_genes_have_simulated_outcomes(self):
        teacher = teacher_of(GeneNetworkPrior(3, edges_per_variable=1.0), 3)
        assert isinstance(teacher, SimulationTeacher)
        assert isinstance(teacher.judge, NetworkJudge)

    def test_a_given_posterior_judges(self):
        posterior = ExactGraphPosterior(edge_probability=0.1)
        teacher = teacher_of(PRIOR, 3, posterior)
        assert teacher.judge.model.edge_probability == pytest.approx(0.1)
