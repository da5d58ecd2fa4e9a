# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Whether a scheduled value changes the loss."""

import copy
from typing import Any, List, Optional, Sequence

import torch
from mmengine.runner import Runner
from torch import Tensor

from mask_plugins.engine.randomness.random_states import (
    preserved_random_states,
)

from .attribute_target import find_targets, unwrap


def changes_loss(
    runner: Runner, target: str, values: Sequence[float], data_batch: Any
) -> Optional[bool]:
    """Compare the loss of a batch at several values of an attribute.

    A copy of the model computes it, from the same random state each time, so
    that nothing of the training changes.

    Args:
        runner (Runner): Its model is in training mode.
        target (str): See :func:`find_targets`.
        values (Sequence[float]): Values of the attribute.
        data_batch (Any): What ``train_step`` gets.

    Returns:
        bool | None: None if it cannot be told: the model or the batch cannot
        be copied, or the loss cannot be computed or is not finite.
    """
    model = unwrap(runner.model)
    # The copy refers to the runner's parts, not to copies of them.
    memo = {id(part): part for part in (runner, *vars(runner).values())}
    memo.pop(id(runner.model), None)
    memo.pop(id(model), None)
    losses: List[Tensor] = []
    try:
        probe = copy.deepcopy(model, memo)
        targets = find_targets(probe, target)
        for value in values:
            with torch.no_grad(), preserved_random_states():
                for found in targets:
                    found.set(value)
                data = probe.data_preprocessor(copy.deepcopy(data_batch), True)
                log = probe._run_forward(data, mode='loss')
                losses.append(probe.parse_losses(log)[0])
    except Exception:  # a model of another kind, or too little memory
        return None
    if not all(loss.isfinite().all() for loss in losses):
        return None
    return any(not loss.equal(losses[0]) for loss in losses[1:])
