"""Gaussian processes over features of perturbations, against dense formulas and brute force."""

import numpy as np
import pytest
import torch

from skcausal.perturbation._features import perturbation_groups
from skcausal.perturbation._kernels import (
    IsotropicKernel,
    LinearKernel,
    SumKernel,
    VaryingCoefficientKernel,
    minimise,
)
from skcausal.perturbation._smoother import _NOISE_RATIOS, Smoother, _equal_blocks, _Problem


def drugs(seed=0, n_drugs=4, doses=(0.5, 1.0, 2.0), n_outputs=3):
    """Doses of drugs, outputs that are linear in them apart from noise, rows, and groups."""
    rng = np.random.default_rng(seed)
    features = np.vstack([dose * np.eye(n_drugs) for dose in doses])
    Y = features @ rng.normal(size=(n_drugs, n_outputs)) + 0.2 * rng.normal(
        size=(len(features), n_outputs)
    )
    return features, Y, rng.integers(5, 30, size=len(features)), perturbation_groups(features)


def kernels(scale):
    """One of each kind, with random parameters."""
    generator = torch.Generator().manual_seed(0)
    plain = [LinearKernel(scale), IsotropicKernel(scale), VaryingCoefficientKernel(scale, 0.5)]
    result = []
    for kernel in plain:
        noise = torch.randn(len(kernel.start), generator=generator, dtype=torch.float64)
        result.append((kernel, kernel.start + noise))
    total = SumKernel(*result[1], result[2][0])
    return [*result, (total, result[2][1])]


def random_features(n, n_features=3, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=(n, n_features)))


KERNELS = kernels(torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64))
KERNEL_NAMES = [type(kernel).__name__ for kernel, _ in KERNELS]


@pytest.fixture(scope="module", params=["linear", "kernel"])
def fitted(request):
    """Features, outputs, numbers of rows and groups, and the smoother that learned from them."""
    data = drugs()
    return *data, Smoother(request.param).fit(*data)


class TestKernels:
    @pytest.mark.parametrize(("kernel", "log_parameters"), KERNELS, ids=KERNEL_NAMES)
    def test_zero_at_the_control(self, kernel, log_parameters):
        F = random_features(5)
        covariance = kernel(log_parameters, torch.zeros((1, 3), dtype=torch.float64), F)
        np.testing.assert_allclose(covariance, np.zeros((1, 5)), atol=1e-15)

    @pytest.mark.parametrize(("kernel", "log_parameters"), KERNELS, ids=KERNEL_NAMES)
    def test_covariances(self, kernel, log_parameters):
        """Symmetric, without negative eigenvalues, and of any two sets of rows."""
        F = random_features(30)
        covariance = kernel(log_parameters, F, F).numpy()
        np.testing.assert_allclose(covariance, covariance.T, atol=1e-12)
        values = np.linalg.eigvalsh(covariance)
        assert values.min() > -1e-10 * values.max()
        np.testing.assert_allclose(kernel(log_parameters, F[:3], F[3:]), covariance[:3, 3:])

    def test_formulas(self):
        """Sums of products, one pair of rows at a time."""
        (linear, p), (isotropic, q), (varying, r), (total, _) = KERNELS
        scale = np.array([0.5, 1.0, 2.0])
        F, G = random_features(4), random_features(3, seed=1)
        for i, j in np.ndindex(4, 3):
            f, g = F[i].numpy(), G[j].numpy()
            a, b = p.exp().numpy()
            expected = a * f @ g / (scale**2).sum() + b * np.mean(f * g / scale**2)
            np.testing.assert_allclose(linear(p, F, G)[i, j], expected)

            a, b, precision, c, product_precision = q.exp().numpy()
            f, g = f / scale, g / scale
            product, distance = np.mean(f * g), np.mean((f - g) ** 2)
            norms = np.exp(-0.5 * precision * (np.mean(f**2) + np.mean(g**2)))
            expected = a * product + b * (np.exp(-0.5 * precision * distance) - norms)
            expected += c * product * np.exp(-0.5 * product_precision * distance)
            np.testing.assert_allclose(isotropic(q, F, G)[i, j], expected)

            own = r[2:].reshape(2, 3)
            a, b = (r[:2, None] + own).exp().numpy() / 3
            expected_varying = (a * f * g).sum() * np.exp(-0.5 * (b * (f - g) ** 2).sum())
            np.testing.assert_allclose(varying(r, F, G)[i, j], expected_varying)
            np.testing.assert_allclose(total(r, F, G)[i, j], expected + expected_varying)

    def test_isotropic_does_not_depend_on_the_order_of_features(self):
        scale, order = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64), [2, 0, 1]
        kernel, log_parameters = KERNELS[1]
        F = random_features(6)
        permuted = IsotropicKernel(scale[order])(log_parameters, F[:, order], F[:, order])
        np.testing.assert_allclose(permuted, kernel(log_parameters, F, F), atol=1e-14)


class TestMinimise:
    def test_quadratic(self):
        target = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
        found = minimise(lambda x: (x - target).square().sum(), torch.zeros(3, dtype=torch.float64))
        np.testing.assert_allclose(found, target, atol=1e-6)

    def test_box_around_the_start(self):
        start = torch.tensor([5.0], dtype=torch.float64)
        np.testing.assert_allclose(minimise(lambda x: x.sum(), start), [5.0 - 9.0])


class TestPredictions:
    def by_output(self, fitted):
        """Kernel matrix, noise, and what the smoother chose for each output."""
        _, Y, n_rows, _, smoother = fitted
        covariance = smoother._covariance(smoother._F, smoother._F)
        noise = n_rows.mean() / n_rows
        scale = np.sqrt((Y**2).mean(axis=0))
        return covariance, noise, Y / scale, scale

    def test_noise_and_amplitude_maximise_the_marginal_likelihood(self, fitted):
        covariance, noise, Y, _ = self.by_output(fitted)
        smoother, n = fitted[-1], len(Y)
        sqrt_noise = np.sqrt(noise)
        level = np.linalg.eigvalsh(covariance / np.outer(sqrt_noise, sqrt_noise)).mean()
        for j, y in enumerate(Y.T):
            losses, amplitudes = [], []
            for ratio in _NOISE_RATIOS * level:
                C = covariance + ratio * np.diag(noise)
                amplitudes.append(y @ np.linalg.solve(C, y) / n)
                losses.append(n * np.log(amplitudes[-1]) + np.linalg.slogdet(C)[1])
            best = int(np.argmin(losses))
            np.testing.assert_allclose(smoother._ratio[j], _NOISE_RATIOS[best] * level)
            np.testing.assert_allclose(smoother._amplitude[j], amplitudes[best])

    def test_conditional_mean_and_variance(self, fitted):
        covariance, noise, Y, scale = self.by_output(fitted)
        smoother = fitted[-1]
        query = np.abs(np.random.default_rng(1).normal(size=(5, 4)))
        F = torch.tensor(query)
        cross, prior = smoother._covariance(F, smoother._F), smoother._covariance(F, F)
        mean, variance = smoother.predict(query), smoother.predict_variance(query)
        for j, y in enumerate(Y.T):
            C = covariance + smoother._ratio[j] * np.diag(noise)
            np.testing.assert_allclose(mean[:, j], cross @ np.linalg.solve(C, y) * scale[j])
            explained = np.diag(cross @ np.linalg.solve(C, cross.T))
            expected = (np.diag(prior) - explained) * smoother._amplitude[j] * scale[j] ** 2
            np.testing.assert_allclose(variance[:, j], expected, rtol=1e-6, atol=1e-10)

    def test_leave_one_out(self, fitted):
        """Each context is predicted from the others, at the same hyperparameters."""
        covariance, noise, Y, scale = self.by_output(fitted)
        found = fitted[-1].leave_one_out()
        for j, y in enumerate(Y.T):
            C = covariance + fitted[-1]._ratio[j] * np.diag(noise)
            for i in range(len(y)):
                rest = np.arange(len(y)) != i
                expected = C[i, rest] @ np.linalg.solve(C[np.ix_(rest, rest)], y[rest])
                np.testing.assert_allclose(found[i, j], expected * scale[j], rtol=1e-6, atol=1e-9)

    def test_controls_are_certain(self, fitted):
        control = np.zeros((1, 4))
        np.testing.assert_allclose(fitted[-1].predict(control), np.zeros((1, 3)), atol=1e-12)
        np.testing.assert_allclose(fitted[-1].predict_variance(control), np.zeros((1, 3)))

    def test_what_was_seen_is_remembered(self, fitted):
        """And doses in between follow; an output without noise is more exact."""
        features, Y, *_, smoother = fitted
        assert ((smoother.predict(features) - Y) ** 2).mean() < 0.1 * (Y**2).mean()
        between = smoother.predict(1.5 * np.eye(4))
        np.testing.assert_allclose(between, 1.5 * Y[4:8], atol=1.0)

    def test_scale_and_sign_of_outputs(self, fitted):
        features, Y, n_rows, groups, smoother = fitted
        units = [-3.0, 1e4, 1e-9]
        other = Smoother(smoother.family).fit(features, Y * units, n_rows, groups)
        found, expected = other.predict(features) / units, smoother.predict(features)
        np.testing.assert_allclose(found, expected, atol=self.tolerance(smoother))

    def test_order_of_contexts_does_not_matter(self, fitted):
        features, Y, n_rows, groups, smoother = fitted
        order = np.random.default_rng(0).permutation(len(Y))
        data = (a[order] for a in (features, Y, n_rows, groups))
        other = Smoother(smoother.family).fit(*data)
        expected = smoother.predict(features)
        np.testing.assert_allclose(other.predict(features), expected, atol=self.tolerance(smoother))

    def tolerance(self, smoother):
        """Rounding errors change where hyperparameters end that hardly matter."""
        return 1e-4 if smoother.family == "linear" else 0.1


class TestLeftOut:
    @pytest.mark.parametrize(("kernel", "log_parameters"), KERNELS[:3], ids=KERNEL_NAMES[:3])
    def test_perturbations_left_out_one_by_one(self, kernel, log_parameters):
        rng = np.random.default_rng(0)
        F, groups = random_features(9), np.array([0, 2, 1, 1, 0, 2, 2, 5, 0])
        Y, noise = rng.normal(size=(9, 2)), rng.uniform(0.5, 2.0, size=9)
        problem = _Problem(F, torch.tensor(Y), torch.tensor(noise), groups)
        parameters = torch.cat([log_parameters, torch.tensor([-1.0], dtype=torch.float64)])
        C = problem._covariance(kernel, parameters).numpy()
        signal = kernel(log_parameters, F, F).numpy()
        np.testing.assert_allclose(C, signal + np.exp(-1.0) * np.diag(noise), rtol=1e-4, atol=1e-5)

        log_density, squares = 0.0, 0.0
        for g in np.unique(groups):
            out, rest = groups == g, groups != g
            weights = np.linalg.solve(C[np.ix_(rest, rest)], C[np.ix_(rest, out)]).T
            residual = Y[out] - weights @ Y[rest]
            S = C[np.ix_(out, out)] - weights @ C[np.ix_(rest, out)]
            squares += (residual**2).sum()
            for r in residual.T:
                log_density -= 0.5 * (r @ np.linalg.solve(S, r) + np.linalg.slogdet(S)[1])
        penalty = 0.5 * ((log_parameters - kernel.start) * kernel.penalised).square().sum().item()
        loss = problem.left_out_loss(kernel)(parameters).item()
        np.testing.assert_allclose(loss, penalty - log_density, rtol=1e-8)
        error = problem.left_out_error(kernel)(parameters).item()
        np.testing.assert_allclose(error, squares / (Y**2).sum(), rtol=1e-8)

        loss = problem.likelihood_loss(kernel)(parameters).item()
        expected = 0.5 * ((Y * np.linalg.solve(C, Y)).sum() + 2 * np.linalg.slogdet(C)[1])
        np.testing.assert_allclose(loss, penalty + expected, rtol=1e-8)

    def test_blocks(self):
        groups = np.array([3, 1, 3, 7, 1, 0])
        blocks = [sorted(map(tuple, rows.tolist())) for rows in _equal_blocks(groups)]
        assert blocks == [[(3,), (5,)], [(0, 2), (1, 4)]]

    def test_thinning_keeps_whole_perturbations(self):
        F = random_features(60)
        groups = np.repeat(np.arange(20), 3)
        problem = _Problem(F, F, torch.ones(60), groups)
        assert problem.thinned(60) is problem
        thinned = problem.thinned(31)
        assert 25 <= len(thinned.F) <= 31
        assert set(np.bincount(thinned.groups)) == {0, 3}

    def test_the_process_that_predicts_others_better_is_taken(self):
        """Its error is that of perturbations left out, by refitting with what was learned."""
        features, Y, n_rows, groups = drugs()
        smoother = Smoother("kernel").fit(features, Y, n_rows, groups)
        # Drugs of which nothing else is known cannot be predicted better than by no effect.
        assert 0.9 < smoother.left_out_error_ < 1.1
        assert np.isnan(Smoother("linear").fit(features, Y, n_rows, groups).left_out_error_)
        # With one output that is the sum of all features, they can.
        rng = np.random.default_rng(0)
        features = rng.uniform(size=(15, 2))
        Y = features.sum(axis=1, keepdims=True)
        smoother.fit(features, Y, np.full(15, 10), np.arange(15))
        assert smoother.left_out_error_ < 0.05


class TestDegenerate:
    @pytest.mark.parametrize("family", ["linear", "kernel"])
    def test_one_context(self, family):
        data = np.array([[0.0, 2.0]]), np.array([[1.0, 0.0]]), np.array([4]), np.array([0])
        smoother = Smoother(family).fit(*data)
        for found in (smoother.predict(data[0]), smoother.leave_one_out()):
            assert found.shape == (1, 2)
            assert np.isfinite(found).all()
        np.testing.assert_array_equal(smoother.leave_one_out(), 0.0)

    @pytest.mark.parametrize("family", ["linear", "kernel"])
    def test_no_effect_at_all(self, family):
        features, Y, n_rows, groups = drugs(n_drugs=2)
        smoother = Smoother(family).fit(features, 0.0 * Y, n_rows, groups)
        np.testing.assert_array_equal(smoother.predict(features), 0.0)

    @pytest.mark.parametrize("unit", [1e-6, 1e6])
    def test_units_of_features_and_outputs(self, unit):
        features, Y, n_rows, groups = drugs(n_drugs=2)
        expected = Smoother("linear").fit(features, Y, n_rows, groups).predict(features)
        smoother = Smoother("linear").fit(features * unit, Y / unit, n_rows, groups)
        np.testing.assert_allclose(smoother.predict(features * unit) * unit, expected, rtol=1e-6)

    def test_features_that_were_never_seen_have_no_effect(self):
        features, Y, n_rows, groups = drugs(n_drugs=3)
        features = np.column_stack([features, np.zeros(len(features))])
        smoother = Smoother("linear").fit(features, Y, n_rows, groups)
        query = features + np.array([0.0, 0.0, 0.0, 5.0])
        np.testing.assert_array_equal(smoother.predict(query), smoother.predict(features))
