import math

import numpy as np
import pytest
import torch
from scipy import stats

from skcausal.simulators._noise import NOISES, standard_noise
from skcausal.simulators._random import task_keys

DTYPES = [torch.float32, torch.float64]
SCALE = math.sqrt(6.0) / math.pi
EXACT = {
    "gaussian": stats.norm(),
    "gumbel": stats.gumbel_r(loc=-np.euler_gamma * SCALE, scale=SCALE),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("noise", NOISES)
def test_noise_follows_its_distribution(noise, dtype):
    assert EXACT[noise].stats("mv") == pytest.approx((0.0, 1.0))
    drawn = standard_noise(task_keys(0, 4), (2, 2000, 3), noise, dtype)
    assert drawn.shape == (4, 2, 2000, 3)
    assert drawn.dtype == dtype
    drawn = drawn.flatten().double().numpy()
    assert stats.kstest(drawn, EXACT[noise].cdf).pvalue > 1e-3
    assert abs(drawn.mean()) < 4 / math.sqrt(len(drawn))
    fourth = 3.0 + float(EXACT[noise].stats("k"))
    assert abs(drawn.var() - 1.0) < 4 * math.sqrt((fourth - 1.0) / len(drawn))


@pytest.mark.parametrize("noise", NOISES)
def test_noise_of_systems_regimes_rows_and_variables_is_independent(noise):
    drawn = standard_noise(task_keys(0, 2), (2, 5000, 3), noise, torch.float64)
    columns = drawn.movedim(2, 0).flatten(1).numpy()
    for values in (columns, columns**2):
        correlation = np.corrcoef(values.T) - np.eye(12)
        assert np.abs(correlation).max() < 4.5 / math.sqrt(5000)
        following = [np.corrcoef(column[1:], column[:-1])[0, 1] for column in values.T]
        assert np.abs(following).max() < 4 / math.sqrt(5000)


@pytest.mark.parametrize("noise", NOISES)
def test_noise_of_a_row_does_not_depend_on_where_simulation_started(noise):
    keys = task_keys(0, 3)
    whole = standard_noise(keys, (2, 10, 5), noise, torch.float64)
    part = standard_noise(keys[1:], (1, 4, 5), noise, torch.float64, first_row=6)
    assert torch.equal(part, whole[1:, :1, 6:])


@pytest.mark.parametrize("noise", NOISES)
def test_precisions_agree(noise):
    single = standard_noise(task_keys(0, 3), (2, 50, 5), noise, torch.float32)
    double = standard_noise(task_keys(0, 3), (2, 50, 5), noise, torch.float64)
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-3)
