import numpy as np
import pytest
import torch

from skcausal.simulators import concatenate
from skcausal.simulators._treatment import TreatmentPrior
from skcausal.simulators._treatment_priors import LeakyHumPrior, SensorNoisePrior

FIELDS = (
    "X",
    "treatment",
    "y",
    "environment",
    "potential_outcomes",
    "effect",
    "counterfactual",
)
PRIORS = [SensorNoisePrior(), LeakyHumPrior((-6.0, 0.0, 6.0), covariate_shift=0.25)]


@pytest.mark.parametrize("prior", PRIORS)
class TestRows:
    def test_shapes_and_types(self, prior):
        data = prior.sample(3, 0).sample(7, random_state=0)
        n_covariates = data.X.shape[-1]
        shapes = {name: tuple(getattr(data, name).shape) for name in FIELDS}
        assert shapes.pop("X") == (3, 7, n_covariates)
        assert shapes.pop("potential_outcomes") == (3, 7, 2)
        assert set(shapes.values()) == {(3, 7)}
        integers = {name for name in FIELDS if getattr(data, name).dtype == torch.int64}
        assert integers == {"treatment", "environment"}
        assert data.X.dtype == data.y.dtype == data.effect.dtype == torch.float32

    def test_noise_is_the_same_under_both_treatments(self, prior):
        data = prior.sample(3, 0, dtype=torch.float64).sample(500, random_state=0)
        given = data.potential_outcomes.gather(-1, data.treatment[..., None])[..., 0]
        other = data.potential_outcomes.gather(-1, 1 - data.treatment[..., None])[..., 0]
        np.testing.assert_allclose(data.y - given, data.counterfactual - other, atol=1e-12)
        sign = 2 * data.treatment - 1
        np.testing.assert_allclose(sign * (data.y - data.counterfactual), data.effect, atol=1e-12)
        difference = data.potential_outcomes.diff(dim=-1)[..., 0]
        np.testing.assert_allclose(difference, data.effect, atol=1e-12)

    def test_environments_take_turns(self, prior):
        problems = prior.sample(2, 0)
        environment = problems.sample(8, random_state=0).environment
        expected = np.tile(np.arange(8) % problems.n_environments, (2, 1))
        np.testing.assert_array_equal(environment, expected)

    def test_one_environment(self, prior):
        problems = prior.sample(2, 0)
        for e in range(problems.n_environments):
            assert (problems.sample(5, np.int64(e), random_state=0).environment == e).all()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_do_not_depend_on_the_batch(self, prior, dtype):
        whole = prior.sample(5, 3, dtype=dtype)
        parts = [prior.sample(2, 3, dtype=dtype), prior.sample(3, 3, start=2, dtype=dtype)]
        assert torch.equal(concatenate(parts).keys, whole.keys)
        for environment in (None, 1):
            expected = whole.sample(9, environment, random_state=1)
            pieces = [part.sample(9, environment, random_state=1) for part in parts]
            longer = whole.sample(12, environment, random_state=1)
            for name in FIELDS:
                joined = torch.cat([getattr(piece, name) for piece in pieces])
                assert torch.equal(joined, getattr(expected, name))
                assert torch.equal(getattr(longer, name)[:, :9], getattr(expected, name))

    def test_precision_changes_no_unit(self, prior):
        short, long = (
            prior.sample(2, 0, dtype=dtype).sample(1000, random_state=0)
            for dtype in (torch.float32, torch.float64)
        )
        for name in FIELDS:
            assert torch.equal(
                getattr(long, name).to(getattr(short, name).dtype), getattr(short, name)
            )

    def test_are_independent_between_calls(self, prior):
        """Problems, seeds and environments have units of their own."""
        problems = prior.sample(2, 0)
        samples = [problems.sample(4000, e, random_state=0).y for e in (None, 0, 1)]
        samples.append(problems.sample(4000, random_state=1).y)
        if problems.heldout_environment is not None:
            samples.append(problems.sample(4000, "heldout", random_state=0).y)
        correlation = np.corrcoef(torch.cat(samples)) - np.eye(2 * len(samples))
        assert np.abs(correlation).max() < 4.5 / np.sqrt(4000)

    def test_are_fresh_without_a_seed(self, prior):
        problems = prior.sample(1, 0)
        assert not torch.equal(problems.sample(4).y, problems.sample(4).y)


class TestBatch:
    def test_selection(self):
        problems = SensorNoisePrior().sample(4, 0)
        y = problems.sample(3, random_state=0).y
        assert len(problems) == 4
        for index, rows in [(-1, [3]), (slice(1, 3), [1, 2]), ([3, 0], [3, 0])]:
            assert torch.equal(problems[index].sample(3, random_state=0).y, y[rows])
        with pytest.raises(IndexError):
            problems[4]

    def test_moves(self):
        moved = SensorNoisePrior().sample(4, 0).to("meta")
        assert moved.keys.is_meta
        assert moved.prior == SensorNoisePrior()

    def test_stream(self):
        prior = LeakyHumPrior()
        streamed = concatenate(prior.stream(5, 3, batch_size=2))
        assert torch.equal(streamed.keys, prior.sample(5, 3).keys)

    def test_heldout_environment_comes_after_the_last(self):
        problems = LeakyHumPrior((0.0, 1.0, 2.0)).sample(1, 0)
        assert (problems.n_environments, problems.heldout_environment) == (3, 3)
        named, numbered = (problems.sample(4, e, random_state=0) for e in ("heldout", 3))
        assert (named.environment == 3).all()
        assert torch.equal(named.X, numbered.X)
        problems = SensorNoisePrior().sample(1, 0)
        assert (problems.n_environments, problems.heldout_environment) == (2, None)

    def test_batches_of_different_priors_do_not_join(self):
        problems = [LeakyHumPrior(slope=slope).sample(1, 0) for slope in (1.0, 2.0)]
        with pytest.raises(ValueError, match=r"different priors: found Leaky.*slope=1.0.* beside"):
            concatenate(problems)


class TestBadInput:
    @pytest.mark.parametrize("environment", [-1, 3, True, 1.0, "train"])
    def test_environment(self, environment):
        message = f"None, 'heldout' or an integer from 0 to 2, found {environment!r}"
        with pytest.raises(ValueError, match=message):
            LeakyHumPrior().sample(1, 0).sample(3, environment)

    @pytest.mark.parametrize("environment", [2, "heldout"])
    def test_no_environment_is_held_out(self, environment):
        message = f"must be None or an integer from 0 to 1, found {environment!r}"
        with pytest.raises(ValueError, match=message):
            SensorNoisePrior().sample(1, 0).sample(3, environment)

    def test_rows(self):
        with pytest.raises(ValueError, match="n_rows must be an integer of at least 1, found 0"):
            SensorNoisePrior().sample(1, 0).sample(0)

    def test_incomplete_prior(self):
        with pytest.raises(NotImplementedError):
            TreatmentPrior().sample(1, 0).sample(3)
