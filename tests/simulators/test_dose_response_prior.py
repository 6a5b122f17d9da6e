import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest, poisson, randint, uniform

from skcausal.simulators import concatenate
from skcausal.simulators._dose_response_prior import DoseResponsePrior
from skcausal.simulators._linear_prior import LinearPrior
from skcausal.simulators._nonlinear import NonlinearPrior


def tensors_of(item):
    """All tensors of a nested dataclass."""
    if isinstance(item, torch.Tensor):
        return [item]
    if not dataclasses.is_dataclass(item):
        return []
    return [t for f in dataclasses.fields(item) for t in tensors_of(getattr(item, f.name))]


@pytest.fixture(scope="module")
def tasks():
    """Fifty tasks of the default prior."""
    return DoseResponsePrior().sample(50, 0, dtype=torch.float64)


class TestDefaults:
    """The published sizes, and ranges of our own."""

    def test_contexts_of_the_splits(self, tasks):
        counts = {}
        for split in ("train", "partly_ood", "fully_ood"):
            perturbations, doses = tasks.contexts(split)
            pairs = set(zip(perturbations.tolist(), doses.tolist()))
            assert len(pairs) == len(perturbations)
            counts[split] = (len(pairs), set(perturbations.tolist()), set(doses.tolist()))
        training, new = set(range(40)), set(range(40, 60))
        assert counts == {
            "train": (160, training, {0.5, 1.0, 1.5, 2.0}),
            "partly_ood": (200, training, {0.25, 0.75, 1.25, 1.75, 2.25}),
            "fully_ood": (80, new, {0.5, 1.0, 1.5, 2.0}),
        }

    def test_systems_are_those_of_their_prior(self, tasks):
        prior = LinearPrior(20, edges_per_variable=2.0, standardize="observational")
        assert torch.equal(tasks.systems.coef, prior.sample(50, 0, dtype=torch.float64).coef)

    def test_one_to_three_targets_equally_often(self, tasks):
        counts = np.bincount(tasks.targets.sum(dim=-1).flatten(), minlength=5)
        assert counts[0] == counts[4] == 0
        assert chisquare(counts[1:4]).pvalue > 1e-3

    def test_every_variable_is_a_target_equally_often(self, tasks):
        counts = tasks.targets.sum(dim=(0, 1))
        assert chisquare(counts).pvalue > 1e-3

    def test_ranges(self, tasks):
        limits = tasks.max_effects[tasks.targets]
        assert (tasks.max_effects[~tasks.targets] == 0).all()
        assert kstest(limits.abs(), uniform(2, 2).cdf).pvalue > 1e-3
        assert kstest(tasks.half_doses.flatten(), uniform(0.5, 1.5).cdf).pvalue > 1e-3
        assert kstest(tasks.hills.flatten(), uniform(1, 3).cdf).pvalue > 1e-3
        assert abs((limits > 0).double().mean() - 0.5) < 4 * 0.5 / len(limits) ** 0.5

    def test_signs_are_drawn_for_each_target(self, tasks):
        pairs = tasks.targets.sum(dim=-1) == 2
        n_positive = (tasks.max_effects[pairs] > 0).sum(dim=-1)
        expected = len(n_positive) * np.array([0.25, 0.5, 0.25])
        assert chisquare(np.bincount(n_positive), expected).pvalue > 1e-3

    def test_limits_are_drawn_for_each_target(self, tasks):
        sizes = tasks.max_effects.abs().sort(dim=-1, descending=True).values
        several = tasks.targets.sum(dim=-1) > 1
        assert (sizes[..., 0] > sizes[..., 1])[several].all()


class TestFeatures:
    def test_raw_features_are_the_limits(self):
        tasks = DoseResponsePrior().sample(3, 0)
        features = tasks.features_of(*tasks.contexts("partly_ood"))
        perturbations, doses = tasks.contexts("partly_ood")
        assert torch.equal(features[..., :20], tasks.max_effects[:, perturbations])
        assert torch.equal(features[..., 20], doses.float().expand(3, -1))
        assert torch.equal(features[..., 21], tasks.half_doses[:, perturbations])
        assert torch.equal(features[..., 22], tasks.hills[:, perturbations])

    def test_mixed_features_are_squashed_projections(self):
        prior = DoseResponsePrior(LinearPrior(12), features="mixed")
        tasks = prior.sample(50, 0, dtype=torch.float64)
        mixed = tasks.fingerprints.atanh()
        weights = torch.linalg.lstsq(tasks.max_effects, mixed).solution
        np.testing.assert_allclose(tasks.max_effects @ weights, mixed, atol=1e-8)
        assert kstest(weights.flatten() * 12**0.5, "norm").pvalue > 1e-3

    @pytest.mark.parametrize("features", ["raw", "mixed"])
    def test_are_zero_for_controls_alone(self, features):
        tasks = DoseResponsePrior(features=features).sample(20, 0)
        for split in ("train", "partly_ood", "fully_ood"):
            rows = tasks.features_of(*tasks.contexts(split))
            assert (rows != 0).any(dim=-1).all()
            assert (rows[..., -3:] > 0).all()
        assert (tasks.control_features() == 0).all()
        assert tasks.control_features().shape == (20, 1, rows.shape[-1])

    def test_features_do_not_change_the_outcomes(self):
        raw, mixed = (DoseResponsePrior(features=f).sample(2, 0) for f in ("raw", "mixed"))
        assert torch.equal(raw.max_effects, mixed.max_effects)
        assert torch.equal(raw.sample(3, 0, 1.0, 0), mixed.sample(3, 0, 1.0, 0))


class TestTasks:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("systems", [LinearPrior(randint(4, 8)), NonlinearPrior(5)])
    def test_do_not_depend_on_the_batch(self, systems, dtype):
        prior = DoseResponsePrior(systems, features="mixed")
        whole = prior.sample(5, 3, dtype=dtype)
        parts = [prior.sample(2, 3, dtype=dtype), prior.sample(3, 3, start=2, dtype=dtype)]
        joined = concatenate(parts)
        assert len(joined) == 5
        assert all(map(torch.equal, tensors_of(joined), tensors_of(whole)))
        assert {t.dtype for t in tensors_of(whole) if t.is_floating_point()} >= {dtype}
        contexts = ([0, 50, 7], [0.5, 1.0, 2.0])
        rows = [part.sample(6, *contexts, random_state=1) for part in parts]
        assert torch.equal(torch.cat(rows), whole.sample(6, *contexts, random_state=1))
        controls = [part.sample_controls(6, random_state=1) for part in parts]
        assert torch.equal(torch.cat(controls), whole.sample_controls(6, random_state=1))

    def test_stream(self):
        prior = DoseResponsePrior(LinearPrior(5))
        streamed = concatenate(prior.stream(5, 3, batch_size=2))
        assert torch.equal(streamed.max_effects, prior.sample(5, 3).max_effects)

    def test_differ_between_seeds_and_positions(self):
        prior = DoseResponsePrior(LinearPrior(5))
        tasks = concatenate([prior.sample(3, 0), prior.sample(3, 1)])
        assert tasks.half_doses.unique().numel() == tasks.half_doses.numel()

    def test_more_perturbations_keep_the_first(self):
        few = DoseResponsePrior(LinearPrior(5), n_perturbations=30).sample(2, 0)
        many = DoseResponsePrior(LinearPrior(5)).sample(2, 0)
        assert torch.equal(few.max_effects, many.max_effects[:, :30])

    def test_padded_variables_are_no_targets(self):
        prior = DoseResponsePrior(LinearPrior(randint(3, 9)), features="mixed", n_targets=3)
        tasks = prior.sample(50, 0)
        absent = ~tasks.systems.present[:, None].expand_as(tasks.targets)
        assert (tasks.targets.sum(dim=-1) == 3).all()
        assert not tasks.targets[absent].any()
        assert (tasks.fingerprints[absent] == 0).all()
        assert (tasks.fingerprints[~absent] != 0).all()

    def test_batches_of_different_priors_do_not_join(self):
        tasks = [DoseResponsePrior(kind=kind).sample(1, 0) for kind in ("shift", "hard")]
        with pytest.raises(ValueError, match="different priors: found 'shift' beside 'hard'"):
            concatenate(tasks)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"systems": 20}, TypeError, "systems must be a LinearPrior, .* found 20"),
        ({"n_perturbations": 0}, ValueError, "n_perturbations must be an integer of at least 1"),
        ({"n_heldout_perturbations": -1}, ValueError, "at least 0, found -1"),
        ({"n_heldout_perturbations": 60}, ValueError, "=60 leaves none of the 60 perturbations"),
        ({"n_targets": 0}, ValueError, "n_targets must be at least 1 and at most 20, found 0"),
        ({"n_targets": randint(1, 22)}, ValueError, r"found values in \[1, 21\]"),
        ({"n_targets": poisson(2, loc=1)}, ValueError, "n_targets must be at least 1 and at most"),
        ({"n_targets": 2.0}, TypeError, "n_targets must be an integer"),
        ({"max_effect": 0.0}, ValueError, "max_effect must be above 0, found 0"),
        ({"half_dose": uniform(-1, 2)}, ValueError, r"half_dose must be above 0, found values in"),
        ({"hill": "steep"}, TypeError, "hill must be a number or a frozen distribution"),
        ({"kind": "scale"}, ValueError, "kind must be one of 'shift', 'hard', found 'scale'"),
        ({"features": "none"}, ValueError, "features must be one of 'raw', 'mixed', found 'none'"),
        ({"train_doses": ()}, ValueError, r"train_doses must be a sequence .* found \(\)"),
        ({"partly_ood_doses": 1.0}, ValueError, "partly_ood_doses must be a sequence"),
        ({"heldout_doses": (1.0, 0.0)}, ValueError, r"heldout_doses must be .* found \(1.0, 0.0\)"),
        ({"train_doses": (np.inf,)}, ValueError, "train_doses must be a sequence of positive, fin"),
    ],
)
def test_bad_parameters(parameters, error, message):
    with pytest.raises(error, match=message):
        DoseResponsePrior(**parameters)


def test_lists_of_doses_are_taken():
    prior = DoseResponsePrior(LinearPrior(4), train_doses=[np.float32(0.5), 2])
    assert prior.sample(1, 0).contexts("train")[1][:2].tolist() == [0.5, 2.0]
