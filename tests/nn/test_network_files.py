"""Files of networks of any method: round trips, refusals, copies, and marks of trainings."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import uniform
from torch import nn

from skcausal import __version__
from skcausal.nn import load_checkpoint, save_checkpoint
from skcausal.nn._linear import linear
from skcausal.nn._network_files import (
    NetworkFiles,
    cast_network,
    described,
    fingerprint_of,
    seed_of_training,
)
from skcausal.simulators import LinearPrior


class Wide(nn.Module):
    """A network with one size."""

    def __init__(self, generator, *, width=3):
        super().__init__()
        self.sizes = {"width": width}
        self.layer = linear(width, 1, generator)
        self.register_buffer("count", torch.zeros(2))

    def forward(self, x):
        return self.layer(x)


class Deep(nn.Module):
    """Another one, with two sizes."""

    def __init__(self, generator, *, width=3, n_layers=1):
        super().__init__()
        self.sizes = {"width": width, "n_layers": n_layers}
        self.layers = nn.ModuleList(linear(width, width, generator) for _ in range(n_layers))


FILES = NetworkFiles({"wide": (Wide, ("width",)), "deep": (Deep, ("width", "n_layers"))})
CPU = torch.device("cpu")


def make(variant="wide", seed=0, **sizes):
    sizes = {"wide": {"width": 4}, "deep": {"width": 4, "n_layers": 2}}[variant] | sizes
    return FILES.make(variant, sizes, seed=seed)


def equal(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


class TestMake:
    def test_the_seed_alone_determines_the_weights(self):
        state = torch.random.get_rng_state()
        first, same, other = (make(seed=seed) for seed in (0, 0, 1))
        assert torch.equal(torch.random.get_rng_state(), state)
        assert equal(first, same)
        assert not equal(first, other)

    def test_has_the_sizes_and_is_ready_for_use(self):
        network = make("deep", n_layers=3)
        assert network.sizes == {"width": 4, "n_layers": 3}
        assert len(network.layers) == 3
        assert not network.training
        assert {p.dtype for p in network.parameters()} == {torch.float32}


class TestRoundTrip:
    @pytest.mark.parametrize("variant", ["wide", "deep"])
    def test_weights_sizes_and_card(self, variant, path):
        network = make(variant, seed=5, width=6)
        card = {"seed": 5, "shares": [0.5, 0.5], "prior": None}
        FILES.save(path, variant, network, card)
        loaded, found = FILES.load(path, variant)
        assert found == card
        assert loaded.sizes == network.sizes
        assert not loaded.training
        assert equal(loaded, network)

    def test_buffers_are_part_of_it(self, path):
        network = make()
        network.count += 7.0
        FILES.save(path, "wide", network, {})
        assert FILES.load(path, "wide")[0].count.tolist() == [7.0, 7.0]

    def test_paths_may_be_text_or_not(self, path):
        FILES.save(str(path), "wide", make(), {})
        assert equal(FILES.load(os.fspath(path), "wide")[0], FILES.load(path, "wide")[0])

    def test_weights_are_written_in_float32(self, path):
        network = make()
        FILES.save(path, "wide", cast_network(network, CPU, torch.float64), {})
        assert equal(FILES.load(path, "wide")[0], network)

    def test_header_says_what_it_is(self, path):
        FILES.save(path, "deep", make("deep"), {"seed": 1})
        _, header = load_checkpoint(path)
        assert header == {
            "variant": "deep",
            "version": __version__,
            "sizes": {"width": 4, "n_layers": 2},
            "card": {"seed": 1},
        }

    def test_saving_replaces_and_does_not_change_the_network(self, path):
        first, second = make(seed=0), make(seed=1)
        for network in (first, second):
            FILES.save(path, "wide", network, {})
        assert equal(FILES.load(path, "wide")[0], second)
        assert equal(second, make(seed=1))


class TestRefusals:
    @pytest.mark.parametrize("found", ["wide", "deep"])
    def test_another_variant(self, found, path):
        FILES.save(path, found, make(found), {})
        wanted = {"wide": "deep", "deep": "wide"}[found]
        with pytest.raises(ValueError, match=f"no weights of the variant '{wanted}'"):
            FILES.load(path, wanted)

    def test_files_that_hold_something_else(self, path):
        save_checkpoint(path, {"x": torch.ones(2)}, {"epoch": 3})
        with pytest.raises(ValueError, match="no weights of the variant 'wide'"):
            FILES.load(path, "wide")
        path.write_text("weights")
        with pytest.raises(ValueError, match="not a readable checkpoint"):
            FILES.load(path, "wide")

    def test_missing_files_and_folders(self, path, tmp_path):
        for missing in (path, tmp_path):
            with pytest.raises(OSError, match=str(missing)):
                FILES.load(missing, "wide")

    @pytest.mark.parametrize(
        "sizes",
        [
            None,
            [4],
            {},
            {"width": 4, "depth": 1},
            {"width": 0},
            {"width": -4},
            {"width": 4.0},
            {"width": "4"},
            {"width": None},
            {"width": 100_000},
        ],
        ids=str,
    )
    def test_sizes_that_no_network_has(self, sizes, path):
        tensors = make().state_dict()
        save_checkpoint(path, tensors, {"variant": "wide", "sizes": sizes})
        with pytest.raises(ValueError, match="no network has the sizes"):
            FILES.load(path, "wide")

    @pytest.mark.parametrize("change", ["missing", "additional", "renamed", "shape"])
    def test_weights_that_do_not_fit(self, change, path):
        tensors = dict(make().state_dict())
        bias = tensors["layer.bias"]
        if change == "additional":
            tensors["more"] = bias
        elif change == "shape":
            tensors["layer.bias"] = torch.ones(2)
        else:
            del tensors["layer.bias"]
            if change == "renamed":
                tensors["layer.offset"] = bias
        save_checkpoint(path, tensors, {"variant": "wide", "sizes": {"width": 4}})
        with pytest.raises(ValueError, match="do not fit a network of its size"):
            FILES.load(path, "wide")

    @pytest.mark.parametrize("value", [torch.nan, torch.inf])
    def test_weights_that_are_not_finite(self, value, path):
        network = make()
        with torch.no_grad():
            network.layer.weight[0, 1] = value
        FILES.save(path, "wide", network, {})
        with pytest.raises(ValueError, match="weights that are not finite"):
            FILES.load(path, "wide")

    def test_cards_that_json_cannot_hold(self, path):
        with pytest.raises(TypeError):
            FILES.save(path, "wide", make(), {"prior": LinearPrior(3)})
        assert not path.exists()

    def test_a_missing_card_is_empty(self, path):
        header = {"variant": "wide", "sizes": {"width": 4}}
        save_checkpoint(path, make().state_dict(), header)
        assert FILES.load(path, "wide")[1] == {}


class TestCast:
    def test_copies(self):
        network = make("deep")
        cast = cast_network(network, CPU, torch.float64)
        assert type(cast) is Deep
        assert cast.sizes == network.sizes
        assert {p.dtype for p in cast.parameters()} == {torch.float64}
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        for one, two in zip(network.parameters(), cast.parameters()):
            assert torch.equal(one.double(), two)
            assert one.data_ptr() != two.data_ptr()

    def test_copies_are_kept_for_each_network_and_precision(self):
        first, second = make(seed=0), make(seed=1)
        cast = cast_network(first, CPU, torch.float64)
        assert cast_network(first, CPU, torch.float64) is cast
        assert cast_network(first, CPU, torch.float32) is not cast
        assert cast_network(first, CPU, torch.float32) is not first
        assert not equal(cast_network(second, CPU, torch.float64), cast)

    def test_copies_are_ready_for_use_and_leave_the_network_in_training(self):
        network = make().train()
        assert not cast_network(network, CPU, torch.float32).training
        assert network.training

    def test_neither_uses_nor_changes_the_global_random_state(self):
        state = torch.random.get_rng_state()
        cast_network(make(seed=3), CPU, torch.float64)
        assert torch.equal(torch.random.get_rng_state(), state)


class TestSeedOfTraining:
    def test_is_determined_by_the_random_state(self):
        first, same, other = (seed_of_training(state, None) for state in (0, 0, 1))
        assert first == same != other
        assert type(first) is int
        assert seed_of_training(np.int64(0), "file") == first
        assert seed_of_training(np.random.RandomState(0), None) == first

    @pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
    def test_checkpoints_need_an_integer(self, random_state):
        with pytest.raises(ValueError, match="checkpoint needs an integer random_state"):
            seed_of_training(random_state, "file")


def test_description_of_a_training():
    history = {"loss": torch.tensor([3.0, 2.0]), "error": torch.tensor([1.0, 0.5])}
    prior = LinearPrior(4)
    (network, card), curve = described(make(), history, {"seed": 1}, prior)
    assert equal(network, make())
    assert card == {"seed": 1, "prior": repr(prior), "final": {"loss": 2.0, "error": 0.5}}
    assert curve["loss"].tolist() == [3.0, 2.0]
    assert described(make(), history, {}, None)[0][1]["prior"] == "default"


class TestFingerprint:
    def test_is_the_same_for_the_same_training(self):
        state = torch.random.get_rng_state()
        first = fingerprint_of([LinearPrior(4)], {"seed": 0, "shares": (0.5, 0.5)})
        second = fingerprint_of([LinearPrior(4)], {"shares": [0.5, 0.5], "seed": 0})
        assert first == second
        assert torch.equal(torch.random.get_rng_state(), state)

    def test_tells_priors_and_settings_apart(self):
        prior = LinearPrior(4)
        trainings = [
            ([prior], {"seed": 0}),
            ([prior], {"seed": 1}),
            ([prior], {"seed": 0, "n_steps": 5}),
            ([prior, prior], {"seed": 0}),
            ([LinearPrior(4, noise_variance=0.2)], {"seed": 0}),
            ([LinearPrior(4, edges_per_variable=1.5)], {"seed": 0}),
            ([LinearPrior(4, weight_scale=uniform(0.5, 1.0))], {"seed": 0}),
            ([LinearPrior(4, weight_scale=uniform(0.5, 1.1))], {"seed": 0}),
        ]
        assert len({fingerprint_of(*training) for training in trainings}) == len(trainings)

    def test_equal_distributions_are_the_same(self):
        first, second = (LinearPrior(4, noise_variance=uniform(0.1, 0.2)) for _ in range(2))
        assert fingerprint_of([first], {}) == fingerprint_of([second], {})

    def test_is_text_for_the_header_of_a_checkpoint(self):
        fingerprint = fingerprint_of([LinearPrior(4)], {})
        assert json.loads(json.dumps(fingerprint)) == fingerprint
        assert len(fingerprint) == 64

    def test_of_settings_that_json_cannot_hold(self):
        with pytest.raises(TypeError):
            fingerprint_of([], {"prior": SimpleNamespace()})
