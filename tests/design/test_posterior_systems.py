"""Systems drawn from a posterior, what designs would bring about in them, and their units."""

import itertools

import pytest
import torch

from skcausal.design._histories import Designs, Histories
from skcausal.design._posterior_systems import PosteriorSystems, draw_acyclic_graphs, draw_systems
from skcausal.structure._free_sums import FreeSums
from skcausal.structure._parent_set_scores import LinearGaussianModel

D = 4


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_systems(n_systems=2, n_draws=3, d=D, seed=0):
    """Systems with orders of their own."""
    g = generator(seed)
    order = torch.rand((n_systems, n_draws, d), generator=g).argsort(dim=-1)
    later = order[..., :, None] < order[..., None, :]
    shape = (n_systems, n_draws, d, d)
    adjacency = later & (torch.rand(shape, generator=g) < 0.7)
    coef = torch.randn(shape, generator=g) * adjacency
    intercept = torch.randn(shape[:-1], generator=g)
    scale = 0.2 + torch.rand(shape[:-1], generator=g)
    return PosteriorSystems(adjacency, coef, intercept, scale), order


def some_designs(n_systems=2, n_candidates=5, d=D, seed=1):
    g = generator(seed)
    targets = torch.rand((n_systems, n_candidates, d), generator=g) < 0.4
    targets[:, 0] = False
    targets[:, 1] = True
    return Designs(targets, torch.randn(targets.shape, generator=g) * targets)


class TestSimulate:
    def test_outcomes_follow_the_causal_order(self):
        systems, order = random_systems()
        designs = some_designs()
        noise = torch.randn((2, 3, 2, D), generator=generator(2))
        found = systems.simulate(designs, noise)
        assert found.shape == (2, 3, 5, 2, D)
        for s, k, c, r in itertools.product(range(2), range(3), range(5), range(2)):
            x = torch.zeros(D)
            for j in order[s, k].argsort().tolist():
                if designs.targets[s, c, j]:
                    x[j] = designs.values[s, c, j]
                    continue
                x[j] = systems.intercept[s, k, j] + x @ systems.coef[s, k, :, j]
                x[j] += systems.noise_scale[s, k, j] * noise[s, k, r, j]
            torch.testing.assert_close(found[s, k, c, r], x, atol=1e-5, rtol=1e-5)

    def test_long_chains_are_followed_to_the_end(self):
        coef = torch.diag(torch.ones(5), 1)[None, None]
        systems = PosteriorSystems(coef > 0, coef, torch.zeros(1, 1, 6), torch.ones(1, 1, 6))
        nothing = Designs(torch.zeros(1, 1, 6, dtype=torch.bool), torch.zeros(1, 1, 6))
        X = systems.simulate(nothing, torch.ones(1, 1, 1, 6))
        assert X.flatten().tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]

    def test_systems_can_be_selected(self):
        systems, _ = random_systems()
        part = systems[1:]
        assert torch.equal(part.coef, systems.coef[1:])
        assert part.noise_scale.shape == (1, 3, D)


class TestUnits:
    def test_systems_in_other_units_bring_about_the_same(self):
        """Simulating, then changing the units, is the same as simulating in the units."""
        systems, _ = random_systems()
        centre = 5.0 * torch.randn((2, D), generator=generator(3))
        scale = 0.1 + 3.0 * torch.rand((2, D), generator=generator(4))
        designs = some_designs()
        noise = torch.randn((2, 3, 6, D), generator=generator(5))
        expected = systems.simulate(designs, noise)
        expected = expected * scale[:, None, None, None] + centre[:, None, None, None]
        values = designs.values * scale[:, None] + centre[:, None]
        in_units = Designs(designs.targets, torch.where(designs.targets, values, 0.0))
        found = systems.in_units(centre, scale).simulate(in_units, noise)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)

    def test_there_and_back(self):
        systems, _ = random_systems()
        centre, scale = torch.full((2, D), 2.0), torch.full((2, D), 4.0)
        back = systems.in_units(centre, scale).in_units(-centre / scale, 1.0 / scale)
        for name in ("coef", "intercept", "noise_scale"):
            torch.testing.assert_close(
                getattr(back, name), getattr(systems, name), atol=1e-5, rtol=0
            )


def conjugate(X, free, parents, model, ridge):
    """Means and covariance of weights, mean of the variance: normal-inverse-gamma, in float64."""
    y, P = X[free][:, 0], X[free][:, parents]
    n = len(y)
    if model.intercept:
        y, P, n = y - y.mean(), P - P.mean(dim=0), n - 1
    A = P.T @ P + ridge * torch.eye(len(parents)).double()
    mean = torch.linalg.solve(A, P.T @ y)
    residual = y @ y - (P.T @ y) @ mean
    variance = (model.noise_rate + residual / 2) / (model.noise_shape + n / 2 - 1)
    return mean, torch.linalg.inv(A) * variance, variance


def rows(n=40, seed=0, d=3):
    """Rows of the chain 1 -> 0 <- 2, with 1 -> 2, in which 0 is a target now and then."""
    X = torch.randn((n, d), generator=generator(seed), dtype=torch.float64)
    X[:, 2] += 0.8 * X[:, 1]
    X[:, 0] = 0.6 * X[:, 0] + 1.2 * X[:, 1] - 0.7 * X[:, 2] + 0.5
    mask = torch.zeros((n, d), dtype=torch.bool)
    mask[::4, 0] = True
    X[::4, 0] = 3.0
    return X, mask


MODELS = {
    "with intercept": LinearGaussianModel(0.3, "in_degree", 1.0, 0.2, True),
    "without": LinearGaussianModel(0.3, 0.8, 10.0, 1.0, False),
}
PARENTS = {"none": [], "one": [1], "two": [1, 2]}


class TestDraws:
    N = 20000

    def draws(self, model, parents, X, mask, seed=0):
        graph = torch.zeros((3, 3), dtype=torch.bool)
        graph[parents, 0] = True
        sums = FreeSums.from_rows(X[None], mask[None])
        graphs = graph.expand(1, self.N, 3, 3)
        return draw_systems(sums, graphs, model, generator(seed))

    @pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
    @pytest.mark.parametrize("parents", PARENTS.values(), ids=PARENTS)
    def test_moments_are_those_of_the_conjugate_posterior(self, model, parents):
        """The ridge is fixed by the expected noise variance given all others."""
        X, mask = rows()
        systems = self.draws(model, parents, X, mask)
        assert not systems.coef[0, :, ~systems.adjacency[0, 0]].any()
        # The ridge: expected variance of the noise, given all others, over that of the weights.
        free = ~mask[:, 0]
        y, P = X[free][:, 0], X[free][:, 1:]
        n = len(y)
        if model.intercept:
            y, P, n = y - y.mean(), P - P.mean(dim=0), n - 1
        slack = 0.1 * torch.eye(2).double()
        residual = y @ y - (P.T @ y) @ torch.linalg.solve(P.T @ P + slack, P.T @ y)
        expected = (model.noise_rate + residual / 2) / (model.noise_shape + n / 2)
        scale = model.weight_scale
        v = 1 / max(1, len(parents)) if scale == "in_degree" else scale**2
        mean, covariance, variance = conjugate(X, free, parents, model, expected / v)
        found = systems.coef[0, :, parents, 0].double()
        spread = torch.cat([variance.sqrt()[None], covariance.diagonal().sqrt()])
        tolerance = 4.0 * float(spread.max()) / self.N**0.5
        torch.testing.assert_close(found.mean(dim=0), mean, atol=tolerance, rtol=0)
        if parents:
            torch.testing.assert_close(found.T.cov(), covariance.squeeze(), rtol=0.08, atol=5e-4)
        squared = systems.noise_scale[0, :, 0].double().square()
        assert float(squared.mean()) == pytest.approx(float(variance), rel=0.02)

    @pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
    def test_many_rows_leave_the_exact_posterior(self, model):
        """Importance sampling from the prior, with the likelihood of the rows where 0 is free."""
        X, mask = rows(400)
        free = ~mask[:, 0]
        y, P = X[free][:, 0], X[free][:, 1:]
        if model.intercept:
            y, P = y - y.mean(), P - P.mean(dim=0)
        n = len(y) - model.intercept
        scale = 0.5**0.5 if model.weight_scale == "in_degree" else model.weight_scale
        A = P.T @ P
        proposal_mean = torch.linalg.solve(A, P.T @ y)
        g, size = generator(1), 200000
        left = float(((y - P @ proposal_mean) ** 2).sum())
        gamma = torch._standard_gamma(torch.full((size,), n / 2).double(), generator=g)
        s = left / 2 / gamma
        factor = torch.linalg.cholesky(torch.linalg.inv(A))
        z = torch.randn((size, 2), generator=g, dtype=torch.float64)
        w = proposal_mean + s.sqrt()[:, None] * (z @ factor.T)
        # The proposal is the likelihood over s ** 2: that and the prior are left.
        log_prior = -(w**2).sum(dim=1) / (2 * scale**2)
        log_prior += -(model.noise_shape + 1) * s.log() - model.noise_rate / s
        weight = torch.softmax(log_prior + 2 * s.log(), dim=0)
        mean = weight @ w
        deviation = (weight @ (w - mean) ** 2).sqrt()
        systems = self.draws(model, [1, 2], X, mask)
        found = systems.coef[0, :, 1:, 0].double()
        torch.testing.assert_close(
            found.mean(dim=0), mean, atol=0.05 * float(deviation.max()), rtol=0
        )
        torch.testing.assert_close(found.std(dim=0), deviation, rtol=0.05, atol=0)
        squared = systems.noise_scale[0, :, 0].double().square()
        assert float(squared.mean()) == pytest.approx(float(weight @ s), rel=0.02)

    def test_intercepts_put_the_means_in_place(self):
        X, mask = rows()
        systems = self.draws(MODELS["with intercept"], [1, 2], X, mask)
        free = ~mask[:, 0]
        mean = X[free].mean(dim=0)
        found = systems.intercept[0, :, 0] + systems.coef[0, :, :, 0] @ mean.float()
        # The mean of the rows, with the error of a mean.
        error = systems.noise_scale[0, :, 0] / float(free.sum()) ** 0.5
        deviation = (found - mean[0].float()) / error
        assert float(deviation.mean()) == pytest.approx(0.0, abs=5 / self.N**0.5)
        assert float(deviation.std()) == pytest.approx(1.0, rel=5 / self.N**0.5)
        assert not self.draws(MODELS["without"], [1], X, mask).intercept.any()

    @pytest.mark.filterwarnings("error")
    def test_degenerate_rows_give_finite_systems(self):
        """Constant, equal and never free variables; fewer rows than variables."""
        X = torch.randn((3, 4), generator=generator(0), dtype=torch.float64)
        X[:, 1] = 0.0
        X[:, 3] = X[:, 2]
        mask = torch.zeros((3, 4), dtype=torch.bool)
        mask[:, 0] = True
        graphs = torch.ones(4, 4).triu(1).bool().expand(1, 50, 4, 4)
        graphs = torch.cat([graphs, graphs.mT])
        histories = Histories.observational(torch.stack([X, X]))
        histories = Histories(histories.X, torch.stack([mask, mask]), histories.regime)
        for model in MODELS.values():
            systems = draw_systems(histories.sums(), graphs, model, generator())
            for name in ("coef", "intercept", "noise_scale"):
                assert torch.isfinite(getattr(systems, name)).all()
            assert (systems.noise_scale > 0).all()


class TestAcyclicGraphs:
    def marginals(self, p, n=4000):
        p = torch.as_tensor(p, dtype=torch.float32)[None]
        return draw_acyclic_graphs(p, n, generator()).float().mean(dim=1)[0]

    def test_graphs_have_no_cycles(self):
        p = torch.rand((3, 5, 5), generator=generator(0)) * (1 - torch.eye(5))
        graphs = draw_acyclic_graphs(p, 200, generator())
        assert graphs.shape == (3, 200, 5, 5)
        assert graphs.dtype == torch.bool
        assert not torch.linalg.matrix_power(graphs.double(), 5).any()
        assert not graphs.diagonal(dim1=-2, dim2=-1).any()

    def test_certain_edges_are_always_there(self):
        p = torch.ones(5, 5).triu(1)
        assert self.marginals(p)[p > 0].min() > 0.99
        order = [3, 0, 4, 2, 1]
        assert self.marginals(p[order][:, order])[p[order][:, order] > 0].min() > 0.99

    def test_impossible_edges_are_never_there(self):
        assert not self.marginals(torch.zeros(4, 4)).any()

    def test_edges_of_unknown_direction(self):
        p = torch.tensor([[0.0, 0.7], [0.3, 0.0]])
        torch.testing.assert_close(self.marginals(p), p, atol=0.03, rtol=0)

    @pytest.mark.parametrize(
        ("forward", "backward"), [(0.3, 0.0), (0.25, 0.25), (0.6, 0.1), (0.05, 0.02)]
    )
    def test_marginals_of_two_variables_are_the_probabilities(self, forward, backward):
        """The two probabilities and that of no edge are a distribution over three graphs."""
        p = torch.tensor([[0.0, forward], [backward, 0.0]])
        torch.testing.assert_close(self.marginals(p), p, atol=0.03, rtol=0.1)

    @pytest.mark.parametrize("strength", [0.3, 0.6, 0.9])
    def test_marginals_of_a_known_order_are_the_probabilities(self, strength):
        """Independent edges along an order have no cycles: the probabilities are consistent."""
        p = torch.full((4, 4), strength).triu(1)
        torch.testing.assert_close(self.marginals(p), p, atol=0.06, rtol=0)
