# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Buffers of a teacher, on all processes."""

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import nn


def copy_buffers(own: nn.Module, student: nn.Module) -> None:
    """Copy the student's buffers; floating-point ones are those of all ranks.

    DDP trains equal parameters, but each process keeps the statistics of its
    own batches. Their mean, in one message for all buffers, makes the
    teachers of all processes equal.

    Args:
        own (nn.Module): Changed in place.
        student (nn.Module): Has the same modules.
    """
    mine = list(own.buffers())
    if mine:
        torch._foreach_copy_(mine, list(student.buffers()))
    floats = [b for b in mine if b.is_floating_point()]
    if get_world_size() > 1 and floats:
        flat = torch.cat([b.reshape(-1).float() for b in floats])
        all_reduce(flat, 'mean')
        parts = flat.split([b.numel() for b in floats])
        for buffer, part in zip(floats, parts):
            buffer.copy_(part.view_as(buffer))
