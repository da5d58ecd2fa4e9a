# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Buffers of several processes: BatchNorm's statistics differ between them."""

from typing import Dict, Iterator, List, Tuple

import torch
from mmengine.dist import (
    all_gather_object,
    all_reduce,
    broadcast,
    get_rank,
    get_world_size,
)
from mmengine.runner import Runner
from torch import Tensor, nn

from ..hooks.attribute_target import unwrap

Named = Dict[str, Tensor]


def sync_buffers(runner: Runner) -> None:
    """Make the buffers of all ranks equal; all of them must call it.

    Floating-point values that differ become the mean over the ranks, and
    equal ones stay what they are, so that a second call changes nothing.
    Other buffers become those of rank 0. Copies of the model that hooks keep,
    such as ``EMAHook``'s, are included.

    Args:
        runner (Runner): After a training iteration.

    Examples:
        >>> from types import SimpleNamespace
        >>> model = nn.BatchNorm1d(2)
        >>> sync_buffers(SimpleNamespace(model=model, hooks=[]))  # one process
        >>> model.running_var
        tensor([1., 1.])
    """
    if get_world_size() == 1:
        return
    buffers = [b for _, named in _models(runner) for b in named.values()]
    floats = [b for b in buffers if b.is_floating_point()]
    others = [b for b in buffers if not b.is_floating_point()]
    if floats:
        _average(floats)
    if others:
        # As float64, which holds whole numbers up to 2**53.
        flat = torch.cat([b.flatten().double() for b in others])
        broadcast(flat)
        _scatter(flat, others)


def _average(buffers: List[Tensor]) -> None:
    double = any(b.dtype == torch.float64 for b in buffers)
    kind = torch.float64 if double else torch.float32
    flat = torch.cat([b.flatten().to(kind) for b in buffers])  # N
    bounds = torch.stack([flat, -flat])  # 2xN
    all_reduce(bounds, 'max')
    differ = bounds[0] != -bounds[1]
    if differ.any():  # the same on all ranks
        mean = flat.clone()
        all_reduce(mean, 'mean')
        _scatter(torch.where(differ, mean, flat), buffers)


def _scatter(flat: Tensor, buffers: List[Tensor]) -> None:
    parts = flat.split([b.numel() for b in buffers])
    for buffer, part in zip(buffers, parts):
        buffer.copy_(part.view_as(buffer))


def gather_buffers(runner: Runner) -> List[Dict[str, Named]]:
    """The buffers of each rank that are not those of rank 0.

    Args:
        runner (Runner): All ranks must call it.

    Returns:
        list[dict]: For each rank, name of a model to its buffers; [] on one
        process.

    Examples:
        >>> from types import SimpleNamespace
        >>> runner = SimpleNamespace(model=nn.BatchNorm1d(2), hooks=[])
        >>> gather_buffers(runner)  # one process
        []
    """
    if get_world_size() == 1:
        return []
    mine = {
        model: {name: buffer.cpu() for name, buffer in named.items()}
        for model, named in _models(runner)
    }
    gathered = all_gather_object(mine)
    return [
        {
            model: {
                name: buffer
                for name, buffer in named.items()
                if not torch.equal(buffer, gathered[0][model][name])
            }
            for model, named in models.items()
        }
        for models in gathered
    ]


def restore_buffers(runner: Runner, gathered: List[Dict[str, Named]]) -> bool:
    """Give this rank the buffers that it had.

    Args:
        runner (Runner): With the weights of rank 0 loaded.
        gathered (list[dict]): From :func:`gather_buffers`, or from a file.

    Returns:
        bool: False if they are of another number of ranks, or do not fit
        the model; nothing is changed then.

    Examples:
        >>> from types import SimpleNamespace
        >>> runner = SimpleNamespace(model=nn.BatchNorm1d(2), hooks=[])
        >>> mean = torch.ones(2)
        >>> restore_buffers(runner, [dict(model=dict(running_mean=mean))])
        True
        >>> runner.model.running_mean
        tensor([1., 1.])
    """
    if not isinstance(gathered, list) or len(gathered) != get_world_size():
        return False
    models = dict(_models(runner))
    try:
        # Each rank looks at all of them, so that all ranks decide alike.
        pairs = [
            [
                (models[model][name], value.view_as(models[model][name]))
                for model, named in rank.items()
                for name, value in named.items()
            ]
            for rank in gathered
        ]
    except (AttributeError, KeyError, RuntimeError):
        return False
    for buffer, value in pairs[get_rank()]:
        buffer.copy_(value)
    return True


def _models(runner: Runner) -> Iterator[Tuple[str, Named]]:
    """The model and its copies, with the buffers that a checkpoint holds."""
    found = {'model': runner.model}
    for number, hook in enumerate(runner.hooks):
        copy = getattr(hook, 'ema_model', None)
        if isinstance(copy, nn.Module):
            found[f'{type(hook).__name__}_{number}'] = copy
    for name, model in found.items():
        model = unwrap(model)
        saved = model.state_dict()
        buffers = {k: b for k, b in model.named_buffers() if k in saved}
        yield name, buffers
