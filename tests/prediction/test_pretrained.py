"""Files of weights: round trips, and every damaged file is refused."""

import numpy as np
import pytest
import torch

from skcausal.nn import save_checkpoint
from skcausal.nn._network_files import cast_network
from skcausal.prediction._pretrained import NETWORK_FILES

SIZES = {
    "amortized": {"width": 4, "n_layers": 1},
    "paper": {"n_variables": 3, "width": 8, "n_layers": 1},
}
both_variants = pytest.mark.parametrize("variant", SIZES)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


def write(path, variant="amortized", card=None):
    network = NETWORK_FILES.make(variant, SIZES[variant], seed=0)
    NETWORK_FILES.save(path, variant, network, card or {})
    return network


@both_variants
def test_round_trip(variant, path):
    network = write(path, variant, {"seed": 3})
    loaded, card = NETWORK_FILES.load(path, variant)
    assert card == {"seed": 3}
    assert loaded.sizes == SIZES[variant]
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


@both_variants
def test_networks_are_determined_by_the_seed_alone(variant):
    state = torch.random.get_rng_state()
    first, second, other = (NETWORK_FILES.make(variant, SIZES[variant], seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    for one, two in zip(first.parameters(), second.parameters()):
        assert torch.equal(one, two)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters()))


@both_variants
def test_casting_copies(variant):
    network = NETWORK_FILES.make(variant, SIZES[variant], seed=0)
    cast = cast_network(network, torch.device("cpu"), torch.float64)
    assert all(p.dtype == torch.float64 for p in cast.parameters())
    assert all(p.dtype == torch.float32 for p in network.parameters())
    for one, two in zip(network.parameters(), cast.parameters()):
        assert torch.equal(one.double(), two)


def test_every_truncated_file_is_refused(path):
    write(path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for length in rng.integers(0, len(content), 200):
        path.write_bytes(content[:length])
        with pytest.raises((ValueError, OSError), match="weights"):
            NETWORK_FILES.load(path, "amortized")


def test_every_file_with_a_flipped_bit_is_refused(path):
    write(path, card={"seed": 3})
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(content), 200):
        damaged = bytearray(content)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises((ValueError, OSError), match="weights"):
            NETWORK_FILES.load(path, "amortized")


@pytest.mark.parametrize("found", SIZES)
def test_weights_of_the_other_variant(found, path):
    write(path, found)
    wanted = {"amortized": "paper", "paper": "amortized"}[found]
    with pytest.raises(ValueError, match=f"no weights of the variant '{wanted}'"):
        NETWORK_FILES.load(path, wanted)


@pytest.mark.parametrize(
    "sizes",
    [None, {}, {"width": 4}, {"width": 0, "n_layers": 1}, {"width": "4", "n_layers": 1}],
    ids=["none", "empty", "partial", "zero", "text"],
)
def test_sizes_that_no_network_has(sizes, path):
    save_checkpoint(path, {}, {"variant": "amortized", "sizes": sizes})
    with pytest.raises(ValueError, match="no network has the sizes"):
        NETWORK_FILES.load(path, "amortized")


def test_weights_that_do_not_fit_or_are_not_finite(path):
    network = NETWORK_FILES.make("amortized", SIZES["amortized"], seed=0)
    header = {"variant": "amortized", "sizes": {"width": 6, "n_layers": 1}}
    save_checkpoint(path, network.state_dict(), header)
    with pytest.raises(ValueError, match="do not fit a network of its size"):
        NETWORK_FILES.load(path, "amortized")
    with torch.no_grad():
        network.pair_head.bias[0] = torch.nan
    NETWORK_FILES.save(path, "amortized", network, {})
    with pytest.raises(ValueError, match="not finite"):
        NETWORK_FILES.load(path, "amortized")
