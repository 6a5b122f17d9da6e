"""Task priors: batches of systems drawn and simulated, against plain loops over systems.

Run with one thread; the first parameter is the device, so the same figures appear for an
accelerator where there is one.
"""

import numpy as np
import torch

from skcausal.simulators import GeneNetworkPrior, LinearPrior, NonlinearPrior

from .common import SEED, best_seconds

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]

SYSTEMS = {
    "acyclic": LinearPrior(10),
    "published active-design prior": LinearPrior.preset("caasl"),
    "cyclic": LinearPrior(10, n_cycles=1),
    "confounded": LinearPrior(10, n_confounders=2),
    "gumbel": LinearPrior(10, noise="gumbel"),
    "heteroskedastic": LinearPrior(10, heteroskedastic=True),
    "nonlinear, Fourier": NonlinearPrior(10),
    "nonlinear, Fourier, not standardized": NonlinearPrior(10, standardize=None),
    "nonlinear, perceptron": NonlinearPrior(10, mechanism="mlp"),
}
NETWORKS = {
    "clean": GeneNetworkPrior(10),
    "10x_chromium": GeneNetworkPrior(10, technical_noise="10x_chromium"),
    "drop_seq": GeneNetworkPrior(10, technical_noise="drop_seq"),
}


def synchronised(function, device):
    """Wait for the device after a call."""

    def call():
        function()
        if device == "cuda":
            torch.cuda.synchronize()

    return call


class Rows:
    """1,000 systems of ten variables: one row each, under an intervention of its own."""

    params = (DEVICES, list(SYSTEMS))
    param_names = ("device", "systems")

    def setup(self, device, systems):
        torch.set_num_threads(1)
        self.systems = SYSTEMS[systems].sample(1000, SEED, device=device)
        generator = torch.Generator().manual_seed(SEED)
        self.mask = (torch.rand(1000, 1, 10, generator=generator) < 0.5).to(device)
        self.prior = SYSTEMS[systems]

    def track_milliseconds_of_one_row_each(self, device, systems):
        def rows():
            self.systems.sample(1, self.mask, 2.0, random_state=SEED)

        return 1000 * best_seconds(synchronised(rows, device), repeat=10)

    track_milliseconds_of_one_row_each.unit = "ms per batch of 1,000"

    def track_milliseconds_of_drawing_the_systems(self, device, systems):
        def draw():
            self.prior.sample(1000, SEED, device=device)

        return 1000 * best_seconds(synchronised(draw, device), repeat=3)

    track_milliseconds_of_drawing_the_systems.unit = "ms per batch of 1,000"


class GeneNetworkCells:
    """100 networks of ten genes and five cell types: 100 cells each."""

    params = (DEVICES, list(NETWORKS))
    param_names = ("device", "technical_noise")
    unit = "ms per network"

    def setup(self, device, technical_noise):
        torch.set_num_threads(1)
        self.prior = NETWORKS[technical_noise]
        self.networks = self.prior.sample(100, SEED, device=device)

    def track_cells(self, device, technical_noise):
        def cells():
            self.networks.sample(100, random_state=SEED)

        return 10 * best_seconds(synchronised(cells, device), repeat=3)

    def track_networks_and_cells(self, device, technical_noise):
        def both():
            self.prior.sample(100, SEED, device=device).sample(100, random_state=SEED)

        return 10 * best_seconds(synchronised(both, device), repeat=3)


class RelativeTime:
    """Seconds of a batch of linear systems divided by those of a loop over them in NumPy."""

    params = [100, 1000]
    param_names = ("n_systems",)
    unit = "fraction of the time of a loop over systems"

    def setup(self, n_systems):
        torch.set_num_threads(1)
        self.systems = LinearPrior(10).sample(n_systems, SEED, dtype=torch.float64)
        generator = torch.Generator().manual_seed(SEED)
        self.mask = torch.rand(n_systems, 1, 10, generator=generator) < 0.5

    def track_one_row_each(self, n_systems):
        coef, scale = self.systems.coef.numpy(), self.systems.noise_scale.numpy()
        mask, rng = self.mask[:, 0].numpy(), np.random.default_rng(SEED)

        def loop():
            for weights, scales, targets in zip(coef, scale, mask):
                inputs = np.where(targets, 2.0, scales * rng.normal(size=10))
                system = np.eye(10) - np.where(targets, 0.0, weights)
                np.linalg.solve(system.T, inputs)

        ours = best_seconds(
            lambda: self.systems.sample(1, self.mask, 2.0, random_state=SEED), repeat=10
        )
        return ours / best_seconds(loop, repeat=3)


class StreamMemory:
    """Peak memory of a stream of tasks: the same for any number of them."""

    params = [1_000, 50_000]
    param_names = ("n_tasks",)
    timeout = 300

    def peakmem_stream(self, n_tasks):
        torch.set_num_threads(1)
        for systems in LinearPrior(10).stream(n_tasks, SEED, batch_size=500):
            systems.sample(20, random_state=SEED)
