# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Buffers of several processes: BatchNorm's statistics differ between them."""

from typing import Dict, Iterator, List, Tuple

import torch
from mmengine import dist
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
    buffers = [b for _, named in _models(runner) for b in named.values()]
    if dist.get_world_size() == 1 or not buffers:
        return
    # As float64, which holds whole numbers up to 2**53.
    first = torch.cat([b.flatten().double() for b in buffers])  # N
    bounds, mean = torch.stack([first, -first]), first.clone()  # 2xN, N
    dist.all_reduce(bounds, 'max')
    dist.all_reduce(mean, 'mean')
    dist.broadcast(first)
    mean = torch.where(bounds[0] == -bounds[1], first, mean)
    sizes = [b.numel() for b in buffers]
    for b, old, new in zip(buffers, first.split(sizes), mean.split(sizes)):
        b.copy_((new if b.is_floating_point() else old).view_as(b))


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
    if dist.get_world_size() == 1:
        return []
    mine = {
        model: {name: buffer.cpu() for name, buffer in named.items()}
        for model, named in _models(runner)
    }
    gathered = dist.all_gather_object(mine)
    for models in gathered[::-1]:  # rank 0, which is compared with, last
        for model, named in models.items():
            first = gathered[0][model]
            same = [n for n in named if torch.equal(named[n], first[n])]
            for name in same:
                del named[name]
    return gathered


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
    if (
        not isinstance(gathered, list)
        or len(gathered) != dist.get_world_size()
    ):
        return False
    models = dict(_models(runner))
    try:
        # Each rank looks at all of them, so that all ranks decide alike.
        pairs = [
            (rank, models[model][name], value.view_as(models[model][name]))
            for rank, saved in enumerate(gathered)
            for model, named in saved.items()
            for name, value in named.items()
        ]
    except (AttributeError, KeyError, RuntimeError):
        return False
    for rank, buffer, value in pairs:
        if rank == dist.get_rank():
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
        yield name, {k: b for k, b in model.named_buffers() if k in saved}
