"""Random nonlinear functions of a variable's parents, one per variable and system.

All parameters are laid out in causal order: function t belongs to the t-th variable of the order,
and so do the inputs. Weights of variables that are no parents are 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from skcausal.simulators._random import fold_in, normal, uniform


@dataclass(frozen=True, eq=False)
class FourierFunctions:
    """Draws from a Gaussian process with a squared-exponential kernel, by random features.

    ``f_t(x) = sum_k amplitude_tk cos(<x, frequency_tk> + phase_tk)``, as in [1]_.

    Attributes
    ----------
    frequencies : tensor of shape (n_systems, n_variables, n_variables, n_features)
        Entry (s, t, i) is the frequency of function t in the i-th variable.
    phases : tensor of shape (n_systems, n_variables, n_features)
        Phases in radians.
    amplitudes : tensor of shape (n_systems, n_variables, n_features)
        Amplitudes.

    References
    ----------
    .. [1] Rahimi, A. & Recht, B. (2007). Random features for large-scale kernel machines. NeurIPS,
       algorithm 1.
    """

    frequencies: torch.Tensor
    phases: torch.Tensor
    amplitudes: torch.Tensor

    @classmethod
    def draw(cls, keys, edges, dtype, *, length_scale, output_scale, n_features):
        """Draw functions on graphs.

        Parameters
        ----------
        keys : int64 tensor of shape (n_systems,)
            Keys of the systems.
        edges : bool tensor of shape (n_systems, size, size)
            Graphs in causal positions.
        dtype : torch.dtype
            Precision.
        length_scale, output_scale : float
            Length scale and standard deviation of the Gaussian process.
        n_features : int
            Number of random features.

        Returns
        -------
        functions : FourierFunctions
            The functions.
        """
        size = edges.shape[-1]
        frequencies = normal(fold_in(keys, "frequencies"), size, size, n_features, dtype=dtype)
        phases = uniform(fold_in(keys, "phases"), size, n_features, dtype=dtype)
        amplitudes = normal(fold_in(keys, "amplitudes"), size, n_features, dtype=dtype)
        return cls(
            frequencies=frequencies * edges.mT[..., None] / length_scale,
            phases=phases * (2.0 * math.pi),
            amplitudes=amplitudes * (output_scale * math.sqrt(2.0 / n_features)),
        )

    def __call__(self, t: int, X: torch.Tensor) -> torch.Tensor:
        """Evaluate function t at rows X (n_variables, n_systems, n_regimes, n_rows)."""
        features = _affine(t, X, self.frequencies, self.phases).cos_()
        return features.mul_(self.amplitudes[:, None, None, t]).sum(dim=-1)

    @classmethod
    def draw_noise_functions(cls, keys, edges, dtype):
        """Functions for heteroskedastic noise, with the constants of Annadani et al. (2024).

        Arguments are those of :meth:`draw`.
        """
        keys = fold_in(keys, "noise_functions")
        return cls.draw(keys, edges, dtype, length_scale=10.0, output_scale=2.0, n_features=100)

    def noise_factor(self, t: int, X: torch.Tensor) -> torch.Tensor:
        """Factor of the noise of variable t: the square root of log(1 + exp(f_t))."""
        # Not softplus: its last bit depends on the size of the batch.
        return self(t, X).exp().log1p().sqrt()


@dataclass(frozen=True, eq=False)
class PerceptronFunctions:
    """Multilayer perceptrons with one hidden layer and random weights.

    ``f_t(x) = sum_k output_tk tanh(<x, input_tk> + bias_tk)``.

    Attributes
    ----------
    inputs : tensor of shape (n_systems, n_variables, n_variables, n_hidden)
        Entry (s, t, i) holds the weights of function t for the i-th variable.
    biases : tensor of shape (n_systems, n_variables, n_hidden)
        Biases of the hidden layer.
    outputs : tensor of shape (n_systems, n_variables, n_hidden)
        Weights of the output.
    """

    inputs: torch.Tensor
    biases: torch.Tensor
    outputs: torch.Tensor

    @classmethod
    def draw(cls, keys, edges, dtype, *, length_scale, output_scale, n_features):
        """Draw functions on graphs; arguments are those of :meth:`FourierFunctions.draw`.

        Hidden weights are N(0, 1 / length_scale^2), biases N(0, 1), and output weights
        N(0, output_scale^2 / n_features).
        """
        size = edges.shape[-1]
        inputs = normal(fold_in(keys, "inputs"), size, size, n_features, dtype=dtype)
        outputs = normal(fold_in(keys, "outputs"), size, n_features, dtype=dtype)
        return cls(
            inputs=inputs * edges.mT[..., None] / length_scale,
            biases=normal(fold_in(keys, "biases"), size, n_features, dtype=dtype),
            outputs=outputs * (output_scale / math.sqrt(n_features)),
        )

    def __call__(self, t: int, X: torch.Tensor) -> torch.Tensor:
        """Evaluate function t at rows X (n_variables, n_systems, n_regimes, n_rows)."""
        hidden = _affine(t, X, self.inputs, self.biases).tanh_()
        return hidden.mul_(self.outputs[:, None, None, t]).sum(dim=-1)


def _affine(t, X, weights, biases):
    """Affine functions (n_systems, n_regimes, n_rows, n_features) of the variables before t.

    One variable at a time: a matrix product's last bit depends on where in the batch it is.
    """
    result = biases[:, None, None, t].expand(*X.shape[1:], -1).clone()
    for i in range(t):
        result += X[i][..., None] * weights[:, None, None, t, i]
    return result
