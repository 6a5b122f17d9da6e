"""Meta-training of the published network so that few gradient steps adapt it to a data set."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from skcausal.nn import train
from skcausal.prediction._paper_losses import context_rows, fit_loss, transfer_loss
from skcausal.prediction._paper_network import PaperNetwork
from skcausal.prediction._paper_tasks import MetaTasks

OBJECTIVES = ("maml", "supervised", "transfer")


def adapt(
    network: nn.Module,
    X: torch.Tensor,
    mask: torch.Tensor,
    n_steps: int,
    learning_rate: float,
    create_graph: bool = False,
    *,
    context: tuple[torch.Tensor, torch.Tensor] | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, torch.Tensor]:
    """Take gradient steps on the fit loss, each task from the network's parameters (line 8).

    Parameters
    ----------
    network : PaperNetwork
        The network, which stays as it is.
    X, mask : tensor of shape (n_rows, n_variables) or (n_tasks, n_rows, n_variables)
        One data set, or several, z-scored, and their targets.
    n_steps : int
        Number of steps.
    learning_rate : float
        Their size, alpha.
    create_graph : bool, default=False
        Whether the result can be differentiated with respect to the network's parameters.
    context : pair of tensors, default=None
        Rows that stand for X and mask in the attention. Default: all.
    generator : torch.Generator, default=None
        Source of dropout. None: no dropout.

    Returns
    -------
    parameters : dict of str to Tensor
        Adapted parameters, with an axis of tasks in front if X has one: a value for `parameters` in
        :func:`transfer_loss`, or for :func:`torch.func.functional_call`.
    """
    parameters: dict[str, torch.Tensor] = dict(network.named_parameters())
    if not create_graph:
        parameters = {name: p.detach().requires_grad_() for name, p in parameters.items()}
    if X.ndim == 3:
        parameters = {name: p.expand(len(X), *p.shape) for name, p in parameters.items()}
    with torch.enable_grad():
        for _ in range(n_steps):
            # The tasks' losses share no parameter: the gradient of their sum holds each one's own.
            loss = fit_loss(
                network,
                X,
                mask,
                context=context,
                parameters=parameters,
                generator=generator,
                second_order=create_graph,
            ).sum()
            gradients = torch.autograd.grad(
                loss, list(parameters.values()), create_graph=create_graph
            )
            parameters = {
                name: p - learning_rate * gradient
                for (name, p), gradient in zip(parameters.items(), gradients)
            }
            if not create_graph:
                parameters = {name: p.detach().requires_grad_() for name, p in parameters.items()}
    return parameters if create_graph else {name: p.detach() for name, p in parameters.items()}


def meta_train(
    network: PaperNetwork,
    tasks: MetaTasks,
    *,
    objective: str = "maml",
    n_epochs: int,
    batch_size: int,
    learning_rate: float = 5e-5,
    inner_learning_rate: float,
    n_context_rows: int | None = None,
    seed: int,
    checkpoint=None,
    fingerprint: str = "",
    verbose: bool = False,
) -> dict[str, torch.Tensor]:
    """Meta-train a network in place (algorithm 1, lines 6 to 11).

    Parameters
    ----------
    network : PaperNetwork
        The network.
    tasks : MetaTasks
        The tasks, on the network's device.
    objective : {"maml", "supervised", "transfer"}, default="maml"
        - "maml": the transfer loss after one step on the fit loss (eq. 3);
        - "supervised": the fit loss, as section 4.3 has it;
        - "transfer": the transfer loss without a step before it.
    n_epochs : int
        Number of passes over the tasks.
    batch_size : int
        Number of tasks of a step of Adam.
    learning_rate : float, default=5e-5
        Learning rate of Adam, beta.
    inner_learning_rate : float
        Size of the step on the fit loss, alpha.
    n_context_rows : int, default=None
        Number of training rows that the attention sees, drawn anew in each step. Default: all,
        which is slow. The fit loss is over all training rows in any case.
    seed : int
        Determines the order of the tasks, the rows and dropout.
    checkpoint, fingerprint, verbose : optional
        See :func:`skcausal.nn.train`.

    Returns
    -------
    history : dict of str to Tensor
        "loss" of each epoch.

    Raises
    ------
    ValueError
        If there is no such objective.
    """
    if objective not in OBJECTIVES:
        listed = ", ".join(map(repr, OBJECTIVES))
        raise ValueError(f"objective must be one of {listed}; found {objective!r}.")

    def epoch_batches(epoch, rank, world_size):
        order = np.random.default_rng([seed, epoch]).permutation(len(tasks))
        mine = torch.from_numpy(order)[rank::world_size][: len(tasks) // world_size]
        for number, batch in enumerate(mine.split(batch_size)):
            # Rows and dropout are functions of the epoch and the batch.
            seeds = np.random.SeedSequence([seed, epoch, rank, number]).generate_state(2)
            yield tasks[batch], [int(s) for s in seeds]

    module = _MetaObjective(network, objective, inner_learning_rate, n_context_rows)
    return train(
        module,
        lambda module, batch: {"loss": module(*batch)},
        epoch_batches,
        optimizer=torch.optim.Adam(module.parameters(), lr=learning_rate),
        n_epochs=n_epochs,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        verbose=verbose,
        description="meta-training",
    )


class _MetaObjective(nn.Module):
    """The objective as a module, so that what wraps it for several processes sees one pass."""

    def __init__(self, network, objective, inner_learning_rate, n_context_rows):
        super().__init__()
        self.network = network
        self.objective = objective
        self.inner_learning_rate = inner_learning_rate
        self.n_context_rows = n_context_rows

    def forward(self, tasks: MetaTasks, seeds: list[int]) -> torch.Tensor:
        """Mean loss over a batch of tasks."""
        context = context_rows(tasks.X, tasks.mask, self.n_context_rows, seeds[0])
        generator = torch.Generator(tasks.X.device).manual_seed(seeds[1])
        if self.objective == "supervised":
            loss = fit_loss(self.network, tasks.X, tasks.mask, context=context, generator=generator)
            return loss.mean()
        parameters = None
        if self.objective == "maml":
            parameters = adapt(
                self.network,
                tasks.X,
                tasks.mask,
                1,
                self.inner_learning_rate,
                create_graph=True,
                context=context,
                generator=generator,
            )
        return transfer_loss(
            self.network,
            *context,
            tasks.X_test,
            tasks.mask_test,
            parameters=parameters,
            generator=generator,
            second_order=self.objective == "maml",
        ).mean()
