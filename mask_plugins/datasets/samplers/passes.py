# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Where passes over a loader begin, whose batches may vary in number."""

from typing import Optional, Tuple

from torch.utils.data import DataLoader

from ..traverse import samplers_of
from .token_budget_sampler import TokenBudgetSampler


def budget_sampler_of(loader: DataLoader) -> Optional[TokenBudgetSampler]:
    """The sampler of a loader that batches by a budget of tokens.

    Examples:
        >>> budget_sampler_of(DataLoader(range(6))) is None
        True
    """
    if not isinstance(loader, DataLoader):
        return None
    found = samplers_of(loader)
    found = [s for s in found if isinstance(s, TokenBudgetSampler)]
    return found[0] if found else None


def first_step(loader: DataLoader, epoch: int) -> int:
    """How many batches there are before a pass.

    Examples:
        >>> first_step(DataLoader(range(6), batch_size=2), epoch=2)
        6
    """
    sampler = budget_sampler_of(loader)
    return (
        epoch * len(loader) if sampler is None else sampler.first_step(epoch)
    )


def full_length(loader: DataLoader) -> int:
    """Full batches of a pass, on which lengths in a config are.

    Examples:
        >>> full_length(DataLoader(range(6), batch_size=2))
        3
    """
    sampler = budget_sampler_of(loader)
    return len(loader) if sampler is None else sampler.full_batches


def position_of(loader: DataLoader, step: int) -> int:
    """Full batches that the images before a batch fill: ``step`` of itself.

    Args:
        loader (DataLoader): The loader.
        step (int): Batches before it, over the whole run.

    Examples:
        >>> position_of(DataLoader(range(6), batch_size=2), step=7)
        7
    """
    sampler = budget_sampler_of(loader)
    return step if sampler is None else sampler.position(step)


def locate_step(loader: DataLoader, step: int) -> Tuple[int, int]:
    """The pass of a batch, and its number there.

    Args:
        loader (DataLoader): The loader.
        step (int): Batches before it, over the whole run.

    Examples:
        >>> locate_step(DataLoader(range(6), batch_size=2), step=7)
        (2, 1)
    """
    sampler = budget_sampler_of(loader)
    if sampler is None:
        return divmod(step, max(1, len(loader)))
    return sampler.locate(step)
