"""Episodes: a strategy does one experiment after the other in simulated systems."""

from __future__ import annotations

import torch

from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Designs, Histories
from skcausal.design._laboratory import Laboratory
from skcausal.design._strategies import Strategy


def run_episodes(
    strategy: Strategy,
    laboratory: Laboratory,
    budget: int,
    generator: torch.Generator,
    space: DesignSpace | None = None,
) -> tuple[Histories, list[Designs]]:
    """Let a strategy choose all experiments.

    Parameters
    ----------
    strategy : Strategy
        What chooses.
    laboratory : Laboratory
        The hidden systems.
    budget : int
        Number of experiments.
    generator : torch.Generator
        Source of random choices.
    space : DesignSpace, default=None
        The designs to choose from. Default: all.

    Returns
    -------
    histories : Histories
        All rows.
    designs : list of Designs
        What was done.
    """
    histories = laboratory.start()
    space = laboratory.space() if space is None else space
    designs = []
    for step in range(budget):
        designs.append(strategy.propose(histories, space, generator))
        histories = laboratory.perform(histories, designs[-1], step)
    return histories, designs
