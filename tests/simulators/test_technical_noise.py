import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from skcausal.simulators import TechnicalNoise, log_cpm
from skcausal.simulators._random import task_keys
from skcausal.simulators._technical_noise import (
    draw_outliers,
    dropout_midpoint,
    measure,
    scale_libraries,
)

KEYS = task_keys(0, 500)


def expression(n_rows=20, n_genes=6, seed=0):
    draws = np.random.default_rng(seed).gamma(2.0, 3.0, size=(500, 1, n_rows, n_genes))
    return torch.from_numpy(draws)


def test_outliers_are_rare_and_log_normal():
    noise = TechnicalNoise(outlier_probability=0.1, outlier_log_mean=2.0, outlier_log_scale=0.5)
    factors = draw_outliers(noise, KEYS, 40, torch.float64).numpy().ravel()
    outliers = factors[factors != 1.0]
    assert abs(len(outliers) / len(factors) - 0.1) < 4 * np.sqrt(0.09 / len(factors))
    assert stats.kstest(np.log(outliers), stats.norm(2.0, 0.5).cdf).pvalue > 0.001


def test_libraries_have_log_normal_totals_and_unchanged_proportions():
    noise = TechnicalNoise(log_library_mean=4.4, log_library_scale=0.8)
    clean = expression()
    scaled = scale_libraries(noise, clean, KEYS)
    totals = scaled.sum(dim=-1)
    assert stats.kstest(totals.log().numpy().ravel(), stats.norm(4.4, 0.8).cdf).pvalue > 0.001
    shares, clean_shares = (x / x.sum(dim=-1, keepdim=True) for x in (scaled, clean))
    torch.testing.assert_close(shares, clean_shares)
    empty = scale_libraries(noise, torch.zeros_like(clean), KEYS)
    assert (empty == 0).all()


def test_midpoint_is_a_percentile_of_the_genes_that_exist():
    noise = TechnicalNoise(dropout_percentile=30.0)
    cells, present = expression()[:, 0], torch.arange(6).expand(500, 6) < 4
    midpoint = dropout_midpoint(noise, cells, present)
    for s in range(5):
        expected = np.percentile(np.log1p(cells[s, :, :4].numpy()), 30.0)
        assert midpoint[s] == pytest.approx(expected, rel=1e-12)


def test_entries_are_lost_with_the_logistic_probability_and_the_rest_is_poisson():
    noise = TechnicalNoise(dropout_shape=3.0)
    x, n = 4.0, 400
    counts = measure(
        noise,
        torch.full((500, 1, n, 1), x, dtype=torch.float64),
        KEYS,
        torch.full((500,), 1.5).double(),
    )
    survival = 1 / (1 + np.exp(-3.0 * (np.log1p(x) - 1.5)))
    size = 500 * n
    expected = survival * stats.poisson(x).pmf(np.arange(12)) + (1 - survival) * (
        np.arange(12) == 0
    )
    observed = np.bincount(counts.long().flatten(), minlength=12)[:12]
    expected[-1] += 1 - expected.sum()
    observed[-1] += size - observed.sum()
    assert stats.chisquare(observed, size * expected).pvalue > 0.001


def test_share_lost_is_near_the_percentile():
    for platform in ("10x_chromium", "drop_seq"):
        noise = TechnicalNoise.preset(platform)
        cells = scale_libraries(noise, expression(), KEYS)
        midpoint = dropout_midpoint(noise, cells[:, 0], torch.ones(500, 6, dtype=torch.bool))
        zeros = (measure(noise, cells, KEYS, midpoint) == 0).double().mean()
        assert abs(100 * zeros - noise.dropout_percentile) < 2


def test_presets_are_those_of_the_published_table():
    tenx, drop = (TechnicalNoise.preset(name) for name in ("10x_chromium", "drop_seq"))
    assert (tenx.outlier_probability, tenx.outlier_log_mean, tenx.outlier_log_scale) == (0.01, 3, 1)
    assert (tenx.log_library_mean, tenx.log_library_scale) == (6.0, 0.3)
    assert (tenx.dropout_percentile, tenx.dropout_shape) == (74, 8)
    assert (drop.log_library_mean, drop.log_library_scale) == (4.4, 0.8)
    assert (drop.dropout_percentile, drop.dropout_shape) == (85, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outlier_probability": 1.5}, "outlier_probability must be at least 0 and at most 1"),
        ({"log_library_scale": -0.1}, "log_library_scale must be at least 0"),
        ({"dropout_percentile": 120.0}, "dropout_percentile must be at least 0 and at most 100"),
        ({"dropout_shape": np.nan}, "dropout_shape must be at least 0"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        TechnicalNoise(**options)


def test_log_cpm_by_hand_for_every_container():
    counts = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0], [2.0, 0.0, 2.0]])
    expected = np.zeros((3, 3))
    expected[0, :2] = np.log2(1 + 1e6 * counts[0, :2] / 4)
    expected[2, [0, 2]] = np.log2(1 + 5e5)
    np.testing.assert_allclose(log_cpm(counts), expected)
    frame = pd.DataFrame(counts, index=["a", "b", "c"], columns=["x", "y", "z"])
    pd.testing.assert_frame_equal(
        log_cpm(frame), pd.DataFrame(expected, frame.index, frame.columns)
    )
    torch.testing.assert_close(log_cpm(torch.from_numpy(counts)), torch.from_numpy(expected))
    with pytest.raises(ValueError, match="counts must not be negative or NaN"):
        log_cpm([[-1.0, 2.0]])


@pytest.mark.parametrize("shape", [8.0, 50.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_expressed_most_survives_however_steep_the_curve(shape, dtype):
    noise = TechnicalNoise(dropout_shape=shape)
    cells = torch.tensor([1e4, 1e-3], dtype=dtype).expand(500, 1, 3, 2)
    counts = measure(noise, cells, KEYS, torch.full((500,), 2.0, dtype=dtype))
    assert (counts[..., 0] > 9000).all()
    assert (counts[..., 1] == 0).all()


def test_counts_of_a_larger_sample_begin_with_the_smaller_one():
    noise, cells = TechnicalNoise(), expression(n_rows=8).expand(-1, 3, -1, -1)
    midpoint = torch.zeros(500, dtype=torch.float64)
    few, many = (
        measure(noise, scale_libraries(noise, cells[:, :, :n], KEYS), KEYS, midpoint)
        for n in (5, 8)
    )
    assert torch.equal(few, many[:, :, :5])
