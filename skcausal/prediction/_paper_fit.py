"""The published network as a predictor: meta-training, fine-tuning and predictions with gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.func import functional_call

from skcausal.prediction._maml import adapt, meta_train
from skcausal.prediction._paper_losses import context_rows
from skcausal.prediction._paper_network import PaperNetwork
from skcausal.prediction._paper_tasks import sample_tasks

# The paper has no number of passes over its tasks. Rows that the attention sees are bounded: with
# all of them a second-order step takes seconds.
N_EPOCHS = 10
_ROWS_PER_REGIME = 20
_CONTEXT_ROWS = 20
_BATCH_SIZE = 10
_INNER_LEARNING_RATE = 0.3

# Unknown cells are filled by the network's own predictions, over and over.
_N_SWEEPS = 20


def pretrain_paper(
    network: PaperNetwork,
    prior,
    *,
    objective: str,
    n_tasks: int,
    learning_rate: float,
    seed: int,
    checkpoint=None,
    fingerprint: str = "",
    verbose: bool = False,
) -> dict[str, torch.Tensor]:
    """Meta-train the published network in place on tasks that are drawn once.

    Parameters
    ----------
    network : PaperNetwork
        The network, on the device to train on.
    prior : TaskPrior
        Distribution over systems of its size.
    objective : {"maml", "supervised"}
        See :func:`skcausal.prediction._maml.meta_train`.
    n_tasks : int
        Number of tasks.
    learning_rate : float
        Learning rate of Adam.
    seed : int
        Determines the tasks, their order and dropout.
    checkpoint, fingerprint, verbose : optional
        See :func:`skcausal.nn.train`.

    Returns
    -------
    history : dict of str to Tensor
        "loss" of each epoch.
    """
    d = network.sizes["n_variables"]
    # As the paper: one pair of 6 is held out, 5 of 45, 10 of 190.
    n_heldout_pairs = max(1, d // 2)
    tasks = sample_tasks(
        prior, n_tasks, n_rows=_ROWS_PER_REGIME, n_heldout_pairs=n_heldout_pairs, seed=seed
    )
    return meta_train(
        network,
        tasks.to(network.target_embedding.device),
        objective=objective,
        n_epochs=N_EPOCHS,
        batch_size=_BATCH_SIZE,
        learning_rate=learning_rate,
        inner_learning_rate=_INNER_LEARNING_RATE,
        n_context_rows=_CONTEXT_ROWS,
        seed=seed,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        verbose=verbose,
    )


@dataclass(frozen=True, eq=False)
class PaperFit:
    """The published network fine-tuned on a data set.

    Parameters
    ----------
    network : PaperNetwork
        The network.
    parameters : dict of str to Tensor
        Its parameters after fine-tuning.
    context_X, context_mask : tensor of shape (n_context_rows, n_variables)
        Rows that it is conditioned on, z-scored, and their targets.
    control : ndarray of shape (n_variables,)
        Where unknown values start, in standardised units.
    """

    network: PaperNetwork
    parameters: dict[str, torch.Tensor]
    context_X: torch.Tensor
    context_mask: torch.Tensor
    control: np.ndarray

    def predict(self, Z: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Predict every cell from the others of its row; NaN means unknown.

        The network needs all other cells. Unknown ones start at their mean without intervention
        and are replaced by the predictions of the previous sweep.

        Parameters
        ----------
        Z : ndarray of shape (n_samples, n_variables)
            Standardised values; those of targets are finite.
        mask : ndarray of bool of shape (n_samples, n_variables)
            The intervention mask.

        Returns
        -------
        Z_pred : ndarray of shape (n_samples, n_variables)
            The predictions; intervened cells keep their value.
        """
        unknown = np.isnan(Z)
        filled = np.where(unknown, self.control, Z)
        predicted = self._predict_full(filled, mask)
        for _ in range(_N_SWEEPS if unknown.any() else 0):
            filled = np.where(unknown, predicted, filled)
            predicted = self._predict_full(filled, mask)
        return np.where(mask, Z, predicted)

    @torch.no_grad()
    def _predict_full(self, Z, mask):
        """Predict each cell from the others, which are all known."""
        X = torch.from_numpy(Z).to(self.context_X)
        targets = torch.from_numpy(np.ascontiguousarray(mask)).to(X.device)
        data = (self.context_X, self.context_mask, X, targets)
        means = functional_call(self.network, self.parameters, data)
        return means.double().cpu().numpy()


def fit_paper(
    network: PaperNetwork,
    Z: np.ndarray,
    mask: np.ndarray,
    control: np.ndarray,
    *,
    n_finetune_steps: int,
    finetune_learning_rate: float,
) -> PaperFit:
    """Fine-tune the published network on a data set (the test time of MIP-FT).

    Parameters
    ----------
    network : PaperNetwork
        The network, on the device and in the precision of the computation; it stays as it is.
    Z : ndarray of shape (n_samples, n_variables)
        Standardised rows.
    mask : ndarray of bool of shape (n_samples, n_variables)
        The intervention mask.
    control : ndarray of shape (n_variables,)
        Mean of the variables without intervention, in standardised units.
    n_finetune_steps : int
        Number of gradient steps; 0 is the paper's MIP.
    finetune_learning_rate : float
        Their size.

    Returns
    -------
    fitted : PaperFit
        The predictor.
    """
    X = torch.from_numpy(Z).to(network.target_embedding)
    targets = torch.from_numpy(np.ascontiguousarray(mask)).to(X.device)
    context = context_rows(X, targets, _CONTEXT_ROWS, seed=0)
    parameters = adapt(
        network, X, targets, n_finetune_steps, finetune_learning_rate, context=context
    )
    return PaperFit(network, parameters, *context, control)
