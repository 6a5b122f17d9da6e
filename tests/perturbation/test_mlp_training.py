"""Training of perceptrons on rows with latent shifts."""

import numpy as np
import pytest
import torch

from skcausal.perturbation._contexts import summarise_contexts
from skcausal.perturbation._mlp_training import (
    _grouped,
    _GroupedRows,
    fit_mlp_mechanisms,
    solve_outputs,
)
from skcausal.perturbation._spike_slab import SpikeSlab

ADJACENCY = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]])
PRIOR = SpikeSlab(-1.0, 10.0)


def screen(seed=0, n_contexts=12, n_rows=20, n_controls=160, shuffled=False):
    """Rows of x2 = tanh(2 x0) + x1^2 / 2 + noise; a shift of one variable in each context."""
    rng = np.random.default_rng(seed)
    context = np.repeat(np.arange(n_contexts + 1), [n_controls] + [n_rows] * n_contexts)
    shift = np.zeros((n_contexts + 1, 3))
    for k in range(1, n_contexts + 1):
        shift[k, k % 3] = 3.0 if k % 2 else -3.0
    E = rng.normal(size=(len(context), 3)) + shift[context]
    X = E.copy()
    X[:, 2] = np.tanh(2.0 * X[:, 0]) + 0.5 * X[:, 1] ** 2 + 0.3 * E[:, 2]
    if shuffled:
        rows = rng.permutation(len(X))
        X, context = X[rows], context[rows]
    return X, summarise_contexts(X, context[:, None].astype(float)), shift


def fit(X, contexts, **options):
    options = {"hidden": (8,), "random_state": 0, **options}
    return fit_mlp_mechanisms(X, contexts, ADJACENCY, PRIOR, **options)


def test_the_function_the_noise_and_the_targets_are_learned():
    X, contexts, shift = screen(1, shuffled=True)
    module = fit(X, contexts, hidden=(16, 16), max_epochs=60)
    truth = np.tanh(2.0 * X[:, 0]) + 0.5 * X[:, 1] ** 2
    error = module.expect(X)[:, 2] - truth
    assert (error**2).mean() < 0.5 * 0.3**2
    np.testing.assert_allclose(np.sqrt(module.noise_variance), [1.0, 1.0, 0.3], rtol=0.15)
    np.testing.assert_array_equal(module.target_probability(X, contexts) > 0.5, shift != 0)
    # One variable of three is a target, by three deviations of the noise.
    assert 1 / (1 + np.exp(-module.prior.log_odds)) == pytest.approx(1 / 3, abs=0.1)
    assert module.prior.variance == pytest.approx(9.0, rel=0.3)


def test_the_state_of_the_global_generator_is_left_alone():
    X, contexts, _ = screen()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = fit(X, contexts, max_epochs=2)
    assert (torch.rand(3) == expected).all()
    second = fit(X, contexts, max_epochs=2)
    np.testing.assert_array_equal(first.expect(X), second.expect(X))
    other = fit(X, contexts, max_epochs=2, random_state=1)
    assert (first.expect(X) != other.expect(X)).any()


def test_known_odds_are_kept():
    X, contexts, shift = screen()
    known = np.where(shift[1:] != 0, np.inf, -np.inf)
    module = fit_mlp_mechanisms(
        X,
        contexts,
        ADJACENCY,
        SpikeSlab(known, 10.0),
        hidden=(4,),
        max_epochs=2,
        learn_odds=False,
        random_state=0,
        dtype="float64",
    )
    np.testing.assert_array_equal(module.target_probability(X, contexts), shift != 0)
    assert module.linear.dtype == torch.float64


def test_an_interrupted_training_goes_on(tmp_path, monkeypatch):
    X, contexts, _ = screen()
    expected = fit(X, contexts, max_epochs=4).expect(X)
    path = tmp_path / "mechanisms.safetensors"

    calls = []
    original = _GroupedRows.batch

    def interrupted(self, groups):
        calls.append(0)
        if len(calls) == 50:
            raise KeyboardInterrupt
        return original(self, groups)

    monkeypatch.setattr("skcausal.nn._training._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(_GroupedRows, "batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(X, contexts, max_epochs=4, checkpoint=path)
    assert path.exists()
    resumed = fit(X, contexts, max_epochs=4, checkpoint=path)
    np.testing.assert_array_equal(resumed.expect(X), expected)
    with pytest.raises(ValueError, match="checkpoint"):
        fit(X + 1.0, contexts, max_epochs=4, checkpoint=path)


@pytest.mark.parametrize("n_contexts", [0, 1])
def test_few_contexts_and_rows_will_do(n_contexts):
    X, contexts, _ = screen(n_contexts=n_contexts, n_rows=2, n_controls=7)
    module = fit(X, contexts, max_epochs=2)
    assert np.isfinite(module.expect(X)).all()
    assert module.target_probability(X, contexts).shape == (n_contexts + 1, 3)


def test_outputs_are_solved_for_in_the_units_of_the_variables():
    X, contexts, shift = screen(1, shuffled=True)
    module = fit(X, contexts, max_epochs=4, dtype="float64")
    known = SpikeSlab(np.where(shift[1:] != 0, np.inf, -np.inf), 10.0)
    batch = _grouped(X, contexts.context_of_row, known, contexts, "cpu", torch.float64).all()
    with torch.no_grad():
        module.linear += 0.01
        before = module(batch).numpy()
        solve_outputs(module, X, contexts, known)
        assert (module(batch).numpy() < before).all()
        # Nothing is left for a step of gradient descent, up to the priors of the weights.
    loss = module(batch).sum()
    loss.backward()
    assert module.linear.grad[:, 0].abs().max() < 0.02
    assert module.log_variance.grad.abs().max() < 0.02


def test_batches_hold_every_row_once_and_whole_contexts():
    X, contexts, _ = screen(shuffled=True)
    rows = _grouped(X, contexts.context_of_row, PRIOR, contexts, "cpu", torch.float64)
    # 160 controls in groups of 20, and the contexts.
    assert rows.n_rows.tolist() == [20] * 20
    np.testing.assert_array_equal(rows.log_odds[:8], -np.inf)
    np.testing.assert_array_equal(rows.log_odds[8:], -1.0)
    batches = list(rows.split(0)(3, 0, 1))
    assert len(batches) == 20
    seen = torch.cat([batch[0] for batch in batches]).numpy()
    np.testing.assert_array_equal(np.sort(seen, axis=0), np.sort(X, axis=0))
    means = contexts.means[1:]
    for batch in batches:
        mean = batch[0].mean(dim=0).numpy()
        if torch.isfinite(batch[3]).all():
            assert np.abs(means - mean).sum(axis=1).min() < 1e-12
    # Processes share them.
    shares = [list(rows.split(0)(3, rank, 2)) for rank in (0, 1)]
    assert [len(share) for share in shares] == [10, 10]
    seen = torch.cat([batch[0] for share in shares for batch in share]).numpy()
    np.testing.assert_array_equal(np.sort(seen, axis=0), np.sort(X, axis=0))
