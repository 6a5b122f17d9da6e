import numpy as np
import pytest
import torch
from scipy.stats import fisk

from skcausal.simulators._dose_response import DoseResponses
from skcausal.simulators._dose_response_prior import DoseResponsePrior
from skcausal.simulators._linear import LinearSystems
from skcausal.simulators._linear_prior import LinearPrior
from skcausal.simulators._nonlinear import NonlinearPrior

SMALL = DoseResponsePrior(LinearPrior(6), n_perturbations=8, n_heldout_perturbations=2)


def chain(kind="shift"):
    """Variables 0 -> 1 -> 2 with weights 2 and -1/2; perturbation 0 on 0, perturbation 1 on 1, 2.

    Perturbation 0 has E = 3, K = 1, n = 2; perturbation 1 has E = -2 and 4, K = 2, n = 1.
    """
    coef = torch.zeros(1, 3, 3, dtype=torch.float64)
    coef[0, 0, 1], coef[0, 1, 2] = 2.0, -0.5
    limits = torch.tensor([[[3.0, 0.0, 0.0], [0.0, -2.0, 4.0]]], dtype=torch.float64)
    return DoseResponses(
        systems=LinearSystems.from_coef(coef),
        targets=limits != 0,
        max_effects=limits,
        half_doses=torch.tensor([[1.0, 2.0]], dtype=torch.float64),
        hills=torch.tensor([[2.0, 1.0]], dtype=torch.float64),
        fingerprints=limits,
        kind=kind,
        n_heldout_perturbations=1,
        train_doses=(1.0, 3.0),
        partly_ood_doses=(2.0,),
        heldout_doses=(0.5, 6.0),
    )


class TestByHand:
    """Expected values are worked out from the equations of the chain."""

    def test_effects(self):
        # 9/(1+9) = 0.9 of 3; 2/(2+2) = 1/2 of -2 and of 4.
        effects = chain().effects([0, 1], [3.0, 2.0])
        np.testing.assert_allclose(effects, [[[2.7, 0.0, 0.0], [0.0, -1.0, 2.0]]])

    def test_mean_of_shifts_follows_the_arrows(self):
        mean = chain().interventional_mean([0, 1], [1.0, 2.0])
        np.testing.assert_allclose(mean, [[[1.5, 3.0, -1.5], [0.0, -1.0, 2.5]]], atol=1e-12)

    def test_mean_of_hard_interventions_cuts_them(self):
        mean = chain("hard").interventional_mean([0, 1], [1.0, 2.0])
        np.testing.assert_allclose(mean, [[[1.5, 3.0, -1.5], [0.0, -1.0, 2.0]]], atol=1e-12)

    def test_hard_rows_hold_the_effect(self):
        X = chain("hard").sample(5, 1, 2.0, random_state=0)
        assert X.shape == (1, 1, 5, 3)
        np.testing.assert_allclose(X[..., 1:], np.broadcast_to([-1.0, 2.0], (1, 1, 5, 2)))
        assert X[..., 0].unique().numel() == 5

    def test_features(self):
        features = chain().features_of([0, 1], [3.0, 2.0])
        expected = [[[3.0, 0.0, 0.0, 3.0, 1.0, 2.0], [0.0, -2.0, 4.0, 2.0, 2.0, 1.0]]]
        np.testing.assert_allclose(features, expected)
        np.testing.assert_array_equal(chain().control_features(), np.zeros((1, 1, 6)))

    @pytest.mark.parametrize(
        ("split", "perturbations", "doses"),
        [
            ("train", [0, 0], [1.0, 3.0]),
            ("partly_ood", [0], [2.0]),
            ("fully_ood", [1, 1], [0.5, 6.0]),
        ],
    )
    def test_contexts(self, split, perturbations, doses):
        found = chain().contexts(split)
        assert found[0].tolist() == perturbations
        assert found[1].tolist() == doses


class TestHillCurve:
    def test_agrees_with_the_log_logistic_distribution(self):
        tasks = SMALL.sample(5, 0, dtype=torch.float64)
        doses = np.geomspace(0.01, 100.0, 10)
        for k in range(tasks.n_perturbations):
            effects = tasks.effects(k, doses).numpy()
            for b in range(5):
                share = fisk(float(tasks.hills[b, k]), scale=float(tasks.half_doses[b, k]))
                expected = share.cdf(doses)[:, None] * tasks.max_effects[b, k].numpy()
                np.testing.assert_allclose(effects[b], expected, rtol=1e-10)

    def test_half_dose_has_half_of_the_limit(self):
        tasks = SMALL.sample(1, 0, dtype=torch.float64)
        effects = tasks.effects(range(8), tasks.half_doses[0])
        np.testing.assert_allclose(effects[0], tasks.max_effects[0] / 2)

    def test_steep_curves_are_steps(self):
        prior = DoseResponsePrior(LinearPrior(3), hill=5000.0, half_dose=1.0, max_effect=2.0)
        tasks = prior.sample(1, 0)
        steps = tasks.effects(0, [0.5, 1.0, 2.0])[0].abs().amax(dim=-1)
        np.testing.assert_allclose(steps, [0.0, 1.0, 2.0])


@pytest.mark.parametrize("kind", ["shift", "hard"])
@pytest.mark.parametrize("systems", [LinearPrior(6, n_confounders=1), NonlinearPrior(4)])
def test_rows_scatter_around_the_mean(systems, kind):
    """Simulated means agree with the truth within 4 standard errors."""
    prior = DoseResponsePrior(
        systems, n_perturbations=5, n_heldout_perturbations=1, n_targets=2, kind=kind
    )
    tasks = prior.sample(3, 1, dtype=torch.float64)
    contexts = tasks.contexts("train")
    X = tasks.sample(2000, *contexts, random_state=3)
    mean, error = tasks.interventional_mean(
        *contexts, n_samples=2000, random_state=3, return_standard_error=True
    )
    error = (error**2 + X.var(dim=2) / 2000).sqrt()
    assert ((X.mean(dim=2) - mean).abs() <= 4 * error + 1e-9).all()
    control_error = (tasks.systems.interventional_mean(random_state=4)[:, :1] - mean).abs()
    assert (control_error > 0.5).any()  # the perturbations do something


class TestRows:
    def test_seed_sets_the_size_of_the_published_experiment(self):
        tasks = DoseResponsePrior().sample(1, 0)
        train = tasks.contexts("train")
        assert tasks.sample(50, *train, random_state=0).shape == (1, 160, 50, 20)
        assert tasks.sample_controls(800, random_state=0).shape == (1, 800, 20)
        assert tasks.features_of(*train).shape == (1, 160, 23)

    def test_noise_is_independent_between_contexts_splits_and_controls(self):
        tasks = SMALL.sample(1, 0, dtype=torch.float64)
        blocks = [tasks.sample_controls(2000, random_state=5)[:, None]]
        for split in ("train", "partly_ood", "fully_ood"):
            contexts = tasks.contexts(split)
            blocks.append(tasks.sample(2000, *contexts, random_state=5))
        X = torch.cat(blocks, dim=1)[0]  # the root of the graph is noise alone
        root = int((~tasks.systems.adjacency[0].any(dim=0)).nonzero()[0])
        correlation = np.corrcoef(X[..., root].numpy()) - np.eye(len(X))
        assert np.abs(correlation).max() < 5 / np.sqrt(2000)

    def test_do_not_depend_on_company_or_number(self):
        tasks = SMALL.sample(2, 0)
        X = tasks.sample(20, [3, 1, 3], [0.5, 1.0, 2.0], random_state=5)
        assert torch.equal(tasks.sample(20, 3, 2.0, random_state=5)[:, 0], X[:, 2])
        assert torch.equal(tasks.sample(7, [1, 3], [1.0, 0.5], random_state=5)[:, 0], X[:, 1, :7])
        assert not torch.equal(tasks.sample(20, 3, 2.0, random_state=6)[:, 0], X[:, 2])

    def test_one_number_stands_for_all_contexts(self):
        tasks = SMALL.sample(2, 0)
        one = tasks.sample(4, 3, [0.5, 1.0], random_state=5)
        assert torch.equal(one, tasks.sample(4, [3, 3], [0.5, 1.0], random_state=5))
        other = tasks.effects([1, 2], 1.5)
        assert torch.equal(other, tasks.effects(torch.tensor([1, 2]), np.array([1.5, 1.5])))

    def test_fresh_noise_without_a_seed(self):
        tasks = SMALL.sample(1, 0)
        assert not torch.equal(tasks.sample(3, 0, 1.0), tasks.sample(3, 0, 1.0))


class TestBatch:
    def test_selection(self):
        tasks = SMALL.sample(4, 0)
        assert len(tasks) == 4
        assert len(tasks[-1]) == 1
        expected = tasks.effects(0, 1.0)
        for index, rows in [(2, [2]), (slice(1, 3), [1, 2]), ([3, 0], [3, 0])]:
            assert torch.equal(tasks[index].effects(0, 1.0), expected[rows])
        mask = np.array([True, False, False, True])
        assert torch.equal(tasks[mask].systems.coef, tasks.systems.coef[[0, 3]])
        with pytest.raises(IndexError):
            tasks[4]

    def test_moves(self):
        moved = SMALL.sample(2, 0).to("meta")
        assert moved.targets.is_meta
        assert moved.systems.coef.is_meta
        assert moved.kind == "shift"


class TestBadInput:
    @pytest.mark.parametrize(
        ("perturbations", "doses", "error", "message"),
        [
            ([0.0], 1.0, TypeError, "perturbations must be integers, .* found torch.float32"),
            ([True, False], 1.0, TypeError, "found torch.bool"),
            ([0, 8], 1.0, ValueError, "between 0 and 7, found values from 0 to 8"),
            (-1, 1.0, ValueError, "between 0 and 7, found values from -1 to -1"),
            ([0, 1], [1.0, 2.0, 3.0], ValueError, r"one length.* found shapes \(2,\) and \(3,\)"),
            ([[0]], 1.0, ValueError, r"found shapes \(1, 1\) and \(\)"),
            (0, [], ValueError, r"at least 1; found shapes \(\) and \(0,\)"),
            (0, [1.0, 0.0], ValueError, "use sample_controls .* values from 0.0 to 1.0"),
            (0, np.nan, ValueError, "doses must be positive and finite"),
            (0, np.inf, ValueError, "doses must be positive and finite"),
        ],
    )
    def test_contexts(self, perturbations, doses, error, message):
        tasks = SMALL.sample(1, 0)
        for method in (tasks.effects, tasks.features_of, tasks.interventional_mean):
            with pytest.raises(error, match=message):
                method(perturbations, doses)
        with pytest.raises(error, match=message):
            tasks.sample(3, perturbations, doses)

    def test_splits(self):
        with pytest.raises(ValueError, match=r"split must be one of 'train', .* found 'test'"):
            SMALL.sample(1, 0).contexts("test")
        prior = DoseResponsePrior(LinearPrior(6), n_heldout_perturbations=0)
        with pytest.raises(ValueError, match="'fully_ood' is empty, as n_heldout_perturbations"):
            prior.sample(1, 0).contexts("fully_ood")

    def test_rows(self):
        tasks = SMALL.sample(1, 0)
        with pytest.raises(ValueError, match="n_rows must be an integer of at least 1, found 0"):
            tasks.sample(0, 0, 1.0)
        with pytest.raises(ValueError, match=r"n_rows must be .* found 2.5"):
            tasks.sample_controls(2.5)
